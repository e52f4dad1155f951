"""``tsattn forecast``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tsattn.cli.command import Command
from tsattn.cli.options import (
    PATH,
    add_options,
    config_option,
    data_options,
    file_options,
    parse_quantiles,
    quantile_options,
)
from tsattn.cli.output import checked_output, print_schema, write_output
from tsattn.cli.screen import current_screen
from tsattn.config import DataConfig, RunConfig


@click.command(
    cls=Command,
    examples=(
        ("tsattn forecast sales.csv --horizon 14", "Two weeks ahead"),
        ("tsattn forecast sales.csv --levels 80,95 -o f.csv", "Two intervals, into a file"),
    ),
)
@click.argument("data", type=PATH)
@data_options
@config_option(DataConfig, "support")
@quantile_options("80")
@add_options(file_options)
def forecast(
    data: Path,
    levels: str | None,
    quantiles: str | None,
    out: Path | None,
    overwrite: bool,
    safe_csv: bool,
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

    out = checked_output(out, overwrite=overwrite)
    given = {name: value for name, value in options.items() if value is not None}
    wanted = parse_quantiles(levels, quantiles)
    config = RunConfig.from_dict({"data": given, **({"levels": wanted} if wanted else {})}, source="the options")
    screen = current_screen()
    with screen.data_warnings():
        panel, schema = load(data, config.data)
        print_schema(screen, schema, panel)
        result = forecast_panel(panel, schema, config)
    screen.note(result.summary())
    if sentence := describe_short_history(panel, schema):
        screen.note(sentence)
    return {**write_output(screen, result.frame, out, safe=safe_csv), "weights": result.weights}
