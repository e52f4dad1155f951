"""What is known beside the series: features of each step, some of them ahead of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.window_spec import StaticInput

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Covariates:
    """Features of every step of the series of a panel, and of steps ahead of them.

    Args:
        values: float32 [steps of all series, features]; NaN where unknown. Features that are known ahead come first.
        offsets: int64 [series + 1]; those of series ``i`` are ``values[offsets[i]:offsets[i + 1]]``. They begin with
            the series and reach as far as they are known.
        names: of the features.
        ahead: how many of the features are known ahead.
    """

    values: Floats
    offsets: Ints
    names: tuple[str, ...]
    ahead: int

    @property
    def lengths(self) -> Ints:
        """Steps of each series, int64 [series]."""
        return np.diff(self.offsets)

    def cut(self, first: Ints) -> Covariates:
        """Return those of every series from its step ``first`` on, int64 [series]."""
        lengths = np.maximum(self.lengths - first, 0)
        return self._gathered(self.offsets[:-1] + np.minimum(first, self.lengths), lengths)

    def of(self, series: Ints) -> Covariates:
        """Return those of some series, by their index."""
        return self._gathered(self.offsets[series], self.lengths[series])

    def _gathered(self, starts: Ints, lengths: Ints) -> Covariates:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Covariates(self.values[rows], offsets, self.names, self.ahead)

    def extended(self, series: Ints, position: Ints, known: dict[str, Floats]) -> Covariates:
        """Return these with further steps ahead.

        Args:
            series: index of the series of each row, int64 [rows].
            position: step of each row, counted from the first one of its series, int64 [rows].
            known: features by name, [rows] each; NaN leaves what is there.
        """
        lengths = self.lengths.copy()
        np.maximum.at(lengths, series, position + 1)
        offsets, whole = self._stretched(lengths)
        rows = offsets[series] + position
        for name in known.keys() & set(self.names):
            column = self.names.index(name)
            whole[rows, column] = np.where(np.isfinite(known[name]), known[name], whole[rows, column])
        return Covariates(whole, offsets, self.names, self.ahead)

    def _stretched(self, lengths: Ints) -> tuple[Ints, Floats]:
        """Return offsets and values of longer series; NaN behind what is known."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        whole = np.full((int(offsets[-1]), len(self.names)), np.nan, dtype=np.float32)
        whole[np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths) + np.arange(len(self.values))] = self.values
        return offsets, whole

    def blank_behind(self, lengths: Ints) -> Covariates:
        """Return these without what is not known ahead behind the first steps of every series, int64 [series]."""
        step = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        values = self.values.copy()
        values[step >= np.repeat(lengths, self.lengths), self.ahead :] = np.nan
        return Covariates(values, self.offsets, self.names, self.ahead)

    def beside(self, other: Covariates) -> Covariates:
        """Return these with the features of another one, all of which are known ahead."""
        lengths = np.maximum(self.lengths, other.lengths)
        (offsets, own), (_, added) = self._stretched(lengths), other._stretched(lengths)
        values = np.concatenate([own[:, : self.ahead], added, own[:, self.ahead :]], axis=1)
        names = (*self.names[: self.ahead], *other.names, *self.names[self.ahead :])
        return Covariates(values, offsets, names, self.ahead + other.ahead)

    def within(self, lengths: Ints) -> Floats:
        """Return what is known of the first steps of every series, int64 [series], and not ahead of them, in one."""
        count = np.minimum(lengths, self.lengths)
        rows = np.repeat(self.offsets[:-1] - (np.cumsum(count) - count), count) + np.arange(count.sum())
        return np.asarray(self.values[rows])

    def window(self, names: tuple[str, ...], series: Ints, start: Ints, steps: int, length: Ints) -> Floats:
        """Return [windows, steps, features] from ``start`` on, NaN behind ``length`` and where nothing is known.

        Args:
            names: of the features.
            series: index of the series, int64 [windows].
            start: first step, int64 [windows].
            steps: steps of a window.
            length: steps of it that are taken, int64 [windows].
        """
        step = np.arange(steps)
        taken = step[None, :] < np.minimum(length, self.lengths[series] - start)[:, None]
        rows = np.where(taken, (self.offsets[series] + start)[:, None] + step[None, :], 0)
        values = self.values[rows]
        if names != self.names:
            values = values[:, :, [self.names.index(name) for name in names]]
        return np.where(taken[:, :, None], values, np.float32(np.nan))


