"""``tsattn forecast``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.batch import batch_options, forecast_files
from tsattn.cli.command import Command
from tsattn.cli.options import (
    PathOrUrl,
    add_options,
    config_option,
    data_options,
    file_or_folder_options,
    parse_quantiles,
    quantile_options,
)
from tsattn.cli.output import checked_output, print_schema, write_output
from tsattn.cli.screen import current_screen
from tsattn.config import DataConfig, RunConfig

if TYPE_CHECKING:
    from tsattn.batch import Partition, Source


@click.command(
    cls=Command,
    examples=(
        ("tsattn forecast sales.csv --horizon 14", "Two weeks ahead"),
        ("tsattn forecast sales.csv --levels 80,95 -o f.csv", "Two intervals, into a file"),
        ("tsattn forecast 'data/*.parquet' --jobs 4 -o out", "Many files, in four processes"),
    ),
)
@click.argument("data", type=PathOrUrl())
@data_options
@config_option(DataConfig, "support")
@quantile_options("80")
@add_options((*file_or_folder_options, *batch_options))
def forecast(
    data: Path | str,
    levels: str | None,
    quantiles: str | None,
    out: Path | str | None,
    overwrite: bool,
    safe_csv: bool,
    jobs: int | None,
    ray: str | None,
    **options: Any,
) -> dict[str, Any]:
    """Forecast every series of DATA by itself, without training.

    The forecast combines a network that was trained on synthetic series with exponential smoothings, Theta, drift and
    naive methods, weighted by their errors in the history of each series. It takes a second or two. For many related
    series, long ones or covariates, `tsattn fit` trains a network.

    DATA and its options are as for `tsattn fit`.
    """
    from tsattn.data.loader import load
    from tsattn.forecasting.combination import describe_short_history, forecast_panel

    given = {name: value for name, value in options.items() if value is not None}
    wanted = parse_quantiles(levels, quantiles)
    config = RunConfig.from_dict({"data": given, **({"levels": wanted} if wanted else {})}, source="the options")
    if jobs is not None or ray is not None:
        if safe_csv:
            raise click.UsageError("--jobs and --ray: leave out --safe-csv")

        def prepare(data: Path | str) -> tuple[Source, list[Partition]]:
            from tsattn.batch import ZeroShotSource

            return ZeroShotSource.infer(data, config)

        files = forecast_files(prepare, data, out, jobs=jobs, ray=ray, overwrite=overwrite)
        return {**files, "weights": {}}
    out = checked_output(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        panel, schema = load(data, config.data)
        print_schema(screen, schema, panel)
        result = forecast_panel(panel, schema, config)
    screen.note(result.summary())
    if schema.covariates or schema.static_covariates:
        screen.note("The covariates are not used: tsattn fit trains a network with them.")
    if sentence := describe_short_history(panel, schema):
        screen.note(sentence)
    return {**write_output(screen, result.frame, out, safe=safe_csv), "weights": result.weights}
