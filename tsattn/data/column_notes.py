"""Notes on columns that are not used, and on rows that are aggregated."""

from __future__ import annotations

import numpy as np

from tsattn._text import quote_list
from tsattn.config import DataConfig
from tsattn.data.roles import UNIT_NAMES, Role
from tsattn.data.table import Table
from tsattn.data.time_parts import words_of
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import ReadingNote, Schema

MOST_VALUES = 20
"""Values of a column up to which it may be that of units."""

_SIGNS = ({"s", "h"}, {"soll", "haben"}, {"d", "c"}, {"dr", "cr"}, {"debit", "credit"}, {"d", "k"}, {"+", "-"})
_FUTURE = frozenset(("forecast", "budget", "plan", "planned", "prognose", "estimate", "projection"))


def unread_notes(table: Table, time: Role, unused: dict[str, str]) -> list[ReadingNote]:
    """Return a note if rows are taken as steps although text may hold timestamps of an unknown format."""
    if time.columns:
        return []
    for name in unused:
        cells = table[name].values.dropna().astype("str") if table[name].kind == "text" else table[name].values.iloc[:0]
        if len(cells) and cells.is_unique and cells.iloc[:100].str.contains(r"\d").mean() > 0.9:
            message = (
                f"rows are taken as steps; '{name}' holds no timestamps that can be read, such as '{cells.iloc[0]}'"
            )
            return [ReadingNote(message=message, hints=("name their format with {time_format}",))]
    return []


def sign_notes(table: Table, unused: dict[str, str], targets: Role) -> list[ReadingNote]:
    """Return notes on columns that may hold the signs of numbers, such as debit and credit."""
    notes = []
    for name in unused:
        signs = set(map(str, table[name].values.dropna().unique())) if table[name].kind == "text" else set()
        if len(signs) == 2 and {sign.strip().lower() for sign in signs} in _SIGNS:
            message = f"'{name}' may hold the signs of {quote_list(targets.columns)}, and is not used"
            notes.append(ReadingNote(message=message, hints=("write the numbers with signs",)))
    return notes


def mixture_notes(table: Table, unused: dict[str, str], series: Ints) -> list[ReadingNote]:
    """Return notes on columns by which rows of one series have several units, or are observed and planned values."""
    notes = []
    for name in unused:
        if table[name].kind != "text" or table[name].values.iloc[:1000].nunique() > MOST_VALUES:
            continue
        codes, values = table[name].labels
        has_unit = bool(words_of(name) & UNIT_NAMES)
        if not 2 <= len(values) <= MOST_VALUES or not (
            has_unit or _FUTURE.intersection(value.lower() for value in values)
        ):
            continue
        filled = codes >= 0
        if len(np.unique(series[filled] * len(values) + codes[filled])) > len(np.unique(series[filled])):
            message = f"rows with {quote_list(values, max_items=3)} in '{name}' are in one series"
            notes.append(ReadingNote(message=message, hints=("name it with {id}", "remove the rows of other values")))
    return notes


def aggregation_notes(panel: Panel, schema: Schema, config: DataConfig, rows: int) -> list[ReadingNote]:
    """Return a note if irregular timestamps make steps with several rows or with none."""
    if schema.resample is None or config.resample is not None:
        return []
    observed = int(np.isfinite(panel.values).any(axis=1).sum())
    empty = len(panel.values) - observed
    if rows <= observed and not empty:
        return []
    message = (
        f"the timestamps are irregular: {rows} rows are aggregated by {schema.resample} to {observed} steps of "
        f"'{schema.freq}', and {empty} steps have none"
    )
    return [ReadingNote(message=message, hints=("set {resample} and {freq}",))]