@dataclass(frozen=True)
class Static:
    """One static covariate of the series of a panel.

    Args:
        name: its column.
        values: [series]: float32, NaN where unknown; or int64 for a category, the index of its text, -1 where unknown.
        labels: texts of a category; None for numbers.
    """

    name: str
    values: npt.NDArray[np.float32] | Ints
    labels: tuple[str, ...] | None = None

    def of(self, series: Ints) -> Static:
        """Return that of some series, by their index."""
        return Static(self.name, self.values[series], self.labels)


def covariate_statistics(panel: Panel, names: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of features over the steps of the series, not ahead of them.

    Where nothing is known or nothing moves they are 0 and 1; a series with its level far from the others' counts by it.
    """
    covariates = panel.covariates
    assert covariates is not None
    columns = [covariates.names.index(name) for name in names]
    return _statistics(covariates.within(panel.lengths)[:, columns])


def static_statistics(panel: Panel, names: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of static numbers over the series; 0 and 1 where nothing is known or moves."""
    static = {covariate.name: covariate.values for covariate in panel.static}
    return _statistics(np.stack([static[name] for name in names], axis=1))


def _statistics(values: Floats) -> tuple[list[float], list[float]]:
    known = values.astype(np.float64)
    seen = np.isfinite(known)
    total = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, known, 0).sum(axis=0) / total
    spread = np.sqrt(np.where(seen, (known - mean) ** 2, 0).sum(axis=0) / total)
    return mean.tolist(), np.where(spread > 0, spread, 1.0).tolist()


def missing_ahead(panel: Panel, names: tuple[str, ...], horizon: int) -> str | None:
    """Return what is missing of that which should be known ahead, and what stands in for it; None if nothing is."""
    unknown = unknown_ahead(panel, names, horizon)
    return unknown and f"{unknown}: means of the training data stand in for them"


def unknown_ahead(panel: Panel, names: tuple[str, ...], horizon: int) -> str | None:
    """Return what is missing of that which should be known ahead of every series, as a sentence; None if nothing is."""
    covariates = panel.covariates
    if covariates is None or not names:
        return None
    series = np.arange(len(panel), dtype=np.int64)
    known = np.isfinite(covariates.window(names, series, panel.lengths, horizon, np.full(len(panel), horizon)))
    if known.all():
        return None
    first, step, feature = (int(index[0]) for index in np.nonzero(~known))
    return (
        f"{known.size - int(known.sum())} of {known.size} values that should be known ahead are missing, the first one "
        f"of '{names[feature]}' for {format_timestamp(panel.future(first, step + 1)[-1])}"
    )


WIDE_ID = ""
"""Id of the one series that wide data are, which no id of a file can be; its channels go by their own names."""


