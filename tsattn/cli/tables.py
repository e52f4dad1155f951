"""Tables of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from tsattn.data import Panel, Schema
from tsattn.evaluation.selection import selection

_METRICS = {
    "mase": "MASE",
    "skill": "skill %",
    "smape": "sMAPE %",
    "mae": "MAE",
    "rmse": "RMSE",
    "wql": "WQL",
}


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


def scores_table(scores: pd.DataFrame, name: str, where: str = "On the validation part") -> Table:
    """Return a model beside the baselines, best first; the model's row stands out."""
    title = f"{where}, best first: errors, lower is better; coverage, best at the interval's share"
    if "skill" in scores:
        title += "\nskill: what is saved of the MASE of the seasonal naive forecast, higher is better"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("model")
    shown = selection(scores.columns)
    for metric in shown:
        table.add_column(_METRICS.get(metric, "coverage %"), justify="right")
    for row in scores.to_dict("records"):
        figures = [_figure(metric, row[metric]) for metric in shown]
        table.add_row(str(row["model"]), *figures, style="bold" if row["model"] == name else None)
    return table


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
