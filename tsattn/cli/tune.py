"""``tsattn tune``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tsattn.cli.options import (
    Duration,
    console,
    data_name,
    notes,
    quiet_start,
    read_config,
    search_options,
    several_models,
)

if TYPE_CHECKING:
    from tsattn.tuning import Tuning

SHOWN = 10
"""Trials in the table."""


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="Trials of the whole search.")
@click.option("--time", "duration", type=Duration(), metavar="TIME", help="End by then: 30s, 20m, 1.5h.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes that share the trials.")
@click.option("--journal", type=click.Path(path_type=Path), help="File to go on from [default: beside --out].")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Configuration to write [default: DATA's name, -tuned.toml]."
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it is there; the journal is kept.")
@search_options
def tune(
    data: Path,
    trials: int,
    duration: float | None,
    jobs: int,
    journal: Path | None,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Search for the options by which a model forecasts DATA best, and write them as a configuration.

    `tsattn fit DATA --config` takes it. What is given by --set, --config or an option stays; `tsattn models NAME` and
    the documentation tell what is searched. --model a,b searches several models. The validation part decides, and
    nothing behind it is read; the default is the first trial, so that the result is never worse there.

    The same command goes on where it was stopped (with --overwrite, where it has written its result), and a second one
    started beside it shares the trials: both by the journal.
    """
    from tsattn.atomic_io import check_file, write_text
    from tsattn.cli.tables import reading
    from tsattn.errors import ConfigError
    from tsattn.forecasting.finetuning import read_series

    started = monotonic()
    models = several_models(given.pop("model"))
    configs = [read_config(**given, model=name) for name in models or (None,)]
    path = out or Path(f"{data_name(data)}-tuned.toml")
    kept = journal or path.with_suffix(".journal")
    if kept == path:
        raise ConfigError(f"{path}: cannot be the journal and the configuration: give another --out or --journal")
    check_file(path, overwrite=overwrite)
    terminal = console()
    panel, schema = read_series(data, configs[0])
    terminal.print(reading(schema, panel))
    with quiet_start():
        from tsattn.cli.progress import TuningBar
        from tsattn.tuning.tuner import tune_panel

    with notes(terminal), _resumable(terminal, kept), TuningBar(terminal, duration) as bar:
        tuning = tune_panel(
            configs[0],
            panel,
            schema,
            source=str(data),
            models=models,
            trials=trials,
            deadline=started + duration if duration else float("inf"),
            journal=kept,
            jobs=jobs,
            watch=bar,
        )
    _print(tuning)
    write_text(_described(tuning) + tuning.config.to_toml(), path)
    terminal.print(f"\nWritten: {path}. Fit with it: tsattn fit {data} --config {path}")


@contextmanager
def _resumable(terminal: Console, journal: Path) -> Iterator[None]:
    """Say where a search that is interrupted goes on."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.print(f"Stopped. The same command goes on from {journal}.")
        raise


def _print(tuning: Tuning) -> None:
    """Print the result on standard output."""
    terminal = Console(highlight=False, markup=False, soft_wrap=True)
    terminal.print(_table(tuning))
    for sentence in (_counts(tuning), tuning.sentence(), _beside(tuning)):
        if sentence:
            terminal.print(sentence)


def _table(tuning: Tuning) -> Table:
    """Return the best trials, a row a trial."""
    whole = [row for row in tuning.trials.to_dict("records") if row["state"] == "complete"]
    several = len({row["model"] for row in whole}) > 1
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"The best trials: {tuning.metric.upper()} on the validation part, lower is better",
        title_justify="left",
    )
    for title in ("rank", tuning.metric.upper()):
        table.add_column(title, justify="right", no_wrap=True)
    if several:
        table.add_column("model", no_wrap=True)
    table.add_column("what is not the default's", overflow="fold")
    for title in ("epochs", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for rank, row in enumerate(whole, start=1):
        if rank > SHOWN and not row["default"]:
            continue
        options = ", ".join(f"{key.partition('.')[2]}={value}" for key, value in tuning.changed[row["number"]].items())
        what = "the default" if row["default"] else options or "nothing"
        cells = [str(rank), f"{row['error']:.4g}", *([row["model"]] if several else []), what]
        epochs = f"{row['epochs']}{'+' if row['cut'] else ''}"
        table.add_row(*cells, epochs, f"{row['seconds']:.0f}", style="bold" if rank == 1 else None)
    return table


def _counts(tuning: Tuning) -> str:
    """Return how the trials ended."""
    states = tuning.trials["state"].value_counts()
    words = {"complete": "trained", "pruned": "pruned", "failed": "failed", "running": "still run elsewhere"}
    known = [f"{states[state]} {word}" for state, word in words.items() if state in states]
    total = len(tuning.trials)
    cut = int(tuning.trials["cut"].sum())
    told = f" In {cut} of them the time was over (+): the same command, with --overwrite, trains on." if cut else ""
    return f"{total} {'trial' if total == 1 else 'trials'}: {', '.join(known)}.{told}"


def _beside(tuning: Tuning) -> str:
    """Return what the best of the naive baselines is worth."""
    if not tuning.baselines:
        return ""
    name = min(tuning.baselines, key=lambda key: tuning.baselines[key])
    error = tuning.baselines[name]
    won = " None of these trials is better." if error <= tuning.error else ""
    return f"The best naive baseline there is {name}: {tuning.metric.upper()} {error:.4g}.{won}"


def _described(tuning: Tuning) -> str:
    """Return what the configuration is, as comments in it."""
    return f"# Found by tsattn tune, {len(tuning.trials)} trials. {tuning.sentence()}\n"
