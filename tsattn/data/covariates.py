"""What is known beside the series: features of each step, some of them ahead of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tsattn.data.place import shown

if TYPE_CHECKING:
    from tsattn.data.panel import Panel

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
        f"of '{names[feature]}' for {shown(panel.future(first, step + 1)[-1])}"
    )
