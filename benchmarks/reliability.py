"""``python -m benchmarks.reliability``: commands killed at random moments, damaged runs, extreme series.

Each command runs once undisturbed. Then it is killed (SIGKILL, the whole process group) after a random time and
repeated, `tsattn fit` with ``--resume``. The results of the repetition must be those of the undisturbed command, byte
by byte, and in between its output must be missing or complete. The job is small, so that it is often killed between its
stages, and its processes are forked from one that has imported the packages. A damaged run must be refused with the
name of the file, or forecast the same. Server abuse and malformed requests are tests: tests/serving/test_abuse.py and
test_fuzz.py.

Writes `benchmarks/results/reliability.json` and `docs/reliability.md`.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import shutil
import signal
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
from tsattn.export import isolated_runtime
from tsattn.export.isolated_process import IsolatedRuntime, launcher

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results") / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
DATA = ROOT / "datasets" / "co2.csv"
SETTINGS = ("data.horizon=12", "model.units=8", "training.epochs=4", "training.steps_per_epoch=20")
OPTIONS = tuple(part for setting in SETTINGS for part in ("--set", setting))
SMALL_SETTINGS = (
    *("data.horizon=4", "data.season=12", "data.context=24", "model.units=4", "model.context_scales=1"),
    *("model.copy_heads=0", "model.mean_reversion=false", "training.epochs=3", "training.steps_per_epoch=10"),
)
SMALL_OPTIONS = tuple(part for setting in SMALL_SETTINGS for part in ("--set", setting))
SMALL_ROWS = 300
COUNTS = ("kills", "incomplete", "complete", "resumed", "lost", "different")
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


def make_command(name: str, data: Path, run: Path, folder: Path) -> Command:
    """Return a command; ``run`` is a run directory, ``folder`` that of the output."""
    suffix = {"tune": ".toml", "predict": ".csv"}.get(name, "")
    out = folder / f"{name}{suffix}"
    arguments, again, results = {
        "fit": (
            (str(data), "--model", "seq2seq", *SMALL_OPTIONS),
            ("--resume",),
            ("forecast.csv", "metrics.json", "saved_model/1/variables/variables.data-00000-of-00001"),
        ),
        "backtest": (
            (str(data), "--model", "seq2seq", "--folds", "2", "--refit", "every", *SMALL_OPTIONS),
            (),
            ("forecasts.csv", "leaderboard.csv", "scores.csv"),
        ),
        "tune": ((str(data), "--trials", "2", *SMALL_OPTIONS), (), ("",)),
        "export": ((str(run),), (), ("1/assets.extra/tsattn.json", "1/variables/variables.data-00000-of-00001")),
        "predict": ((str(run),), (), ("",)),
    }[name]
    return Command((name, *arguments, "-o", str(out)), again, out, results)


class _ForkedRuntime(IsolatedRuntime):
    """The process that verifies an export, forked from this one, so that it does not import TensorFlow again."""

    def _start_process(self, module: str | None) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        reading, writing = os.pipe()
        arguments = (self.kind, reading, writing, self._output.fileno())
        self._forked = multiprocessing.get_context("fork").Process(target=_verify, args=arguments, daemon=True)
        self._forked.start()
        self._input = os.fdopen(writing, "w")

    def _end_process(self) -> None:
        self._forked.kill()
        self._forked.join()

    def _send(self, line: str) -> None:
        print(line, file=self._input, flush=True)

    def _wait(self) -> str:
        self._input.close()
        self._forked.join()
        self._output.seek(0)
        return self._output.read() if self._forked.exitcode else ""


def _verify(kind: str, reading: int, writing: int, output: int) -> None:
    """Run `tsattn.export.isolated_runtime` without tsattn."""
    os.close(writing)
    for source, target in ((reading, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tsattn"]:
        del sys.modules[name]
    sys.stdin, sys.argv = open(0), ["", kind]  # noqa: SIM115
    runpy.run_path(isolated_runtime.__file__, run_name="__main__")


def _run_command(arguments: Sequence[str], log: Path) -> None:
    """Run a command of `tsattn` in this process, which becomes the leader of a group; its output goes to ``log``."""
    from tsattn.cli import main

    os.setsid()
    os.chdir(ROOT)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    runtime = _ForkedRuntime("saved_model")  # before TensorFlow has threads
    launcher.set(lambda kind, module: runtime)
    main(list(arguments), prog_name="tsattn")


def execute(arguments: Sequence[str], log: Path, kill_after: float | None = None) -> int | None:
    """Run a command of `tsattn` and return its exit status; None if it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "tsattn.cli", "matplotlib.pyplot", "pandas", "scipy.stats"])
    process = context.Process(target=_run_command, args=(arguments, log))
    process.start()
    process.join(kill_after)
    if process.exitcode is not None:
        return process.exitcode
    assert process.pid is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it is not the leader of its group yet
        process.kill()
    process.join()
    return None


def read_stage(log: Path) -> str:
    """Return what a command printed last before it was killed, without figures."""
    lines = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
    texts = [re.sub(r"[^A-Za-z ].*", "", line).strip() for line in lines if line[:1].isalpha()]
    return next((text for text in reversed(texts) if text), "Start")


