"""From frames to panels, and from forecasts and panels back to frames."""

from __future__ import annotations

import calendar
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import cell_text, format_timestamp, quote_list
from tsattn.data.columns import Ints, is_coded, is_whole, label, labels, numbers
from tsattn.data.frequency import combine
from tsattn.data.locations import row_name
from tsattn.data.timestamps import read_stamps
from tsattn.errors import DataError
from tsattn.timeseries.grid import blocks, in_order
from tsattn.timeseries.panel import WIDE_ID, Covariates, Panel, Static
from tsattn.timeseries.schema import Schema

Floats = npt.NDArray[np.float32]
SeriesCodes = tuple[Ints, tuple[str, ...]]
"""The series of every row, int64 [rows], and their ids."""

SPARSEST = 100
"""Most grid steps for each row; beyond it a mistyped year would fill the memory with gaps."""


def to_panel(frame: pd.DataFrame, schema: Schema, source: str, series: SeriesCodes | None = None) -> Panel:
    """Return the series of a frame on the schema's grid, in the order in which their ids appear.

    Rows may come in any order; stamps that are missing between the first and the last of a series become NaN. Where
    the schema says how, several rows of one step are combined, and stamps between two steps belong to one of them.

    Args:
        frame: columns as `tsattn.data.read_frame` gives them.
        schema: how they are read.
        source: the file, or what messages call the frame.
        series: what `series_codes` gives, where it is known already, and that no stamp of a series stands there twice.

    Raises:
        DataError: a column is missing, or a cell, a stamp or an id cannot be used; the message names the row.
    """
    known = [*schema.time, *schema.id, *(schema.targets if schema.layout != "rows" else ()), *schema.covariates]
    known += schema.static_covariates
    absent = [name for name in known if name not in frame.columns]
    if absent:
        raise DataError(
            f"{source}: expected a column '{absent[0]}', but the columns are {quote_list(frame.columns)}: "
            "add or rename it"
        )
    codes, ids = series or series_codes(frame, schema.id, source)
    static = read_static(frame, codes, schema, source)
    if schema.layout == "rows":
        return replace(_from_rows(frame, schema, ids, codes, source), static=static)
    columns = [numbers(frame, name, source) for name in schema.targets]
    columns += [feature for name in schema.covariates for feature in features(frame, name, schema, source)]
    if len(columns) == 1:
        values = columns[0][:, None]
    else:
        values = np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0), dtype=np.float32)
    if schema.time:
        stamps = read_stamps(frame, schema.time, schema.time_format, source)
        position = _positions(frame, stamps, schema, source)
    else:
        position = np.asarray(pd.Series(codes).groupby(codes).cumcount(), dtype=np.int64)
    how = schema.resample or schema.on_duplicate
    if how is not None:
        values, codes, position = combine(values, codes, position, how, len(schema.targets))
    else:
        if series is None:
            check_duplicates(frame, codes, position, schema.time, schema.id, source)
    panel = split_covariates(_scatter(values, codes, position, ids, schema, source), schema)
    return replace(panel, static=static)


def series_codes(frame: pd.DataFrame, id: tuple[str, ...], source: str) -> SeriesCodes:
    """Return the series of every row (whole numbers, [rows]) and their ids, several columns joined by "/"."""
    if not id:
        return np.zeros(len(frame), dtype=np.int64), (WIDE_ID,)
    joint: Ints | None = None
    names: list[str] = []
    for name in id:
        code, values = _factorized(frame[name])
        blank = np.append([not str(value).strip() for value in values], True)
        if blank[:-1].any() or (code < 0).any():
            where = f"{source}: {row_name(source, frame, int(np.argmax(blank[code])))}: column '{name}'"
            raise DataError(f"{where}: expected the id of a series, got nothing: write one or drop the row")
        texts = [label(value) for value in values]
        if joint is None:
            joint, names = code, texts
        else:
            both, pairs = pd.factorize(joint.astype(np.int64) * len(values) + code)
            joint = np.asarray(both, dtype=np.int64)
            names = [f"{names[pair // len(values)]}/{texts[pair % len(values)]}" for pair in pairs]
    assert joint is not None
    return joint, tuple(names)


