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

    def extended(self, series: Ints, position: Ints, values: Floats) -> Covariates:
        """Return these with further features that are known ahead.

        Args:
            series: index of the series of each row, int64 [rows].
            position: step of each row, counted from the first one of its series, int64 [rows].
            values: [rows, features known ahead]; NaN leaves what is there.
        """
        lengths = self.lengths.copy()
        np.maximum.at(lengths, series, position + 1)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        whole = np.full((int(offsets[-1]), len(self.names)), np.nan, dtype=np.float32)
        old = np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths) + np.arange(len(self.values))
        whole[old] = self.values
        rows = offsets[series] + position
        whole[rows, : self.ahead] = np.where(np.isfinite(values), values, whole[rows, : self.ahead])
        return Covariates(whole, offsets, self.names, self.ahead)

    def window(self, series: Ints, start: Ints, steps: int, length: Ints) -> Floats:
        """Return [windows, steps, features] from ``start`` on, NaN behind ``length`` and where nothing is known.

        Args:
            series: index of the series, int64 [windows].
            start: first step, int64 [windows].
            steps: steps of a window.
            length: steps of it that are taken, int64 [windows].
        """
        step = np.arange(steps)
        taken = step[None, :] < np.minimum(length, self.lengths[series] - start)[:, None]
        rows = np.where(taken, (self.offsets[series] + start)[:, None] + step[None, :], 0)
        return np.where(taken[:, :, None], self.values[rows], np.float32(np.nan))


def covariate_statistics(panel: Panel) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each feature over the steps of the series, not ahead of them.

    Where nothing is known or nothing moves they are 0 and 1; a series with its level far from the others' counts by it.
    """
    covariates = panel.covariates
    if covariates is None:
        return [], []
    count = np.minimum(panel.lengths, covariates.lengths)
    rows = np.repeat(covariates.offsets[:-1] - (np.cumsum(count) - count), count) + np.arange(count.sum())
    known = covariates.values[rows].astype(np.float64)
    seen = np.isfinite(known)
    total = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, known, 0).sum(axis=0) / total
    spread = np.sqrt(np.where(seen, (known - mean) ** 2, 0).sum(axis=0) / total)
    return mean.tolist(), np.where(spread > 0, spread, 1.0).tolist()


def missing_ahead(panel: Panel, horizon: int) -> str | None:
    """Return what is missing of that which should be known ahead of every series, as a sentence; None if nothing is."""
    covariates = panel.covariates
    if covariates is None or not covariates.ahead:
        return None
    series = np.arange(len(panel), dtype=np.int64)
    values = covariates.window(series, panel.lengths, horizon, np.full(len(panel), horizon))
    known = np.isfinite(values[:, :, : covariates.ahead])
    if known.all():
        return None
    first, step, feature = (int(index[0]) for index in np.nonzero(~known))
    return (
        f"{known.size - int(known.sum())} of {known.size} values that should be known ahead are missing, the first one "
        f"of '{covariates.names[feature]}' for {shown(panel.future(first, step + 1)[-1])}: means of the training data "
        "stand in for them"
    )
