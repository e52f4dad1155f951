"""``python -m benchmarks.reading``: time and memory to load CSV files, relative to pyarrow reading the same file.

* long: a sorted hourly CSV file in long format (`unique_id,ds,y`). Wall time of `tsattn.data.loader.load` over that
  of pyarrow, and peak memory above the start over 20 bytes per row (8 value, 8 timestamp, 4 id).
* short series: 100,000 short series (of M4's size) in long format.

Times are the minimum of three runs, because other work on the machine disturbs single runs.

Writes `benchmarks/results/reading.json` and its table `reading.md`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "reading.json"
ROW_BYTES = 20
"""8 value, 8 timestamp, 4 id."""


def write_csv(path: Path, series: int, steps: int) -> None:
    """Write a sorted CSV file in long format."""
    times = np.tile(pd.date_range("2020-01-01", periods=steps, freq="h").to_numpy().astype("datetime64[s]"), series)
    ids = np.repeat(np.array([f"S{number:06d}" for number in range(series)]), steps)
    values = np.random.default_rng(0).normal(100, 10, series * steps).round(2)
    text = pa.array(np.datetime_as_string(times))
    pa_csv.write_csv(pa.table({"unique_id": ids, "ds": text, "y": values}), path)


def read_with_pyarrow(path: str) -> int:
    """Read a file with pyarrow alone."""
    return int(pa_csv.read_csv(path).num_rows)


def read_panel(path: str) -> int:
    """Read a file to a panel."""
    from tsattn.config import DataConfig
    from tsattn.data.loader import load

    return len(load(path, DataConfig(freq="h", season=24, horizon=24))[0].values)


def measure(task: Callable[[str], int], path: Path) -> tuple[float, float]:
    """Return the seconds and peak memory of a task in a separate process, without imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(_import_package)
        return pool.apply(_time, (task, str(path)))


def measure_three(task: Callable[[str], int], path: Path) -> tuple[float, float]:
    """Return the minimum time and the maximum memory of three runs."""
    seconds, memory = zip(*(measure(task, path) for _ in range(3)), strict=True)
    return min(seconds), max(memory)


def _import_package() -> None:
    import tsattn.data  # noqa: F401


def _time(task: Callable[[str], int], path: str) -> tuple[float, float]:
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak memory
    before = _peak_memory()
    start = time.perf_counter()
    task(path)
    return time.perf_counter() - start, _peak_memory() - before


def _peak_memory() -> float:
    """Return the peak memory of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    head = ("file", "rows", "series", "pyarrow", "tsattn", "time, ratio", "memory, of 20 bytes per row")
    lines = []
    for name, found in results.items():
        seconds = [f"{value} s" for value in found["seconds"]]
        memory = f"{found['memory'][1]} (pyarrow {found['memory'][0]})"
        lines.append((name, f"{found['rows']:,}", f"{found['series']:,}", *seconds, found["time"], memory))
    return f"# Reading of files\n\n{about}\n\n{text_table(head, lines)}"


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Rows of each file.")
@TABLE_ONLY
def main(rows: int, table_only: bool) -> None:
    """Measure the reading of files."""
    results = read_results(RESULTS)
    sizes = {} if table_only else {"long": (rows // 10_000, 10_000), "short series": (rows // 100, 100)}
    with tempfile.TemporaryDirectory() as folder:
        for name, (series, steps) in sizes.items():
            path = Path(folder) / "data.csv"
            write_csv(path, series, steps)
            tasks = (read_with_pyarrow, read_panel)
            seconds, memory = zip(*(measure_three(task, path) for task in tasks), strict=True)
            count = series * steps
            results[name] = {
                "rows": count,
                "series": series,
                "seconds": [round(value, 2) for value in seconds],
                "time": round(seconds[1] / seconds[0], 2),
                "memory": [round(value / (ROW_BYTES * count), 2) for value in memory],
            }
            click.echo(f"{name}: {results[name]}")
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
