"""Forecasts and histories as long frames with the columns ``unique_id``, ``ds`` and ``y``.

Frames within the package have these names. `name_columns` gives those that are returned to the user the names of the
columns of the data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tsattn.timeseries.panel import WIDE_ID, Panel
from tsattn.timeseries.ragged import Ints, concat_ranges
from tsattn.timeseries.schema import Schema


def series_names(panel: Panel) -> tuple[str, ...]:
    """Return the name of every channel of every series, in order.

    This is the column of wide data, the id of long data with one target, and "id/target" of long data with several.
    """
    if panel.ids == (WIDE_ID,):
        return panel.targets
    if len(panel.targets) == 1:
        return panel.ids
    return tuple(f"{id}/{target}" for id in panel.ids for target in panel.targets)


def name_columns(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a frame with the columns of the data in place of ``unique_id``, ``ds`` and ``y``.

    The id and the time have the names of their columns, and values that of the target: `sales`, `sales-lo-80`. In
    evaluations, where the column of the target holds the observed values, forecasts are named after their model. Names
    of several id columns are joined by "/", as the ids are. A standard name remains where the data have no such column,
    several time columns, or several targets, whose names are then ids. All of them remain if a name of the data is also
    that of another column of the frame, such as ``cutoff``.
    """
    names = {
        "unique_id": "/".join(schema.id) or "unique_id",
        "ds": schema.time[0] if len(schema.time) == 1 else "ds",
        "y": schema.targets[0] if len(schema.targets) == 1 else "y",
    }
    renamed = [names.get(name) or re.sub(r"^y(?=-(?:lo|hi|q)-)", lambda _: names["y"], name) for name in frame.columns]
    return frame.set_axis(renamed, axis=1) if len(set(renamed)) == len(renamed) else frame


def template_of(data: object) -> Any:
    """Return a frame without rows of a library other than pandas, such as polars; None for other data."""
    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame) or frame.implementation.is_pandas():
        return None
    return frame.head(0).to_native()


def to_library(frame: pd.DataFrame, template: Any) -> Any:
    """Return a frame in the library of a template, with its types of the columns of times.

    Args:
        frame: The frame.
        template: What `template_of` returns for the data; the frame remains if it is None.
    """
    if template is None:
        return frame
    like = nw.from_native(template, eager_only=True)
    native = nw.from_arrow(pa.Table.from_pandas(frame, preserve_index=False), backend=like.implementation)
    times = {name: kind for name, kind in like.schema.items() if kind.is_temporal() and name in native.columns}
    return native.with_columns(nw.col(name).cast(kind) for name, kind in times.items()).to_native()


def quantile_columns(levels: Sequence[float]) -> dict[str, int]:
    """Return the columns of quantile levels: name to index into ``levels``.

    The level 0.5 is ``y``. A level and its mirror bound an interval, ``y-lo-80`` and ``y-hi-80`` for 0.1 and
    0.9, narrow intervals first; a level without a mirror is ``y-q-0.3``.
    """
    rounded = [round(level, 6) for level in levels]
    columns = {"y": rounded.index(0.5)} if 0.5 in rounded else {}
    for level in sorted((level for level in rounded if level < 0.5), reverse=True):
        mirror = round(1 - level, 6)
        if mirror in rounded:
            interval = f"{100 * (mirror - level):g}"
            columns |= {f"y-lo-{interval}": rounded.index(level), f"y-hi-{interval}": rounded.index(mirror)}
    taken = set(columns.values())
    return columns | {f"y-q-{level:g}": i for i, level in enumerate(rounded) if i not in taken}


