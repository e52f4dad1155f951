"""Results of commands: the JSON document, files and tables."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn._text import quote_list
from tsattn.cli import INTERRUPTED, flag
from tsattn.cli.screen import Column, DataTable
from tsattn.errors import TsattnError, escape_controls_in_json

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.cli.screen import Screen
    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.schema import Schema


VERSION = 1
"""Version of the keys: later ones are only added."""

_METRICS = {"mase": "MASE", "skill": "skill %", "smape": "sMAPE", "mae": "MAE", "rmse": "RMSE", "wql": "WQL"}

MAX_GROUPS = 100
"""Maximum number of series or steps in a table."""


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
    document = json.dumps({**head, **empty, **to_json(parts)}, indent=2, ensure_ascii=False)
    click.echo(escape_controls_in_json(document))


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


def checked_output(path: Path | str | None, *, overwrite: bool) -> Path | None:
    """Return the file that a command writes; None for standard output, which ``-`` means as well.

    Raises:
        RunError: The file exists and is not to be replaced, or it cannot be written.
    """
    from tsattn.atomic_io import check_file

    if path is None or str(path) == "-":
        return None
    check_file(Path(path), overwrite=overwrite)
    return Path(path)


def write_output(screen: Screen, frame: pd.DataFrame, path: Path | None, *, safe: bool) -> dict[str, Any]:
    """Write a forecast to the file that `checked_output` returned, or as CSV to standard output.

    Args:
        screen: The screen of the command.
        frame: The forecast.
        path: The file; None for standard output.
        safe: Whether texts that a spreadsheet would take for a formula begin with an apostrophe.

    Returns:
        The parts of the JSON document: the file, or the rows.
    """
    if path is None:
        frame = without_formulas(frame) if safe else frame
        screen.print_raw(frame.to_csv(index=False))
        return {"out": None, "rows": records(frame) if screen.as_json else []}
    write_table(frame, path, safe=safe)
    screen.show(f"Written: {path}")
    return {"out": str(path), "rows": []}


def write_table(frame: pd.DataFrame, path: Path, *, safe: bool) -> None:
    """Write a frame to a CSV, Parquet or JSON file, whole or not at all; ``safe`` as in `write_output`."""
    from tsattn.atomic_io import write_frame

    write_frame(without_formulas(frame) if safe else frame, path)


_FORMULA = re.compile(r"[=+\-@\t\r]")
"""First character of a text that a spreadsheet evaluates."""


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts, the names of the columns included, are no formulas in a spreadsheet."""

    def quoted(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value

    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    texts = {
        str(name): column.map(quoted, na_action="ignore")
        for name, column in frame.items()
        if not (is_numeric_dtype(column) or is_datetime64_any_dtype(column))
    }
    return frame.assign(**texts).rename(columns=quoted)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 fold" or "2 folds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_schema(screen: Screen, schema: Schema, panel: Panel) -> None:
    """Print which columns will be forecast, how the data were read, and what a user should check."""
    for part in describe_schema(schema, panel):
        screen.show(part)
    for note in schema.notes:
        screen.warn(f"{note.to_warning().format(flag)}.")


def describe_schema(schema: Schema, panel: Panel) -> list[str | DataTable]:
    """Return which columns will be forecast and the table of the settings."""
    table = schema_table(schema, panel)
    if schema.layout not in ("wide", "long"):
        return [table]
    names = quote_list(schema.targets, quote="")
    return [f"{count(len(schema.targets), 'column')} will be forecast: {names}", table]


def schema_table(schema: Schema, panel: Panel) -> DataTable:
    """Return the settings with which the data were read, and their reasons."""
    lengths = panel.lengths
    span = " to ".join(dict.fromkeys([str(lengths.min()), str(lengths.max())]))
    settings = schema.inferred_settings
    reasons = ["given" if setting.given else setting.reason for setting in settings]
    columns = (
        Column("setting", [setting.field for setting in settings], "name"),
        Column("value", [setting.value for setting in settings]),
        Column("reason", reasons, style="dim"),
    )
    return DataTable(columns, f"{len(panel)} series of {span} steps, {schema.layout} data")


def text_table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> DataTable:
    """Return a table of text. Its first column, of names to type, is not wrapped."""
    cells = [[cell or "" for cell in column] for column in zip(*rows, strict=True)]
    return DataTable([Column(title, cells[n], "text" if n else "name") for n, title in enumerate(head)])


def scores_table(scores: pd.DataFrame, names: Sequence[str], where: str = "On the validation part") -> DataTable:
    """Return the scores of models and baselines, best first, with the models in bold."""
    metrics, columns = _metric_columns(scores)
    title = [f"{where}, best first: errors, lower is better"]
    if "skill" in metrics:
        title.append("skill: reduction of the MASE against the seasonal naive forecast")
    if metrics[-1].startswith("coverage-"):
        level = metrics[-1].removeprefix("coverage-")
        title.append(f"in {level} %: values within that interval in %, best at {level}")
    models = [str(model) for model in scores["model"]]
    bold = frozenset(row for row, model in enumerate(models) if model in names)
    return DataTable((Column("model", models, "name"), *columns), "\n".join(title), bold)


def grouped_scores_table(scores: pd.DataFrame, name: str) -> DataTable:
    """Return the scores of one model by series or by step of the horizon."""
    key = str(scores.columns[0])
    selected = scores[scores["model"] == name]
    title = f"{name} by {'step' if key == 'step' else 'series'}"
    if len(selected) > MAX_GROUPS:
        title += f": the first {MAX_GROUPS} of {len(selected)}, all of them with --scores"
    shown = selected.head(MAX_GROUPS)
    return DataTable((Column(key, [str(value) for value in shown[key]], "name"), *_metric_columns(shown)[1]), title)


def _metric_columns(scores: pd.DataFrame) -> tuple[tuple[str, ...], list[Column]]:
    """Return the displayed metrics and their columns."""
    from tsattn.scoring.metrics import displayed_metrics

    metrics = displayed_metrics(scores.columns)
    titles = [_METRICS.get(metric, f"in {metric.removeprefix('coverage-')} %") for metric in metrics]
    return metrics, [
        Column(title, [_format_metric(metric, value) for value in scores[metric]], "figure")
        for metric, title in zip(metrics, titles, strict=True)
    ]


def _format_metric(metric: str, value: Any) -> str:
    if value is None or math.isnan(value):
        return "-"
    if metric.startswith("coverage-"):
        return f"{100 * value:.0f}"
    if metric == "skill":
        return f"{100 * value:.1f}"
    if metric in ("mase", "wql"):
        return f"{value:.3f}"
    # The same number of digits in every row aligns the column.
    return f"{value:.2f}" if metric == "smape" else f"{value:#.4g}".rstrip(".")
