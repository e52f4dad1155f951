"""``tsattn predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.batch import batch_options, forecast_files
from tsattn.cli.command import Command
from tsattn.cli.loading import load_forecaster
from tsattn.cli.options import (
    PATH,
    PathOrUrl,
    add_options,
    cutoff_option,
    file_or_folder_options,
    future_option,
    import_option,
    parse_quantiles,
    quantile_options,
    verify_option,
)
from tsattn.cli.output import checked_output, write_output
from tsattn.cli.screen import current_screen

if TYPE_CHECKING:
    from tsattn.batch import Partition, Source


@click.command(
    cls=Command,
    examples=(
        ("tsattn predict runs/sales -o forecast.csv", "After the end of the training data"),
        ("tsattn predict runs/sales new.csv", "After the end of newer data"),
        ("tsattn predict runs/sales --cutoff 2024-05-31", "As of an earlier date"),
        ("tsattn predict runs/sales 'new/*.csv' --jobs 4 -o out", "Many files, in four processes"),
    ),
)
@click.argument("run", type=PATH)
@click.argument("data", type=PathOrUrl(), required=False)
@future_option
@import_option
@verify_option
@cutoff_option
@quantile_options("as fitted")
@click.option(
    "--horizon", type=click.IntRange(1), metavar="N", help="Number of steps to forecast.  [default: as fitted]"
)
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
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", default=0, help="Seed of the samples.")
@add_options((*file_or_folder_options, *batch_options))
def predict(
    run: Path,
    verify: bool,
    data: Path | str | None,
    future: Path | None,
    cutoff: str | None,
    levels: str | None,
    quantiles: str | None,
    horizon: int | None,
    recursive: bool,
    samples: int | None,
    seed: int,
    out: Path | str | None,
    overwrite: bool,
    safe_csv: bool,
    jobs: int | None,
    ray: str | None,
) -> dict[str, Any]:
    """Forecast the steps after DATA with the forecaster in RUN.

    Without DATA, it forecasts the steps after the training data. DATA has the format of the training data; its series
    may be others, shorter, longer or with gaps. Future covariates are in the rows of DATA after the history, or in the
    file --future.
    """
    wanted = parse_quantiles(levels, quantiles)
    if samples is not None and (recursive or wanted is not None):
        raise click.UsageError("--samples draws paths over the fitted horizon: leave out --recursive and --levels")
    if jobs is not None or ray is not None:
        if future is not None or samples is not None or safe_csv:
            raise click.UsageError("--jobs and --ray: leave out --future, --samples and --safe-csv")

        def prepare(data: Path | str) -> tuple[Source, list[Partition]]:
            from tsattn.batch import FittedSource, divide_data

            source = FittedSource.read(
                run, verify=verify, levels=wanted, horizon=horizon, cutoff=cutoff, recursive=recursive
            )
            return source, divide_data(data, source.schema)

        return forecast_files(prepare, data, out, jobs=jobs, ray=ray, overwrite=overwrite)
    out = checked_output(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        forecaster = load_forecaster(run, verify=verify)
        if samples is None:
            forecast = forecaster.predict(
                data, future, cutoff=cutoff, horizon=horizon, recursive=recursive, levels=wanted
            )
        else:
            forecast = forecaster.sample(data, future, samples=samples, seed=seed, cutoff=cutoff, horizon=horizon)
    return write_output(screen, forecast, out, safe=safe_csv)
