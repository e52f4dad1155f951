"""``tsattn fit`` and ``tsattn tune``."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from tsattn._logging import STEP
from tsattn.cli.command import Command, load_tensorflow
from tsattn.cli.options import (
    PATH,
    add_options,
    config_option,
    config_options,
    data_name,
    engine_options,
    free_path,
    future_option,
    make_engine,
    out_option,
    overwrite_option,
    read_config,
    split_names,
    time_limit_option,
)
from tsattn.cli.output import count, print_schema, records, scores_table
from tsattn.cli.screen import Column, DataTable, Screen, current_screen
from tsattn.config import AUTO, RunConfig, SelectionConfig, TrainingConfig
from tsattn.errors import ConfigError, import_extra

if TYPE_CHECKING:
    from tsattn.forecasting.fitted import FittedForecaster
    from tsattn.training.checkpoints import Checkpoints
    from tsattn.tuning import SearchProgress, TuningResult


_logger = logging.getLogger(__name__)

MAX_TRIALS_SHOWN = 10
"""Maximum number of trials in the table."""


@click.command(
    cls=Command,
    examples=(
        ("tsattn fit sales.csv --horizon 14 --levels 80,95", "Two weeks ahead, with two intervals"),
        ("tsattn fit sales.csv --future promo.csv", "With covariates that are known in advance"),
        ("tsattn fit sales.csv --model auto --time-limit 20m", "Select the best of several models"),
        ("tsattn fit new.csv --init-from runs/sales", "Fine-tune a run"),
    ),
)
@click.argument("data", type=PATH)
@out_option("Run directory to write.", "runs/ and the name of DATA")
@overwrite_option
@future_option
@config_options("Model to train, see `tsattn models`; auto selects the best of several.")
@config_option(RunConfig, "init_from")
@time_limit_option("Maximum time for training, with --model auto for the comparison as well (20m by default)")
@config_option(TrainingConfig, "refit")
@click.option("--resume", is_flag=True, help="Continue the interrupted training of the same data and options.")
def fit(
    data: Path,
    out: Path | None,
    future: Path | None,
    overwrite: bool,
    resume: bool,
    time_limit: float | None,
    refit: bool | None,
    **options: Any,
) -> dict[str, Any]:
    """Train a forecaster on DATA and write a run directory.

    Without --model the forecaster combines a network with the forecast of `tsattn forecast`, weighted by their errors;
    with few data it needs no training. With --model auto it is the best of several networks and the baselines in a
    short backtest.

    DATA is a CSV or Parquet file, a folder or quoted pattern of such files, or - for standard input. It is in long
    format (unique_id, ds, y), in wide format (one column per series), with one row per series, or with one row per year
    and one column per month. Settings that are not given are inferred and printed.

    With --init-from, the model, the window and the format of the data are those of RUN, which is not changed.

    Ctrl-C ends the training: the best weights so far are used, and the run directory is written. A second one aborts.
    The state of the training is stored at every epoch, next to the run directory, until that is written. After a
    failure or an abortion, the same command with --resume continues, with the same result.
    """
    from tsattn.atomic_io import check_directory

    screen = current_screen()
    config = _limit_time(read_config(**options, training={"refit": refit}), time_limit)
    default = Path("runs") / data_name(data)
    out = out or (default if overwrite else free_path(default))
    check_directory(out, overwrite=overwrite)
    fitted = _fit(screen, config, (data, future), out, overwrite=overwrite, resume=resume)
    screen.print(str(out))
    return {
        "run": out,
        "model": fitted.name,
        "summary": fitted.summary(),
        "calibration": fitted.calibration.summary(),
        "scores": fitted.scores.to_dict("records"),
        "settings": [setting.model_dump() for setting in fitted.schema.inferred_settings],
    }


def _fit(
    screen: Screen, config: RunConfig, files: tuple[Path, Path | None], out: Path, *, overwrite: bool, resume: bool
) -> FittedForecaster:
    """Train on the data and the future covariates, and write the run directory."""
    from tsattn.atomic_io import lock_directory
    from tsattn.export.isolated_process import started_early
    from tsattn.forecasting.warm_start import read_series

    data, future = files
    panel, schema = read_series(data, config, future)
    print_schema(screen, schema, panel)
    with started_early("saved_model"):
        load_tensorflow()
        from tsattn.training.batches import is_first_process, join_processes

        join_processes()
        from tsattn.evaluation.model_selection import fit as fit_panel
        from tsattn.forecasting.combination import describe_short_history
        from tsattn.run_directory import open_checkpoints, write_run
        from tsattn.scoring.model_choice import ModelSelection
        from tsattn.training.callbacks import stop_at_interrupt

        is_first = is_first_process()
        with (
            lock_directory(out) if is_first else nullcontext(),
            open_checkpoints(out, resume=resume) as checkpoints,
            _training_hint(screen, checkpoints),
            stop_at_interrupt(screen.show),
            screen.data_warnings(),
        ):
            fitted = fit_panel(config, panel, schema, str(data), checkpoints=checkpoints)
            if isinstance(fitted.choice, ModelSelection):
                where = f"In a backtest of {fitted.choice.folds} folds"
                screen.show(scores_table(fitted.choice.scores, [fitted.choice.selected], where))
            screen.show(scores_table(fitted.scores, [fitted.name]))
            training = fitted.history and fitted.history.summary()
            short = describe_short_history(panel, schema) if fitted.calibration.from_history else None
            for sentence in (*fitted.notes, training, fitted.summary(), fitted.calibration.summary(), short):
                if sentence:
                    screen.note(sentence)
            if not is_first:
                return fitted
            write_run(fitted, out, overwrite=overwrite)
    screen.show(f"\nWritten: {out}/ with report.html, forecast.png, forecast.csv and saved_model.")
    return fitted


@contextmanager
def _training_hint(screen: Screen, checkpoints: Checkpoints) -> Iterator[None]:
    """Print how to continue a training that failed or was interrupted."""
    try:
        yield
    except BaseException:
        if checkpoints.stored():
            screen.show("The training so far is stored: the same command with --resume continues it.")
        raise


def _limit_time(config: RunConfig, seconds: float | None) -> RunConfig:
    """Return a configuration with a time limit for the training, or for the comparison of models."""
    if seconds is None:
        return config
    if config.model.get("name") == AUTO:
        selection = config.selection or SelectionConfig()
        return config.model_copy(update={"selection": selection.model_copy(update={"max_seconds": seconds})})
    return config.model_copy(update={"training": config.training.model_copy(update={"max_seconds": seconds})})


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
@add_options(engine_options("Number of processes.  [default: 1]"))
@click.option("--journal", type=PATH, help="File from which the search resumes.  [default: next to --out]")
@out_option("Configuration file to write.", "DATA-tuned.toml")
@overwrite_option
@config_options("Models to search, see `tsattn models`.  [default: seq2seq]", "NAME[,...]")
def tune(
    data: Path,
    trials: int,
    time_limit: float | None,
    jobs: int | None,
    ray: str | None,
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
    from tsattn.forecasting.warm_start import read_series

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
    with screen.data_warnings(), _search_hint(screen, journal):
        result = tune_panel(
            configs[0],
            panel,
            schema,
            source=str(data),
            models=models,
            trials=trials,
            deadline=started + time_limit if time_limit else float("inf"),
            journal=journal,
            jobs=jobs or 1,
            engine=None if ray is None else make_engine(jobs, ray),
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
def _search_hint(screen: Screen, journal: Path) -> Iterator[None]:
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
