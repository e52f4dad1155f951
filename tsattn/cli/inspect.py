"""``tsattn inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tsattn.cli.options import data_options


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@data_options
def inspect(data: Path, **columns: Any) -> None:
    """Say how DATA would be read: columns, frequency, season and horizon. Nothing is written."""
    from tsattn.cli.tables import reading
    from tsattn.config import DataConfig, validated
    from tsattn.data.loader import load

    panel, schema = load(data, validated(DataConfig, columns, "the options"))
    Console(highlight=False, soft_wrap=True).print(reading(schema, panel))
