"""``python -m benchmarks.reliability``: commands killed at random moments, damaged runs, extreme series.

Each command runs once undisturbed. Then it is killed (SIGKILL, the whole process group) after a random time and
repeated, `tsattn fit` with ``--resume``. The results of the repetition must be those of the undisturbed command, byte
by byte, and in between its output must be missing or complete. A damaged run must be refused with the name of the file,
or forecast the same. Server abuse and malformed requests are tests: tests/serving/test_abuse.py and test_fuzz.py.

Writes `benchmarks/results/reliability.json` and `docs/reliability.md`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results
from tsattn.errors import TsattnError

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results") / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
DATA = ROOT / "datasets" / "co2.csv"
SETTINGS = ("data.horizon=12", "model.units=8", "training.epochs=4", "training.steps_per_epoch=20")
OPTIONS = tuple(part for setting in SETTINGS for part in ("--set", setting))
COMMANDS = ("fit", "backtest", "tune", "export", "predict")
PARTS = ("extremes", "damages", *COMMANDS)


@dataclass(frozen=True)
class Command:
    """A command whose output survives a kill.

    Args:
        arguments: Those of `tsattn`.
        again: Options of the repetition; without them if there is nothing to resume.
        output: File or folder that it writes, the only one in its folder.
        results: Files with the results, relative to the output.
    """

    arguments: tuple[str, ...]
    again: tuple[str, ...]
    output: Path
    results: tuple[str, ...]

    def read(self) -> dict[str, bytes] | None:
        """Return the content of the results; None if the output is missing or not complete."""
        files = {name: self.output / name if name else self.output for name in self.results}
        if not all(file.exists() for file in files.values()):
            return None
        return {name: file.read_bytes() for name, file in files.items()}

    def clear(self) -> None:
        """Remove the output, and what a killed command left next to it."""
        for path in self.output.parent.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_command(name: str, run: Path, folder: Path) -> Command:
    """Return a command; ``run`` is a run directory, ``folder`` that of the output."""
    suffix = {"tune": ".toml", "predict": ".csv"}.get(name, "")
    out = folder / f"{name}{suffix}"
    arguments, again, results = {
        "fit": (
            (str(DATA), "--model", "seq2seq", *OPTIONS),
            ("--resume",),
            ("forecast.csv", "metrics.json"),
        ),
        "backtest": (
            (str(DATA), "--model", "seq2seq", "--folds", "3", "--refit", "every", *OPTIONS),
            (),
            ("forecasts.csv", "leaderboard.csv", "scores.csv"),
        ),
        "tune": ((str(DATA), "--trials", "3", *OPTIONS), (), ("",)),
        "export": ((str(run),), (), ("1/assets.extra/tsattn.json", "1/variables/variables.data-00000-of-00001")),
        "predict": ((str(run),), (), ("",)),
    }[name]
    return Command((name, *arguments, "-o", str(out)), again, out, results)


def execute(arguments: Sequence[str], kill_after: float | None = None) -> int | None:
    """Run a command of `tsattn` and return its exit status; None if it was killed."""
    command = [sys.executable, "-m", "tsattn", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT
    )
    try:
        return process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def kill_and_repeat(name: str, run: Path, kills: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return how often a killed command left no output, a complete one or half of one, and how its repetition ended."""
    with tempfile.TemporaryDirectory() as temporary:
        command = make_command(name, run, Path(temporary))
        began = time.monotonic()
        if execute(command.arguments) != 0:
            raise click.ClickException(f"{name} failed without a kill")
        seconds, known = time.monotonic() - began, command.read()
        figures = {"kills": 0, "incomplete": 0, "complete": 0, "resumed": 0, "lost": 0, "different": 0}
        while figures["kills"] < kills:
            command.clear()
            if execute(command.arguments, rng.uniform(0, seconds)) is not None:
                continue  # it was faster than the undisturbed run
            figures["kills"] += 1
            if (found := command.read()) is not None:
                figures["complete" if found == known else "incomplete"] += 1
            else:
                status = execute((*command.arguments, *command.again))
                figures["resumed"] += status == 0
                if status != 0 and command.again:
                    status = execute(command.arguments)  # killed before there was anything to resume
                found = command.read()
                figures["lost"] += status != 0 or found is None
                figures["different"] += found is not None and found != known
            click.echo(f"{name}: {figures}")
        return {"seconds": round(seconds, 1), **figures}


