"""``python -m benchmarks.scale``: forecasts of many series in several processes, relative to one process.

Series of 100 daily values in Parquet files, forecast by `tsattn forecast` and by `tsattn predict` with a small network:
all files in one process, in two local processes, and on two workers of a Ray cluster on this machine. One process
uses all cores for the arithmetic, and two processes one core each. The time is that from the command to the prompt; the
repetitions of all ways alternate.

Writes `benchmarks/results/scale.json` and its table `scale.md`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "scale.json"
STEPS, HORIZON, FILES = 100, 14, 16
TSATTN = [sys.executable, "-m", "tsattn"]
WAYS = {
    "one process": ("--jobs", "1"),
    "two processes": ("--jobs", "2"),
    "two Ray workers": ("--ray", "local", "--jobs", "2"),
}


def write_series(folder: Path, count: int) -> None:
    """Write weekly patterns with noise into `FILES` files."""
    rng, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=STEPS)
    folder.mkdir()
    for number, ids in enumerate(np.array_split(np.arange(count), FILES)):
        season = rng.normal(0, 2, (len(ids), 7))[:, np.arange(STEPS) % 7]
        values = 20 + season + rng.normal(0, 1, (len(ids), STEPS))
        frame = {"unique_id": ids.repeat(STEPS).astype(str), "ds": np.tile(days, len(ids)), "y": values.ravel()}
        pd.DataFrame(frame).to_parquet(folder / f"{number:02}.parquet")


def seconds(*command: str) -> float:
    """Return the seconds of a command of `tsattn`."""
    start = time.perf_counter()
    subprocess.run([*TSATTN, *command, "--quiet"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Return the minimum seconds of each command in each way, and those of one series, which are the start-up."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_series(folder / "data", count)
        write_series(folder / "few", FILES)
        settings = ("data.horizon=14", "training.epochs=2", "model.units=32")
        fit = [part for setting in settings for part in ("--set", setting)]
        seconds("fit", str(folder / "data" / "00.parquet"), "--model", "seq2seq", "-o", str(folder / "run"), *fit)
        commands: dict[str, Callable[[str], tuple[str, ...]]] = {
            "forecast": lambda data: ("forecast", str(folder / data), "--horizon", str(HORIZON)),
            "predict": lambda data: ("predict", str(folder / "run"), str(folder / data)),
        }
        results: dict[str, Any] = {}
        for name, command in commands.items():
            times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for number in range(repeats):
                for index, (way, options) in enumerate(WAYS.items()):
                    pair = [
                        seconds(*command(data), *options, "-o", str(folder / f"{name}-{data}-{number}-{index}"))
                        for data in ("data", "few")
                    ]
                    times[way].append((pair[0], pair[1]))
                    click.echo(f"{name}, {way}: {pair}")
            results[name] = {
                way: {"seconds": min(pair[0] for pair in pairs), "start": min(pair[1] for pair in pairs)}
                for way, pairs in times.items()
            }
        return {"series": count, "steps": STEPS, "horizon": HORIZON, "files": FILES, "repeats": repeats, **results}


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    rows = []
    for name in ("forecast", "predict"):
        one = results[name]["one process"]["seconds"]
        for way, times in results[name].items():
            rate = results["series"] / times["seconds"]
            rows.append(
                [
                    name,
                    way,
                    f"{times['seconds']:.1f} s",
                    f"{times['start']:.1f} s",
                    f"{rate:,.0f}",
                    f"{one / times['seconds']:.2f}",
                ]
            )
    head = ["command", "", "time", f"of them with {FILES} series", "series a second", "speed relative to one process"]
    about = (
        f"{results['series']:,} series of {STEPS} steps in {FILES} Parquet files, {HORIZON} steps ahead, on two "
        f"cores; the least of {results['repeats']}. One process uses both cores for its arithmetic."
    )
    return f"# Many series\n\n{about}\n\n{text_table(head, rows)}"


@click.command(help=__doc__)
@click.option("--series", default=20_000, show_default=True, help="Number of series.")
@click.option("--repeats", default=2, show_default=True, help="Repetitions.")
@TABLE_ONLY
def main(series: int, repeats: int, table_only: bool) -> None:
    """Measure and write the results."""
    results = read_results(RESULTS) if table_only else measure(series, repeats)
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
