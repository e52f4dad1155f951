"""``tsattn inspect``, ``tsattn models`` and ``tsattn datasets``: commands that only print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from tsattn.cli import flag
from tsattn.cli.options import PATH, add_options, config_option, data_options, import_option
from tsattn.cli.output import console, print_schema, text_table
from tsattn.config import DataConfig
from tsattn.errors import DataError

WARNINGS = 3
"""Exit status for data that were read with warnings."""


@click.command()
@click.argument("data", type=PATH)
@data_options
@add_options([config_option(DataConfig, name) for name in ("support", "graph", "context", "validation")])
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as described in docs/data.md.")
def inspect(data: Path, as_json: bool, **options: Any) -> None:
    """Print how DATA is read: columns, frequency, season, horizon. Nothing is written.

    The exit status is 3 if DATA was read with warnings, and 1 if it cannot be read.
    """
    from tsattn.config import validate
    from tsattn.data.adjacency import read_adjacency
    from tsattn.data.inference import infer_panel
    from tsattn.data.inspection import describe, describe_error
    from tsattn.data.loader import to_table
    from tsattn.timeseries.frames import series_names

    config = validate(DataConfig, {key: value for key, value in options.items() if value is not None}, "the options")
    try:
        table = to_table(data, config.read_options)
        panel, schema = infer_panel(table, config)
        if config.graph is not None:
            read_adjacency(config.graph, series_names(panel))
    except DataError as error:
        if as_json:
            click.echo(json.dumps(describe_error(error, str(data), flag), indent=2, ensure_ascii=False))
        raise
    if as_json:
        click.echo(json.dumps(describe(table, panel, schema, flag), indent=2, ensure_ascii=False))
    else:
        print_schema(console(), schema, panel)
    if schema.notes:
        click.get_current_context().exit(WARNINGS)


@click.command()
@click.argument("name", required=False)
@import_option
def models(name: str | None) -> None:
    """List the models, or the options of one."""
    from tsattn.config import option_spaces
    from tsattn.models import all_models, get_model

    terminal = console()
    if name is None:
        terminal.print(text_table(("model", "description"), [(it.name, it.summary) for it in all_models().values()]))
        terminal.print("tsattn models NAME lists the options of a model; tsattn fit DATA --model NAME fits it.")
        return
    entry = get_model(name)
    fields = entry.options.model_fields
    spaces = option_spaces(entry.options)
    terminal.print(f"{entry.name}: {entry.summary}")
    if not fields:
        terminal.print("It has no options.")
        return
    rows = []
    for key, field in fields.items():
        tuned = f"\ntune: {spaces[key]}" if key in spaces else ""
        description = f"{field.description}\nvalues: {_format_type(field.annotation)}{tuned}"
        rows.append((key, _format_default(field.default), description))
    terminal.print(text_table(("option", "default", "description"), rows))
    example = next(((key, field.default) for key, field in fields.items() if field.default is not None), None)
    setting = f" --set model.{example[0]}={_format_default(example[1])}" if example else ""
    terminal.print(f"tsattn fit DATA --model {name}{setting}")


def _format_default(value: object) -> str:
    """Return a default as a user types it."""
    return "by rule" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _format_type(annotation: object) -> str:
    """Return the choices or the type of a field."""
    choices = get_args(annotation)
    if type(None) in choices:
        return _format_type(next(choice for choice in choices if choice is not type(None)))
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    names = {bool: "true | false", int: "integer", float: "number", str: "text"}
    return next((text for kind, text in names.items() if annotation is kind), str(annotation))


@click.group(invoke_without_command=True)
@click.pass_context
def datasets(context: click.Context) -> None:
    """List example datasets: bundled ones and public ones to download."""
    if context.invoked_subcommand is not None:
        return
    from tsattn.data.datasets import DATASETS

    terminal = console()
    rows = [(it.name, f"{it.description}\n{it.url}".strip(), it.shape, it.licence) for it in DATASETS.values()]
    terminal.print(text_table(("name", "description", "columns", "licence"), rows))
    terminal.print("Datasets without an address are bundled with tsattn; the others are downloaded.")
    terminal.print('tsattn datasets fetch NAME prints the path: tsattn fit "$(tsattn datasets fetch airline)"')


@datasets.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Print the path of the dataset NAME; download it first if necessary."""
    from tsattn.data.datasets import fetch as fetch_dataset

    click.echo(fetch_dataset(name))
