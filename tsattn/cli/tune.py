"""``tsattn tune``."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from tsattn._logging import STEP
from tsattn.cli.command import Command
from tsattn.cli.document import records
from tsattn.cli.loading import load_tensorflow
from tsattn.cli.options import (
    PATH,
    config_options,
    data_name,
    out_option,
    overwrite_option,
    read_config,
    split_names,
    time_limit_option,
)
from tsattn.cli.output import count, print_schema
from tsattn.cli.screen import Screen, current_screen
from tsattn.cli.tables import Column, DataTable
from tsattn.errors import ConfigError, import_extra

if TYPE_CHECKING:
    from tsattn.tuning import SearchProgress, TuningResult

_logger = logging.getLogger(__name__)

MAX_TRIALS_SHOWN = 10
"""Maximum number of trials in the table."""


@click.command(
    cls=Command,
    examples=(
        ("tsattn tune sales.csv --time-limit 20m", "Search for twenty minutes"),
        ("tsattn fit sales.csv --config sales-tuned.toml", "Fit with the result"),
    ),
)
@click.argument("data", type=PATH)
@click.option(
    "--trials", type=click.IntRange(1), metavar="N", default=30, help="Number of trials of the search.  [default: 30]"
)
@time_limit_option("Maximum time for the search")
@click.option("--jobs", type=click.IntRange(1), metavar="N", default=1, help="Number of processes.  [default: 1]")
@click.option("--journal", type=PATH, help="File from which the search resumes.  [default: next to --out]")
@out_option("Configuration file to write.", "DATA-tuned.toml")
@overwrite_option
@config_options("Models to search, see `tsattn models`.  [default: seq2seq]", "NAME[,...]")
def tune(
    data: Path,
    trials: int,
    time_limit: float | None,
    jobs: int,
    journal: Path | None,
    out: Path | None,
    overwrite: bool,
    **options: Any,
) -> dict[str, Any]:
    """Search for the options with which a model forecasts DATA best.

    The result is a configuration for `tsattn fit DATA --config`. Options that are given by --set, --config or a flag
    are fixed; `tsattn models NAME` lists those that are searched. Trials are compared on the validation part, and data
    after it are not used. The default is the first trial, so that the result is never worse there.

    The same command resumes a stopped search from the journal, with --overwrite also a finished one. Several commands
    with the same journal divide the trials.
    """
    from tsattn.atomic_io import check_file, write_text
    from tsattn.forecasting.finetuning import read_series

    started = monotonic()
    models = split_names(options.pop("model"))
    configs = [read_config(**options, model=name) for name in models or (None,)]
    path = out or Path(f"{data_name(data)}-tuned.toml")
    journal = journal or path.with_suffix(".journal")
    if journal == path:
        raise ConfigError(f"{path}: the journal and the configuration are the same file: set another --journal")
    check_file(path, overwrite=overwrite)
    screen = current_screen()
    panel, schema = read_series(data, configs[0])
    print_schema(screen, schema, panel)
    load_tensorflow()
    tune_panel = import_extra("tsattn.tuning.tuner", "tune", "hyper-parameter search").tune_panel
    with screen.data_warnings(), _resume_hint(screen, journal):
        result = tune_panel(
            configs[0],
            panel,
            schema,
            source=str(data),
            models=models,
            trials=trials,
            deadline=started + time_limit if time_limit else float("inf"),
            journal=journal,
            jobs=jobs,
            on_progress=_Progress(screen),
        )
    screen.print(_trials_table(result))
    for sentence in (_count_states(result), result.summary(), _compare_baseline(result)):
        if sentence:
            screen.print(sentence)
    comment = f"# Found by tsattn tune, {len(result.trials)} trials. {result.summary()}\n"
    write_text(comment + result.config.to_toml(), path)
    screen.show(f"\nWritten: {path}. Fit with it: tsattn fit {data} --config {path}")
    return {
        "config": path,
        "journal": journal,
        "metric": result.metric,
        "summary": result.summary(),
        "trials": records(result.trials),
    }


class _Progress:
    """Shows the finished trials, the lowest error and the current trial in the status line."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._done = -1

    def __call__(self, progress: SearchProgress) -> None:
        if self._done < 0 and progress.done:
            self._screen.show(f"Resumed: {progress.done} trials of {progress.trials} are done.")
        level = logging.INFO if progress.done != self._done else STEP
        self._done = progress.done
        errors = ""
        if not math.isnan(progress.best):
            errors = f", {progress.metric.upper()} best {progress.best:.4g}, default {progress.default:.4g}"
        activity = progress.activity or "tuning"
        _logger.log(level, "%s, %d of %d trials done%s", activity, progress.done, progress.trials, errors)


@contextmanager
def _resume_hint(screen: Screen, journal: Path) -> Iterator[None]:
    """Print how to resume a search that the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        screen.show(f"Stopped. The same command resumes from {journal}.")
        raise


def _trials_table(result: TuningResult) -> DataTable:
    """Return a table of the best trials and the defaults."""
    complete = [row for row in result.trials.to_dict("records") if row["state"] == "complete"]
    ranked = [(str(rank), row) for rank, row in enumerate(complete, start=1)]
    shown = [(rank, row) for rank, row in ranked if int(rank) <= MAX_TRIALS_SHOWN or row["default"]]
    columns = [
        Column("rank", [rank for rank, _ in shown], "name"),
        Column(result.metric.upper(), [f"{row['error']:.4g}" for _, row in shown], "figure"),
        Column("changed options", [_format_changes(result, row) for _, row in shown]),
        Column("epochs", [f"{row['epochs']}{'+' if row['out_of_time'] else ''}" for _, row in shown], "figure"),
        Column("seconds", [f"{row['seconds']:.0f}" for _, row in shown], "figure"),
    ]
    if len({row["model"] for row in complete}) > 1:
        columns.insert(2, Column("model", [row["model"] for _, row in shown], "name"))
    title = f"The best trials: {result.metric.upper()} on the validation part, lower is better"
    return DataTable(columns, title, frozenset({0}))


def _format_changes(result: TuningResult, row: dict[Any, Any]) -> str:
    changed = result.changed[row["number"]]
    options = ", ".join(f"{key.partition('.')[2]}={value}" for key, value in changed.items())
    return "the default" if row["default"] else options or "none"


def _count_states(result: TuningResult) -> str:
    """Return how many trials ended in each state."""
    states = result.trials["state"].value_counts()
    words = {"complete": "trained", "pruned": "pruned", "failed": "failed", "running": "running in other processes"}
    counts = [f"{states[state]} {word}" for state, word in words.items() if state in states]
    cut = int(result.trials["out_of_time"].sum())
    resume = f" The time limit cut {cut} of them (+): the same command with --overwrite resumes." if cut else ""
    return f"{count(len(result.trials), 'trial')}: {', '.join(counts)}.{resume}"


def _compare_baseline(result: TuningResult) -> str:
    """Return a sentence on the best naive baseline."""
    if not result.baselines:
        return ""
    name = min(result.baselines, key=lambda key: result.baselines[key])
    error = result.baselines[name]
    comparison = " No trial is better." if error <= result.error else ""
    return f"The best naive baseline is {name}: {result.metric.upper()} {error:.4g}.{comparison}"
