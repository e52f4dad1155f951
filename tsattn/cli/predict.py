"""``tsattn predict``."""

from __future__ import annotations

from pathlib import Path

import click

from tsattn.cli.options import console, import_option, notes, quiet_start


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "--future", type=click.Path(path_type=Path), help="File with what is known ahead, for the steps of the horizon."
)
@import_option
@click.option("--at", metavar="DATE", help="Forecast as of this stamp, the last one that is seen [default: the end].")
@click.option("--horizon", type=click.IntRange(1), help="Steps to forecast [default: those that were fitted].")
@click.option(
    "--roll", is_flag=True, help="Allow a longer horizon: the median forecast counts as history, intervals too narrow."
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N paths a series instead, a row a step (unique_id, sample, ds, y), from a run with a model.head.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the paths.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV or Parquet file [default: -, printed CSV].")
def predict(
    run: Path,
    data: Path | None,
    future: Path | None,
    at: str | None,
    horizon: int | None,
    roll: bool,
    samples: int | None,
    seed: int,
    output: Path | None,
) -> None:
    """Forecast with the forecaster in RUN what follows DATA, or what follows its training data.

    DATA has the form that was fitted; its series may be others, shorter, longer or with gaps. The covariates that are
    known ahead stand in its rows behind the history, or in a file of their own, FUTURE.
    """
    from tsattn.atomic_io import check_file, write_frame

    if samples is not None and roll:
        raise click.UsageError("--samples draws paths of the fitted horizon: leave out --roll")
    output = None if str(output) == "-" else output
    if output is not None:
        check_file(output, overwrite=True)
    with quiet_start():
        from tsattn.forecaster import Forecaster
    with notes(console()):
        forecaster = Forecaster.load(run)
        if samples is None:
            forecast = forecaster.predict(data, future, at=at, horizon=horizon, roll=roll)
        else:
            forecast = forecaster.sample(data, future, samples=samples, seed=seed, at=at, horizon=horizon)
    if forecaster.calibration_.uncalibrated:
        console().print(forecaster.calibration_.sentence())
    if output is None:
        click.echo(forecast.to_csv(index=False), nl=False)
    else:
        write_frame(forecast, output)
