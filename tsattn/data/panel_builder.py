"""Build a panel from a table by a schema."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp, quote_list, quote_text
from tsattn.data.columns import Bools, to_label
from tsattn.data.frequency import aggregate
from tsattn.data.precision import find_levels, lost_levels
from tsattn.data.table import Table
from tsattn.data.time_parts import zone_of_repeated_hour
from tsattn.timeseries.grid import is_sorted
from tsattn.timeseries.panel import Covariates, Panel, StaticCovariate
from tsattn.timeseries.ragged import Doubles, Floats, Ints, RaggedArray
from tsattn.timeseries.schema import Schema

MAX_STEPS_PER_ROW = 100
"""Most grid steps per row; beyond it, a mistyped year would fill the memory with gaps."""


def to_panel(table: Table, schema: Schema, *, unique: bool = False) -> Panel:
    """Return the series of a table on the grid of a schema, in order of first appearance.

    Rows may have any order. Missing timestamps between the first and the last one of a series become NaN. If the schema
    says how, the rows of one step are aggregated, and timestamps between two steps belong to one of them.

    Args:
        table: Rows.
        schema: How to read them.
        unique: Whether the timestamps of each series are known to be unique.

    Raises:
        DataError: A column is missing, or a cell, a timestamp or an id is invalid.
    """
    needed = [*schema.time, *schema.id, *(schema.targets if schema.layout != "rows" else ()), *schema.covariates]
    needed += schema.static_covariates
    absent = [name for name in needed if name not in table]
    if absent:
        message = f"expected a column '{absent[0]}', got the columns {quote_list(table.columns)}"
        raise table.error(message, "add the column", "rename one")
    codes, ids = table.series(schema.id)
    static = tuple(_static_covariate(table, name, codes, schema) for name in schema.static_covariates)
    if schema.layout == "rows":
        return replace(_panel_from_rows(table, schema, codes, ids), static=static)
    for name in schema.targets:
        # Wrong cells come before wrong timestamps.
        _ = table[name].numbers
    if schema.time:
        position = _positions(table, table.timestamps(schema.time, schema.time_format), schema)
    else:
        position = np.asarray(pd.Series(codes).groupby(codes).cumcount(), dtype=np.int64)
    levels = find_levels(table, schema.targets, codes, position, ids)
    how = schema.resample or schema.on_duplicate
    if levels is not None and (how == "sum" or schema.fill_missing is not None):
        name = schema.targets[int(np.argmax(levels.any(axis=0)))]
        message = (
            "expected values that float32 can hold for sums and filled gaps, but most steps are below its resolution"
        )
        raise table[name].error(message, "leave gaps and aggregate by mean or last", "subtract a constant from them")
    columns = [_values(table, name, codes, levels, channel) for channel, name in enumerate(schema.targets)]
    columns += [feature for name in schema.covariates for feature in _features(table, name, schema)]
    if len(columns) == 1:
        values = columns[0][:, None]
    else:
        values = np.stack(columns, axis=1) if columns else np.zeros((len(table), 0), dtype=np.float32)
    if how is not None:
        values, codes, position = aggregate(values, codes, position, how, len(schema.targets))
    elif not unique:
        check_duplicates(table, codes, position, schema.time, schema.time_format, schema.id)
    panel = _split_covariates(_scatter(table, values, codes, position, ids, schema, levels), schema)
    return replace(panel, static=static)


def _values(table: Table, name: str, codes: Ints, levels: Doubles | None, channel: int) -> Floats:
    """Return a target relative to the level of each series, [rows]."""
    if levels is None or not levels[:, channel].any():
        return table[name].numbers
    return np.asarray(table[name].doubles - levels[codes, channel], dtype=np.float32)


def repeated(codes: Ints, position: Ints) -> Bools:
    """Return for each row whether an earlier row has the same series and position or timestamp."""
    if is_sorted(codes, position, strictly=True):
        return np.zeros(len(codes), dtype=bool)
    low, high = int(position.min()), int(position.max())
    if (high - low + 1) * (int(codes.max()) + 1) < np.iinfo(np.int64).max:
        return np.asarray(pd.Series(codes.astype(np.int64) * (high - low + 1) + (position - low)).duplicated())
    return np.asarray(pd.DataFrame({"series": codes, "position": position}).duplicated())


def check_duplicates(
    table: Table, codes: Ints, position: Ints, time: tuple[str, ...], time_format: str, id: tuple[str, ...]
) -> None:
    """Raise a DataError if two rows of a series have the same timestamp."""
    duplicated = repeated(codes, position)
    if not duplicated.any():
        return
    row = int(np.argmax(duplicated))
    first = int(np.argmax((codes == codes[row]) & (position == position[row])))
    timestamp = " ".join(format_timestamp(table.frame[name].iloc[row]) for name in time)
    whose = f" of series '{'/'.join(str(table.frame[name].iloc[row]) for name in id)}'" if id else ""
    hints = ["remove one of the rows", "aggregate them with {on_duplicate}"]
    if zone := zone_of_repeated_hour(table.timestamps(time, time_format)[duplicated]) if time else None:
        timestamp += f", which the clock in {zone} shows twice,"
        hints[0] = "write the offset from UTC into each timestamp, such as 2022-10-30 02:00+02:00"
    elif not id:
        hints.insert(1, "name the column that identifies series with {id}")
    message = f"expected each timestamp{whose} once, got {timestamp} in {table.row_name(first)} as well"
    raise table.error(message, *hints, names=time, row=row)


def _positions(table: Table, times: pd.Index, schema: Schema) -> Ints:
    """Return the positions of timestamps on the grid of the schema."""
    zone = str(times.tz) if isinstance(times, pd.DatetimeIndex) and times.tz is not None else None
    if (zone is None) != (schema.tz is None):
        expected, got = (name or "no time zone" for name in (schema.tz, zone))
        raise table.error(f"expected timestamps with {expected}, got {got}", names=schema.time)
    position, on_grid = schema.grid.locate(times, nearest=schema.nearest)
    if not on_grid.all() and schema.resample is None:
        row = int(np.argmin(on_grid))
        raise table.error(
            f"expected steps of '{schema.freq}' from {format_timestamp(schema.grid.times([0])[0])} on, got "
            f"{format_timestamp(times[row])}, which is between two of them",
            *("correct the timestamp", "set another {freq}", "aggregate the rows of each step with {resample}"),
            names=schema.time,
            row=row,
        )
    return position


def _panel_from_rows(table: Table, schema: Schema, codes: Ints, ids: tuple[str, ...]) -> Panel:
    """Return the series of a table with one row per series, without the empty cells at the end of each row."""
    check_unique_rows(table, codes, schema.id)
    names = [name for name in table.columns if name not in (*schema.id, *schema.static_covariates)]
    if not names:
        raise table.error(f"expected columns with the values of each series after {quote_list(schema.id)}")
    values = np.stack([table[name].doubles for name in names], axis=1)
    observed = np.isfinite(values)
    lengths = np.where(observed.any(axis=1), values.shape[1] - np.argmax(observed[:, ::-1], axis=1), 0)
    if not lengths.all():
        row = int(np.argmin(lengths))
        raise table.error(f"expected the values of series '{ids[row]}', got empty cells", "remove the row", row=row)
    inside = np.arange(values.shape[1]) < lengths[:, None]
    levels = lost_levels(values[inside], np.repeat(np.arange(len(ids)), lengths), len(ids))[:, None]
    series = RaggedArray.from_lengths((values - levels)[inside].astype(np.float32)[:, None], lengths)
    starts = np.zeros(len(ids), dtype=np.int64)
    return Panel(series, ids, schema.targets, starts, schema.grid, levels=levels if levels.any() else None)


def check_unique_rows(table: Table, codes: Ints, id: tuple[str, ...]) -> None:
    """Raise a DataError if an id has several rows, although no time column orders them."""
    duplicated = pd.Series(codes).duplicated().to_numpy()
    if duplicated.any():
        row = int(np.argmax(duplicated))
        message = f"expected each id once without a time column, got {quote_text(table.frame[id[0]].iloc[row])} again"
        raise table.error(message, "add a time column", "name it with {time}", names=id, row=row)


def _scatter(
    table: Table,
    values: Floats,
    codes: Ints,
    position: Ints,
    ids: tuple[str, ...],
    schema: Schema,
    levels: Doubles | None,
) -> Panel:
    """Return the panel of values at positions, with NaN in the gaps."""
    ordered = is_sorted(codes, position, strictly=False)
    starts = np.full(len(ids), np.iinfo(np.int64).max)
    ends = np.full(len(ids), np.iinfo(np.int64).min)
    if ordered:
        last = np.flatnonzero(np.append(codes[1:] != codes[:-1], True))
        first = np.append(0, last[:-1] + 1)
        starts[codes[first]], ends[codes[last]] = position[first], position[last]
    else:
        np.minimum.at(starts, codes, position)
        np.maximum.at(ends, codes, position)
    if schema.fill_missing is not None:
        reached = np.isfinite(values[:, : len(schema.targets)]).any(axis=1)
        end = int(position[reached].max(initial=starts.min()))
        ends = np.maximum(ends, end)
    lengths = ends - starts + 1
    if lengths.sum() > max(MAX_STEPS_PER_ROW * len(values), 100_000):
        worst = int(np.argmax(lengths))
        reach = " to ".join(format_timestamp(time) for time in schema.grid.times([starts[worst], ends[worst]]))
        message = (
            f"expected timestamps at most of the '{schema.freq}' steps, got {int((codes == worst).sum())} rows from "
            f"{reach}"
        )
        if schema.id:
            message = f"series '{ids[worst]}': {message}"
        names = () if schema.id else schema.time
        raise table.error(message, "correct the timestamps", "set a longer {freq}", names=names)
    if int(lengths.sum()) == len(values) and ordered:
        series = RaggedArray.from_lengths(values, lengths)
    else:
        series = RaggedArray.missing(lengths, values.shape[1])
        rows = series.offsets[codes] + position - starts[codes]
        if schema.fill_missing is not None:
            empty = np.ones(len(series.values), dtype=bool)
            empty[rows] = False
            empty &= np.repeat(starts, lengths) + series.steps <= end
            series.values[empty, : len(schema.targets)] = schema.fill_missing
        series.values[rows] = values
    return Panel(series, ids, schema.targets, starts.astype(np.int64), schema.grid, levels=levels)


def _features(table: Table, name: str, schema: Schema) -> list[Floats]:
    """Return the features of a covariate column, [rows] each, as named by `Schema.feature_names`.

    All indicators are 0 for empty cells and for categories that the schema does not list.
    """
    if name not in schema.categories:
        return [table[name].numbers]
    codes, texts = table[name].labels
    index = {text: number for number, text in enumerate(schema.categories[name])}
    category = np.append([index.get(text, -1) for text in texts], -1)[codes]
    return [(category == number).astype(np.float32) for number in range(len(index))]


def _split_covariates(panel: Panel, schema: Schema) -> Panel:
    """Return a panel whose columns after the targets are its covariates.

    With future covariates, a series ends with its last observed value, and the covariates continue. A series without
    any has no steps, and its forecast begins with its first row.
    """
    width = len(schema.targets)
    if not schema.covariates:
        return panel
    names, num_future = schema.feature_names(*schema.covariates), len(schema.feature_names(*schema.future_covariates))
    features = replace(panel.series, values=panel.values[:, width:])
    series = replace(panel.series, values=panel.values[:, :width])
    if schema.future_covariates:
        observed = np.isfinite(series.values).any(axis=1)
        series = series.slice(0, np.maximum.reduceat(np.where(observed, series.steps + 1, 0), series.offsets[:-1]))
    return replace(panel, series=series, covariates=Covariates(features, names, num_future))


def _static_covariate(table: Table, name: str, codes: Ints, schema: Schema) -> StaticCovariate:
    """Return a static covariate of all series.

    Raises:
        DataError: A series has several values, or a cell of a numeric column is not a number.
    """
    if name in schema.categories:
        found, texts = table[name].labels
        filled = found >= 0
    else:
        numbers = table[name].numbers
        filled = np.isfinite(numbers)
        found, levels = pd.factorize(numbers)
    rows = np.flatnonzero(filled)
    first = np.full(int(codes.max()) + 1, len(table), dtype=np.int64)
    np.minimum.at(first, codes[rows], rows)
    value = np.where(first < len(table), found[np.minimum(first, len(table) - 1)], -1)
    other = filled & (found != value[codes])
    if other.any():
        row = int(np.argmax(other))
        got, before = (quote_text(to_label(table.frame[name].iloc[index])) for index in (row, int(first[codes[row]])))
        message = f"expected one value for the whole series, got {got} after {before}"
        raise table[name].error(message, "make a column that changes a past or future covariate", row=row)
    if name in schema.categories:
        return StaticCovariate(name, value, tuple(texts))
    return StaticCovariate(name, np.append(levels, np.nan).astype(np.float32)[value])


def restrict_to_training_categories(schema: Schema, panel: Panel, hold_out: int) -> Schema:
    """Return a schema with only the categories that occur before the last ``hold_out`` steps of the series."""
    if not schema.categories:
        return schema
    panel = panel.drop_last(hold_out).drop_empty()
    categories = dict(schema.categories)
    for static in panel.static:
        if static.labels is not None:
            codes = np.unique(static.values[static.values >= 0])
            categories[static.name] = tuple(sorted(static.labels[int(code)] for code in codes))
    if panel.covariates is not None:
        occurs = np.any(panel.covariates.series.slice(0, panel.lengths).values > 0, axis=0).tolist()
        features = {name for name, found in zip(panel.covariates.names, occurs, strict=True) if found}
        for name in schema.covariates:
            if name in categories:
                pairs = zip(categories[name], schema.feature_names(name), strict=True)
                categories[name] = tuple(value for value, feature in pairs if feature in features)
    return schema.model_copy(update={"categories": categories})
