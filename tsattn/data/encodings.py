"""Encodings of text: which one it is, and whether its letters look wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_text
from tsattn.data.conversion import distinct_texts, is_text
from tsattn.data.table import Note

FALLBACK = "Windows-1252"
"""Encoding of text that is not UTF-8; spreadsheets in Western Europe and America write it."""

MAX_WORDS = 500
"""Number of distinct words with other letters than English ones by which an encoding is recognized."""

_WESTERN = ("äöüß", "àâçéèêëîïôûùüÿœæ", "áéíóúüñ", "àèéìíòóù", "áâãàçéêíóôõúü", "åäöæøé", "ëïéèöüáó")
"""Letters of German, French, Spanish, Italian, Portuguese, the Scandinavian languages and Dutch."""

_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîșțşţ", "čćđšž", "äöüß")
"""Letters of Polish, Czech, Slovak, Hungarian, Romanian, Croatian and German."""

_LETTERS: dict[str, tuple[str, ...]] = {
    FALLBACK: _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859-2": _CENTRAL,
    "cp1251": ("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґ",),
    "koi8-r": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё",),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
    "cp1254": ("çğ\u0131i\u0307öşüâîû",),
    "cp1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "cp1256": ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگ",),
    "mac-roman": _WESTERN,
    "cp850": _WESTERN,
}
"""Letters of the languages that encodings of one byte per letter are for."""

_COMMON = {
    "cp932": rb"[\x82\x83][\x40-\xfc]|[\x88-\x9f\xe0-\xea][\x40-\xfc]|\x81[\x40-\xfc]",
    "euc_jp": rb"[\xa4\xa5][\xa1-\xf6]|[\xb0-\xcf][\xa1-\xfe]|\xa1[\xa1-\xfe]",
    "gb18030": rb"[\xb0-\xd7][\xa1-\xfe]",
    "big5": rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]",
    "cp949": rb"[\xb0-\xc8][\xa1-\xfe]",
}
"""Bytes of the usual letters in encodings of two bytes per letter."""

_SIGNS = frozenset("€£§°²³µ\u2013—\u2019\u2018“”„•…«»±\u00d7½¼ªº·©®™¡¿\u00a0\u00ad")
"""Signs that text has besides letters."""

_INNER = "".join(sorted(_SIGNS - set("\u2019\u2013²³\u00a0\u00ad")))
_MISPLACED = re.compile(rf"[^\W\d_][{_INNER}][^\W\d_]|\b[ъьы]|ς\B|[ךםןףץ]\B")
"""Signs within words, and letters where they do not occur."""

_ENCLOSED = re.compile(r"[A-Za-z][^\x00-\x7f]+[A-Za-z]")
_OTHER_ALPHABET = re.compile("[\u0370-\u06ff]")
_DOUBLE = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]+")
_SINGLE = re.compile("[\u00a0-\u017f\u0370-\u04ff\u2010-\u203a\u20ac]")
_WORDS = re.compile(rb"[^\x00-\x26\x28-\x2f\x3a-\x3f]+")


def guess_utf16(data: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte order mark, in which one half of digits and line ends is zero."""
    if len(data) < 2:
        return None
    zero = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.uint8).reshape(-1, 2) == 0
    low, high = zero.mean(axis=0)
    if min(low, high) > 0.05 or max(low, high) < 0.3:
        return None
    return "UTF-16-LE" if high > low else "UTF-16-BE"


def guess_encoding(data: bytes) -> str:
    """Return the only encoding in which the words of bytes that are not UTF-8 have the letters of a language.

    It is `FALLBACK` if that or none or several others fit.
    """
    words = {word for word in _WORDS.findall(data) if not word.isascii()}
    fitting = [FALLBACK] if _fits(words, FALLBACK) else _fitting(words)
    return fitting[0] if len(fitting) == 1 else FALLBACK