def kill_and_repeat(name: str, kills: int, seed: int, figures: dict[str, Any], record: Callable[[], None]) -> None:
    """Add to ``figures`` how often killed commands left no output, a complete one or half of one, and what repeating
    them gave; ``record`` is called after each kill."""
    with tempfile.TemporaryDirectory() as temporary:
        data, run, out, log = (Path(temporary) / part for part in ("co2.csv", "fit", "out", "log"))
        lines = DATA.read_text(encoding="utf-8").splitlines(keepends=True)
        data.write_text("".join([lines[0], *lines[-SMALL_ROWS:]]), encoding="utf-8")
        fit = make_command("fit", data, run, run.parent)
        if name in ("export", "predict") and execute(fit.arguments, log) != 0:
            raise click.ClickException(f"fit failed: {log.read_text(encoding='utf-8')}")
        out.mkdir()
        command = make_command(name, data, run, out)

        def run_from_the_beginning(kill_after: float | None = None) -> int | None:
            began = time.monotonic()
            status = execute(command.arguments, log, kill_after)
            if status == 0:
                figures["seconds"] = round(time.monotonic() - began, 1)  # varies with the load of the machine
            return status

        status, known = run_from_the_beginning(), command.read()
        if status != 0:
            raise click.ClickException(f"{name} failed without a kill: {log.read_text(encoding='utf-8')}")
        while figures["kills"] < kills:
            rng = np.random.default_rng([seed, figures["kills"]])
            command.clear()
            while run_from_the_beginning(rng.uniform(0, figures["seconds"])) is not None:
                command.clear()  # it was faster than before
            stage, found, status = read_stage(log), command.read(), None
            if found is not None:
                figures["complete" if found == known else "incomplete"] += 1
            else:
                if command.again:
                    status = execute((*command.arguments, *command.again), log)
                    figures["resumed"] += status == 0
                if status != 0:  # nothing to resume
                    status = run_from_the_beginning()
                    figures["resumed"] += status == 0 and not command.again
                found = command.read()
                figures["lost"] += status != 0 or found is None
                figures["different"] += found is not None and found != known
            figures["kills"] += 1
            figures["stages"][stage] = figures["stages"].get(stage, 0) + 1
            record()
            click.echo(f"{name}: {figures}")


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


def fit_two_runs(folder: Path) -> list[Path]:
    """Return two runs of the same data, with different seeds."""
    runs = [folder / "run", folder / "other"]
    for seed, run in enumerate(runs):
        arguments = ("fit", str(DATA), "--model", "seq2seq", *OPTIONS, "--seed", str(seed), "-o", str(run))
        if execute(arguments, folder / "log") != 0:
            raise click.ClickException("fit failed")
    return runs


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
    "about 1e38": lambda rng: 1e38 * (1 + 0.1 * rng.normal(size=60)),
    "1 and 1e20 in turn": lambda rng: np.where(np.arange(60) % 2, 1.0, 1e20),
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
    names = [name for name in COMMANDS if name in found]
    rows = [[name, *(str(found[name][count]) for count in ("seconds", *COUNTS))] for name in names]
    stages = [
        f"- {name}: " + ", ".join(f"{stage} {count}" for stage, count in found[name]["stages"].items()) + "."
        for name in names
        if found[name]["stages"]
    ]
    return f"""## Killed commands

Each command was killed (SIGKILL) at a random moment of its run time. Without output it was repeated, `tsattn fit` with
`--resume`. The job is small, and its processes are forked from one that has imported the packages.

- Seconds: duration of the command when it is not killed, on a machine with other work.
- Incomplete, complete output: kills with an output under its final name that differs from that of a command which was
  not killed, or is the same.
- Resumed: first repetitions that succeeded. The others found nothing to continue, and the command started again.
- Lost: commands that failed again.
- Different: repetitions with results that are not the same byte by byte.

{text_table(heads, rows)}
What the commands had printed last when they were killed, and the number of kills:

{chr(10).join(stages)}
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
@click.option("--resume", is_flag=True, help="Add to the recorded kills instead of starting again.")
@TABLE_ONLY
def main(kills: int, damages: int, parts: tuple[str, ...], seed: int, resume: bool, table_only: bool) -> None:
    """Kill commands, damage runs, forecast extreme series; the page is written after each kill and each part."""
    results = read_results(RESULTS)
    results["seed"] = seed

    def record() -> None:
        write_results(RESULTS, results, render_page(results), PAGE)

    parts = () if table_only else parts or PARTS
    for part in parts:
        if part in COMMANDS:
            found = results.setdefault("kills", {})
            if not (resume and part in found):
                found[part] = {"seconds": 0.0, **dict.fromkeys(COUNTS, 0), "stages": {}}
            kill_and_repeat(part, kills, seed, found[part], record)
    if {"damages", "extremes"} & set(parts):
        with tempfile.TemporaryDirectory() as temporary:
            run, other = fit_two_runs(Path(temporary))
            if "extremes" in parts:
                results["extremes"] = forecast_extremes(run)
                record()
            if "damages" in parts:
                results["damages"] = damage_and_load(run, other, damages, np.random.default_rng(seed))
    record()


if __name__ == "__main__":
    main()
