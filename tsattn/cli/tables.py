"""Tables of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsattn.scoring.metrics import selection
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

_METRICS = {
    "mase": "MASE",
    "skill": "skill %",
    "smape": "sMAPE",
    "mae": "MAE",
    "rmse": "RMSE",
    "wql": "WQL",
}

MOST_PARTS = 100
"""Series or steps that a table shows."""


def reading(schema: Schema, panel: Panel) -> Table:
    """Return how the data were read, a row a decision."""
    lengths = panel.lengths
    span = f"{lengths.min()}" if lengths.min() == lengths.max() else f"{lengths.min()} to {lengths.max()}"
    count = "1 series" if len(panel) == 1 else f"{len(panel)} series"
    table = Table(box=box.SIMPLE_HEAD, title=f"{count} of {span} steps, {schema.layout} data", title_justify="left")
    table.add_column("what")
    table.add_column("value", overflow="fold")
    table.add_column("why", overflow="fold", style="dim")
    for decision in schema.decisions:
        why = "given" if decision.given else decision.reason
        table.add_row(decision.field, Text(decision.value), Text(why))
    return table


def rows_table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Table:
    """Return a table of text, whose first column is never broken."""
    table = Table(box=box.SIMPLE_HEAD)
    for number, title in enumerate(head):
        # A name in two parts is none that could be typed.
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell or "") for cell in row))
    return table


def scores_table(scores: pd.DataFrame, names: Sequence[str], where: str = "On the validation part") -> Table:
    """Return models beside the baselines, best first; the rows of the models stand out."""
    title = f"{where}, best first: errors, lower is better"
    if any(str(name).startswith("coverage-") for name in scores):
        title += "; % within the interval, best at its share"
    if "skill" in scores:
        title += "\nskill: what is saved of the MASE of the seasonal naive forecast, higher is better"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("model")
    shown = _metric_columns(table, scores)
    for row in scores.to_dict("records"):
        figures = [_figure(metric, row[metric]) for metric in shown]
        table.add_row(str(row["model"]), *figures, style="bold" if row["model"] in names else None)
    return _whole(table)


def parts_table(scores: pd.DataFrame, name: str) -> Table:
    """Return the scores of one model, a row a series or a step of the horizon; skill tells it from the baselines."""
    key = str(scores.columns[0])
    own = scores[scores["model"] == name]
    more = len(own) - MOST_PARTS
    title = f"{name} by {'series' if key == 'unique_id' else key}"
    title += f": the first {MOST_PARTS} of {len(own)}, all with --scores" if more > 0 else ""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column(key)
    shown = _metric_columns(table, scores)
    for row in own.head(MOST_PARTS).to_dict("records"):
        table.add_row(str(row[key]), *(_figure(metric, row[metric]) for metric in shown))
    return _whole(table)


def _whole(table: Table) -> Table:
    """Return a table that no narrow terminal cuts names or figures of."""
    table.width = Console(width=10_000).measure(table).maximum
    return table


def _metric_columns(table: Table, scores: pd.DataFrame) -> tuple[str, ...]:
    """Add a column for each metric that is shown, and return them."""
    shown = selection(scores.columns)
    for metric in shown:
        title = _METRICS.get(metric, f"in {metric.removeprefix('coverage-')} %")
        table.add_column(title, justify="right")
    return shown


def _figure(metric: str, value: float) -> str:
    if pd.isna(value):
        return "-"
    if metric.startswith("coverage-"):
        return f"{100 * value:.0f}"
    if metric == "skill":
        return f"{100 * value:.1f}"
    if metric in ("mase", "wql"):
        return f"{value:.3f}"
    # Four digits in every row, so that the column lines up.
    return f"{value:.2f}" if metric == "smape" else f"{value:#.4g}".rstrip(".")