def _factorized(column: pd.Series[Any]) -> tuple[npt.NDArray[Any], Any]:
    """Return `pandas.factorize`, which the coding of a file that is sorted by its ids is already."""
    if is_coded(column):
        raw = np.asarray(column.cat.codes)
        steps = (np.diff(raw[block]) for block in blocks(len(raw), 1))
        if raw[0] == 0 and all(((step == 0) | (step == 1)).all() for step in steps):
            return raw, column.cat.categories[: int(raw[-1]) + 1]
    return pd.factorize(column)


def repeated(codes: Ints, position: Ints) -> npt.NDArray[np.bool_]:
    """Tell of each row whether an earlier one has its series and its position or stamp."""
    if in_order(codes, position, strictly=True):
        return np.zeros(len(codes), dtype=bool)
    low, high = int(position.min()), int(position.max())
    if (high - low + 1) * (int(codes.max()) + 1) < np.iinfo(np.int64).max:
        return np.asarray(pd.Series(codes.astype(np.int64) * (high - low + 1) + (position - low)).duplicated())
    return np.asarray(pd.DataFrame({"series": codes, "position": position}).duplicated())


def check_duplicates(
    frame: pd.DataFrame, codes: Ints, position: Ints, time: tuple[str, ...], id: tuple[str, ...], source: str
) -> None:
    """Raise a DataError that names the second row with the stamp of another row of its series."""
    twice = repeated(codes, position)
    if not twice.any():
        return
    row = int(np.argmax(twice))
    first = int(np.argmax((codes == codes[row]) & (position == position[row])))
    stamp = " ".join(format_timestamp(frame[name].iloc[row]) for name in time)
    where = f"{source}: {row_name(source, frame, row)}: column '{'+'.join(time)}'"
    whose = f" of series '{'/'.join(str(frame[name].iloc[row]) for name in id)}'" if id else ""
    mend = "keep one of them" if id else "keep one of them, name the column that tells series apart by --id"
    raise DataError(
        f"{where}: expected each stamp{whose} once, but {stamp} stands in {row_name(source, frame, first)} "
        f"as well: {mend}, or say what becomes of them by --on-duplicate"
    )


def _positions(frame: pd.DataFrame, stamps: pd.Index, schema: Schema, source: str) -> Ints:
    """Return the positions of stamps on the schema's grid."""
    zone = str(stamps.tz) if isinstance(stamps, pd.DatetimeIndex) and stamps.tz is not None else None
    column = "+".join(schema.time)
    if (zone is None) != (schema.tz is None):
        expected, got = (name or "no time zone" for name in (schema.tz, zone))
        raise DataError(f"{source}: column '{column}': expected stamps with {expected}, got {got}")
    position, on_grid = schema.grid.locate(stamps, nearest=schema.nearest)
    if not on_grid.all() and schema.resample is None:
        row = int(np.argmin(on_grid))
        where = f"{source}: {row_name(source, frame, row)}: column '{column}'"
        raise DataError(
            f"{where}: expected steps of '{schema.freq}' from {format_timestamp(schema.grid.at([0])[0])} on, but "
            f"{format_timestamp(stamps[row])} lies between two: mend the stamp, give another --freq, or bring all to "
            "these steps by --resample"
        )
    return position


