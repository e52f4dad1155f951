"""Series on one time grid, with their covariates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.ragged import Doubles, Floats, Ints, RaggedArray
from tsattn.timeseries.schema import Schema

WIDE_ID = ""
"""Id of the single series of wide data. No id in a file is empty."""


@dataclass(frozen=True)
class Covariates:
    """Past and future covariates of the series of a panel.

    Args:
        series: float32 [steps, features], NaN where unknown. Each series begins with the series of the panel and
            may end after it. Future covariates come first.
        names: Names of the features.
        num_future: Number of features that are future covariates.
    """

    series: RaggedArray
    names: tuple[str, ...]
    num_future: int

    def slice(self, first: Ints) -> Covariates:
        """Return the covariates from step ``first[i]`` of each series on."""
        return replace(self, series=self.series.slice(first))

    def take(self, series: Ints) -> Covariates:
        """Return the covariates of some series by index."""
        return replace(self, series=self.series.take(series))

    def join(self, other: Covariates) -> Covariates:
        """Return these features and those of ``other``, all of which are future covariates."""
        lengths = np.maximum(self.series.lengths, other.series.lengths)
        own, added = self.series.resize(lengths), other.series.resize(lengths)
        future = self.num_future
        values = np.concatenate([own.values[:, :future], added.values, own.values[:, future:]], axis=1)
        names = (*self.names[:future], *other.names, *self.names[future:])
        return Covariates(replace(own, values=values), names, future + other.num_future)

    def update(self, series: Ints, step: Ints, features: dict[str, Floats]) -> Covariates:
        """Return a copy with new values; it grows where they lie after the end of a series.

        Args:
            series: Index of the series of each row, int64 [rows].
            step: Step of each row within its series, int64 [rows].
            features: New values by name, [rows] each. NaN keeps the old value; unknown names are ignored.
        """
        lengths = self.series.lengths
        np.maximum.at(lengths, series, step + 1)
        result = self.series.resize(lengths)
        rows = result.offsets[series] + step
        for name in features.keys() & set(self.names):
            column, new = self.names.index(name), features[name]
            result.values[rows, column] = np.where(np.isfinite(new), new, result.values[rows, column])
        return replace(self, series=result)

    def mask_past_covariates(self, lengths: Ints) -> Covariates:
        """Return a copy whose past covariates are missing from step ``lengths[i]`` of each series on."""
        values = self.series.values.copy()
        values[self.series.steps >= np.repeat(lengths, self.series.lengths), self.num_future :] = np.nan
        return replace(self, series=replace(self.series, values=values))

    def gather(self, names: tuple[str, ...], series: Ints, start: Ints, length: Ints, steps: int) -> Floats:
        """Return windows of some features; see `RaggedArray.gather`."""
        values = self.series.gather(series, start, length, steps)
        return values if names == self.names else values[:, :, [self.names.index(name) for name in names]]


@dataclass(frozen=True)
class StaticCovariate:
    """One static covariate of the series of a panel.

    Args:
        name: Its column.
        values: [series]: float32, NaN where unknown; for a category int64, the index of its label, -1 where unknown.
        labels: Labels of a category; None for numbers.
    """

    name: str
    values: Floats | Ints
    labels: tuple[str, ...] | None = None

    def take(self, series: Ints) -> StaticCovariate:
        """Return the covariate of some series by index."""
        return replace(self, values=self.values[series])


@dataclass(frozen=True)
class Panel:
    """Series of different lengths with the same target channels on the same time grid.

    Args:
        series: float32 [steps, targets]; NaN where nothing was observed.
        ids: Id of each series.
        targets: Name of each channel.
        starts: Position of the first step of each series on the grid, int64 [series].
        grid: The time grid.
        covariates: Past and future covariates, if there are any.
        static: Static covariates.
        levels: What was subtracted from the values of each series, float64 [series, targets], because float32 could not
            hold them; None for values in original units.
    """

    series: RaggedArray
    ids: tuple[str, ...]
    targets: tuple[str, ...]
    starts: Ints
    grid: Grid
    covariates: Covariates | None = None
    static: tuple[StaticCovariate, ...] = ()
    levels: Doubles | None = None

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def values(self) -> Floats:
        """Values of all series, [steps, targets], relative to `levels`."""
        return self.series.values

    @property
    def lengths(self) -> Ints:
        """Steps of each series, int64 [series]."""
        return self.series.lengths

    @property
    def num_observed(self) -> int:
        """Number of observed values."""
        return int(np.isfinite(self.values).sum())

    def times(self, index: int) -> pd.Index:
        """Return the timestamps of one series."""
        return self.grid.time_range(int(self.starts[index]), int(self.lengths[index]))

    def future_times(self, index: int, horizon: int) -> pd.Index:
        """Return the ``horizon`` timestamps that follow one series."""
        return self.grid.time_range(int(self.starts[index] + self.lengths[index]), horizon)

    def slice(self, first: Ints | int, last: Ints | None = None) -> Panel:
        """Return the steps ``first[i] <= t < last[i]`` of each series. Covariates keep the steps after ``last``."""
        first = np.broadcast_to(np.asarray(first, dtype=np.int64), self.starts.shape)
        covariates = self.covariates and self.covariates.slice(first)
        series = self.series.slice(first, last)
        return replace(self, series=series, starts=self.starts + first, covariates=covariates)

    def drop_last(self, steps: int) -> Panel:
        """Return the panel without the last ``steps`` steps of each series."""
        return self.slice(0, self.lengths - steps)

    def tail(self, steps: int) -> Panel:
        """Return the last ``steps`` steps of each series."""
        return self.slice(np.maximum(self.lengths - steps, 0))

    def take(self, series: Ints) -> Panel:
        """Return some series by index."""
        return replace(
            self,
            series=self.series.take(series),
            ids=tuple(self.ids[index] for index in series),
            starts=self.starts[series],
            covariates=self.covariates and self.covariates.take(series),
            static=tuple(covariate.take(series) for covariate in self.static),
            levels=None if self.levels is None else self.levels[series],
        )

    def restore(self, values: npt.NDArray[Any], series: Ints | None = None, axis: int = -1) -> npt.NDArray[Any]:
        """Return values relative to `levels` in original units, as float64 if there are levels.

        Args:
            values: [series, ...], with the targets along ``axis``.
            series: Index of the series of each row of ``values``; all series by default.
            axis: Axis of the targets.
        """
        if self.levels is None:
            return values
        levels = self.levels if series is None else self.levels[series]
        shape = [1] * values.ndim
        shape[0], shape[axis] = levels.shape
        return np.asarray(values + levels.reshape(shape))

    def relative_to(self, levels: Doubles | None) -> Panel:
        """Return the panel with values relative to other levels, [series, targets]."""
        if levels is None and self.levels is None:
            return self
        shift = (0.0 if self.levels is None else self.levels) - (0.0 if levels is None else levels)
        values = (self.values + np.repeat(shift, self.lengths, axis=0)).astype(np.float32)
        return replace(self, series=replace(self.series, values=values), levels=levels)

    def drop_empty(self) -> Panel:
        """Return the series that have at least one step."""
        return self.take(np.flatnonzero(self.lengths))


def covariate_statistics(panel: Panel, names: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of features over the steps of the series, without the steps after them.

    Missing values are left out. A feature without any value has mean 0, one without variance standard deviation 1.
    """
    covariates = panel.covariates
    assert covariates is not None
    columns = [covariates.names.index(name) for name in names]
    return _statistics(covariates.series.slice(0, panel.lengths).values[:, columns])


