"""Columns of text that hold numbers, in Arrow tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_list, quote_text
from tsattn.data.columns import is_missing
from tsattn.data.numbers import ParsedTexts, parse_number, parse_texts
from tsattn.data.table import Note
from tsattn.errors import DataError

MIN_NUMERIC = 0.5
"""Fraction of numbers among the non-empty cells from which on a column of text is taken for numbers."""

VERY_FAR = 20
"""Distance, in ranges of the other values, from which on a number that is repeated may mark missing values."""

_SAMPLE, _MIN_SAMPLE = 5_000, 50
_SENTINEL = re.compile(r"-?(?:9{3,}|8{3,}|9{2,}\.9+)")


def convert_texts(
    table: Any, excluded: Sequence[str], decimal: str, marks: Sequence[str], lines: Any
) -> tuple[Any, list[Note]]:
    """Replace columns of text by numbers where all of their cells are numbers or missing.

    In columns where only most cells are, these cells are rewritten with a decimal point, so that the message about
    the others is the usual one.

    Args:
        table: Arrow table.
        excluded: Columns that stay text.
        decimal: Decimal sign.
        marks: Marks of missing values that the user named.
        lines: Line of each row; None for files that begin with the header.
    """
    notes: list[Note] = []
    for number, name in enumerate(table.column_names):
        column = table[number]
        if name in excluded or not is_text(column.type) or not holds_numbers(spread(column, table.num_columns)):
            continue
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        encoded = encoded.combine_chunks() if encoded.num_chunks != 1 else encoded.chunk(0)
        cells = [cell or "" for cell in encoded.dictionary.to_pylist()]
        parsed = parse_texts(cells, decimal, marks)
        indices = pc.fill_null(encoded.indices, -1).to_numpy()
        counts = np.bincount(indices[indices >= 0], minlength=len(cells))
        valid, invalid = (int(counts[mask].sum()) for mask in (np.isfinite(parsed.values), parsed.invalid))
        units = {cell: _unit_of(cells[cell], decimal) for cell in np.flatnonzero(parsed.invalid)}
        others = [cell for cell, unit in units.items() if unit not in (None, parsed.unit)]
        # Units such as W and kW are surely those of numbers, while 12 A and 14 B may be names.
        related = [cell for cell in others if parsed.unit and str(units[cell]).endswith(parsed.unit[-1])]
        if others and valid + counts[related].sum() >= MIN_NUMERIC * (valid + invalid):
            row = int(np.argmax(np.isin(indices, others)))
            unit = f"the unit '{parsed.unit}'" if parsed.unit else "no unit"
            raise DataError(
                f"line {row + 2 if lines is None else lines[row]}: column '{name}': expected numbers with {unit} as in "
                f"other rows, got {quote_text(cells[indices[row]])}",
                "write them alike",
            )
        if valid < MIN_NUMERIC * (valid + invalid) or not valid:
            continue
        points = [cell for cell in np.flatnonzero(parsed.invalid) if decimal == "," and _is_float(cells[cell])]
        if points:
            row = int(np.argmax(np.isin(indices, points)))
            raise DataError(
                f"line {row + 2 if lines is None else lines[row]}: column '{name}': expected decimal commas as in "
                f"other rows, got {quote_text(cells[indices[row]])}",
                "write them alike",
            )
        if not invalid:
            values = np.append(parsed.values, np.nan)[indices]
            table = table.set_column(number, name, pa.array(values, from_pandas=True))
        else:
            rows = zip(cells, parsed.values, parsed.missing, strict=True)
            texts = [None if is_empty else _rewrite(cell, value) for cell, value, is_empty in rows]
            table = table.set_column(number, name, pa.array(texts, pa.string()).take(encoded.indices))
        notes += _describe(name, cells, counts, parsed, decimal)
    return table, _merge(notes)


def _unit_of(cell: str, decimal: str) -> str | None:
    """Return the unit of a cell; None if it is no number."""
    number = parse_number(cell)
    return None if number is None or number.value(decimal) is None else number.unit


def _merge(notes: Sequence[Note]) -> list[Note]:
    """Return one note for all columns with the same setting and value."""
    merged: dict[tuple[str, str], list[Note]] = {}
    for note in notes:
        merged.setdefault((note.field, note.value), []).append(note)
    return [
        replace(first, reason=f"{first.reason}; and so on in {len(rest)} more columns") if rest else first
        for first, *rest in merged.values()
    ]


def is_text(dtype: Any) -> bool:
    """Return whether an Arrow type is text, also as codes of a dictionary."""
    return bool(pa.types.is_string(dtype) or (pa.types.is_dictionary(dtype) and pa.types.is_string(dtype.value_type)))


def distinct_texts(column: Any) -> Any:
    """Return the distinct texts of an Arrow column, or the one dictionary of all its chunks."""
    if pa.types.is_dictionary(column.type) and column.num_chunks:
        texts = column.chunk(0).dictionary
        if all(chunk.dictionary.equals(texts) for chunk in column.chunks):
            return texts
    return column.unique().cast(pa.string())


def spread(column: Any, width: int) -> list[str]:
    """Return distinct cells of evenly spaced rows, fewer in tables with many columns."""
    count = min(len(column), max(_SAMPLE // width, _MIN_SAMPLE))
    rows = np.unique(np.linspace(0, max(len(column) - 1, 0), count).astype(np.int64))
    return [cell for cell in set(column.take(rows).to_pylist()) if cell is not None]


def holds_numbers(cells: Sequence[str]) -> bool:
    """Return whether at least a quarter of the cells of a column of text that are not missing are numbers."""
    filled = [cell for cell in cells if not is_missing(cell)]
    numbers = sum(parse_number(cell) is not None for cell in filled)
    return numbers > 0 and numbers >= MIN_NUMERIC * len(filled) / 2


def _is_float(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _rewrite(cell: str, value: float) -> str:
    """Return a number as Python writes it; a cell that is none, or is written so, stays."""
    if np.isnan(value):
        return cell
    try:
        return cell if float(cell) == value else repr(float(value))
    except ValueError:
        return repr(float(value))


def _describe(name: str, cells: Sequence[str], counts: Any, parsed: ParsedTexts, decimal: str) -> list[Note]:
    """Return notes on what was removed from the cells of a column."""
    notes = []
    marks = [number for number, cell in enumerate(cells) if parsed.missing[number] and cell.strip()]
    if marks:
        values = quote_list(cells[number].strip() for number in marks)
        text = f"{int(counts[marks].sum())} cells of column '{name}' are missing values"
        notes.append(Note("missing", values, text))
    if parsed.flags:
        text = f"column '{name}': {quote_text(cells[min(parsed.flags)])} is {parsed.values[min(parsed.flags)]:.15g}"
        text += f"; {int(counts[list(parsed.flags)].sum())} cells have such marks"
        notes.append(Note("flag", quote_list(sorted(set(parsed.flags.values()))), text))
    rows = np.flatnonzero(np.isfinite(parsed.values) & ~parsed.plain)
    numbers = ((cells[int(row)], parsed.values[row]) for row in rows if row not in parsed.flags)
    is_same = ((cell, value, cell.replace(decimal, ".")) for cell, value in numbers)
    changed = next(((cell.strip(), value) for cell, value, text in is_same if _rewrite(text, value) != text), None)
    if changed is None:
        return notes
    cell, value = changed
    fields = {"unit": parsed.unit, "thousands": _thousands_sign(cells) if parsed.grouped else ""}
    fields |= {"factor": cell[-1]} if parsed.scaled else {}
    for field, removed in fields.items() if any(fields.values()) else [("number", cell)]:
        if removed:
            notes.append(Note(field, removed, f"column '{name}': {quote_text(cell)} is {value:.15g}"))
    return notes


def _thousands_sign(cells: Sequence[str]) -> str:
    found = (re.search(r"\d([^\d])\d{3}", cell) for cell in cells)
    return next((match[1].strip() or "blank" for match in found if match), "")


def mark_missing(table: Any, marks: Sequence[str]) -> tuple[Any, list[Note]]:
    """Replace the numbers that the user named by missing values."""
    numbers = [float(mark) for mark in marks if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", mark.strip())]
    notes: list[Note] = []
    for place, name in enumerate(table.column_names):
        if not numbers or not _is_number(table[place].type):
            continue
        found = pc.is_in(table[place].cast(pa.float64()), value_set=pa.array(numbers))
        if count := pc.sum(found).as_py():
            column = pc.if_else(found, pa.scalar(None, table[place].type), table[place])
            table = table.set_column(place, name, column)
            notes.append(Note("missing", quote_list(marks), f"{count} cells of column '{name}' are missing values"))
    return table, notes


def _is_number(dtype: Any) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def find_sentinels(table: Any) -> list[Note]:
    """Return warnings about numbers such as -999 that may mark missing values.

    It is a number that occurs at least three times, far from all others: a negative one, one of nines, or any that is
    very far from them. A negative one of nines may occur once, if it is very far from them.
    """
    notes = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is_number(column.type):
            continue
        ends = pc.min_max(column).as_py()
        for end, other in (("min", "max"), ("max", "min")):
            value = ends[end]
            if value is None or not np.isfinite(value) or value == ends[other] or (end == "max" and value < 99):
                continue
            is_nines = bool(_SENTINEL.fullmatch(f"{value:.15g}"))
            is_whole = value < 0 and end == "min" and float(value).is_integer()
            head = column.slice(0, 1000).to_numpy()
            head = head[np.isfinite(head) & (head != value)]
            # The rows after the head can only make it less far. Few distinct values are levels or ids.
            is_far = len(head) > 0 and np.abs(head - value).min() > VERY_FAR * np.ptp(head) > 0
            if not (is_nines or is_whole or is_far):
                continue
            is_varied = len(np.unique(head)) >= 10
            count = pc.sum(pc.equal(column, value)).as_py()
            if count < 3 and not (is_nines and value < 0):
                continue
            rest = pc.min_max(column.filter(pc.not_equal(column, value))).as_py()
            gap = abs(value - rest[end])
            spread = rest["max"] - rest["min"]
            if count < 3 and gap < 3 * spread:
                continue
            is_only_negative = is_whole and gap > (1 if rest["min"] >= 0 else spread)
            is_far = is_varied and gap > VERY_FAR * spread and count < 0.3 * len(column)
            if spread > 0 and (is_only_negative or is_far or (is_nines and gap > spread / 2)):
                cells = "1 cell" if count == 1 else f"{count} cells"
                text = f"{cells} of column '{name}', whose other values are {rest['min']:g} to {rest['max']:g}"
                hint = f"set {{na}} to {value:.15g} if it marks missing values"
                notes.append(Note("outlier", f"{value:.15g}", text, True, hint))
    return notes
