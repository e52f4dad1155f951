"""The tables of the recorded results."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.accuracy.configuration import renamed_options
from benchmarks.accuracy.markdown import EMPTY, Cell, figures_cell, format_table, text_cell
from benchmarks.accuracy.store import Result
from benchmarks.accuracy.tables import METRIC_NAMES, OTHER_WORK, describe_machine, is_disturbed
from benchmarks.accuracy.tasks import Task, get_task
from benchmarks.side_by_side.contestants import CONTESTANTS, CORES, Contestant

INTRODUCTION = f"""# Side by side

Generated from the JSON files in `side_by_side/` by `python -m benchmarks.side_by_side table`; do not edit. Every
contestant has the same data and, from the start of its process, the same wall-clock time on {CORES} cores until it must
be fitted: importing libraries and preparing data count, forecasting does not. Figures are of the test part, which is
used for nothing else: the mean ± the standard deviation if there are several seeds. Contestants without a budget ("no
budget") are also shown under each budget that their fit met. Lower is better, the best of each column is bold.
"""

PILOT = """Networks of neuralforecast first measure the time per step in the same process, which does not count: their
learning rate schedule needs the number of steps in advance. Their weights are those with the lowest validation error.
"""

OVER_BUDGET = "†"


def render_tables(results: Sequence[Result]) -> str:
    """Return the tables of all tasks with results, as Markdown."""
    parts = [INTRODUCTION]
    for name in sorted({result["task"] for result in results}):
        parts.append(_section(get_task(name), [result for result in results if result["task"] == name]))
    if any(result["uncounted_seconds"] for result in results):
        parts.append(PILOT)
    if results:
        versions = {f"{name} {version}" for result in results for name, version in result["versions"].items()}
        parts.append(f"Versions: {', '.join(sorted(versions))}.\n")
        parts.append("Machines: " + "; ".join(sorted({describe_machine(result) for result in results})) + ".\n")
    return "\n".join(parts)


def _section(of: Task, results: Sequence[Result]) -> str:
    budgets = sorted({result["budget"] for result in results if result["budget"] is not None})
    rows = [(contestant, _current(contestant, results)) for contestant in CONTESTANTS]
    rows = [(contestant, found) for contestant, found in rows if found]
    headers = ["", *map(_minutes, budgets), "no budget", "fitted after", "forecasts", "memory", "seeds"]
    lines = [_line(of, contestant, found, budgets) for contestant, found in rows]
    named = " / ".join(METRIC_NAMES[metric] for metric in of.metrics)
    parts = [f"## {of.name}, {named}\n", format_table(headers, lines)]
    shown = [result for _, found in rows for result in found]
    if any(result["over_budget"] for result in shown):
        parts.append(f"{OVER_BUDGET} fitted after the budget, and therefore not compared.\n")
    if any(map(is_disturbed, shown)):
        parts.append(OTHER_WORK)
    parts.append("".join(_describe(contestant, found[-1]) for contestant, found in rows))
    return "\n".join(parts)


def _current(contestant: Contestant, results: Sequence[Result]) -> list[Result]:
    """Return the results of the state of a contestant with the most results; the newest of several."""
    states: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: str(result["date"])):
        if result["contestant"] == contestant.name:
            states.setdefault(result["state"], []).append(result)
    return max(states.values(), key=lambda found: (len(found), found[-1]["date"]), default=[])


def _line(of: Task, contestant: Contestant, found: Sequence[Result], budgets: Sequence[int]) -> list[Cell]:
    cells = []
    for budget in budgets:
        within = [result for result in found if result["budget"] is None and result["fitted_seconds"] <= budget]
        cells.append(_cell(of, [*within, *(result for result in found if result["budget"] == budget)]))
    unlimited = [result for result in found if result["budget"] is None]
    mark = "\\*" if any(map(is_disturbed, found)) else ""
    memory = max(result["peak_memory_mb"] for result in found) / 1024
    seeds = len({result["seed"] for result in found})
    return [
        text_cell(contestant.name),
        *cells,
        _cell(of, unlimited),
        text_cell(f"{_seconds(found, 'fitted_seconds')} s{mark}"),
        text_cell(f"{_seconds(found, 'forecast_seconds')} s{mark}"),
        text_cell(f"{memory:.1f} GB"),
        text_cell(str(seeds) if contestant.budgeted else ""),
    ]


def _cell(of: Task, results: Sequence[Result]) -> Cell:
    if not results:
        return EMPTY
    cell = figures_cell([[result["figures"][metric] for result in results] for metric in of.metrics])
    is_late = any(result["over_budget"] for result in results)
    return replace(cell, values=(), suffix=f" {OVER_BUDGET}") if is_late else cell


def _seconds(found: Sequence[Result], name: str) -> str:
    """Return the mean time of the runs of each budget."""
    budgets = sorted({result["budget"] for result in found}, key=lambda budget: budget or 0)
    means = [statistics.fmean(result[name] for result in found if result["budget"] == budget) for budget in budgets]
    return " / ".join(f"{mean:.0f}" for mean in means)


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _describe(contestant: Contestant, result: Result) -> str:
    names = {
        name: renamed_options().get(f"options.{name}", name).removeprefix("options.") for name in result["options"]
    }
    options = ", ".join(f"{names[name]}={value}" for name, value in result["options"].items() if name != "model")
    commit = f" at commit {result['state']}" if contestant.module == "default" else ""
    return f"- {contestant.name}{commit}: {contestant.about}{f' (`{options}`)' if options else ''}.\n"
