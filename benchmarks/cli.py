"""Options and output that the commands of several benchmarks have in common."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from tsattn.errors import TsattnError

TABLE_ONLY = click.option(
    "--table", "table_only", is_flag=True, help="Only write the table of the recorded results; measure nothing."
)


def data_folder() -> Path:
    """Return the data folder.

    Raises:
        TsattnError: ``TSATTN_DATA_DIR`` is not set.
    """
    folder = os.environ.get("TSATTN_DATA_DIR")
    if not folder:
        raise TsattnError(
            "the benchmarks need data that the project does not ship", "set TSATTN_DATA_DIR to its folder"
        )
    return Path(folder)


def parse_seeds(seeds: str) -> tuple[int, ...]:
    """Return the seeds in a comma-separated list.

    Raises:
        BadParameter: One of them is not a whole number.
    """
    parts = seeds.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"expected whole numbers such as 0,1,2. Received: {seeds}", param_hint="--seeds")
    return tuple(map(int, parts))


def print_or_write(text: str, output: Path) -> None:
    """Print text if ``output`` is ``-``, else write it to that file and print the path."""
    if str(output) == "-":
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(os.path.relpath(output))


def read_results(file: Path) -> dict[str, Any]:
    """Return the recorded results of a benchmark; empty if there are none."""
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return results


def write_results(file: Path, results: dict[str, Any], text: str, page: Path | None = None) -> None:
    """Write the results of a benchmark as JSON if they changed, and ``text`` to a page, by default next to it."""
    if results != read_results(file):
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (page or file.with_suffix(".md")).write_text(text, encoding="utf-8")
