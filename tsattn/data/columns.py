"""What stands in the cells of a frame: numbers, labels and stamps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import cell_text
from tsattn.data.locations import row_name
from tsattn.errors import DataError

Ints = npt.NDArray[np.int64]

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""Text that stands for a missing number."""

LARGEST = float(np.finfo(np.float32).max)
"""Largest number that a panel holds."""


def numbers(frame: pd.DataFrame, name: str, source: str) -> npt.NDArray[np.float32]:
    """Return a column as float32, NaN where it is empty.

    Raises:
        DataError: a cell is no finite number; the message names its row and what stands there.
    """
    column = frame[name]
    if is_number(column) or pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        largest = max(np.fmax.reduce(values, initial=0), -np.fmin.reduce(values, initial=0))
        bad = np.abs(values) > LARGEST if largest > LARGEST else np.zeros(1, dtype=bool)
    elif is_coded(column):
        texts, rows = coded(column)
        try:
            return numbers(pd.DataFrame({name: texts}), name, source)[rows]
        except DataError:
            # Once more, to name the row.
            return numbers(pd.DataFrame({name: column.astype("str")}, index=frame.index), name, source)
    elif is_text(column):
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = (np.isnan(values) & ~(column.isna() | column.isin(MISSING)).to_numpy()) | (np.abs(values) > LARGEST)
    else:
        raise DataError(f"{source}: column '{name}': expected numbers, got dates: name other columns by --target")
    if bad.any():
        row = int(np.argmax(bad))
        where = f"{source}: {row_name(source, frame, row)}: column '{name}'"
        raise DataError(
            f"{where}: expected a number, got {cell_text(column.iloc[row])}: write it as 1034.5 or leave it out"
        )
    return values.astype(np.float32)


def labels(column: pd.Series[Any]) -> tuple[Ints, list[str]]:
    """Return a number for what stands in each row of a column (int64 [rows], -1 where it is empty), and the texts."""
    codes, values = pd.factorize(column)
    texts = [label(value) for value in values]
    empty = np.array([not text.strip() for text in texts] + [True])
    return np.where(empty[codes], -1, codes).astype(np.int64), texts


def label(value: Any) -> str:
    """Return an id or category as text; whole numbers without decimals, which gaps in a column give them."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


LARGEST_KINDS = 2.0**53
"""Largest whole number that is surely one: beyond it, floats skip some."""


def is_text(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds text."""
    kind = column.cat.categories.dtype if is_coded(column) else column.dtype
    return bool(pd.api.types.is_string_dtype(kind) or pd.api.types.is_object_dtype(kind))


def is_coded(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds text that comes again and again as the numbers of a dictionary."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def coded(column: pd.Series[Any]) -> tuple[pd.Series[Any], npt.NDArray[np.int64]]:
    """Return the different texts of a coded column, a missing one last, and which one stands in each row."""
    texts = pd.Series([*column.cat.categories, None], dtype="str")
    return texts, np.asarray(column.cat.codes, dtype=np.int64)


def is_date(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds dates as pandas knows them."""
    return bool(pd.api.types.is_datetime64_any_dtype(column.dtype))


def is_number(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds numbers; true and false are none."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype))


def is_whole(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds whole numbers only, missing ones aside."""
    if not is_number(column):
        return False
    if pd.api.types.is_integer_dtype(column.dtype):
        return bool(column.notna().any())
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    seen = values[np.isfinite(values)]
    return len(seen) > 0 and bool((seen == np.round(seen)).all() and np.abs(seen).max() < LARGEST_KINDS)
