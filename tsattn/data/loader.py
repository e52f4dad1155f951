"""From a file or a frame to series, in one call."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol, Union

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.config import DataConfig
from tsattn.data.files import read, stem
from tsattn.data.frequency import infer_freq
from tsattn.data.inference import infer
from tsattn.data.locations import FILE, FRAME
from tsattn.data.panel_builder import months_as_rows, series_codes, to_panel
from tsattn.data.roles import date_form
from tsattn.data.timestamps import read_stamps
from tsattn.errors import DataError
from tsattn.timeseries.calendar import with_calendar
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema


class Convertible(Protocol):
    """A frame of another library, such as polars."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the frame as pandas has it."""
        ...


Frame = Union[pd.DataFrame, Convertible, "pd.Series[Any]", npt.NDArray[Any]]
"""What holds series in memory; an array has a step a row and a series a column."""


def load(
    source: Path | str | Frame,
    config: DataConfig | None = None,
    schema: Schema | None = None,
    *,
    covariates: bool = True,
) -> tuple[Panel, Schema]:
    """Read series from CSV or Parquet files, or from a frame.

    Args:
        source: a file, a folder, a pattern such as ``data/*.csv`` or "-" for standard input, see
            `tsattn.data.read`; or a frame of pandas, whose stamps are a column or the index, or of polars; or an
            array, a step a row and a series a column.
        config: what is known about the data; the rest is inferred. Not used with ``schema``.
        schema: how earlier data were read. New data are read in the same way; they may hold other series,
            stamps and further columns.
        covariates: whether all columns of ``schema`` that are covariates have to be there.

    Returns:
        the series, and the schema that they were read by.

    Raises:
        DataError: the data cannot be read as series, or do not fit ``schema``; the message says where and
            why.
    """
    frame, name = read_any(source)
    if schema is None:
        panel, schema = infer(frame, config or DataConfig(), name)[::-1]
        return panel, schema
    if FILE in schema.id and FILE not in frame.columns and isinstance(source, (str, Path)):
        frame = frame.assign(**{FILE: stem(name)})
    return load_frame(frame, schema, name, covariates=covariates)


def load_frame(frame: pd.DataFrame, schema: Schema, source: str, *, covariates: bool = True) -> tuple[Panel, Schema]:
    """Read series by a schema from a frame as `tsattn.data.read_frame` gives it.

    Args:
        frame: its rows.
        schema: how it is read.
        source: what messages call the frame.
        covariates: whether all columns of ``schema`` that are covariates have to be there.

    Returns:
        the series, and the schema without the covariates that are not there.

    Raises:
        DataError: the frame does not fit ``schema``; the message says where and why.
    """
    if not len(frame):
        raise DataError(f"{source}: expected rows of data, got none")
    if schema.layout == "months":
        months = months_as_rows(frame)
        if months is None:
            raise DataError(
                f"{source}: expected a row for each year and a column for each month, as in the data before"
            )
        frame = months
    if not covariates:
        schema = schema.having(frame.columns)
    _check_frequency(frame, schema, source)
    return with_calendar(to_panel(frame, schema, source), schema), schema


def read_any(source: Path | str | Frame) -> tuple[pd.DataFrame, str]:
    """Return any source of `load` as a plain frame, and what messages call it."""
    if isinstance(source, (str, Path)):
        return read(source)
    if isinstance(source, np.ndarray):
        return _of_array(source), FRAME
    whole: Any = source
    if isinstance(source, pd.Series):
        whole = source.to_frame("y" if source.name is None else source.name)
    elif not isinstance(source, pd.DataFrame) and hasattr(source, "to_pandas"):
        whole = source.to_pandas()
    if not isinstance(whole, pd.DataFrame):
        sparse = ", for sparse data are not supported" if hasattr(whole, "toarray") else ""
        raise DataError(
            f"expected a file or a frame of pandas or polars, or an array of numbers{sparse}. "
            f"Received: {type(source).__name__}"
        )
    return _flat(whole), FRAME


