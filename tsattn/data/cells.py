"""What stands in the cells of a frame: numbers, labels and stamps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.kinds import coded, is_coded, is_number, is_text
from tsattn.data.place import cell_text, row_name
from tsattn.data.stamps import is_joint, parse
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


def read_stamps(frame: pd.DataFrame, time: tuple[str, ...], form: str, source: str) -> pd.Index:
    """Return the stamps of every row.

    Raises:
        DataError: a stamp is missing or cannot be read.
    """
    stamps, bad = parse(frame[list(time)] if is_joint(form) else frame[time[0]], form)
    if not bad.any():
        return stamps
    row = int(np.argmax(bad))
    cell = " ".join(str(frame[name].iloc[row]) for name in time)
    got = "nothing" if frame[list(time)].iloc[row].isna().any() or not cell.strip() else f"'{cell}'"
    kind = {"integer": "a whole number", "date": "a date such as 2020-12-31"}.get(form, f"a stamp as {form}")
    where = f"{source}: {row_name(source, frame, row)}: column '{'+'.join(time)}'"
    raise DataError(f"{where}: expected {kind} as in the other rows, got {got}: mend the stamp or drop the row")


def labels(column: pd.Series[Any]) -> tuple[Ints, list[str]]:
    """Return a number for what stands in each row of a column (int64 [rows], -1 where it is empty), and the texts."""
    codes, values = pd.factorize(column)
    texts = [label(value) for value in values]
    empty = np.array([not text.strip() for text in texts] + [True])
    return np.where(empty[codes], -1, codes).astype(np.int64), texts


def label(value: Any) -> str:
    """Return an id or category as text; whole numbers without decimals, which gaps in a column give them."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