def _from_rows(frame: pd.DataFrame, schema: Schema, ids: tuple[str, ...], codes: Ints, source: str) -> Panel:
    """Return the series that stand in the rows, without the empty cells behind each."""
    check_unique_rows(frame, codes, schema.id, source)
    columns = [name for name in frame.columns if name not in (*schema.id, *schema.static_covariates)]
    if not columns:
        raise DataError(f"{source}: expected columns with the values of each series after {quote_list(schema.id)}")
    values = np.stack([numbers(frame, name, source) for name in columns], axis=1)
    seen = np.isfinite(values)
    lengths = np.where(seen.any(axis=1), values.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    if not lengths.all():
        row = int(np.argmin(lengths))
        where = f"{source}: {row_name(source, frame, row)}"
        raise DataError(f"{where}: expected the values of series '{ids[row]}', got empty cells: drop the row")
    inside = np.arange(values.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = np.zeros(len(ids), dtype=np.int64)
    return Panel(values[inside][:, None], offsets, ids, schema.targets, starts, schema.grid)


def check_unique_rows(frame: pd.DataFrame, codes: Ints, id: tuple[str, ...], source: str) -> None:
    """Raise a DataError where an id has several rows but there is no time column that would order them."""
    twice = pd.Series(codes).duplicated().to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        where = f"{source}: {row_name(source, frame, row)}: column '{'+'.join(id)}'"
        raise DataError(
            f"{where}: expected each id once where no column holds time stamps, but "
            f"'{frame[id[0]].iloc[row]}' stands there again: add a time column, or name it by --time"
        )


def _scatter(
    values: Floats,
    codes: Ints,
    position: Ints,
    ids: tuple[str, ...],
    schema: Schema,
    source: str,
) -> Panel:
    """Return the panel of values at positions; NaN between them."""
    ordered = in_order(codes, position, strictly=False)
    starts = np.full(len(ids), np.iinfo(np.int64).max)
    ends = np.full(len(ids), np.iinfo(np.int64).min)
    if ordered:
        last = np.flatnonzero(np.append(codes[1:] != codes[:-1], True))
        first = np.append(0, last[:-1] + 1)
        starts[codes[first]], ends[codes[last]] = position[first], position[last]
    else:
        np.minimum.at(starts, codes, position)
        np.maximum.at(ends, codes, position)
    lengths = ends - starts + 1
    if lengths.sum() > max(SPARSEST * len(values), 100_000):
        worst = int(np.argmax(lengths))
        reach = " to ".join(format_timestamp(stamp) for stamp in schema.grid.at([starts[worst], ends[worst]]))
        whose = f"series '{ids[worst]}'" if schema.id else f"column '{'+'.join(schema.time)}'"
        raise DataError(
            f"{source}: {whose}: expected stamps on most steps of '{schema.freq}', but they reach from "
            f"{reach} in {int((codes == worst).sum())} rows: mend the stamps, or give a longer --freq"
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = values
    if offsets[-1] != len(values) or not ordered:
        flat = np.full((int(offsets[-1]), values.shape[1]), np.nan, dtype=np.float32)
        flat[offsets[codes] + position - starts[codes]] = values
    return Panel(flat, offsets, ids, schema.targets, starts.astype(np.int64), schema.grid)


TARGET = "y"
"""Name of the one target that the twelve columns are."""

_NUMBERS = {
    name.lower(): n for names in (calendar.month_name, calendar.month_abbr) for n, name in enumerate(names) if n
}


MONTH = "month"
"""Column of the months, 1 to 12, that were columns."""


def month_columns(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the time columns of a frame that `months_as_rows` made."""
    return (next(name for name in frame.columns if name.lower() == "year"), MONTH)


def months_as_rows(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return a frame with the columns of the year, ``month`` and ``y``, or None where months are no columns.

    A row a month, in the order of the file; before the first and after the last value of a series (which other columns
    tell apart) empty months are no rows. The index is that of the row of the file.
    """
    months = {name: _NUMBERS[name.lower()] for name in frame.columns if name.lower() in _NUMBERS}
    years = [name for name in frame.columns if name.lower() == "year" and is_whole(frame[name])]
    if sorted(months.values()) != list(range(1, 13)) or not years:
        return None
    others = [name for name in frame.columns if name not in months and name != years[0]]
    if MONTH in (name.lower() for name in others):
        return None
    columns = sorted(months, key=lambda name: months[name])
    long = frame[[*others, years[0]]].iloc[np.repeat(np.arange(len(frame)), 12)]
    # As text where any of them is, so that a cell that is no number is told like any other.
    values = frame[columns] if len(set(frame[columns].dtypes)) == 1 else frame[columns].astype(object)
    long = long.assign(**{MONTH: np.tile(np.arange(1, 13), len(frame)), TARGET: values.to_numpy().ravel()})
    long[TARGET] = long[TARGET].infer_objects()
    count = (long[years[0]] * 12 + long[MONTH]).to_numpy(dtype=float, na_value=np.nan)
    seen = pd.Series(np.where(long[TARGET].notna(), count, np.nan))
    series = long[others].astype(str).agg("/".join, axis=1).to_numpy() if others else np.zeros(len(long))
    first, last = (seen.groupby(series).transform(end).to_numpy() for end in ("min", "max"))
    # Where the year is missing too, the row stays, for the message that says so.
    return long[~((count < first) | (count > last))]


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


def restrict_to_training_categories(schema: Schema, panel: Panel, hold_out: int) -> Schema:
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
