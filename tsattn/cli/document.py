"""The JSON document that ``--json`` prints on standard output, see ``document.schema.json``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli import INTERRUPTED, flag
from tsattn.errors import TsattnError

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.cli.screen import Screen

VERSION = 1
"""Version of the keys: later ones are only added."""


def write_document(command: str | None, result: Any, screen: Screen) -> None:
    """Print the document of a command that ended well."""
    status = "warnings" if screen.exit_status else "ok"
    _write(command, status, screen.exit_status, result=result, warnings=screen.warnings, notes=screen.notes)


def write_error(command: str | None, error: BaseException) -> None:
    """Print the document of a command that failed."""
    if isinstance(error, KeyboardInterrupt):
        _write(command, "interrupted", INTERRUPTED)
        return
    if isinstance(error, TsattnError):
        message, options = error.format(flag), [flag(name) for name in error.options]
    else:
        message, options = error.format_message() if isinstance(error, click.ClickException) else str(error), []
    _write(command, "error", exit_status_of(error), error={"message": message, "options": options})


def exit_status_of(error: BaseException) -> int:
    """Return the exit status of an error: 2 for wrong usage, else 1."""
    from tsattn.errors import ConfigError

    return 2 if isinstance(error, ConfigError | click.UsageError) else 1


def _write(command: str | None, status: str, exit_status: int, **parts: Any) -> None:
    head = {"version": VERSION, "command": command, "status": status, "exit_status": exit_status}
    empty: dict[str, Any] = {"result": None, "warnings": [], "notes": [], "error": None}
    click.echo(json.dumps({**head, **empty, **to_json(parts)}, indent=2, ensure_ascii=False))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as JSON types, timestamps in ISO format."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", double_precision=10))
    return rows


def to_json(value: Any) -> Any:
    """Return a value as JSON types: paths as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
