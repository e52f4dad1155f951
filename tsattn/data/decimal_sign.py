"""Decimal sign of a text file. It is found for the file as a whole, because a cell such as 1.196 has two readings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_text
from tsattn.data.columns import is_missing
from tsattn.data.conversion import holds_numbers, is_text, spread
from tsattn.data.layout import TextLayout
from tsattn.data.numbers import Number, parse_number
from tsattn.data.table import Note
from tsattn.errors import DataError

_LOCAL_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.(\d{4}|\d\d)\b.*")
_QUOTED_POINT = re.compile(r'"[^",\n]*\d\.\d{3}\b[^",\n]*"')
_PADDED = re.compile(r"\s*[-+]?0\d")


_USUAL = re.compile(r"\s*[+-]?0*(\d+)(?:(\.)\d{1,2})?\s*")


Point = Literal["usual", "likely", "in doubt"]
"""Whether a point is a decimal sign if no number shows it: surely, as between commas, likely with a warning, or not."""


@dataclass
class _Evidence:
    """How often the cells of a column imply each decimal sign.

    Args:
        example: First cell that has two readings.
        ends_in_zero: Whether one of these ends in 0 or is an amount of money.
        grouped_amounts: How many of these are amounts such as $1,196.
        short: Whether one of these has one digit before its sign.
        small: Whether there are whole numbers below 1000 without any sign.
        four: Whether there are whole numbers of four digits without any sign, which some languages do not group.
        large: Whether there are larger ones, or numbers with another thousands sign.
    """

    counts: Counter[str] = field(default_factory=Counter)
    example: str = ""
    ends_in_zero: bool = False
    grouped_amounts: int = 0
    short: bool = False
    small: bool = False
    four: bool = False
    large: bool = False

    @classmethod
    def joined(cls, parts: Iterable[_Evidence]) -> _Evidence:
        """Return the evidence of several columns together."""
        result = cls()
        for part in parts:
            result.counts += part.counts
            for flag in ("ends_in_zero", "short", "small", "four", "large"):
                setattr(result, flag, getattr(result, flag) or getattr(part, flag))
            result.grouped_amounts += part.grouped_amounts
        return result

    def add(self, cell: str, number: Number) -> None:
        """Count a number."""
        if number.evidence:
            self.counts[number.evidence] += 1
            if number.evidence.endswith("?"):
                self.example = self.example or cell.strip()
                self.ends_in_zero |= number.core.endswith("0") or number.is_amount
                self.grouped_amounts += number.is_grouped_amount
                self.short |= len(re.split("[.,]", number.core)[0]) == 1
        elif number.core.isdigit():
            self.add_whole(len(number.core.lstrip("0")))
        else:
            self.large = True

    def add_whole(self, digits: int) -> None:
        """Count a whole number."""
        self.small |= digits < 4
        self.four |= digits == 4
        self.large |= digits > 4

    def decide(self, point: Point) -> str:
        """Return the decimal sign of a column, "" if it is irrelevant, or "?" if there are two readings."""
        definite = {sign: self.counts[sign] for sign in ".," if self.counts[sign]}
        if definite:
            return max(definite, key=lambda sign: definite[sign])
        signs = [sign for sign in ".," if self.counts[f"{sign}?"]]
        if len(signs) != 1:
            return "?" if signs else ""
        sign = signs[0]
        is_surely_point = point == "usual" and sign == "."
        if self.large or (self.four and (self.short or is_surely_point)):
            return sign
        if point == "usual" and self.grouped_amounts == self.counts[",?"] > 0:
            return "."
        if self.four:
            return "?"
        is_usual = point != "in doubt" and sign == "."
        if self.small:
            # Decimals without zeros at their end, or thousands, of which some end in 0.
            is_grouped = self.ends_in_zero and not is_surely_point
            return {".": ",", ",": "."}[sign] if is_grouped else "?"
        return sign if is_usual else "?"


def _collect(cells: Sequence[str]) -> _Evidence | None:
    """Return the evidence of a column, or None if most of its cells are no numbers."""
    evidence, numbers, others = _Evidence(), 0, 0
    for cell in cells:
        if plain := _USUAL.fullmatch(cell):
            numbers += 1
            if plain[2]:
                evidence.counts["."] += 1
            else:
                evidence.add_whole(len(plain[1]))
            continue
        if is_missing(cell):
            continue
        number = parse_number(cell)
        if number is None or number.value(".") is number.value(",") is None:
            others += 1
            if others > 50 and not numbers:
                return None
            continue
        numbers += 1
        evidence.add(cell, number)
    return evidence if numbers > others else None


@dataclass(frozen=True)
class FoundDecimal:
    """Decimal sign of a file.

    Args:
        sign: The sign; empty if no number has one.
        column: Column of `doubt`.
        doubt: Cell that has another reading, where a point is only likely to be the decimal sign; else empty.
    """

    sign: str
    column: str = ""
    doubt: str = ""


def find_decimal(columns: Mapping[str, Sequence[str]], place: Callable[[str], str], point: Point) -> FoundDecimal:
    """Return the decimal sign of a file.

    A sign that occurs in one way only decides. Otherwise a column of cells such as 1.196 decides if it has larger
    numbers without a sign, or, with numbers below 1000, cells that end in 0.

    Args:
        columns: Distinct cells of each column.
        place: Returns the place of a cell, such as "line 3", for messages.
        point: Whether a point is a decimal sign if there is no other evidence.

    Raises:
        DataError: Two readings fit, or columns differ.
    """
    own = {name: evidence for name, cells in columns.items() if (evidence := _collect(cells)) is not None}
    for name, evidence in own.items():
        if evidence.counts["."] and evidence.counts[","]:
            raise _two_signs(columns, (name, name), place)
    found = own
    if len(columns) > max(map(len, columns.values()), default=0):
        # Wider than long: the rows are series.
        found = dict.fromkeys(own, _Evidence.joined(own.values()))
    signs = {name: evidence.decide(point) for name, evidence in found.items()}
    definite = {name: sign for name, sign in signs.items() if found[name].counts["."] or found[name].counts[","]}
    decided = definite or {name: sign for name, sign in signs.items() if sign not in ("", "?")}
    if len(set(decided.values())) > 1:
        names = [next(name for name, sign in decided.items() if sign == wanted) for wanted in ".,"]
        raise _two_signs(columns, names, place)
    if definite:
        sign = next(iter(definite.values()))
        if sign == "," and point == "usual":
            _check_padded(columns, place, definite)
        return FoundDecimal(sign)
    for name, sign in signs.items():
        if sign == "?" and (example := own[name].example):
            raise DataError(f"{place(example)}: {_describe_doubt(name, example)}", "set {decimal} to . or ,")
    for name, sign in decided.items():
        if sign == "." and point == "likely" and own[name].example and found[name].decide("in doubt") == "?":
            return FoundDecimal(sign, name, own[name].example)
    return FoundDecimal(next(iter(decided.values()), ""))


def _two_signs(columns: Mapping[str, Sequence[str]], names: Sequence[str], place: Callable[[str], str]) -> DataError:
    """Return the error for a column with decimal points and one with decimal commas."""
    first, second = (_example(columns[name], sign) for name, sign in zip(names, ".,", strict=True))
    return DataError(
        f"expected one decimal sign, got {quote_text(first)} ({place(first)}, column '{names[0]}') and "
        f"{quote_text(second)} ({place(second)}, column '{names[1]}')",
        "set {decimal} to one of them",
    )


def _check_padded(columns: Mapping[str, Sequence[str]], place: Callable[[str], str], names: Iterable[str]) -> None:
    """Raise a DataError if all decimal commas of a file with commas between cells follow digits such as 0150."""
    cells = [(name, cell) for name in names for cell in columns[name] if _is_decimal(cell, ",")]
    if not all(_PADDED.match(cell) for _, cell in cells):
        return
    name, cell = cells[0]
    raise DataError(
        f"{place(cell)}: column '{name}': expected numbers with one reading, got {quote_text(cell)}, which may be a "
        "number with a decimal comma, or two values such as a number and a flag",
        "set {decimal} to ,",
        "write the values into separate columns",
    )


def _is_decimal(cell: str, sign: str) -> bool:
    """Return whether a cell can only have one decimal sign."""
    number = parse_number(cell)
    return number is not None and number.evidence == sign


def _example(cells: Sequence[str], sign: str) -> str:
    """Return a cell that implies a decimal sign."""
    return next((cell for cell in cells if _is_decimal(cell, sign)), cells[0])


def _describe_doubt(name: str, example: str) -> str:
    number = parse_number(example)
    assert number is not None
    sign = next(sign for sign in ".," if sign in number.core)
    other = "," if sign == "." else "."
    return (
        f"column '{name}': expected numbers with one reading, got {quote_text(example)}, which is "
        f"{number.value(sign):g} with the decimal sign '{sign}' and {number.value(other):.15g} with '{other}'"
    )


def point_before_evidence(sample: str, layout: TextLayout, columns: Mapping[str, Sequence[str]]) -> Point:
    """Return whether points are decimal signs if no number shows it."""
    has_blanks = any(note.field == "delimiter" for note in layout.notes)
    if _QUOTED_POINT.search(sample):
        return "in doubt"
    if layout.delimiter == "," and not has_blanks:
        return "usual"
    has_local_dates = any(cells and all(map(_LOCAL_DATE.fullmatch, cells)) for cells in columns.values())
    return "in doubt" if has_local_dates else "likely"


def describe_decimal(cells: Mapping[str, Sequence[str]], found: FoundDecimal) -> list[Note]:
    """Return a note about a decimal comma, or a warning about a point that may be a thousands sign."""
    if found.doubt:
        other = parse_number(found.doubt)
        assert other is not None
        reason = (
            f"'{found.doubt}' in column '{found.column}' is {other.value('.'):.15g}; it is {other.value(','):.15g} if "
            "the point is a thousands sign"
        )
        return [Note("decimal", ".", reason, True, "set {decimal} to . or ,")]
    if found.sign != ",":
        return []
    for name, texts in cells.items():
        for text in texts:
            number = parse_number(text)
            if number is not None and number.evidence and number.value(",") is not None:
                return [Note("decimal", ",", f"'{text.strip()}' in column '{name}' is {number.value(','):.15g}")]
    return []


def check_decimal(table: Any, lines: Any) -> None:
    """Raise a DataError if numbers of a table have a decimal comma or two readings, although the first rows have none.

    Args:
        table: Arrow table, whose columns of text may hold numbers.
        lines: Line of each row; None for files that begin with the header.
    """
    texts = {
        name: column for name, column in zip(table.column_names, table.columns, strict=True) if is_text(column.type)
    }
    cells = {
        name: [cell for cell in column.unique().to_pylist() if cell is not None]
        for name, column in texts.items()
        if holds_numbers(spread(column, len(texts)))
    }

    def place(cell: str) -> str:
        rows = [pc.index(texts[name].cast(pa.string()), cell).as_py() for name in cells]
        row = min(row for row in rows if row >= 0)
        return f"line {row + 2 if lines is None else lines[row]}"

    if find_decimal(cells, place, "in doubt").sign == ",":
        raise DataError(
            "expected decimal signs in the first rows as well, got decimal commas after them only",
            "set {decimal} to ,",
        )


def check_thousands(table: Any, names: Sequence[str], lines: Any) -> None:
    """Raise a DataError if points in columns that begin with whole numbers may be thousands signs.

    Args:
        table: Arrow table.
        names: Columns of whole numbers in the first rows of the file.
        lines: Line of each row; None for files that begin with the header.
    """
    for name in names:
        column = table[name]
        if not pa.types.is_floating(column.type):
            continue
        values = column.to_numpy()
        seen = values[np.isfinite(values)]
        fractions = seen[seen != np.round(seen)]
        in_thousands = np.abs(fractions * 1000 - np.round(fractions * 1000)) < 1e-6
        if len(fractions) and in_thousands.all() and (np.abs(fractions) >= 1).all() and np.abs(seen).max() < 1000:
            row = int(np.argmax(values == fractions[0]))
            raise DataError(
                f"line {row + 2 if lines is None else lines[row]}: column '{name}': expected numbers with one reading, "
                f"got {fractions[0]:.3f} after whole numbers, which is {fractions[0] * 1000:.0f} if the point is a "
                "thousands sign",
                "set {decimal} to . or ,",
            )