def _of_array(values: npt.NDArray[Any]) -> pd.DataFrame:
    """Return an array, a step a row and a series a column, as wide data."""
    if values.dtype.kind == "c":
        raise DataError("Complex data not supported: expected an array of real numbers")
    if values.dtype.kind == "V":
        raise DataError("expected an array of numbers. Received: records: make them a frame, by pandas.DataFrame")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype("float64"), np.nan)
    if values.ndim not in (1, 2):
        raise DataError(
            f"expected an array of steps, or of steps x series: reshape your data. Received: {values.shape}"
        )
    if not values.size:
        empty = "0 feature(s)" if len(values) else "0 sample(s)"
        raise DataError(
            f"expected an array of steps x series, got {empty} (shape={values.shape}) while a minimum of 1 is required."
        )
    columns = np.array(values).reshape(len(values), -1)
    names = ["y"] if columns.shape[1] == 1 else [f"y{number + 1}" for number in range(columns.shape[1])]
    return pd.DataFrame(columns, columns=names).infer_objects()


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with text column names, whose stamps and ids are columns and no index."""
    frame = _with_index(frame)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for name in frame.columns[frame.columns.duplicated()]:
        raise DataError(f"{FRAME}: expected each column name once, but '{name}' stands there twice")
    changed = {}
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.PeriodDtype):
            changed[name] = frame[name].dt.to_timestamp()
        elif isinstance(frame[name].dtype, pd.CategoricalDtype):
            changed[name] = pd.Series(np.asarray(frame[name]), index=frame.index).infer_objects()
        elif frame[name].dtype == object:
            changed[name] = _plain(frame[name])
    return frame.assign(**changed)


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose index is a column, or columns, unless it only numbers the rows."""
    names = _index_names(frame.index)
    if all(name is None for name in names) or (None in frame.index.names and set(names) & set(frame.columns)):
        return frame
    frame = frame.rename_axis(names)
    for name in [name for name in names if name in frame.columns]:
        level, column = frame.index.get_level_values(name), frame[name]
        if not (level.equals(pd.Index(column)) or level.equals(pd.Index(pd.to_datetime(column, errors="coerce")))):
            raise DataError(f"{FRAME}: both the index and a column are called '{name}', and differ: rename one")
        frame = frame.drop(columns=name)
    return frame.reset_index()


def _index_names(index: pd.Index) -> list[Any]:
    """Return the names of the levels of an index; where it has none, ``ds`` for dates and ``unique_id`` beside them."""
    if any(name is not None for name in index.names):
        return list(index.names)
    levels = [pd.Series(index.get_level_values(number), name="ds") for number in range(index.nlevels)]
    dates = [number for number, level in enumerate(levels) if _holds_dates(level)]
    if len(dates) != 1:
        return list(index.names)
    ids = ["unique_id"] if len(levels) == 2 else [f"id_{number}" for number in range(1, len(levels))]
    return [*ids[: dates[0]], "ds", *ids[dates[0] :]]


def _holds_dates(level: pd.Series[Any]) -> bool:
    return isinstance(level.dtype, pd.PeriodDtype) or date_form(level, FRAME) is not None


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of objects as numbers, dates, text, or true and false; lists and the like as text."""
    filled = column.dropna()
    if len(filled) < len(column) and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype("boolean")
    nested = len(filled) > 0 and not isinstance(filled.iloc[0], Hashable)
    return column.astype("str") if nested else column.infer_objects()


def _check_frequency(frame: pd.DataFrame, schema: Schema, source: str) -> None:
    """Raise a DataError where new stamps step otherwise; a frequency that was given is trusted."""
    given = any(decision.field == "freq" and decision.given for decision in schema.decisions)
    columns = (*schema.time, *schema.id)
    if (
        given
        or schema.resample
        or not schema.time
        or any(name not in frame.columns for name in columns)
        or not len(frame)
    ):
        return
    stamps = read_stamps(frame, schema.time, schema.time_format, source)
    series, _ = series_codes(frame, schema.id, source)
    if np.bincount(series).max() < 3:
        return
    position, on_grid = schema.grid.locate(stamps)
    order = np.lexsort((position, series))
    neighbours = (np.diff(position[order]) == 1) & (np.diff(series[order]) == 0)
    if on_grid.all() and neighbours.any():
        # On the grid, with gaps at most: a week of business days, or hours of which most are missing.
        return
    freq = infer_freq(stamps, series)
    if freq not in (None, schema.freq):
        raise DataError(
            f"{source}: column '{'+'.join(schema.time)}': expected steps of '{schema.freq}' as in the data of "
            f"the schema, got '{freq}': bring the data to that frequency, or fit a new model"
        )