def static_statistics(panel: Panel, names: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of numeric static covariates over the series; see `covariate_statistics`."""
    static = {covariate.name: covariate.values for covariate in panel.static}
    return _statistics(np.stack([static[name] for name in names], axis=1))


def _statistics(values: Floats) -> tuple[list[float], list[float]]:
    known = values.astype(np.float64)
    finite = np.isfinite(known)
    total = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, known, 0).sum(axis=0) / total
    deviation = np.sqrt(np.where(finite, (known - mean) ** 2, 0).sum(axis=0) / total)
    return mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()


def missing_future_covariates(panel: Panel, schema: Schema, names: tuple[str, ...], horizon: int) -> str | None:
    """Return how many values of the columns of future covariates are missing, and the first one; None if there are all.

    Args:
        panel: The series with their covariates.
        schema: How they were read.
        names: Features that the model uses; a column of categories has several.
        horizon: Number of steps after the end of the series.
    """
    # A missing value is missing in every feature of its column.
    features = {column: schema.feature_names(column) for column in schema.future_covariates}
    columns = {found[0]: column for column, found in features.items() if found}
    covariates, names = panel.covariates, tuple(name for name in names if name in columns)
    if covariates is None or not names:
        return None
    series = np.arange(len(panel), dtype=np.int64)
    known = np.isfinite(covariates.gather(names, series, panel.lengths, np.full(len(panel), horizon), horizon))
    if known.all():
        return None
    first, step, feature = (int(index[0]) for index in np.nonzero(~known))
    where = f" of series '{panel.ids[first]}'" if len(panel) > 1 else ""
    return (
        f"{known.size - int(known.sum())} of {known.size} values of future covariates are missing, the first one "
        f"of '{columns[names[feature]]}'{where} at {format_timestamp(panel.future_times(first, step + 1)[-1])}"
    )


def summarize_panel(panel: Panel) -> dict[str, Any]:
    """Return the number of series, steps and observed values, the first and last timestamp, and the fingerprint."""
    last = panel.starts + panel.lengths - 1
    return {
        "fingerprint": fingerprint(panel),
        "series": len(panel),
        "steps": int(panel.lengths.sum()),
        "observed": panel.num_observed,
        "first": format_timestamp(panel.grid.times([int(panel.starts.min())])[0]),
        "last": format_timestamp(panel.grid.times([int(last.max())])[0]),
    }


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of ids, times, targets and covariates. It depends on the order of the series."""
    digest = hashlib.sha256()
    texts = [*panel.targets, panel.grid.freq, str(panel.grid.origin), str(panel.grid.tz), *panel.ids]
    arrays: list[npt.NDArray[Any]] = [panel.series.offsets, panel.starts, panel.values]
    if panel.covariates is not None:
        texts += panel.covariates.names
        arrays += [panel.covariates.series.offsets, panel.covariates.series.values]
    if panel.levels is not None:
        arrays.append(panel.levels)
    for static in panel.static:
        texts += [static.name, *(static.labels or ())]
        arrays.append(static.values)
    digest.update("\0".join(texts).encode())
    for array in arrays:
        # The same bytes on every machine: little-endian, and a single bit pattern for NaN.
        plain = np.where(np.isnan(array), array.dtype.type(np.nan), array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(plain, dtype=array.dtype.newbyteorder("<")).data)
    return f"sha256:{digest.hexdigest()}"
