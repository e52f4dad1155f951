"""What stands in the cells of a frame: numbers, labels and stamps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import cell_text
from tsattn.data.locations import row_name
from tsattn.errors import DataError
from tsattn.timeseries.panel import Covariates, Panel, Static
from tsattn.timeseries.schema import Schema

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


Floats = npt.NDArray[np.float32]


def features(frame: pd.DataFrame, name: str, schema: Schema, source: str) -> list[Floats]:
    """Return the features of one column, [rows] each, as `Schema.features_of` names them.

    Where a cell is empty or its category unknown to the schema, all indicators are 0.

    Raises:
        DataError: a cell of a column of numbers is no finite number.
    """
    if name not in schema.categories:
        return [numbers(frame, name, source)]
    codes, texts = labels(frame[name])
    place = {text: number for number, text in enumerate(schema.categories[name])}
    known = np.append([place.get(text, -1) for text in texts], -1)[codes]
    return [(known == number).astype(np.float32) for number in range(len(place))]


def split_covariates(panel: Panel, schema: Schema) -> Panel:
    """Return a panel whose columns behind the targets are covariates with these apart.

    Where features are known ahead, a series ends with its last observed value, and they go on behind it; one without
    any has no steps, and its forecast begins with its first row.
    """
    width = len(schema.targets)
    if not schema.covariates:
        return panel
    names = [[feature for name in group for feature in schema.features_of(name)] for group in _groups(schema)]
    known = Covariates(panel.values[:, width:], panel.offsets, (*names[0], *names[1]), len(names[0]))
    values, lengths = panel.values[:, :width], panel.lengths
    if schema.future_covariates:
        step = np.arange(len(values)) - np.repeat(panel.offsets[:-1], lengths)
        seen = np.where(np.isfinite(values).any(axis=1), step + 1, 0)
        lengths = np.maximum.reduceat(seen, panel.offsets[:-1])
        values = values[step < np.repeat(lengths, panel.lengths)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(panel, values=values, offsets=offsets, covariates=known)


def _groups(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return schema.future_covariates, schema.past_covariates


def read_static(frame: pd.DataFrame, codes: Ints, schema: Schema, source: str) -> tuple[Static, ...]:
    """Return the static covariates of every series.

    Args:
        frame: its rows.
        codes: the series of every row, int64 [rows].
        schema: how it is read.
        source: what messages call the frame.

    Raises:
        DataError: a column holds two values in one series, or a cell of a column of numbers is no number.
    """
    return tuple(_static(frame, name, codes, schema, source) for name in schema.static_covariates)


def _static(frame: pd.DataFrame, name: str, codes: Ints, schema: Schema, source: str) -> Static:
    count = int(codes.max()) + 1
    if name in schema.categories:
        found, texts = labels(frame[name])
        seen = found >= 0
    else:
        values = numbers(frame, name, source)
        seen = np.isfinite(values)
        found, levels = pd.factorize(values)
    rows = np.flatnonzero(seen)
    first = np.full(count, len(frame), dtype=np.int64)
    np.minimum.at(first, codes[rows], rows)
    filled = first < len(frame)
    value = np.where(filled, found[np.minimum(first, len(frame) - 1)], -1)
    other = seen & (found != value[codes])
    if other.any():
        row = int(np.argmax(other))
        before = int(first[codes[row]])
        raise DataError(
            f"{source}: {row_name(source, frame, row)}: column '{name}': expected one value for the whole series, got "
            f"{cell_text(label(frame[name].iloc[row]))} after {cell_text(label(frame[name].iloc[before]))}: "
            "what changes is a past or future covariate"
        )
    if name in schema.categories:
        return Static(name, value, tuple(texts))
    return Static(name, np.append(levels, np.nan).astype(np.float32)[value])


def seen_categories(schema: Schema, panel: Panel, hold_out: int) -> Schema:
    """Return a schema that knows the categories alone that occur before the last ``hold_out`` steps of the series."""
    if not schema.categories:
        return schema
    panel = panel.head(hold_out).without_empty()
    categories = dict(schema.categories)
    for static in panel.static:
        if static.labels is not None:
            occurring = np.unique(static.values[static.values >= 0])
            categories[static.name] = tuple(sorted(static.labels[int(code)] for code in occurring))
    if panel.covariates is not None:
        some = np.any(panel.covariates.within(panel.lengths) > 0, axis=0).tolist()
        occurring_features = {name for name, found in zip(panel.covariates.names, some, strict=True) if found}
        for name in schema.covariates:
            if name in categories:
                pairs = zip(categories[name], schema.features_of(name), strict=True)
                categories[name] = tuple(value for value, feature in pairs if feature in occurring_features)
    return schema.model_copy(update={"categories": categories})
