"""``tsattn explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tsattn.cli.command import Command
from tsattn.cli.loading import load_forecaster
from tsattn.cli.options import PATH, add_options, cutoff_option, file_options, import_option, verify_option
from tsattn.cli.output import checked_output, write_output
from tsattn.cli.screen import current_screen


@click.command(cls=Command, examples=(("tsattn explain runs/sales -o weights.csv", "After the training data"),))
@click.argument("run", type=PATH)
@click.argument("data", type=PATH, required=False)
@import_option
@verify_option
@cutoff_option
@add_options(file_options)
def explain(
    run: Path, verify: bool, data: Path | None, cutoff: str | None, out: Path | None, overwrite: bool, safe_csv: bool
) -> dict[str, Any]:
    """Print the weight of every method in the forecast of RUN.

    The forecaster in RUN combines several methods: the default network and kinds of exponential smoothing. There is one
    row per series, step and method (unique_id, ds, method, weight); the weights of a step have the sum 1. DATA is as
    for `tsattn predict`.
    """
    out = checked_output(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        weights = load_forecaster(run, verify=verify).explain(data, cutoff=cutoff)
    return write_output(screen, weights.round({"weight": 4}), out, safe=safe_csv)
