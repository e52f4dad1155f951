"""Kinds of cells of text: numbers, dates and words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from tsattn.data.columns import is_missing
from tsattn.data.date_text import month_of
from tsattn.data.numbers import parse_number

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
