"""Read series from files, DataFrames and arrays."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol, Union

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list
from tsattn.config import DataConfig, ReadOptions
from tsattn.data.columns import is_categorical
from tsattn.data.files import file_stem, read_source
from tsattn.data.frequency import infer_freq
from tsattn.data.inference import infer_panel
from tsattn.data.panel_builder import to_panel
from tsattn.data.table import FILE, FRAME, Column, Origin, Table
from tsattn.data.time_role import complete_periods
from tsattn.data.unpivot import unpivot
from tsattn.errors import DataError
from tsattn.timeseries.calendar import add_calendar_features
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

_logger = logging.getLogger(__name__)


class Convertible(Protocol):
    """A DataFrame of another library, such as polars."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the DataFrame as pandas."""
        ...


Frame = Union[pd.DataFrame, Convertible, "pd.Series[Any]", npt.NDArray[Any]]
"""Series in memory; an array is [steps] or [steps, series]."""


def load(
    source: Path | str | Frame,
    config: DataConfig | None = None,
    schema: Schema | None = None,
    *,
    covariates: bool = True,
) -> tuple[Panel, Schema]:
    """Read series from files, a DataFrame or an array.

    Args:
        source: A CSV or Parquet file, a folder, a pattern such as ``data/*.csv``, or "-" for standard input; a pandas
            DataFrame, with the timestamps in a column or in the index, or a polars DataFrame; or an array, [steps] or
            [steps, series].
        config: How to read the data; what it leaves out is inferred. Not used with ``schema``.
        schema: How earlier data were read. New data, which may have other series, timestamps and further columns, are
            read in the same way.
        covariates: Whether the covariates of ``schema`` are required.

    Returns:
        The series, and the schema by which they were read.

    Raises:
        DataError: The data cannot be read as series, or do not fit ``schema``.
    """
    table = to_table(source, (config or DataConfig()).read_options if schema is None else schema.read_options)
    if schema is None:
        return infer_panel(table, config or DataConfig())
    if FILE in schema.id and FILE not in table and isinstance(source, (str, Path)):
        table = table.with_frame(table.frame.assign(**{FILE: file_stem(table.name)}))
    loaded = load_table(table, schema, covariates=covariates)
    for note in table.origin.notes:
        warnings.warn(note.to_warning(), stacklevel=2)
    return loaded


def load_table(table: Table, schema: Schema, *, covariates: bool = True) -> tuple[Panel, Schema]:
    """Read series from a table by a schema.

    Returns:
        The series, and the schema, without absent covariates unless ``covariates`` are required.

    Raises:
        DataError: The table does not fit ``schema``.
    """
    if not len(table):
        raise table.error("expected rows of data, got none")
    table = complete_periods(table)
    if schema.layout in ("months", "columns"):
        unpivoted = unpivot(table)
        if unpivoted is None:
            raise table.error(
                "expected timestamps in the header, as in the data of the schema, got the columns "
                f"{quote_list(table.columns)}"
            )
        table = unpivoted.table
    if not covariates:
        schema = schema.drop_missing_covariates(table.columns)
    _check_frequency(table, schema)
    return add_calendar_features(to_panel(table, schema), schema), schema


def source_name(source: object) -> str:
    """Return the name of a source of `load` in messages."""
    return str(source) if isinstance(source, (Path, str)) else FRAME


def to_table(source: Path | str | Frame, options: ReadOptions) -> Table:
    """Return a source of `load` as a table; the options are for files."""
    if isinstance(source, (str, Path)):
        _logger.info("Reading %s", source)
        return read_source(source, options)
    if isinstance(source, np.ndarray):
        return Table(_frame_of_array(source))
    frame: Any = source
    if isinstance(source, pd.Series):
        frame = source.to_frame("y" if source.name is None else source.name)
    elif not isinstance(source, pd.DataFrame) and hasattr(source, "to_pandas"):
        frame = source.to_pandas()
    if not isinstance(frame, pd.DataFrame):
        sparse = ", for sparse data are not supported" if hasattr(frame, "toarray") else ""
        raise DataError(
            f"expected a file, a pandas or polars DataFrame, or an array of numbers{sparse}. "
            f"Received: {type(source).__name__}"
        )
    return Table(_normalize(frame))


