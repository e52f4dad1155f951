"""``tsattn predict``."""

from __future__ import annotations

from pathlib import Path

import click

from tsattn._logging import silence_stderr
from tsattn.cli.options import PATH, cutoff_option, import_option, out_option, safe_csv_option, verify_option
from tsattn.cli.output import checked_output, console, notes, write_output


@click.command()
@click.argument("run", type=PATH)
@click.argument("data", type=PATH, required=False)
@click.option("--future", type=PATH, help="File with the future covariates over the horizon.")
@import_option
@verify_option
@cutoff_option
@click.option("--horizon", type=click.IntRange(1), help="Number of steps to forecast.  [default: as fitted]")
@click.option(
    "--recursive",
    is_flag=True,
    help="Allow a horizon longer than fitted: median forecasts serve as history, and intervals are too narrow.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N sample paths per series, one row per step (unique_id, sample, ds, y). The run needs a model.head.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the samples.")
@out_option
@safe_csv_option
def predict(
    run: Path,
    verify: bool,
    data: Path | None,
    future: Path | None,
    cutoff: str | None,
    horizon: int | None,
    recursive: bool,
    samples: int | None,
    seed: int,
    out: Path | None,
    safe_csv: bool,
) -> None:
    """Forecast the steps after DATA with the forecaster in RUN.

    Without DATA, it forecasts the steps after the training data. DATA has the format of the training data; its series
    may be others, shorter, longer or with gaps. Future covariates are in the rows of DATA after the history, or in the
    file --future.
    """
    if samples is not None and recursive:
        raise click.UsageError("--samples draws paths over the fitted horizon: leave out --recursive")
    out = checked_output(out)
    with silence_stderr():
        from tsattn.forecaster import Forecaster
    terminal = console(stderr=True)
    with notes(terminal):
        forecaster = Forecaster.load(run, verify=verify)
        if samples is None:
            forecast = forecaster.predict(data, future, cutoff=cutoff, horizon=horizon, recursive=recursive)
        else:
            forecast = forecaster.sample(data, future, samples=samples, seed=seed, cutoff=cutoff, horizon=horizon)
    if forecaster.calibration_.uncalibrated:
        terminal.print(forecaster.calibration_.summary())
    write_output(forecast, out, safe=safe_csv)
