"""Encodings of text: which one it is, and whether its letters look wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_text
from tsattn.data.conversion import is_text
from tsattn.data.notes import Note

FALLBACK = "Windows-1252"
"""Encoding of text that is not UTF-8; spreadsheets in Western Europe and America write it."""

_FOREIGN = re.compile(
    "[a-z\u00df-\u00ff][\u00c0-\u00d6\u00d8-\u00dd\u0160\u017d\u0178]|[A-Z][\u0160\u017d\u0178][a-z]"
    "|[^\\W\\d_][\u201a-\u2122\u02c6\u02dc\u00a2-\u00ac\u00ae\u00af\u00b1\u00b4-\u00b6\u00b8\u00b9\u00bb-\u00be][^\\W\\d_]"
    "|[^\\W\\d_][\u00a1\u00a8\u00b4\u00b8\u00b9\u00bf\u0192\u201a\u201e\u02c6]"
)
"""Letters and signs that do not follow each other in text that is Windows-1252."""


def guess_utf16(data: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte order mark, in which one half of digits and line ends is zero."""
    if len(data) < 2:
        return None
    zero = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.uint8).reshape(-1, 2) == 0
    low, high = zero.mean(axis=0)
    if min(low, high) > 0.05 or max(low, high) < 0.3:
        return None
    return "UTF-16-LE" if high > low else "UTF-16-BE"


def describe_encoding(encoding: str, table: Any) -> Note:
    """Return a note about an encoding other than UTF-8, a warning if the text is of another alphabet."""
    texts = [column.unique().cast(pa.string()) for column in table.columns if is_text(column.type)]
    cells = [cell for column in texts for cell in column.filter(pc.match_substring_regex(column, r"[^\x00-\x7f]"))]
    text = "\n".join([*table.column_names, *(cell.as_py() for cell in cells)])
    words = re.findall(r"[^\s,;|\"]*[^\x00-\x7f][^\s,;|\"]*", text)
    if encoding == FALLBACK and words:
        letters = re.findall(r"[\x80-\xff\u0152-\u2122]+", text)
        is_other = 2 * sum(len(run) for run in letters if len(run) > 2) > sum(map(len, letters))
        wrong = max(letters, key=len) if is_other else next(filter(_FOREIGN.search, words), None)
        if wrong is not None:
            reason = f"letters such as {quote_text(wrong)} are not of its languages, so names are wrong"
            return Note("encoding", encoding, reason, True, "save it as UTF-8")
    example = f" in words such as {quote_text(words[0])}" if words else ""
    return Note("encoding", encoding, f"the file is not UTF-8; if letters{example} are wrong, save it as UTF-8")
