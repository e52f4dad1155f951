"""The tables, from the results alone: published, naive and our rows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.accuracy.configuration import agrees, fingerprint
from benchmarks.accuracy.markdown import EMPTY, Cell, measured, printed, short, table, text
from benchmarks.accuracy.plan import Plan, Table, Variant
from benchmarks.accuracy.published import PUBLISHED, Row
from benchmarks.accuracy.store import Result
from benchmarks.accuracy.tasks import BEFORE, COLD, COLD_SEASONS, INTERVAL_METRICS, TEST, VALIDATION, Stage, Task

BUSY = 0.1
"""Cores used by other processes from which on a wall time is marked."""

METRIC_NAMES = {
    "smape": "sMAPE",
    "mase": "MASE",
    "owa": "OWA",
    "mse": "MSE",
    "mae": "MAE",
    "relative_mase": "relative MASE",
    **{
        f"{metric}_{steps}": f"{metric.upper()} {5 * steps} min"
        for metric in ("rmse", "mae")
        for steps in (3, 6, 9, 12)
    },
}

INTRODUCTION = {
    TEST: """# Accuracy

Written from the JSONs beside it by `python -m benchmarks.accuracy table`; not to be edited. Rows of ours are the mean
± the standard deviation over the seeds, each a training of its own; the test part chose nothing but that a long
look-back has no way back to a level, and how strongly intervals are calibrated (benchmarks/TRIED.md). Published rows
are as their papers print them, but for averages. Naive rows are computed on the same windows. Lower is better, the
best is bold. An average over horizons is by the seeds that all of them have. Time is the wall time of one run, from the
start of the process to the last score, and memory its peak.
""",
    VALIDATION: """# Accuracy on the validation parts

