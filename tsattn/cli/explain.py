"""``tsattn explain``."""

from __future__ import annotations

from pathlib import Path

import click

from tsattn._logging import silence_stderr
from tsattn.cli.options import PATH, cutoff_option, import_option, out_option, safe_csv_option, verify_option
from tsattn.cli.output import checked_output, console, notes, write_output


@click.command()
@click.argument("run", type=PATH)
@click.argument("data", type=PATH, required=False)
@import_option
@verify_option
@cutoff_option
@out_option
@safe_csv_option
def explain(run: Path, verify: bool, data: Path | None, cutoff: str | None, out: Path | None, safe_csv: bool) -> None:
    """Print the weight of every method in the forecast of `tsattn predict`.

    The forecaster in RUN combines several methods: the default network and kinds of exponential smoothing. There is one
    row per series, step and method (unique_id, ds, method, weight); the weights of a step have the sum 1. DATA is as
    for `tsattn predict`.
    """
    out = checked_output(out)
    with silence_stderr():
        from tsattn.forecaster import Forecaster
    with notes(console(stderr=True)):
        weights = Forecaster.load(run, verify=verify).explain(data, cutoff=cutoff)
    write_output(weights.round({"weight": 4}), out, safe=safe_csv)
