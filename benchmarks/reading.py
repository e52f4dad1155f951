"""``python -m benchmarks.reading``: files to panels, as ratios to the bare reading of the same file by pyarrow.

* A sorted long CSV (``unique_id,ds,y``), hourly: wall time of `tsattn.data.load` over that of pyarrow, and the highest
  memory above that at the start over 20 bytes a row (8 value, 8 stamp, 4 id).
* 100,000 short series (of M4's size) in long form.

Each is the least of three times, as one run is disturbed by whatever else the machine does.

Writes `benchmarks/results/reading.json` and the table of it, `reading.md`.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

RESULTS = Path(__file__).with_name("results") / "reading.json"
BYTES = 20
"""Of a row: 8 value, 8 stamp, 4 id."""


def write(path: Path, series: int, steps: int) -> None:
    """Write a sorted long CSV."""
    stamps = np.tile(pd.date_range("2020-01-01", periods=steps, freq="h").to_numpy().astype("datetime64[s]"), series)
    ids = np.repeat(np.array([f"S{number:06d}" for number in range(series)]), steps)
    values = np.random.default_rng(0).normal(100, 10, series * steps).round(2)
    text = pa.array(np.datetime_as_string(stamps))
    pa_csv.write_csv(pa.table({"unique_id": ids, "ds": text, "y": values}), path)


def bare(path: str) -> int:
    """Read by pyarrow alone."""
    return int(pa_csv.read_csv(path).num_rows)


def whole(path: str) -> int:
    """Read to a panel."""
    from tsattn.config import DataConfig
    from tsattn.data.loader import load

    return len(load(path, DataConfig(freq="h", season=24, horizon=24))[0].values)


def measured(task: Callable[[str], int], path: Path) -> tuple[float, float]:
    """Return seconds and bytes above the start of a task in a process of its own, imports not counted."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(_warm)
        return pool.apply(_timed, (task, str(path)))


def best(task: Callable[[str], int], path: Path) -> tuple[float, float]:
    """Return the least seconds of three times, and the most bytes."""
    seconds, memory = zip(*(measured(task, path) for _ in range(3)), strict=True)
    return min(seconds), max(memory)


def _warm() -> None:
    import tsattn.data  # noqa: F401


def _timed(task: Callable[[str], int], path: str) -> tuple[float, float]:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the imports
    before = _peak()
    start = time.perf_counter()
    task(path)
    return time.perf_counter() - start, _peak() - before


def _peak() -> float:
    """Return the highest memory of this process, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Rows of the long CSV.")
def main(rows: int) -> None:
    """Measure the reading of files."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, series, steps in (("long", rows // 10_000, 10_000), ("short series", rows // 100, 100)):
            path = Path(folder) / "data.csv"
            write(path, series, steps)
            seconds, memory = zip(*(best(task, path) for task in (bare, whole)), strict=True)
            count = series * steps
            results[name] = {
                "rows": count,
                "series": series,
                "seconds": [round(value, 2) for value in seconds],
                "time": round(seconds[1] / seconds[0], 2),
                "memory": [round(value / (BYTES * count), 2) for value in memory],
            }
            click.echo(f"{name}: {results[name]}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Reading of files", "", *"\n\n".join((__doc__ or "").split("\n\n")[1:3]).splitlines(), ""]
    head = ("file", "rows", "series", "pyarrow", "tsattn", "time, ratio", "memory, of 20 bytes a row")
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in results.items():
        first, second = found["seconds"]
        lines.append(
            f"| {name} | {found['rows']:,} | {found['series']:,} | {first} s | {second} s | {found['time']} | "
            f"{found['memory'][1]} (pyarrow {found['memory'][0]}) |"
        )
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
