"""Types and values of single columns; `tsattn.data.table.Column` computes them once per column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.timeseries.grid import iter_blocks
from tsattn.timeseries.ragged import Doubles, Ints

Bools = npt.NDArray[np.bool_]

MISSING_MARKS = frozenset(
    re.split(
        " ",
        "- -- --- \u2013 \u2014 . .. ... : * ** *** ? / n/a n/e n.a. n.a na nan null none nil nd n.d. n.d k.a. k.a "
        "s.d. (null) \\n <na> #n/a #na #null! #div/0! #value! #ref! #name? #num! #nv #wert! #bezug! #zahl! #n/d "
        "#valeur! #valor! unavailable unknown missing",
    )
)
"""Text, in lower case, that marks a missing number."""

ID_NAMES = ("unique_id", "id", "item_id", "series_id", "series", "item", "store", "sku", "sensor", "station")
"""Usual names of id columns, in order of preference."""

_ID_WORDS = frozenset((*ID_NAMES, "product", "node", "key", "name", "group", "code", "region", "dept", "nr", "phone"))
_ID_WORDS |= {"shop", "site", "location", "customer", "user", "account", "country", "city", "meter", "device"}
_ID_WORDS |= {"version", "release", "barcode", "ean", "gtin", "upc", "plu", "article", "artikel", "filiale", "kunde"}

ID_NUMBER = r"0\d+|\d+[eE]\d+|\d{20,}"
"""Whole numbers that are identifiers: 007, 12E4, which programs write as 12E+4 if it is a number, and long ones."""

MAX_VALUE = float(np.finfo(np.float32).max)
"""Largest number that a panel can hold."""

MAX_INTEGER = 2.0**53
"""Whole numbers below it are exact as float64."""


Kind = Literal["number", "bool", "date", "text", "other"]
"""Type of a column; "date" are pandas datetimes."""


def kind_of(column: pd.Series[Any]) -> Kind:
    """Return the type of a column."""
    return _kind_of_dtype(column.cat.categories.dtype if is_categorical(column) else column.dtype)


@cache
def _kind_of_dtype(dtype: Any) -> Kind:
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "date"
    return "text" if pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype) else "other"


def is_categorical(column: pd.Series[Any]) -> bool:
    """Return whether a column holds repeated text as codes of a dictionary."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def is_whole(column: pd.Series[Any]) -> bool:
    """Return whether a column holds only whole numbers and missing values."""
    if kind_of(column) != "number":
        return False
    if pd.api.types.is_integer_dtype(column.dtype):
        return bool(column.notna().any())
    # The first values are often enough.
    for part in (column.iloc[:1000], column):
        values = part.to_numpy(dtype=np.float64, na_value=np.nan)
        values = values[np.isfinite(values)]
        if not (values == np.round(values)).all():
            return False
    return len(values) > 0 and bool(np.abs(values).max() < MAX_INTEGER)


def has_id_name(name: str) -> bool:
    """Return whether a word in the name of a column is usual for ids."""
    lower = name.lower()
    return bool(_ID_WORDS.intersection((*re.split(r"[^a-z0-9]+", lower), lower)))


def unique_texts(column: pd.Series[Any]) -> tuple[pd.Series[Any], Ints]:
    """Return the categories of a categorical column, with a missing one last, and the index of each row's category."""
    texts = pd.Series([*column.cat.categories, None], dtype="str")
    return texts, np.asarray(column.cat.codes, dtype=np.int64)


def find_duplicate(names: Iterable[str]) -> str | None:
    """Return the first name that occurs twice, if any."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def is_missing(text: str, marks: Iterable[str] = ()) -> bool:
    """Return whether a cell is empty or marks a missing value."""
    stripped = text.strip()
    return not stripped or stripped.lower() in MISSING_MARKS or stripped in marks


def _are_missing(column: pd.Series[Any]) -> Bools:
    """Return which cells of a column of text are empty or mark missing values."""
    texts = column.str.strip().str.lower()
    return np.asarray(column.isna() | (texts == "") | texts.isin(MISSING_MARKS), dtype=np.bool_)


def parse_numbers(column: pd.Series[Any]) -> tuple[Doubles, Bools]:
    """Return a column of numbers, booleans or text as float64, and which cells are not finite numbers.

    Empty cells are NaN. Cells that are not finite numbers are 0.
    """
    if is_categorical(column):
        texts, rows = unique_texts(column)
        numbers, invalid_texts = parse_numbers(texts)
        return numbers[rows], invalid_texts[rows]
    if kind_of(column) == "text":
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        invalid = np.isnan(values)
        invalid[invalid] = ~_are_missing(column[invalid].astype("str"))
    else:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        invalid = np.zeros(len(values), dtype=bool)
    if max(np.fmax.reduce(values, initial=0), -np.fmin.reduce(values, initial=0)) > MAX_VALUE:
        invalid |= np.abs(values) > MAX_VALUE
    if invalid.any():
        values = np.where(invalid, 0, values)
    return values, invalid


def to_numbers(frame: pd.DataFrame) -> Doubles:
    """Return the cells of a frame as float64; NaN for those that are no numbers."""
    are_numbers = all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes.unique())
    numbers = frame if are_numbers else frame.apply(pd.to_numeric, errors="coerce")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def numeric_fraction(column: pd.Series[Any]) -> float:
    """Return the fraction of non-empty cells of a text column that are numbers; 0 with identifiers such as 007."""
    if is_categorical(column):
        texts, rows = unique_texts(column)
        column = texts.iloc[np.unique(rows)]
    texts = column.astype("str")
    filled = texts[~_are_missing(texts)]
    if filled.empty or filled.str.fullmatch(ID_NUMBER).any():
        return 0.0
    return float(pd.to_numeric(filled, errors="coerce").notna().mean())


def is_padded(column: pd.Series[Any]) -> bool:
    """Return whether a text column holds whole numbers of one width of up to three digits, such as 03 and 12."""
    cells = column.cat.categories.to_series() if is_categorical(column) else column
    filled = cells[cells.notna() & (cells != "")].astype(str)
    width = filled.str.len()
    return len(filled.unique()) > 2 and bool(filled.str.fullmatch(r"\d{2,3}").all()) and width.min() == width.max()


def encode(column: pd.Series[Any]) -> tuple[Ints, list[str]]:
    """Return integer codes of the values of a column (int64 [rows], -1 for empty cells), and the values as text."""
    codes, values = pd.factorize(column)
    texts = [to_label(value) for value in values]
    empty = np.array([not text.strip() for text in texts] + [True])
    return np.where(empty[codes], -1, codes).astype(np.int64), texts


def to_label(value: Any) -> str:
    """Return an id or category as text; whole numbers, which gaps turn into floats, without decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def factorize(column: pd.Series[Any]) -> tuple[npt.NDArray[Any], Any]:
    """Return `pandas.factorize` of a column, without work where its categories are sorted by first appearance."""
    if is_categorical(column):
        codes = np.asarray(column.cat.codes)
        steps = (np.diff(codes[block]) for block in iter_blocks(len(codes), 1))
        if codes[0] == 0 and all(((step == 0) | (step == 1)).all() for step in steps):
            return codes, column.cat.categories[: int(codes[-1]) + 1]
    return pd.factorize(column)
