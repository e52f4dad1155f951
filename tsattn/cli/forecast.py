"""``tsattn forecast``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tsattn.cli.options import PATH, config_option, data_options, out_option, safe_csv_option
from tsattn.cli.output import checked_output, console, notes, print_schema, write_output
from tsattn.config import DataConfig, RunConfig


@click.command()
@click.argument("data", type=PATH)
@data_options
@config_option(DataConfig, "support")
@click.option(
    "--levels",
    metavar="LEVEL[,...]",
    default="0.1,0.5,0.9",
    show_default=True,
    help="Quantile levels, ascending, from 0.01 to 0.99, with 0.5, the point forecast.",
)
@out_option
@safe_csv_option
def forecast(data: Path, levels: str, out: Path | None, safe_csv: bool, **options: Any) -> None:
    """Forecast every series of DATA by itself, without training.

    The forecast combines a network that was trained on synthetic series with exponential smoothings, Theta, drift and
    naive methods, weighted by their errors in the history of each series. It takes a second or two. For many related
    series, long ones or covariates, `tsattn fit` trains a network.

    DATA and its options are as for `tsattn fit`.
    """
    from tsattn.data.loader import load
    from tsattn.forecasting.combination import forecast_panel

    out = checked_output(out)
    given = {name: value for name, value in options.items() if value is not None}
    config = RunConfig.from_dict({"data": given, "levels": levels.split(",")}, source="the options")
    terminal = console(stderr=True)
    with notes(terminal):
        panel, schema = load(data, config.data)
        print_schema(terminal, schema, panel)
        result = forecast_panel(panel, schema, config)
    terminal.print(result.summary())
    write_output(result.frame, out, safe=safe_csv)