@dataclass(frozen=True)
class Panel:
    """Series of different lengths that share their target channels and their time grid.

    Args:
        values: float32 [steps of all series, targets]; NaN where nothing was observed.
        offsets: int64 [series + 1]; series ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
        ids: name of each series.
        targets: name of each channel.
        starts: first stamp of each series, as `Grid.position` gives it (int64 [series]).
        grid: the time grid, which turns positions into stamps.
        covariates: what is known beside the series, where anything is; how far ahead of them is not cut.
        static: what is known of whole series, a column each.
    """

    values: Floats
    offsets: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    targets: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    grid: Grid
    covariates: Covariates | None = None
    static: tuple[Static, ...] = ()

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def observed(self) -> int:
        """Number of observed values."""
        return int(np.isfinite(self.values).sum())

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Steps of each series, int64 [series]."""
        return np.diff(self.offsets)

    def series(self, index: int) -> Floats:
        """Values of one series, [steps, targets], a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def stamps(self, index: int) -> pd.Index:
        """Time stamps of one series."""
        return self.grid.stamps(int(self.starts[index]), int(self.lengths[index]))

    def future(self, index: int, horizon: int) -> pd.Index:
        """The ``horizon`` stamps that follow one series."""
        return self.grid.stamps(int(self.starts[index] + self.lengths[index]), horizon)

    def static_values(self, static: StaticInput, series: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return a static covariate of some series, by their index, as the window contract has it."""
        found = next(covariate for covariate in self.static if covariate.name == static.name)
        if found.labels is None:
            return found.values[series]
        return np.append(static.indices(found.labels), np.int32(0))[found.values[series]]

    def cut(self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> Panel:
        """Return every series cut to its steps ``first <= t < last`` (both int64 [series])."""
        lengths = np.maximum(last - first, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[:-1] + first - offsets[:-1], lengths) + np.arange(offsets[-1])
        covariates = None if self.covariates is None else self.covariates.cut(first)
        values = self.values[rows]
        return replace(self, values=values, offsets=offsets, starts=self.starts + first, covariates=covariates)

    def head(self, hold_out: int) -> Panel:
        """Return the panel without the last ``hold_out`` steps of each series."""
        return self.cut(np.zeros_like(self.lengths), np.maximum(self.lengths - hold_out, 0))

    def tail(self, steps: int) -> Panel:
        """Return the last ``steps`` steps of each series."""
        return self.cut(np.maximum(self.lengths - steps, 0), self.lengths)

    def part(self, chosen: slice) -> Panel:
        """Return series that follow one another, by their index."""
        kept = np.arange(len(self), dtype=np.int64)[chosen]
        inside = slice(int(self.offsets[kept[0]]), int(self.offsets[kept[-1] + 1])) if len(kept) else slice(0, 0)
        offsets = np.append(0, np.cumsum(self.lengths[kept])).astype(np.int64)
        return replace(
            self,
            values=self.values[inside],
            offsets=offsets,
            ids=self.ids[chosen],
            starts=self.starts[kept],
            covariates=None if self.covariates is None else self.covariates.of(kept),
            static=tuple(covariate.of(kept) for covariate in self.static),
        )

    def without_empty(self) -> Panel:
        """Return the series that have a step or more."""
        kept = np.flatnonzero(self.lengths)
        ids = tuple(self.ids[index] for index in kept)
        covariates = None if self.covariates is None else self.covariates.of(kept)
        offsets = self.offsets[np.append(0, kept + 1)]
        starts, static = self.starts[kept], tuple(covariate.of(kept) for covariate in self.static)
        return replace(self, offsets=offsets, ids=ids, starts=starts, covariates=covariates, static=static)


def summary(panel: Panel) -> dict[str, Any]:
    """Return number, steps and first and last stamp of the series, and a hash of all that is known of them."""
    last = panel.starts + panel.lengths - 1
    return {
        "fingerprint": fingerprint(panel),
        "series": len(panel),
        "steps": int(panel.lengths.sum()),
        "observed": panel.observed,
        "first": format_timestamp(panel.grid.at([int(panel.starts.min())])[0]),
        "last": format_timestamp(panel.grid.at([int(last.max())])[0]),
    }


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of ids, stamps, targets and covariates; the same for the same series in the same order."""
    digest = hashlib.sha256()
    texts = [*panel.targets, panel.grid.freq, str(panel.grid.origin), str(panel.grid.tz), *panel.ids]
    arrays: list[npt.NDArray[Any]] = [panel.offsets, panel.starts, panel.values]
    if panel.covariates is not None:
        texts += panel.covariates.names
        arrays += [panel.covariates.offsets, panel.covariates.values]
    for static in panel.static:
        texts += [static.name, *(static.labels or ())]
        arrays.append(static.values)
    digest.update("\0".join(texts).encode())
    for array in arrays:
        # Little-endian everywhere, and one NaN.
        plain = np.where(np.isnan(array), np.float32(np.nan), array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(plain, dtype=array.dtype.newbyteorder("<")).data)
    return f"sha256:{digest.hexdigest()}"
