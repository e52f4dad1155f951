"""``tsattn fit``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.command import Command
from tsattn.cli.loading import load_tensorflow
from tsattn.cli.options import (
    PATH,
    config_option,
    config_options,
    data_name,
    free_path,
    future_option,
    out_option,
    overwrite_option,
    read_config,
    time_limit_option,
)
from tsattn.cli.output import print_schema, scores_table
from tsattn.cli.screen import Screen, current_screen
from tsattn.config import AUTO, RunConfig, SelectionConfig, TrainingConfig

if TYPE_CHECKING:
    from tsattn.forecasting.fitted import FittedForecaster
    from tsattn.training.checkpoints import Checkpoints


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
    from tsattn.forecasting.finetuning import read_series

    data, future = files
    panel, schema = read_series(data, config, future)
    print_schema(screen, schema, panel)
    with started_early("saved_model"):
        load_tensorflow()
        from tsattn.training.processes import is_first_process, join_processes

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
            _resume_hint(screen, checkpoints),
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
def _resume_hint(screen: Screen, checkpoints: Checkpoints) -> Iterator[None]:
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