def damage(file: Path, other: Path, rng: np.random.Generator) -> str:
    """Damage a file and return how; ``other`` is the file of another run."""
    content = file.read_bytes()
    way = str(rng.choice(["changed", "truncated", "emptied", "deleted", "swapped"]))
    if way == "deleted":
        file.unlink()
    elif way == "swapped":
        shutil.copyfile(other, file)
    else:
        at = int(rng.integers(len(content)))
        changed = content[:at] + bytes([content[at] ^ int(rng.integers(1, 256))]) + content[at + 1 :]
        file.write_bytes({"changed": changed, "truncated": content[:at], "emptied": b""}[way])
    return way


def damage_and_load(run: Path, other: Path, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return how often a damaged run was refused, had the same or another forecast, or raised another error."""
    from tsattn import Forecaster

    known = Forecaster.load(run).predict()
    names = sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file())
    figures: dict[str, Any] = {"damages": count, "refused": 0, "named": 0, "same": 0, "wrong": 0, "crashed": 0}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(count):
            name, copy = str(rng.choice(names)), Path(temporary) / str(number)
            shutil.copytree(run, copy)
            damage(copy / name, other / name, rng)
            try:
                same = Forecaster.load(copy).predict().equals(known)
                figures["same" if same else "wrong"] += 1
            except TsattnError as error:
                figures["refused"] += 1
                figures["named"] += Path(name).name in str(error)
            except Exception as error:
                figures["crashed"] += 1
                click.echo(f"{name}: {error!r}")
            shutil.rmtree(copy)
    return figures


SERIES: dict[str, Callable[[np.random.Generator], Any]] = {
    "60 values of 7": lambda rng: np.full(60, 7.0),
    "60 zeros": lambda rng: np.zeros(60),
    "about 1e-10": lambda rng: 1e-10 * (1 + 0.1 * rng.normal(size=60)),
    "100,000,000 to 100,000,011": lambda rng: 1e8 + np.tile(np.arange(12.0), 5),
    "a counter beyond 2^24": lambda rng: 2.0**24 + np.arange(60.0),
    "a counter beyond 2^53": lambda rng: 2.0**53 + 2 * np.arange(60.0),
    "about 1e20": lambda rng: 1e20 * (1 + 0.1 * rng.normal(size=60)),
    "about 1e300": lambda rng: 1e300 * (1 + 0.1 * rng.normal(size=60)),
    "about 1e-40": lambda rng: 1e-40 * (1 + 0.1 * rng.normal(size=60)),
    "one outlier of a million": lambda rng: np.where(np.arange(60) == 40, 1e6, 10 + rng.normal(size=60)),
    "one value, 59 missing": lambda rng: np.where(np.arange(60) == 59, 5.0, np.nan),
    "no value": lambda rng: np.full(60, np.nan),
    "an infinite value": lambda rng: np.where(np.arange(60) == 30, np.inf, 1.0),
}
"""Extreme weekly series."""


def forecast_extremes(run: Path) -> list[dict[str, str]]:
    """Return the range of the forecast of each extreme series, or the error, without training and by a network."""
    import tsattn

    forecaster = tsattn.Forecaster.load(run)
    ways: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "tsattn.forecast": lambda frame: tsattn.forecast(frame, horizon=12),
        "network": forecaster.predict,
    }
    rows = []
    for name, make in SERIES.items():
        dates = pd.date_range("2020-01-04", periods=60, freq="W-SAT")
        frame = pd.DataFrame({"date": dates, "co2": make(np.random.default_rng(0))})
        row = {"series": name}
        for way, function in ways.items():
            try:
                with warnings.catch_warnings(record=True) as found:
                    warnings.simplefilter("always")
                    values = function(frame).select_dtypes("number")
                row[way] = f"{values.min().min():.10g} to {values.max().max():.10g}" + (
                    ", with a warning" if found else ""
                )
            except TsattnError as error:
                row[way] = f"refused: {error.message.removeprefix('the frame: ')}"
        rows.append(row)
    return rows


def render_page(results: dict[str, Any]) -> str:
    """Return the page of the documentation, with the parts that have results."""
    return "\n".join(
        [
            _HEAD.format(seed=results["seed"]),
            *([_render_kills(results["kills"])] if "kills" in results else []),
            *([_DAMAGES.format(**results["damages"])] if "damages" in results else []),
            *([_render_extremes(results["extremes"])] if "extremes" in results else []),
        ]
    )


_HEAD = """# Reliability

Results of `make bench-reliability` with seed {seed} ([benchmarks/reliability.py](../benchmarks/reliability.py)). The
tests repeat a part of it; they also send abusive requests (`tests/serving/test_abuse.py`) and 10,000 malformed ones
(`tests/serving/test_fuzz.py`) to the server.
"""

_DAMAGES = """## Damaged runs

A random file of a run directory was changed in one byte, truncated, emptied, deleted, or replaced by that of another
run, {damages} times; then the run was loaded, and made a forecast.

| result | runs |
|---|---:|
| refused | {refused} |
| ... with the name of the file | {named} |
| same forecast: a file that the forecast does not need, or one of `kit`, which is not checked | {same} |
| another forecast | {wrong} |
| an error of another kind | {crashed} |
"""


def _render_kills(found: dict[str, dict[str, Any]]) -> str:
    heads = ["command", "seconds", "kills", "incomplete output", "complete output", "resumed", "lost", "different"]
    rows = [[name, *(str(value) for value in found[name].values())] for name in COMMANDS if name in found]
    return f"""## Killed commands

Each command was killed (SIGKILL) at a random moment of its run time. Without output it was repeated, `tsattn fit` with
`--resume`.

- Seconds: duration of the command when it is not killed.
- Incomplete, complete output: kills with an output under its final name that differs from that of a command which was
  not killed, or is the same.
- Resumed: first repetitions that succeeded. The others found nothing to continue, and the command started again.
- Lost: commands that failed again.
- Different: repetitions with results that are not the same byte by byte.

{text_table(heads, rows)}
"""


def _render_extremes(found: list[dict[str, str]]) -> str:
    rows = [[row["series"], row["tsattn.forecast"], row["network"]] for row in found]
    return f"""## Extreme series

Smallest and largest value of the forecast and its 80 % interval: from `tsattn.forecast`, and from a network that was
fitted to weekly CO2 concentrations.

{text_table(["series", "tsattn.forecast", "network"], rows)}
"""


@click.command()
@click.option("--kills", default=50, show_default=True, help="Kills of each command.")
@click.option("--damages", default=200, show_default=True, help="Damaged runs.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part.")
@click.option("--seed", default=0, show_default=True)
@TABLE_ONLY
def main(kills: int, damages: int, parts: tuple[str, ...], seed: int, table_only: bool) -> None:
    """Kill commands, damage runs, forecast extreme series, and write the page after each of these parts."""
    results = read_results(RESULTS)
    if table_only:
        write_results(RESULTS, results, render_page(results), PAGE)
        return
    with tempfile.TemporaryDirectory() as temporary:
        run, other = Path(temporary) / "run", Path(temporary) / "other"
        for folder, seed_of_run in ((run, 0), (other, 1)):
            arguments = ("fit", str(DATA), "--model", "seq2seq", *OPTIONS, "--seed", str(seed_of_run))
            if execute((*arguments, "-o", str(folder))) != 0:
                raise click.ClickException("fit failed")
        for part in parts or PARTS:
            rng = np.random.default_rng(seed)
            if part == "damages":
                results[part] = damage_and_load(run, other, damages, rng)
            elif part == "extremes":
                results[part] = forecast_extremes(run)
            else:
                results.setdefault("kills", {})[part] = kill_and_repeat(part, run, kills, rng)
            results["seed"] = seed
            write_results(RESULTS, results, render_page(results), PAGE)


if __name__ == "__main__":
    main()
