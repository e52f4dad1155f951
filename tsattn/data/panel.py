"""All series of a data set in one flat array, on a regular time grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.covariates import Covariates, Static
from tsattn.data.frequency import Grid
from tsattn.window import StaticInput

Floats = npt.NDArray[np.float32]


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
