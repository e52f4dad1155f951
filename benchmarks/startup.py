"""``python -m benchmarks.startup``: time of commands, relative to what they cannot do without.

* `tsattn --help`, relative to the help of a program of one empty click command.
* `tsattn fit`, from the command to the prompt, relative to a bare import of TensorFlow plus the training. The airline
  passengers are too few for a network, so that nothing is trained; the yearly sunspots are trained on.

Times are the minimum of several runs. Those of both sides alternate, because other work on the machine disturbs them.

Writes `benchmarks/results/startup.json` and its table `startup.md`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "startup.json"
DATASETS = Path(__file__).parents[1] / "datasets"
BARE_COMMAND = "import click; click.command()(lambda: None)(['--help'])"
TSATTN = [sys.executable, "-m", "tsattn"]
FITS = {"fit, no training": "Airline.csv", "fit, with training": "sunspots.csv"}


def measure(*command: str) -> tuple[float, str]:
    """Return the seconds of a command and what it wrote to standard error."""
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, result.stderr


def training_seconds(log: str) -> float:
    """Return the time between the lines of a training and the lines after them, in the log of ``--verbose``."""
    lines = [(float(number), text) for number, text in re.findall(r"^ *([\d.]+) s  (.*)$", log, re.MULTILINE)]
    return sum(end - begin for (begin, text), (end, _) in pairwise(lines) if text.startswith("Training"))


def fit(name: str) -> tuple[float, float]:
    """Return the seconds of a fit and those of its training."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, log = measure(*TSATTN, "fit", str(DATASETS / name), "--out", f"{folder}/run", "--verbose")
    return seconds, training_seconds(log)


def compare(task: Callable[[], tuple[float, float]], bare: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Return the minimum seconds of a task, of what it is relative to, and of its training."""
    pairs = [(measure(*bare)[0], *task()) for _ in range(repeats)]
    baseline, seconds, training = (min(column) for column in zip(*pairs, strict=True))
    found = {"seconds": seconds, "bare": baseline, "training": training, "ratio": seconds / (baseline + training)}
    return {key: round(value, 2) for key, value in found.items()}


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    head = ("command", "seconds", "bare click or TensorFlow", "training", "ratio")
    lines = [(name, *(str(value) for value in found.values())) for name, found in results.items()]
    return f"# Time of commands\n\n{about}\n\n{text_table(head, lines)}"


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Runs of each command.")
@TABLE_ONLY
def main(repeats: int, table_only: bool) -> None:
    """Measure the time of commands."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    results = read_results(RESULTS)
    if not table_only:
        help_task = lambda: (measure(*TSATTN, "--help")[0], 0.0)  # noqa: E731
        results["--help"] = compare(help_task, (sys.executable, "-c", BARE_COMMAND), repeats)
        click.echo(f"--help: {results['--help']}")
        for name, data in FITS.items():
            results[name] = compare(partial(fit, data), (sys.executable, "-c", "import tensorflow"), repeats)
            click.echo(f"{name}: {results[name]}")
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
