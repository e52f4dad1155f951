"""``tsattn export``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import click

from tsattn.cli.command import Command
from tsattn.cli.loading import load_forecaster
from tsattn.cli.options import PATH, import_option, out_option, verify_option
from tsattn.cli.screen import current_screen
from tsattn.export import Format


@click.command(
    cls=Command,
    examples=(
        ("tsattn export runs/sales -o models/sales", "A SavedModel for TensorFlow Serving"),
        ("tsattn export runs/sales --format onnx", "An ONNX model"),
    ),
)
@click.argument("run", type=PATH)
@import_option
@verify_option
@click.option(
    "--format", type=click.Choice(get_args(Format)), default="saved_model", show_default=True, help="Kind of the model."
)
@out_option("Folder of versions, to which the next one is added.", "RUN/ and the format")
@click.option("--name", help="Name of the model.  [default: the name of RUN]")
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Number of series per request; LiteRT only, which requires it."
)
@click.option(
    "--time", type=click.IntRange(1), metavar="N", help="Number of steps per request; LiteRT only, which requires it."
)
def export(
    run: Path, verify: bool, format: Format, out: Path | None, name: str | None, batch: int | None, time: int | None
) -> dict[str, Any]:
    """Export the forecaster in RUN for other programs.

    The export is the next version in the folder: 1, 2, ... Before that, a new process without tsattn verifies that it
    gives the results of the model in Python. A SavedModel includes a client kit: configurations for TensorFlow
    Serving, a sample request, and clients in Python, shell and C.
    """
    from tsattn.export.isolated_process import started_early

    screen = current_screen()
    with started_early(format) if format != "keras" else nullcontext():
        forecaster = load_forecaster(run, verify=verify)
        path = forecaster.export(out or run / format, format, name=name or run.absolute().name, batch=batch, time=time)
    screen.show(f"Written: {path}/, verified against the model in Python. See MODEL_CARD.md.")
    screen.print(str(path))
    return {"path": path, "format": format}
