"""What kind of thing a column of a frame holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

LARGEST = 2.0**53
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
    return len(seen) > 0 and bool((seen == np.round(seen)).all() and np.abs(seen).max() < LARGEST)
