"""``tsattn export``."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from tsattn._logging import silence_stderr
from tsattn.cli.options import PATH, import_option, verify_option
from tsattn.cli.output import console
from tsattn.export import Format


@click.command()
@click.argument("run", type=PATH)
@import_option
@verify_option
@click.option("--format", type=click.Choice(get_args(Format)), default="saved_model", show_default=True)
@click.option("-o", "--out", type=PATH, help="Folder of the versions.  [default: RUN/ and the format]")
@click.option("--name", help="Name of the model.  [default: the name of RUN]")
@click.option("--batch", type=click.IntRange(1), help="Number of series per request; LiteRT only, which requires it.")
@click.option("--time", type=click.IntRange(1), help="Number of steps per request; LiteRT only, which requires it.")
def export(
    run: Path, verify: bool, format: Format, out: Path | None, name: str | None, batch: int | None, time: int | None
) -> None:
    """Export the forecaster in RUN for other programs.

    The export is the next version in the folder: 1, 2, ... Before that, a new process without tsattn verifies that it
    gives the results of the model in Python. A SavedModel includes a client kit: configurations for TensorFlow
    Serving, a sample request, and clients in Python, shell and C.
    """
    with silence_stderr():
        from tsattn.forecaster import Forecaster
    forecaster = Forecaster.load(run, verify=verify)
    with silence_stderr():
        path = forecaster.export(out or run / format, format, name=name or run.absolute().name, batch=batch, time=time)
    console(stderr=True).print(f"Written: {path}/, verified against the model in Python. See MODEL_CARD.md.")
    click.echo(path)
