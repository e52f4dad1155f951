"""The tables, from the results alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.accuracy.markdown import EMPTY, Cell, table, text
from benchmarks.accuracy.markdown import measured as figures_cell
from benchmarks.accuracy.store import Result
from benchmarks.accuracy.tables import METRIC_NAMES, disturbed, machine_of
from benchmarks.accuracy.tasks import Task, task
from benchmarks.side_by_side.contestants import CONTESTANTS, CORES, Contestant

INTRODUCTION = f"""# Side by side

Written from the JSONs beside it by `python -m benchmarks.side_by_side table`; not to be edited. Every contestant has
the same data and, from the start of its process, the same wall-clock time on {CORES} cores until it must be fitted:
importing libraries and preparing data count. Writing the forecasts comes behind it. Figures are of the test part, which
is used for nothing else, the mean ± the standard deviation over the seeds where there are several. Those that take
their own time, under "no budget", also stand under each budget that they were fitted within. Lower is better, the best
of each column is bold.
"""

PILOT = """Not counted against a network of neuralforecast are the steps that tell how long a step takes, first thing in
the same process: its learning rate falls by the number of steps, which has to be known before. Its weights are those of
least error on the validation part.
"""

OVER = "†"


def document(results: Sequence[Result]) -> str:
    """Return the tables of all tasks that have results."""
    parts = [INTRODUCTION]
    for name in sorted({result["task"] for result in results}):
        parts.append(_section(task(name), [result for result in results if result["task"] == name]))
    if any("step_seconds" in result["told"] for result in results):
        parts.append(PILOT)
    if results:
        versions = {f"{name} {version}" for result in results for name, version in result["versions"].items()}
        parts.append(f"Versions: {', '.join(sorted(versions))}.\n")
        parts.append("Machines: " + "; ".join(sorted({machine_of(result) for result in results})) + ".\n")
    return "\n".join(parts)


def _section(of: Task, results: Sequence[Result]) -> str:
    budgets = sorted({result["budget"] for result in results if result["budget"] is not None})
    rows = [(contestant, _current(contestant, results)) for contestant in CONTESTANTS]
    rows = [(contestant, found) for contestant, found in rows if found]
    headers = ["", *map(_minutes, budgets), "no budget", "fitted after", "forecasts", "memory", "seeds"]
    lines = [_line(of, contestant, found, budgets) for contestant, found in rows]
    named = " / ".join(METRIC_NAMES[metric] for metric in of.metrics)
    parts = [f"## {of.name}, {named}\n", table(headers, lines)]
    shown = [result for _, found in rows for result in found]
    if any(result["over_budget"] for result in shown):
        parts.append(f"{OVER} fitted after the budget was over, and so not compared.\n")
    if any(map(disturbed, shown)):
        parts.append("\\* beside other work on the same machine, which makes it slower.\n")
    parts.append("".join(_about(contestant, found[-1]) for contestant, found in rows))
    return "\n".join(parts)


def _current(contestant: Contestant, results: Sequence[Result]) -> list[Result]:
    """Return the results of one state of a contestant: that with the most of them, of as many the newest."""
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
    own = [result for result in found if result["budget"] is None]
    mark = "\\*" if any(map(disturbed, found)) else ""
    memory = max(result["peak_memory_mb"] for result in found) / 1024
    seeds = len({result["seed"] for result in found})
    return [
        text(contestant.name),
        *cells,
        _cell(of, own),
        text(f"{_seconds(found, 'fitted_seconds')} s{mark}"),
        text(f"{_seconds(found, 'forecast_seconds')} s{mark}"),
        text(f"{memory:.1f} GB"),
        text(str(seeds) if contestant.budgeted else ""),
    ]


def _cell(of: Task, results: Sequence[Result]) -> Cell:
    if not results:
        return EMPTY
    columns = [[float(result["figures"][metric]) for result in results] for metric in of.metrics]
    spreads = [statistics.stdev(column) if len(column) > 1 else None for column in columns]
    cell = figures_cell([statistics.fmean(column) for column in columns], spreads)
    return replace(cell, values=(), after=f" {OVER}") if any(result["over_budget"] for result in results) else cell


def _seconds(found: Sequence[Result], name: str) -> str:
    """Return the mean time of the runs of each budget."""
    budgets = sorted({result["budget"] for result in found}, key=lambda budget: budget or 0)
    means = [statistics.fmean(result[name] for result in found if result["budget"] == budget) for budget in budgets]
    return " / ".join(f"{mean:.0f}" for mean in means)


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _about(contestant: Contestant, result: Result) -> str:
    options = ", ".join(f"{name}={value}" for name, value in result["options"].items() if name != "model")
    commit = f" at commit {result['state']}" if contestant.module == "ours" else ""
    return f"- {contestant.name}{commit}: {contestant.about}{f' (`{options}`)' if options else ''}.\n"
