"""``tsattn export``."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from tsattn.cli.options import console, import_option, quiet_start
from tsattn.export import Format


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@import_option
@click.option("--format", "format", type=click.Choice(get_args(Format)), default="saved_model", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of versions [default: RUN/ and the format].")
@click.option("--name", help="What the model is called [default: the name of RUN].")
@click.option("--batch", type=click.IntRange(1), help="Series of a request; LiteRT has to know.")
@click.option("--time", type=click.IntRange(1), help="Steps of the arrays of a request; LiteRT has to know.")
def export(run: Path, format: Format, out: Path | None, name: str | None, batch: int | None, time: int | None) -> None:
    """Write the forecaster in RUN in a form that other programs run.

    It becomes the next version in a folder: 1, 2, ... There it is checked in a fresh process, without tsattn, against
    the model in Python, and put in place when it answers the same. A SavedModel comes with a kit: configurations of
    TensorFlow Serving, a sample request, and clients in Python, shell and C.
    """
    with quiet_start():
        from tsattn.forecaster import Forecaster
    forecaster = Forecaster.load(run)
    with quiet_start():
        path = forecaster.export(out or run / format, format, name=name or run.absolute().name, batch=batch, time=time)
    console().print(f"Written: {path}/, which answers as the model in Python does; MODEL_CARD.md tells the rest.")
    click.echo(path)
