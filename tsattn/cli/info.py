"""``tsattn inspect``, ``tsattn models`` and ``tsattn datasets``: commands that only print."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any, get_args, get_origin

import click

from tsattn.cli import flag
from tsattn.cli.command import Command
from tsattn.cli.options import PATH, add_options, config_option, data_options, future_option, import_option
from tsattn.cli.output import describe_schema, text_table
from tsattn.cli.screen import current_screen
from tsattn.config import DataConfig

WARNINGS = 3
"""Exit status for data that were read with warnings."""


@click.command(
    cls=Command,
    examples=(
        ("tsattn inspect sales.csv --future promo.csv", "With covariates that are known in advance"),
        ("tsattn inspect sales.csv --json", "For other programs"),
    ),
)
@click.argument("data", type=PATH)
@future_option
@data_options
@add_options([config_option(DataConfig, name) for name in ("support", "graph", "context", "validation")])
def inspect(data: Path, future: Path | None, **options: Any) -> dict[str, Any]:
    """Print how DATA is read: columns, frequency, season, horizon. Nothing is written.

    The exit status is 3 if DATA was read with warnings, and 1 if it cannot be read.
    """
    from tsattn.config import validate
    from tsattn.data.adjacency import read_adjacency
    from tsattn.data.inference import infer_panel
    from tsattn.data.inspection import describe
    from tsattn.data.loader import to_table
    from tsattn.timeseries.frames import series_names

    # Collections would look through the objects of all modules, which takes a tenth of a second each.
    gc.freeze()
    click.get_current_context().call_on_close(gc.unfreeze)
    config = validate(DataConfig, {key: value for key, value in options.items() if value is not None}, "the options")
    table = to_table(data, config.read_options)
    if future is None:
        panel, schema = infer_panel(table, config)
    else:
        from tsattn.forecasting.warm_start import infer_with_future

        panel, schema = infer_with_future(table, config, to_table(future, config.read_options))
    if config.graph is not None:
        read_adjacency(config.graph, series_names(panel))
    screen = current_screen()
    for part in describe_schema(schema, panel):
        screen.print(part)
    for note in schema.notes:
        sentence = f"{note.to_warning().format(flag)}."
        screen.warnings.append(sentence)
        screen.print(f"Warning: {sentence}")
    if schema.notes:
        screen.exit_status = WARNINGS
    return describe(table, panel, schema)


@click.command(cls=Command, examples=(("tsattn models seq2seq", "The options of a model"),))
@click.argument("name", required=False)
@import_option
def models(name: str | None) -> dict[str, Any]:
    """List the models, or the options of one."""
    from tsattn.config import option_spaces
    from tsattn.models import all_models, get_model

    screen = current_screen()
    if name is None:
        rows = [(it.name, it.summary) for it in all_models().values()]
        screen.print(text_table(("model", "description"), rows))
        screen.print("tsattn models NAME lists the options of a model; tsattn fit DATA --model NAME fits it.")
        return {"models": [{"name": name, "description": summary, "options": []} for name, summary in rows]}
    entry = get_model(name)
    fields = entry.options.model_fields
    spaces = option_spaces(entry.options)
    screen.print(f"{entry.name}: {entry.summary}")
    described = [
        {"name": key, "default": field.default, "description": field.description} for key, field in fields.items()
    ]
    result = {"models": [{"name": entry.name, "description": entry.summary, "options": described}]}
    if not fields:
        screen.print("It has no options.")
        return result
    options = []
    for key, field in fields.items():
        tuned = f"\ntune: {spaces[key]}" if key in spaces else ""
        description = f"{field.description}\nvalues: {format_type(field.annotation)}{tuned}"
        options.append((key, format_default(field.default), description))
    screen.print(text_table(("option", "default", "description"), options))
    example = next(((key, field.default) for key, field in fields.items() if field.default is not None), None)
    setting = f" --set model.{example[0]}={format_default(example[1])}" if example else ""
    screen.print(f"tsattn fit DATA --model {name}{setting}")
    return result


def format_default(value: object) -> str:
    """Return a default as a user types it."""
    return "by rule" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def format_type(annotation: object) -> str:
    """Return the choices or the type of a field."""
    choices = get_args(annotation)
    if type(None) in choices:
        return format_type(next(choice for choice in choices if choice is not type(None)))
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    if get_origin(annotation) is tuple:
        return f"list of {format_type(choices[0])}"
    names = {bool: "true | false", int: "integer", float: "number", str: "text"}
    return next((text for kind, text in names.items() if annotation is kind), "table")


@click.command(
    cls=Command,
    examples=(
        ('tsattn forecast "$(tsattn datasets airline)"', "Forecast a dataset"),
        ("tsattn datasets etth1", "Download a public dataset"),
    ),
)
@click.argument("name", required=False)
def datasets(name: str | None) -> dict[str, Any]:
    """List example datasets: bundled ones and public ones to download.

    With NAME, the path of that dataset is printed; it is downloaded first if necessary.
    """
    from tsattn.data.datasets import DATASETS
    from tsattn.data.datasets import fetch as fetch_dataset

    screen = current_screen()
    if name is not None:
        path = fetch_dataset(name)
        screen.print(str(path))
        return {"path": path}
    rows = [(it.name, f"{it.description}\n{it.url}".strip(), it.shape, it.licence) for it in DATASETS.values()]
    screen.print(text_table(("name", "description", "columns", "licence"), rows))
    screen.print("Datasets without an address are bundled with tsattn; the others are downloaded.")
    screen.print('tsattn datasets NAME prints the path: tsattn fit "$(tsattn datasets airline)"')
    listed = [{"name": it.name, "description": it.description, "url": it.url or None} for it in DATASETS.values()]
    return {"datasets": listed}
