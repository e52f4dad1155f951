"""``tsattn datasets``."""

from __future__ import annotations

import click
from rich.console import Console

from tsattn.cli.tables import rows_table


@click.group(invoke_without_command=True)
@click.pass_context
def datasets(context: click.Context) -> None:
    """List series to try things on: those that come with tsattn, and public ones to fetch."""
    if context.invoked_subcommand is not None:
        return
    from tsattn.data.datasets import DATASETS

    terminal = Console(highlight=False, soft_wrap=True)
    head = ("name", "what", "columns", "licence", "from")
    rows = [(d.name, d.about, d.shape, d.licence, d.url or "comes with tsattn") for d in DATASETS.values()]
    terminal.print(rows_table(head, rows))
    terminal.print('tsattn datasets fetch NAME prints its path: tsattn fit "$(tsattn datasets fetch airline)"')


@datasets.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Print the path of the data set NAME, which is downloaded if it is not there."""
    from tsattn.data.datasets import fetch as fetched

    click.echo(fetched(name))
