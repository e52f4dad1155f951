"""What the commands of several benchmarks take."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tsattn.errors import TsattnError


def data_folder() -> Path:
    """Return the folder of the data.

    Raises:
        TsattnError: it is not named.
    """
    folder = os.environ.get("TSATTN_DATA_DIR")
    if not folder:
        raise TsattnError(
            "the benchmarks need data that the project does not ship: set TSATTN_DATA_DIR to their folder"
        )
    return Path(folder)


def numbers(seeds: str) -> tuple[int, ...]:
    """Return seeds that are divided by commas.

    Raises:
        BadParameter: they are no whole numbers.
    """
    parts = seeds.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"expected whole numbers such as 0,1,2. Received: {seeds}", param_hint="--seeds")
    return tuple(map(int, parts))
