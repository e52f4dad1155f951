"""``tsattn fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.options import Duration, config_options, console, data_name, notes, quiet_start, read_config

if TYPE_CHECKING:
    from tsattn.config import RunConfig


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run directory [default: runs/ and DATA's name].")
@click.option("--overwrite", is_flag=True, help="Replace the run directory if it is there.")
@config_options
@click.option(
    "--init", type=click.Path(path_type=Path), metavar="RUN", help="Start from the weights of this run: fine-tune it."
)
@click.option(
    "--budget",
    type=Duration(),
    metavar="DURATION",
    help="How long the training may take: 90, 30s, 20m, 1.5h. For --model auto: the comparison too [20m].",
)
@click.option("--refit/--no-refit", default=None, help="Train on to the end of the data [default: refit].")
def fit(data: Path, out: Path | None, overwrite: bool, budget: float | None, refit: bool | None, **given: Any) -> None:
    """Train a forecaster on DATA and write a run directory.

    Without --model it is a network, or a naive baseline where the network is no better; which one is told. --model auto
    compares several networks and the baselines by a short backtest, and keeps the best.

    DATA is a CSV or Parquet file, a folder or quoted pattern of such files, or - for standard input: long (unique_id,
    ds, y), wide (a column a series), with a series a row, or with a year a row and a column a month. What is not said
    is inferred and told.

    With --init, model, window and reading of the data are those of RUN, which stays as it is.
    """
    config = read_config(**given, training={"refit": refit})
    if budget is not None:
        config = _within(budget, config)
    default = Path("runs") / data_name(data)
    _run(data, out or (default if overwrite else _free(default)), overwrite, config)


def _within(seconds: float, config: RunConfig) -> RunConfig:
    """Return a configuration whose training, and comparison of models, takes no longer than so many seconds."""
    from tsattn.config import AUTO, SelectionConfig

    if config.model.get("name") == AUTO:
        selection = config.selection or SelectionConfig()
        return config.model_copy(update={"selection": selection.model_copy(update={"budget": seconds})})
    return config.model_copy(update={"training": config.training.model_copy(update={"seconds": seconds})})


def _free(path: Path) -> Path:
    """Return a path that is not there yet: the given one, or that with a number."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _run(data: Path, out: Path, overwrite: bool, config: RunConfig) -> None:
    from tsattn.atomic_io import check_free
    from tsattn.cli.tables import reading, scores_table
    from tsattn.forecasting.finetuning import read_series

    terminal = console()
    check_free(out, overwrite=overwrite)
    panel, schema = read_series(data, config)
    terminal.print(reading(schema, panel))
    with quiet_start():
        from tsattn.cli.progress import ProgressBar
        from tsattn.forecaster import Forecaster
        from tsattn.scoring.model_choice import Selection

    forecaster = Forecaster.from_config(config).fit_panel(
        panel, schema, source=str(data), watch=lambda title: ProgressBar(terminal, title)
    )
    if isinstance(forecaster.choice_, Selection):
        where = f"Over {forecaster.choice_.folds} folds behind its training"
        terminal.print(scores_table(forecaster.choice_.scores, [forecaster.choice_.kept], where))
    terminal.print(scores_table(forecaster.scores_, [forecaster.config_.model["name"]]))
    ended = forecaster.history_ and forecaster.history_.sentence()
    for sentence in (*forecaster.left_out_, ended, forecaster.verdict(), forecaster.calibration_.sentence()):
        if sentence:
            terminal.print(sentence)
    with notes(terminal):
        forecaster.save(out, overwrite=overwrite)
    terminal.print(f"\nWritten: {out}/ with report.html, forecast.png, forecast.csv and saved_model/1.")
    click.echo(out)