def forecast_frame(panel: Panel, quantiles: npt.NDArray[Any], levels: Sequence[float]) -> pd.DataFrame:
    """Return forecasts of the steps that follow each series.

    Args:
        panel: The history.
        quantiles: [series, horizon, targets, levels], relative to the levels of the panel.
        levels: Ascending quantile levels; see `quantile_columns` for their columns.

    Returns:
        A frame of series x targets x horizon rows with the columns ``unique_id``, ``ds`` (datetimes, or integers
        where the data have integers or no timestamps), ``y`` and the intervals.
    """
    horizon = np.full(len(panel), quantiles.shape[1], dtype=np.int64)
    frame, _, _ = _long_frame(panel, panel.starts + panel.lengths, horizon)
    channels = np.moveaxis(panel.restore(quantiles, axis=2), 2, 1).reshape(-1, len(levels))
    return frame.assign(**{name: channels[:, level] for name, level in quantile_columns(levels).items()})


def sample_frame(panel: Panel, paths: npt.NDArray[Any]) -> pd.DataFrame:
    """Return sample paths of the steps that follow each series.

    Args:
        panel: The history.
        paths: [series, samples, horizon, targets], relative to the levels of the panel.

    Returns:
        A frame of series x targets x samples x horizon rows with the columns ``unique_id``, ``sample`` (from 0), ``ds``
        as in `forecast_frame`, and ``y``.
    """
    count, samples, horizon, _ = paths.shape
    frame, _, _ = _long_frame(panel, panel.starts + panel.lengths, np.full(count, horizon, dtype=np.int64))
    rows = np.repeat(np.arange(len(frame)).reshape(-1, 1, horizon), samples, axis=1)
    number = np.broadcast_to(np.arange(samples)[:, None], rows.shape).ravel()
    long = frame.take(rows.ravel()).reset_index(drop=True)
    long.insert(1, "sample", number)
    return long.assign(y=np.moveaxis(panel.restore(paths), 3, 1).ravel())


def weight_frame(panel: Panel, weights: npt.NDArray[Any], methods: Sequence[str]) -> pd.DataFrame:
    """Return the weights of methods in the forecasts of the steps that follow each series.

    Args:
        panel: The history.
        weights: [series, horizon, targets, methods].
        methods: Names of the methods.

    Returns:
        A frame of series x targets x horizon x methods rows with the columns ``unique_id``, ``ds`` as in
        `forecast_frame`, ``method`` and ``weight``.
    """
    horizon = np.full(len(panel), weights.shape[1], dtype=np.int64)
    frame, _, _ = _long_frame(panel, panel.starts + panel.lengths, horizon)
    long = frame.take(np.repeat(np.arange(len(frame)), len(methods))).reset_index(drop=True)
    names = pd.Series(np.tile(np.array(methods, dtype=object), len(frame)), dtype="str")
    return long.assign(method=names, weight=np.moveaxis(weights, 2, 1).ravel())


def history_frame(panel: Panel, last: int | None = None) -> pd.DataFrame:
    """Return the ``last`` steps of each series, or all, as ``unique_id, ds, y``. Missing values are NaN."""
    panel = panel if last is None else panel.tail(last)
    frame, row, channel = _long_frame(panel, panel.starts, panel.lengths)
    values = panel.values if panel.levels is None else panel.values + np.repeat(panel.levels, panel.lengths, axis=0)
    return frame.assign(y=values[row, channel])


def _long_frame(panel: Panel, first: Ints, steps: Ints) -> tuple[pd.DataFrame, Ints, Ints]:
    """Return ``steps`` timestamps of each series from position ``first`` on, once per channel.

    Also the row of ``panel.values`` and the channel of each, if the steps are those of the panel.
    """
    width = len(panel.targets)
    repeats = np.repeat(steps, width)
    step = concat_ranges(np.zeros_like(repeats), repeats)
    series, channel = np.divmod(np.repeat(np.arange(len(panel) * width), repeats), width)
    names = pd.Series(series_names(panel), dtype="str")
    ids = names.take(series * width + channel).reset_index(drop=True)
    times = panel.grid.times(first[series] + step)
    return pd.DataFrame({"unique_id": ids, "ds": times}), panel.series.offsets[series] + step, channel
