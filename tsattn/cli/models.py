"""``tsattn models``."""

from __future__ import annotations

from typing import get_args

import click
from rich.console import Console

from tsattn.cli.options import import_option
from tsattn.cli.tables import rows_table
from tsattn.config import declared


@click.command()
@click.argument("name", required=False)
@import_option
def models(name: str | None) -> None:
    """List the models, or the options of one."""
    from tsattn.models import all_models, get_model

    terminal = Console(highlight=False, soft_wrap=True)
    if name is None:
        terminal.print(
            rows_table(("model", "what it is"), [(entry.name, entry.summary) for entry in all_models().values()])
        )
        terminal.print("tsattn models NAME lists the options of one; tsattn fit DATA --model NAME fits it.")
        return
    entry = get_model(name)
    fields = entry.options.model_fields
    spaces = declared(entry.options)
    rows = [
        (
            key,
            _kind(field.annotation),
            _default(field.default),
            f"{field.description}\ntune: {spaces[key]}" if key in spaces else field.description,
        )
        for key, field in fields.items()
    ]
    terminal.print(f"{entry.name}: {entry.summary}")
    if not rows:
        terminal.print("It has no options.")
        return
    terminal.print(rows_table(("option", "values", "default", "what it does"), rows))
    example = next(((key, field.default) for key, field in fields.items() if field.default is not None), None)
    setting = f" --set model.{example[0]}={_default(example[1])}" if example else ""
    terminal.print(f"tsattn fit DATA --model {name}{setting}")


def _default(value: object) -> str:
    """Return a default as it would be typed."""
    return "by rule" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _kind(annotation: object) -> str:
    """Return the allowed values of a field as text: the choices, or the type."""
    choices = get_args(annotation)
    if type(None) in choices:
        # Of a name and any other text, the names are what there is to tell.
        return _kind(next(choice for choice in choices if choice is not type(None)))
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    for kind, text in names.items():
        if annotation is kind:
            return text
    return str(annotation)