def _fitting(words: Iterable[bytes]) -> list[str]:
    """Return the encodings other than `FALLBACK` that fit, without those that give the same text."""
    sample = sorted(words)[:MAX_WORDS]
    found: dict[str, str] = {}
    for encoding in (*_LETTERS, *_COMMON):
        if encoding != FALLBACK and sample and _fits(sample, encoding):
            found.setdefault("\n".join(str(word, encoding) for word in sample), encoding)
    # Signs alone, such as those of units, are no evidence.
    return [encoding for text, encoding in found.items() if any(not char.isascii() and char.isalpha() for char in text)]


def _fits(words: Iterable[bytes], encoding: str) -> bool:
    """Return whether each word has usual letters of one language of an encoding, with capitals at its start or only."""
    sample = sorted(words)[:MAX_WORDS]
    try:
        texts = [str(word, encoding) for word in sample]
    except UnicodeDecodeError:
        return False
    if encoding in _COMMON:
        pattern = re.compile(rb"(?:[\x21-\x7e]|%b)+" % _COMMON[encoding])
        return all(map(pattern.fullmatch, sample)) and not any(map(_ENCLOSED.search, texts))
    return all(_is_word(text, encoding) for text in texts)


@cache
def _is_word(text: str, encoding: str) -> bool:
    """Return whether a word has letters of one language, with capitals at its start or only."""
    if _MISPLACED.search(text) or any(a.islower() and b.isupper() for a, b in pairwise(text)):
        return False
    letters = {letter for sign in text if not sign.isascii() and sign not in _SIGNS for letter in sign.lower()}
    if re.search("[A-Za-z]", text) and any(map(_OTHER_ALPHABET.match, letters)):
        return False
    return any(letters <= set(language) for language in _LETTERS[encoding])


def describe_encoding(encoding: str, table: Any, *, is_given: bool) -> Note:
    """Return a note about an encoding other than UTF-8, a warning if it was guessed or its letters look wrong."""
    if is_given:
        return Note("encoding", encoding, "it was given")
    texts = [distinct_texts(column) for column in table.columns if is_text(column.type)]
    cells = [cell for column in texts for cell in column.filter(pc.match_substring_regex(column, r"[^\x00-\x7f]"))]
    text = "\n".join([*table.column_names, *(cell.as_py() for cell in cells)])
    words = [word for word in re.findall(r"[^\s,;|\"()/]+", text) if not word.isascii()]
    example = f" in words such as {quote_text(words[0])}" if words else ""
    wrong = [word for word in words if encoding == FALLBACK and not _is_word(word, FALLBACK)]
    if wrong:
        raw = {word.encode(FALLBACK, errors="replace") for word in words}
        first = wrong[0].encode(FALLBACK, errors="replace")
        others = [f"{quote_text(str(first, name))} by {name}" for name in _fitting(raw)]
        reason = f"letters such as {quote_text(wrong[0])} are not of its languages, so names are wrong"
        reason += f"; it may be {', '.join(others)}" if others else ""
        return Note("encoding", encoding, reason, True, "set {encoding} or save it as UTF-8")
    if words and encoding in (*_LETTERS, *_COMMON) and encoding != FALLBACK:
        return Note(
            "encoding", encoding, f"it is found by letters{example}", True, "set {encoding} or save it as UTF-8"
        )
    return Note("encoding", encoding, f"the file is not UTF-8; if letters{example} are wrong, save it as UTF-8")


def find_double(table: Any) -> list[Note]:
    """Return a warning if letters of UTF-8 text in a table were encoded twice, such as Ã¼ for ü.

    Of columns whose text is mostly distinct, the first rows are looked at.
    """
    columns = [column for column in table.columns if is_text(column.type)]
    heads = [column if pa.types.is_dictionary(column.type) else column.slice(0, 10_000) for column in columns]
    cells = [cell or "" for head in heads for cell in distinct_texts(head).to_pylist()]
    for found in dict.fromkeys(_DOUBLE.findall("\n".join([*table.column_names, *cells]))):
        for encoding in ("cp1252", "latin-1"):
            try:
                letters = str(found.encode(encoding), "utf-8")
            except UnicodeError:
                continue
            if all(map(_SINGLE.fullmatch, letters)):
                reason = f"{quote_text(found)} may be {quote_text(letters)}, encoded twice, so names are wrong"
                return [Note("encoding", "UTF-8", reason, True, "save it as UTF-8 once")]
    return []
