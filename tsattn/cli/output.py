"""Consoles, notes and tables of the command line."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tsattn._text import quote_list
from tsattn.cli import flag
from tsattn.errors import DataWarning, escape_controls

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.schema import Schema

_METRICS = {"mase": "MASE", "skill": "skill %", "smape": "sMAPE", "mae": "MAE", "rmse": "RMSE", "wql": "WQL"}

MAX_GROUPS = 100
"""Maximum number of series or steps in a table."""


def console(*, stderr: bool = False) -> Console:
    """Return the console for results, or that of standard error for progress and notes."""
    terminal = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    terminal.push_render_hook(_EscapeControls())
    return terminal


class _EscapeControls(RenderHook):
    """Escapes the control characters of names and paths in what a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return the same objects, rendered without raw control characters."""
        return [_Escaped(part) for part in renderables]


class _Escaped:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)


@contextmanager
def notes(terminal: Console) -> Iterator[None]:
    """Print warnings about the data as notes, each of them once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    data_warnings = [warning.message for warning in caught if isinstance(warning.message, DataWarning)]
    for message in dict.fromkeys(warning.format(flag) for warning in data_warnings):
        terminal.print(f"Note: {message}.")
    for warning in caught:
        if warning.category is not DataWarning:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def checked_output(path: Path | None) -> Path | None:
    """Return the file that a command writes; None for standard output, which ``-`` means as well.

    Raises:
        RunError: The file cannot be written.
    """
    from tsattn.atomic_io import check_file

    if path is None or str(path) == "-":
        return None
    check_file(path, overwrite=True)
    return path


def write_output(frame: pd.DataFrame, path: Path | None, *, safe: bool) -> None:
    """Write a forecast to the file that `checked_output` returned, or as CSV to standard output.

    Args:
        frame: The forecast.
        path: The file; None for standard output.
        safe: Whether texts that a spreadsheet would take for a formula begin with an apostrophe.
    """
    from tsattn.atomic_io import write_frame

    frame = without_formulas(frame) if safe else frame
    if path is None:
        text = frame.to_csv(index=False)
        click.echo(escape_controls(text) if sys.stdout.isatty() else text, nl=False)
    else:
        write_frame(frame, path)


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


def print_schema(terminal: Console, schema: Schema, panel: Panel) -> None:
    """Print which columns will be forecast, how the data were read, and what a user should check."""
    if schema.layout in ("wide", "long"):
        names = quote_list(schema.targets, quote="")
        terminal.print(f"{count(len(schema.targets), 'column')} will be forecast: {names}")
    terminal.print(schema_table(schema, panel))
    for note in schema.notes:
        terminal.print(f"Warning: {note.to_warning().format(flag)}.")


def schema_table(schema: Schema, panel: Panel) -> Table:
    """Return the settings with which the data were read, and their reasons."""
    lengths = panel.lengths
    span = " to ".join(dict.fromkeys([str(lengths.min()), str(lengths.max())]))
    table = _table(f"{len(panel)} series of {span} steps, {schema.layout} data")
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    table.add_column("reason", overflow="fold", style="dim")
    for setting in schema.inferred_settings:
        reason = "given" if setting.given else setting.reason
        table.add_row(setting.field, Text(setting.value), Text(reason))
    return table


def text_table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Table:
    """Return a table of text. Its first column, of names to type, is not wrapped."""
    table = Table(box=box.SIMPLE_HEAD)
    for number, title in enumerate(head):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell or "") for cell in row))
    return table


def scores_table(scores: pd.DataFrame, names: Sequence[str], where: str = "On the validation part") -> Table:
    """Return the scores of models and baselines, best first, with the models in bold."""
    table = _table("")
    table.add_column("model")
    metrics = _add_metrics(table, scores)
    title = [f"{where}, best first: errors, lower is better"]
    if "skill" in metrics:
        title.append("skill: reduction of the MASE against the seasonal naive forecast")
    if metrics[-1].startswith("coverage-"):
        level = metrics[-1].removeprefix("coverage-")
        title.append(f"in {level} %: values within that interval in %, best at {level}")
    table.title = "\n".join(title)
    for row in scores.to_dict("records"):
        figures = [_format_metric(metric, row[metric]) for metric in metrics]
        table.add_row(str(row["model"]), *figures, style="bold" if row["model"] in names else None)
    return _at_full_width(table)


def grouped_scores_table(scores: pd.DataFrame, name: str) -> Table:
    """Return the scores of one model by series or by step of the horizon."""
    key = str(scores.columns[0])
    selected = scores[scores["model"] == name]
    title = f"{name} by {'step' if key == 'step' else 'series'}"
    if len(selected) > MAX_GROUPS:
        title += f": the first {MAX_GROUPS} of {len(selected)}, all of them with --scores"
    table = _table(title)
    table.add_column(key)
    metrics = _add_metrics(table, scores)
    for row in selected.head(MAX_GROUPS).to_dict("records"):
        table.add_row(str(row[key]), *(_format_metric(metric, row[metric]) for metric in metrics))
    return _at_full_width(table)


def _table(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")


def _at_full_width(table: Table) -> Table:
    """Return a table whose names and figures are not cut in a narrow terminal."""
    table.width = Console(width=10_000).measure(table).maximum
    return table


def _add_metrics(table: Table, scores: pd.DataFrame) -> tuple[str, ...]:
    """Add a column for each displayed metric and return the metrics."""
    from tsattn.scoring.metrics import displayed_metrics

    metrics = displayed_metrics(scores.columns)
    for metric in metrics:
        title = _METRICS.get(metric, f"in {metric.removeprefix('coverage-')} %")
        table.add_column(title, justify="right")
    return metrics


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
