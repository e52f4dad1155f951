"""``tsattn fit``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tsattn._logging import silence_stderr
from tsattn.cli.options import (
    PATH,
    Duration,
    config_option,
    config_options,
    data_name,
    free_path,
    read_config,
)
from tsattn.cli.output import console, notes, print_schema, scores_table
from tsattn.config import AUTO, RunConfig, SelectionConfig, TrainingConfig

if TYPE_CHECKING:
    from tsattn.training.checkpoints import Checkpoints


@click.command()
@click.argument("data", type=PATH)
@click.option("-o", "--out", type=PATH, help="Run directory.  [default: runs/ and the name of DATA]")
@click.option("--future", type=PATH, help="File with the future covariates after the end of DATA.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run directory.")
@click.option("--resume", is_flag=True, help="Continue the interrupted training of the same data and options.")
@config_options("Model to train, see `tsattn models`; auto selects the best of several.")
@config_option(RunConfig, "init_from")
@click.option(
    "--time-limit",
    type=Duration(),
    help="Maximum time for training: 90, 30s, 20m, 1.5h. With --model auto for the comparison as well; 20m by default.",
)
@config_option(TrainingConfig, "refit")
def fit(
    data: Path,
    out: Path | None,
    future: Path | None,
    overwrite: bool,
    resume: bool,
    time_limit: float | None,
    refit: bool | None,
    **options: Any,
) -> None:
    """Train a forecaster on DATA and write a run directory.

    Without --model the forecaster is a network, or the best naive baseline where the network is not better. The output
    names the selected one. With --model auto it is the best of several networks and the baselines in a short backtest.

    DATA is a CSV or Parquet file, a folder or quoted pattern of such files, or - for standard input. It is in long
    format (unique_id, ds, y), in wide format (one column per series), with one row per series, or with one row per year
    and one column per month. Settings that are not given are inferred and printed.

    With --init-from, the model, the window and the format of the data are those of RUN, which is not changed.

    The state of the training is stored at every epoch, next to the run directory, until that is written. After a
    failure or an interruption, the same command with --resume continues, with the same result.
    """
    from tsattn.atomic_io import check_directory, lock_directory

    config = _limit_time(read_config(**options, training={"refit": refit}), time_limit)
    default = Path("runs") / data_name(data)
    out = out or (default if overwrite else free_path(default))
    check_directory(out, overwrite=overwrite)
    with lock_directory(out):
        _fit(config, (data, future), out, overwrite=overwrite, resume=resume)
    click.echo(out)


def _fit(config: RunConfig, files: tuple[Path, Path | None], out: Path, *, overwrite: bool, resume: bool) -> None:
    """Train on the data and the future covariates, and write the run directory, whose lock the caller holds."""
    from tsattn.forecasting.finetuning import read_series

    terminal = console(stderr=True)
    data, future = files
    panel, schema = read_series(data, config, future)
    print_schema(terminal, schema, panel)
    with silence_stderr():
        from tsattn.cli.progress import ProgressBar
        from tsattn.evaluation.model_selection import fit as fit_panel
        from tsattn.run_directory import open_checkpoints, write_run
        from tsattn.scoring.model_choice import ModelSelection

    with open_checkpoints(out, resume=resume) as checkpoints, _resume_hint(terminal, checkpoints):
        fitted = fit_panel(
            config, panel, schema, str(data), lambda title: ProgressBar(terminal, title), checkpoints=checkpoints
        )
        if isinstance(fitted.choice, ModelSelection):
            where = f"In a backtest of {fitted.choice.folds} folds"
            terminal.print(scores_table(fitted.choice.scores, [fitted.choice.selected], where))
        terminal.print(scores_table(fitted.scores, [fitted.name]))
        training = fitted.history and fitted.history.summary()
        for sentence in (*fitted.notes, training, fitted.summary(), fitted.calibration.summary()):
            if sentence:
                terminal.print(sentence)
        with notes(terminal):
            write_run(fitted, out, overwrite=overwrite)
    terminal.print(f"\nWritten: {out}/ with report.html, forecast.png, forecast.csv and saved_model.")


@contextmanager
def _resume_hint(terminal: Console, checkpoints: Checkpoints) -> Iterator[None]:
    """Print how to continue a training that failed or was interrupted."""
    try:
        yield
    except BaseException:
        if checkpoints.stored():
            terminal.print("The training so far is stored: the same command with --resume continues it.")
        raise


def _limit_time(config: RunConfig, seconds: float | None) -> RunConfig:
    """Return a configuration with a time limit for the training, or for the comparison of models."""
    if seconds is None:
        return config
    if config.model.get("name") == AUTO:
        selection = config.selection or SelectionConfig()
        return config.model_copy(update={"selection": selection.model_copy(update={"max_seconds": seconds})})
    return config.model_copy(update={"training": config.training.model_copy(update={"max_seconds": seconds})})
