"""Lines of text as rows of cells: their delimiter, the kinds of cells, and totals and notes around the rows."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from tsattn._text import quote_text
from tsattn.data.columns import is_missing
from tsattn.data.date_text import month_columns, month_of
from tsattn.data.numbers import parse_number
from tsattn.errors import DataError

BLANKS = "blanks"
"""Delimiter of tables whose columns are separated by any number of blanks."""

FIXED = "fixed width"
"""Delimiter of tables whose columns begin at the same place in each line, with blanks within cells or empty cells."""

DELIMITERS = ",;\t|^~"
"""Delimiters that are tried, in order of preference."""

MAX_TITLES = 5
"""Number of lines in which the months of a series that R prints are looked for."""

MAX_HEAD = 400
"""Number of lines by which a delimiter is chosen."""

_SPLIT_QUOTES = re.compile(r'"[,;\t| ]+"')
"""End and start of cells in quotes, which a wrong delimiter leaves within a cell."""

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", "^": "caret", "~": "tilde", BLANKS: "blanks"}


@dataclass(frozen=True)
class Record:
    """A row of cells, with its first line (from 1) and the line after its last one."""

    cells: list[str]
    line: int
    end: int

    @property
    def is_empty(self) -> bool:
        """Whether all cells are blank."""
        return not any(cell.strip() for cell in self.cells)


def split(lines: Sequence[str], delimiter: str) -> list[Record]:
    """Return the rows of cells of lines.

    Raises:
        DataError: A cell is longer than the csv module allows, because its quotes do not end.
    """
    if delimiter == FIXED:
        first, last = _longest_block(lines)
        columns = _fixed_columns(lines[first:last])
        above, gap = _longest_block(lines[: first - 1])
        if gap == first - 1 and first - above <= MAX_TITLES and len(lines[above:gap]):
            # An empty line, or one of dashes, may follow the header.
            joined = _fixed_columns([*lines[above:gap], *lines[first:last]])
            first, columns = (above, joined) if len(joined) >= len(columns) else (first, columns)
        rows = (
            [line[start:end].strip() for start, end in columns] if first <= number < last else [line.strip()]
            for number, line in enumerate(lines)
        )
        return [Record(cells, number, number + 1) for number, cells in enumerate(rows, start=1) if any(cells)]
    if delimiter == BLANKS:
        reader = csv.reader((line.replace("\t", " ").strip() for line in lines), delimiter=" ", skipinitialspace=True)
    else:
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
    records, line = [], 1
    try:
        for cells in reader:
            records.append(Record(cells, line, reader.line_num + 1))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"line {line}: expected the end of a cell in quotes: {error}") from None
    return [record for record in records if record.cells]


def _longest_block(lines: Sequence[str]) -> tuple[int, int]:
    """Return the first of the most lines without an empty one between them, and the end of these."""
    ends = [-1, *(number for number, line in enumerate(lines) if not line.strip()), len(lines)]
    start, end = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
    return start + 1, end


def _fixed_columns(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return the start and the end of the columns of lines, between which all lines have blanks.

    A part without a name or without cells belongs to the part next to it that one blank separates.
    """
    width = max(map(len, lines), default=0)
    text = "".join(line.ljust(width) for line in lines)
    signs = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).reshape(len(lines), width) != ord(" ")
    edges = np.flatnonzero(np.diff(signs.any(axis=0).astype(np.int8), prepend=0, append=0))
    columns = [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
    number = 0
    while number < len(columns):
        start, end = columns[number]
        cells = signs[:, start:end].any(axis=1)
        left = number > 0 and start - columns[number - 1][1] == 1
        right = number + 1 < len(columns) and columns[number + 1][0] - end == 1
        if (cells[0] and cells[1:].any()) or not (left or right):
            number += 1
            continue
        first = number - left
        columns[first : first + 2] = [(columns[first][0], columns[first + 1][1])]
        number = first
    return columns


def usual_width(records: Sequence[Record]) -> int:
    """Return the most common number of cells of a row, the largest among equals.

    It is above 1 if three rows agree, because notes above a short table may be longer than it.
    """
    counts = Counter(len(record.cells) for record in records if not record.is_empty)
    several = {width: count for width, count in counts.items() if width > 1 and count > 2}
    if several:
        counts = Counter(several)
    return max(counts, key=lambda width: (counts[width], width)) if counts else 1


def data_records(records: list[Record]) -> list[Record]:
    """Return the header and the rows of a file whose first cell is the kind of each line; other records as they are.

    The kinds are those of electricity markets: I or H for a header, D for data, C and T for comments and totals.

    Raises:
        DataError: There are several headers.
    """
    kinds = [record.cells[0].strip() for record in records]
    heads = [number for number, kind in enumerate(kinds) if kind in ("I", "H")]
    if not heads or not set(kinds) <= {"C", "I", "H", "D", "T"} or 2 * kinds.count("D") < len(kinds):
        return records
    first = records[heads[0]]
    tables = [records[number] for number in heads if kinds[number] == "I"]
    if len(tables) > 1:
        raise DataError(
            f"line {tables[1].line}: expected one table, got another header after that in line {first.line}",
            "keep the lines of one table",
        )
    width = len(first.cells)
    return [first, *(row for row, kind in zip(records, kinds, strict=True) if kind == "D" and len(row.cells) == width)]


def pad_periods(records: list[Record]) -> list[Record]:
    """Return records of blanks with empty cells where the first or the last year lacks months or quarters.

    So R prints a series: a header of 12 months or 4 quarters, and rows that begin with the year.
    """
    width = len(records[0].cells) + 1
    rows = records[1:]
    if width not in (5, 13) or len(rows) < 3 or any(len(row.cells) != width for row in rows[1:-1]):
        return records
    if any(not re.fullmatch(r"[12]\d{3}", row.cells[0]) for row in rows):
        return records
    (first, *_, last) = rows
    gaps = [[""] * (width - len(row.cells)) for row in (first, last)]
    if not any(gaps):
        return records
    first = replace(first, cells=[first.cells[0], *gaps[0], *first.cells[1:]])
    last = replace(last, cells=[*last.cells, *gaps[1]])
    return [records[0], first, *rows[1:-1], last]


def choose_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter of lines.

    Raises:
        DataError: Two delimiters fit equally well.
    """
    head = lines[:MAX_HEAD]
    scores = {delimiter: _score(head, delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    other = [name for name in DELIMITERS if name != best and scores[name] > 0.98 * scores[best] > 0]
    if other:
        example = next(line for line in head if best in line and other[0] in line)
        raise DataError(
            f"expected one delimiter, got the {_NAMES[best]} and the {_NAMES[other[0]]} equally often: "
            f"{quote_text(example)}",
            "set {delimiter} to one of them",
        )
    if scores[best] > 0.25:
        return best
    blanks = {delimiter: _score(head, delimiter) for delimiter in (BLANKS, FIXED)}
    if blanks[BLANKS] > 0.4 and any(month_columns(record.cells) for record in split(head[:MAX_TITLES], BLANKS)):
        # R prints a series without the months before its start.
        return BLANKS
    found = max(blanks, key=lambda delimiter: blanks[delimiter])
    return found if blanks[found] > max(scores[best], 0.4) else best


def _score(lines: Sequence[str], delimiter: str) -> float:
    """Return how consistently a delimiter splits lines into rows of equal width with sensible cells, from 0 to 1."""
    records = [record for record in split(lines, delimiter) if not record.is_empty]
    width = usual_width(records)
    rows = [record.cells for record in records if len(record.cells) == width]
    if width < 2 or not rows:
        return 0.0
    if 2 * sum(any(_SPLIT_QUOTES.search(cell) for cell in row) for row in rows) > len(rows):
        return 0.0
    step = max(len(rows) * width // MAX_CELLS, 1)
    cells = [cell for row in rows[::step] for cell in row[:MAX_CELLS]]
    others = DELIMITERS.replace(delimiter, "")
    # Lines before the first row of this width may be notes.
    start = next(number for number, record in enumerate(records) if len(record.cells) == width)
    return (
        len(rows)
        / (len(records) - start)
        * sum(_fit(cell, others) for cell in cells)
        / len(cells)
        * (width - 1)
        / width
    )


def _fit(cell: str, others: str) -> float:
    """Return from 0 to 1 how likely text without a delimiter is one cell, given the other delimiters."""
    # ~150 is about 150.
    cell = cell.removeprefix("~")
    if any(sign in cell for sign in others if sign != ","):
        return 0.0
    return 1.0 if "," not in others or "," not in cell or cell_kind(cell) in ("number", "date") else 0.5


MAX_CELLS = 4000
"""Number of cells by which the kinds of columns are found; more if a row has more."""

_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?|(?:19|20)\d{6}[T: ]\d{4}(?:\d\d)?Z?|\d{4}[-/]\d{1,2}|\d{1,2}/\d{4}|"
    r"\d{1,2}:\d\d(?::\d\d.*)?(?: ?[ap]\.?m\.?)?"
    r"|\d{4}[- ]?(?:[KQTWM]|MM)\d+|\d{4} ?[年년] ?\d{1,2} ?[月월].*"
    r"|(?:[QTW]|KW ?)\d+[- /]\d{2,4}|[1-4]Q[- ']?\d\d(?:\d\d)?|\d\dQ[1-4]",
    re.IGNORECASE,
)
TOTAL = re.compile(
    r"(?:grand |sub-?)?(?:totals?|sum|summe|gesamt(?:summe)?|insgesamt|somme|totale|suma|mean|average|avg|mittelwert|"
    r"durchschnitt|moyenne|media|median|min|max)\b.*",
    re.IGNORECASE,
)
"""Name of a row or column that adds up others."""

_MONTH = re.compile(r"(?:0[1-9]|1[0-2])\.(?:19|20)\d\d|(?:19|20)\d\d\.(?:0[1-9]|1[0-2])")
_PLAIN = re.compile(r"[+-]?\d+(?:[.,]\d+)?")

DATE_NUMBER = re.compile(r"(?:1[89]|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])?")
"""Date written as a whole number, such as 20201231 or 202012."""

MAX_WORDS = 7
"""Number of words of a date with a day of the week and the name of a time zone; sentences have more."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_AFTER = re.compile(r"[\s.,'/_-]{0,3}(?:(?:de|of|del|FY) )?\d", re.IGNORECASE)
_BEFORE = re.compile(r"\d(?:st|nd|rd|th|er|º|ª)?[\s.,'/_-]{0,3}(?:(?:de|of|del) )?$")

CellKind = Literal["empty", "number", "date", "text"]


def cell_kind(cell: str) -> CellKind:
    """Return the kind of a cell."""
    if _PLAIN.fullmatch(cell):
        return "date" if _MONTH.fullmatch(cell) else "number"
    if is_missing(cell):
        return "empty"
    text = cell.strip()
    if _DATE.fullmatch(text):
        return "date"
    words = list(_WORD.finditer(text))
    if len(words) <= MAX_WORDS and any(_is_next_to_number(text, word) and month_of(word[0]) for word in words):
        return "date"
    number = parse_number(text)
    return "number" if number and (number.value(".") is not None or number.value(",") is not None) else "text"


def _is_next_to_number(text: str, word: re.Match[str]) -> bool:
    """Return whether a word, such as the name of a month, follows or precedes a number of a day or a year."""
    return bool(_AFTER.match(text, word.end()) or _BEFORE.search(text[max(word.start() - 12, 0) : word.start()]))


def column_kinds(rows: Sequence[Sequence[str]]) -> list[CellKind]:
    """Return the kind of most cells of each column, without the first rows, which may be a header; else "text"."""
    rows = rows[min(len(rows) // 2, 10) :]
    if not rows:
        return []
    step = max(len(rows) * len(rows[0]) // MAX_CELLS, 1)
    kinds: list[CellKind] = []
    for column in zip(*rows[::step], strict=True):
        counts = Counter(cell_kind(cell) for cell in column)
        empty = counts.pop("empty", 0)
        kind, count = counts.most_common(1)[0] if counts else ("empty", empty)
        kinds.append(kind if count >= 0.7 * (len(column) - empty) else "text")
    return kinds


def holds_date(record: Record, places: Sequence[int]) -> bool:
    """Return whether a cell of a record at one of some places is a date."""
    return any(cell_kind(record.cells[place]) == "date" for place in places if place < len(record.cells))


def is_footer(cells: Sequence[str], kinds: Sequence[CellKind], width: int) -> bool:
    """Return whether a row is no data: a total, or text of another width where the table has dates or numbers."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled:
        return True
    pairs = [(cell_kind(cell), kind) for cell, kind in zip(cells, kinds, strict=False) if kind in ("number", "date")]
    misfits = [kind for kind, expected in pairs if kind not in (expected, "empty")]
    if 1 < len(filled) <= len(cells) < width and misfits in ([], [kind for kind, _ in pairs[-1:]]):
        # A row that is cut.
        return False
    if len(cells) != width:
        return bool(misfits) or (len(filled) == 1 and cell_kind(filled[0]) == "text")
    dates = [cells[number] for number, kind in enumerate(kinds) if kind == "date"]
    dated = any(cell_kind(cell) == "date" for cell in dates) if dates else not misfits
    is_note = bool(dates or misfits) and len(filled) == 1 < width and cell_kind(filled[0]) == "text"
    return not dated and (is_note or any(TOTAL.fullmatch(cell) for cell in filled))


def is_leading_total(records: Sequence[Record], kinds: Sequence[CellKind]) -> bool:
    """Return whether the first row has no date and adds up the other rows, by its name or, without one, its numbers."""
    cells = [cell.strip() for cell in records[0].cells]
    dates = [number for number, kind in enumerate(kinds) if kind == "date"]
    if not dates or len(cells) != len(kinds) or holds_date(records[0], dates):
        return False
    if any(cells[number] for number in dates):
        return any(re.search(r"\b(?:total|sum|summe|gesamt)\b", cells[number], re.IGNORECASE) for number in dates)
    numbers = [number for number, kind in enumerate(kinds) if kind == "number"]
    columns = [
        [_to_float(record.cells[number]) for record in records if len(record.cells) > number] for number in numbers
    ]
    return any(math.isclose(column[0], sum(column[1:]), rel_tol=1e-3) for column in columns if column[0])


def _to_float(cell: str) -> float:
    number = parse_number(cell)
    return 0.0 if number is None else number.value(".") or 0.0