def _frame_of_array(values: npt.NDArray[Any]) -> pd.DataFrame:
    """Return an array, [steps] or [steps, series], as a DataFrame with one column per series."""
    if values.dtype.kind == "c":
        raise DataError("Complex data not supported: expected an array of real numbers")
    if values.dtype.kind == "V":
        raise DataError("expected an array of numbers. Received: records", "convert them with pandas.DataFrame")
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


def _normalize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a DataFrame with text column names and plain dtypes, with the index as columns if it holds data."""
    frame = _reset_index(frame)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for name in frame.columns[frame.columns.duplicated()]:
        raise DataError(f"{FRAME}: expected unique column names, got '{name}' twice")
    changed = {}
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.PeriodDtype):
            changed[name] = frame[name].dt.to_timestamp()
        elif is_categorical(frame[name]):
            changed[name] = pd.Series(np.asarray(frame[name]), index=frame.index).infer_objects()
        elif frame[name].dtype == object:
            changed[name] = _convert_objects(frame[name])
    return frame.assign(**changed)


def _reset_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a DataFrame with the levels of its index as columns, unless it only numbers the rows."""
    names = _index_names(frame.index)
    if all(name is None for name in names) or (None in frame.index.names and set(names) & set(frame.columns)):
        return frame
    frame = frame.rename_axis(names)
    for name in [name for name in names if name in frame.columns]:
        level, column = frame.index.get_level_values(name), frame[name]
        if not (level.equals(pd.Index(column)) or level.equals(pd.Index(pd.to_datetime(column, errors="coerce")))):
            raise DataError(f"{FRAME}: expected the index and the column '{name}' to be equal", "rename one of them")
        frame = frame.drop(columns=name)
    return frame.reset_index()


def _index_names(index: pd.Index) -> list[Any]:
    """Return the names of the levels of an index, by default ``ds`` for dates and ``unique_id`` for a second level."""
    if any(name is not None for name in index.names):
        return list(index.names)
    levels = [pd.Series(index.get_level_values(number), name="ds") for number in range(index.nlevels)]
    dates = [number for number, level in enumerate(levels) if _holds_dates(level)]
    if len(dates) != 1:
        return list(index.names)
    ids = ["unique_id"] if len(levels) == 2 else [f"id_{number}" for number in range(1, len(levels))]
    return [*ids[: dates[0]], "ds", *ids[dates[0] :]]


def _holds_dates(level: pd.Series[Any]) -> bool:
    return isinstance(level.dtype, pd.PeriodDtype) or Column(level, Origin()).time_reading.format is not None


def _convert_objects(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of objects as numbers, datetimes, booleans or text; unhashable objects as text."""
    filled = column.dropna()
    if len(filled) < len(column) and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype("boolean")
    nested = len(filled) > 0 and not isinstance(filled.iloc[0], Hashable)
    return column.astype("str") if nested else column.infer_objects()


def _check_frequency(table: Table, schema: Schema) -> None:
    """Raise a DataError if new timestamps have another frequency; one that the user gave is trusted."""
    given = any(setting.field == "freq" and setting.given for setting in schema.inferred_settings)
    if given or schema.resample or not schema.time or any(name not in table for name in (*schema.time, *schema.id)):
        return
    times = table.timestamps(schema.time, schema.time_format)
    series, _ = table.series(schema.id)
    if np.bincount(series).max() < 3:
        return
    position, on_grid = schema.grid.locate(times)
    order = np.lexsort((position, series))
    adjacent = (np.diff(position[order]) == 1) & (np.diff(series[order]) == 0)
    if on_grid.all() and adjacent.any():
        # On the grid, with gaps: a week of business days, or hours most of which are missing.
        return
    freq = infer_freq(times, series)
    if freq not in (None, schema.freq):
        message = f"expected steps of '{schema.freq}' as in the data of the schema, got '{freq}'"
        raise table.error(message, "resample the data to that frequency", "fit a new model", names=schema.time)