Written by `python -m benchmarks.accuracy table --stage validation`; not to be edited. This is what configurations are
chosen by: no figure here is from a test part.
""",
}


NEEDED = {"interval": f"{BEFORE}{INTERVAL_METRICS[0]}", "cold": f"{COLD}{COLD_SEASONS[0]}"}
"""A figure that results must have to stand in a table of a kind."""


@dataclass(frozen=True)
class Entry:
    """The results of one configuration on one task: one commit, a result a seed.

    Args:
        task: the task.
        stage: whose figures.
        results: by seed.
    """

    task: Task
    stage: Stage
    results: dict[int, Result]

    def figures(self, metrics: Sequence[str] | None = None) -> list[list[float]]:
        """Return the figures [metrics][seeds]."""
        chosen = metrics or self.task.headline
        return [[float(result[self.stage][name]) for result in self.results.values()] for name in chosen]

    def of_seed(self, seed: int) -> list[float]:
        """Return the headline figures of a seed."""
        return [float(self.results[seed][self.stage][name]) for name in self.task.headline]

    def means(self) -> list[float]:
        """Return the mean over the seeds of each headline metric."""
        return [statistics.fmean(values) for values in self.figures()]


Entries = dict[str, Entry]
"""By name of the task."""


def document(plan: Plan, results: Sequence[Result], stage: Stage = TEST) -> str:
    """Return all tables that have a row of ours."""
    parts = [INTRODUCTION[stage]]
    machines: set[str] = set()
    for shown in plan.table:
        rows = [(variant, entries_of(shown, variant, results, stage)) for variant in shown.rows()]
        rows = [(variant, entries) for variant, entries in rows if entries]
        if any(not variant.baseline for variant, _ in rows):
            parts.append(_section(shown, rows, stage))
            machines |= {machine_of(result) for _, entries in rows for result in _all(entries)}
    if machines:
        parts.append("Machines: " + "; ".join(sorted(machines)) + ".\n")
    return "\n".join(parts)


def entries_of(shown: Table, variant: Variant, results: Sequence[Result], stage: Stage) -> Entries:
    """Return the results that stand in a row of a table: of one commit, the newest of those with the most seeds."""
    entries = {}
    for task in shown.tasks_of(variant):
        wanted = variant.configuration(task)
        name = fingerprint(wanted)
        of_task = [result for result in results if result["task"] == task.name]
        same = [r for r in of_task if r["hash"] == name or agrees(r["configuration"], task, wanted)]
        if needed := NEEDED.get(shown.kind):
            # Those of earlier commits have none.
            same = [r for r in same if needed in r[stage]]
        if same:
            seeds = Counter(result["commit"] for result in same)
            newest = max(same, key=lambda r: (seeds[r["commit"]], r["committed"], r["date"]))["commit"]
            kept = {r["seed"]: r for r in sorted(same, key=lambda r: r["date"]) if r["commit"] == newest}
            entries[task.name] = Entry(task, stage, dict(sorted(kept.items())))
    return entries


def _section(shown: Table, rows: list[tuple[Variant, Entries]], stage: Stage) -> str:
    build = {
        "task": _by_task,
        "metric": _by_metric,
        "difference": _by_difference,
        "file": _by_file,
        "interval": _by_interval,
        "cold": _by_seasons,
    }[shown.kind]
    published = PUBLISHED.get(shown.name, ()) if stage == TEST else ()
    parts = [f"## {shown.title}\n"]
    if shown.about:
        parts.append(f"{shown.about}\n")
    parts.append(build(shown, rows, published))
    if any(disturbed(result) for _, entries in rows for result in _all(entries)):
        parts.append("\\* beside other work on the same machine, which makes it slower.\n")
    if published:
        sources: dict[str, list[str]] = {}
        for row in published:
            sources.setdefault(row.source, []).append(row.name)
        parts.append("".join(f"- {', '.join(names)}: {source}.\n" for source, names in sources.items()))
    return "\n".join(parts)


def _by_task(shown: Table, rows: list[tuple[Variant, Entries]], published: Sequence[Row]) -> str:
    averaged = shown.average and len(shown.tasks) > 1
    lines = [_published_line(row, shown.tasks, averaged) for row in published]
    for variant, entries in rows:
        cells = [_cell(entries[name]) if name in entries else EMPTY for name in shown.tasks]
        average = [_average(entries, shown.tasks)] if averaged else []
        lines.append([text(variant.name), *cells, *average, *_costs(variant, entries)])
    headers = ["", *shown.tasks, *(["average"] if averaged else []), *COSTS]
    return table(headers, lines)


def _published_line(row: Row, columns: Sequence[str], averaged: bool = False) -> list[Cell]:
    cells = [printed(row.cells.get(name)) for name in columns]
    average = []
    if averaged:
        complete = all(cell.values for cell in cells)
        means = [statistics.fmean(column) for column in zip(*(cell.values for cell in cells), strict=complete)]
        average = [measured(means, [None] * len(means)) if complete else EMPTY]
    return [text(row.name), *cells, *average, *([EMPTY] * len(COSTS))]


def _by_metric(shown: Table, rows: list[tuple[Variant, Entries]], published: Sequence[Row]) -> str:
    metrics = next(iter(rows[0][1].values())).task.metrics
    lines = [_published_line(row, metrics) for row in published]
    for variant, entries in rows:
        entry = next(iter(entries.values()))
        cells = [_cell(entry, [name]) for name in metrics]
        label = f"{variant.name} (computed here)" if variant.baseline else variant.name
        lines.append([text(label), *cells, *_costs(variant, entries)])
    return table(["", *(METRIC_NAMES[name] for name in metrics), *COSTS], lines)


def _by_difference(shown: Table, rows: list[tuple[Variant, Entries]], _: Sequence[Row]) -> str:
    first = shown.ours[0]
    reference = dict(rows).get(first, {})
    lines = []
    for variant, entries in rows:
        cells = [
            _cell(entries[name], other=None if variant == first else reference.get(name)) if name in entries else EMPTY
            for name in shown.tasks
        ]
        lines.append([text(variant.name), *cells, *_costs(variant, entries)])
    return table(["", *shown.tasks, *COSTS], lines)


def _by_file(shown: Table, rows: list[tuple[Variant, Entries]], _: Sequence[Row]) -> str:
    lines = []
    for name in shown.tasks:
        found = [entries[name] for _, entries in rows if name in entries]
        if found:
            first = next(iter(found[0].results.values()))[found[0].stage]
            naive = [text(first["best_naive"].replace("_", " ")), text(short(first["best_naive_mase"]))]
            # Compared with the naive baseline beside it, not with the file above it.
            cells = [replace(_cell(entries[name]), values=()) if name in entries else EMPTY for _, entries in rows]
            lines.append([text(name.removeprefix("classic-")), text(str(first["horizon"])), *naive, *cells])
    means = [_geometric(entries, shown.tasks) for _, entries in rows]
    lines.append([text("geometric mean"), EMPTY, EMPTY, EMPTY, *means])
    costs = [_costs(variant, entries) for variant, entries in rows]
    for at, name in enumerate(COSTS):
        lines.append([text(name), EMPTY, EMPTY, EMPTY, *(cost[at] for cost in costs)])
    return table(["", "horizon", "best naive", "its MASE", *(variant.name for variant, _ in rows)], lines)


def _by_interval(shown: Table, rows: list[tuple[Variant, Entries]], _: Sequence[Row]) -> str:
    lines = []
    for variant, entries in rows:
        for name, entry in entries.items():
            for prefix, words in ((BEFORE, ", before the calibration"), ("", "")):
                figures = entry.figures([f"{prefix}{metric}" for metric in INTERVAL_METRICS])
                # Not the least share is the best, so that none is bold.
                cells = [replace(measured([statistics.fmean(row)], [_spread(row)]), values=()) for row in figures]
                lines.append([text(f"{name}: {variant.name}{words}"), *cells, *_costs(variant, {name: entry})])
    return table(["", "in 80 %", "Winkler", "WQL", *COSTS], lines)


def _by_seasons(shown: Table, rows: list[tuple[Variant, Entries]], _: Sequence[Row]) -> str:
    metrics = [f"{COLD}{seasons}" for seasons in COLD_SEASONS]
    columns = [(name, metric) for name in shown.tasks for metric in metrics]
    lines = []
    for variant, entries in rows:
        cells = [_cell(entries[name], [metric]) if name in entries else EMPTY for name, metric in columns]
        lines.append([text(variant.name), *cells, *_costs(variant, entries)])
    return table(["", *(f"{name}, {metric.removeprefix(COLD)}" for name, metric in columns), *COSTS], lines)


COSTS = ("seeds", "time", "memory", "commit")


def _costs(variant: Variant, entries: Entries) -> list[Cell]:
    """Return seeds, mean time of a run, peak memory and commit of a row."""
    results = _all(entries)
    seeds = sorted({len(entry.results) for entry in entries.values()})
    mark = "\\*" if any(map(disturbed, results)) else ""
    seconds = statistics.fmean(result["seconds"] for result in results)
    memory = max(result["peak_memory_mb"] for result in results) / 1024
    commits = sorted({result["commit"] for result in results})
    counted = "" if variant.baseline else " to ".join(map(str, seeds[:: max(len(seeds) - 1, 1)]))
    return [text(counted), text(f"{seconds:.0f} s{mark}"), text(f"{memory:.1f} GB"), text(", ".join(commits))]


def _cell(entry: Entry, metrics: Sequence[str] | None = None, other: Entry | None = None) -> Cell:
    figures = entry.figures(metrics)
    means = [statistics.fmean(values) for values in figures]
    return measured(means, [_spread(values) for values in figures], other.means() if other else None)


def _average(entries: Entries, tasks: Sequence[str]) -> Cell:
    """Return the average over the tasks, by each seed that all have; empty where there is none."""
    by_seed = [[statistics.fmean(values) for values in zip(*seed, strict=True)] for seed in _complete(entries, tasks)]
    if not by_seed:
        return EMPTY
    figures = list(zip(*by_seed, strict=True))
    return measured([statistics.fmean(values) for values in figures], [_spread(values) for values in figures])


def _geometric(entries: Entries, tasks: Sequence[str]) -> Cell:
    """Return the geometric mean over the files, by each seed that all have; empty where there is none."""
    means = [statistics.geometric_mean(first for first, *_ in seed) for seed in _complete(entries, tasks)]
    return measured([statistics.fmean(means)], [_spread(means)]) if means else EMPTY


def _complete(entries: Entries, tasks: Sequence[str]) -> list[list[list[float]]]:
    """Return the headline figures [seeds][tasks][metrics] by the seeds that all tasks have."""
    if any(name not in entries for name in tasks):
        return []
    seeds = set.intersection(*(set(entries[name].results) for name in tasks))
    return [[entries[name].of_seed(seed) for name in tasks] for seed in sorted(seeds)]


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _all(entries: Entries) -> list[Result]:
    return [result for entry in entries.values() for result in entry.results.values()]


def disturbed(result: Result) -> bool:
    """Tell whether other work on the machine may have made a run slower."""
    return result.get("jobs", 1) > 1 or (result["cores_used_by_others"] or 0.0) > BUSY


def machine_of(result: Result) -> str:
    """Return in words what a run ran on."""
    machine = result["machine"]
    parts = [f"{machine['cores']} cores", machine["processor"], machine["architecture"], f"{machine['memory_gb']} GB"]
    return ", ".join(part for part in [*parts, *result.get("accelerators", ())] if part)
