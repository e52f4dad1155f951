"""Windows of a panel, gathered in NumPy one batch at a time.

A window is a pair (series, origin): the steps before the origin are the history, those from it on are the target. Batch
``k`` of an epoch is a pure function of (seed, epoch, k), so that resumed and repeated trainings see the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.window_spec import (
    FUTURE_COVARIATES,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    TARGET,
    TARGET_OBSERVED,
    WindowSpec,
)

Batch = dict[str, npt.NDArray[Any]]


def min_series_length(horizon: int) -> int:
    """Return the least length of a series: one step of history, one horizon to train on and one to validate on."""
    return 2 * horizon + 1


@dataclass(frozen=True)
class Windows:
    """The windows of a panel with origins ``first[i], first[i] + stride, ...`` up to ``last[i]`` in series ``i``.

    Args:
        panel: The series.
        spec: Sizes and names of a window.
        first: First origin of each series, int64 [series].
        last: Last origin of each series, inclusive. A series with ``last < first`` has no window.
        stride: Steps between the origins of a series.
    """

    panel: Panel
    spec: WindowSpec
    first: Ints
    last: Ints
    stride: int = 1

    @classmethod
    def for_training(cls, panel: Panel, spec: WindowSpec, min_history: int) -> Windows:
        """Return all windows whose target lies in the panel and that have ``min_history`` steps of history.

        A series too short for that has one window.
        """
        last = panel.lengths - spec.horizon
        return cls(panel, spec, np.maximum(np.minimum(min_history, last), 1), last)

    @classmethod
    def in_last_steps(
        cls, panel: Panel, spec: WindowSpec, steps: int | Ints, max_windows: int | None = None
    ) -> Windows:
        """Return the windows whose target lies in the last ``steps`` steps of each series.

        Args:
            panel: The series.
            spec: Sizes and names of a window.
            steps: One number, or one for each series, int64 [series].
            max_windows: Thin out the windows to about this many, evenly. The last one of each series remains.
        """
        last = panel.lengths - spec.horizon
        first = np.maximum(panel.lengths - steps, 1)
        total = int(np.maximum(last - first + 1, 0).sum())
        stride = 1 if max_windows is None else max(-(-total // max_windows), 1)
        return cls(panel, spec, last - np.maximum(last - first, -1) // stride * stride, last, stride)

    @property
    def counts(self) -> Ints:
        """Windows of each series, int64 [series]."""
        return np.asarray(np.maximum((self.last - self.first) // self.stride + 1, 0), dtype=np.int64)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.counts.sum())

    def locate(self, index: Ints) -> tuple[Ints, Ints]:
        """Return series and origin of windows by index, 0 to ``len(self) - 1``."""
        ends = np.cumsum(self.counts)
        series = np.searchsorted(ends, index, side="right")
        within = index - (ends - self.counts)[series]
        return series, self.first[series] + within * self.stride

    def gather(self, index: Ints, *, target: bool = True, max_length: Ints | None = None) -> Batch:
        """Return the tensors of windows by index; see `gather`."""
        series, origin = self.locate(np.asarray(index, dtype=np.int64))
        return gather(self.panel, self.spec, series, origin, target=target, max_length=max_length)

    def shuffled(self, seed: int, epoch: int, batch: int, size: int) -> Ints:
        """Return the window indices of one batch of a shuffled epoch. The last batch is filled from the first one."""
        position = (np.arange(batch * size, (batch + 1) * size)) % len(self)
        return permute(position, len(self), seed=(seed, epoch))

    def balanced(self, seed: int, epoch: int, batch: int, size: int) -> Ints:
        """Return the window indices of one batch in which all series are equally frequent, at random origins.

        Series are drawn in shuffled rounds, once per round. A series without windows is never drawn.
        """
        counts = self.counts
        series = np.flatnonzero(counts)
        position = np.arange(batch * size, (batch + 1) * size)
        rounds = position // len(series)
        chosen = np.empty(size, dtype=np.int64)
        for number in np.unique(rounds):
            place = position[rounds == number] % len(series)
            chosen[rounds == number] = series[permute(place, len(series), seed=(seed, epoch, int(number)))]
        within = np.random.default_rng((seed, epoch, batch, 1)).integers(0, counts[chosen])
        return np.asarray((np.cumsum(counts) - counts)[chosen] + within)


def gather(
    panel: Panel, spec: WindowSpec, series: Ints, origin: Ints, *, target: bool = True, max_length: Ints | None = None
) -> Batch:
    """Return the tensors of windows.

    Args:
        panel: The series.
        spec: Sizes and names of a window.
        series: Index of the series of each window, int64 [batch].
        origin: Steps of history before each origin, int64 [batch].
        target: Whether to add the target. It is missing after the end of the series.
        max_length: Truncate the history of each window to its last steps, int64 [batch]; default: the context.
    """
    length = np.minimum(origin, spec.context if max_length is None else np.minimum(max_length, spec.context))
    horizon = np.full_like(origin, spec.horizon)
    past, observed = _gather_observed(panel, series, origin - length, length, spec.context)
    batch: Batch = {PAST: past, OBSERVED: observed, LENGTH: length.astype(np.int32)}
    if spec.past_covariates:
        assert panel.covariates is not None
        names = spec.past_covariates
        batch[PAST_COVARIATES] = panel.covariates.gather(names, series, origin - length, length, spec.context)
    if spec.future_covariates:
        assert panel.covariates is not None
        names = spec.future_covariates
        batch[FUTURE_COVARIATES] = panel.covariates.gather(names, series, origin, horizon, spec.horizon)
    for static in spec.static:
        batch[static.input] = static.gather(panel, series)
    if target:
        batch[TARGET], batch[TARGET_OBSERVED] = _gather_observed(panel, series, origin, horizon, spec.horizon)
    return batch


def _gather_observed(panel: Panel, series: Ints, start: Ints, length: Ints, steps: int) -> tuple[Floats, Floats]:
    """Return windows of the targets with 0 where they are missing, and 1 where they were observed, else 0."""
    values = panel.series.gather(series, start, length, steps)
    observed = np.isfinite(values)
    return np.where(observed, values, np.float32(0)), observed.astype(np.float32)


def permute(position: Ints, size: int, seed: tuple[int, ...]) -> Ints:
    """Return the items at ``position`` of a random permutation of ``range(size)``, without computing the rest of it.

    A Feistel network over the next even power of two, applied until the value is below ``size`` (format-preserving
    encryption: Black and Rogaway 2002).
    """
    half = max((int(size - 1).bit_length() + 1) // 2, 1)
    mask = np.uint64((1 << half) - 1)
    keys = np.random.SeedSequence(seed).generate_state(4, np.uint64).astype(np.uint64)
    value = position.astype(np.uint64)
    pending = np.ones(value.shape, dtype=bool)
    while pending.any():
        value[pending] = _feistel(value[pending], keys, half, mask)
        pending = value >= size
    return value.astype(np.int64)


def _feistel(
    value: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], half: int, mask: np.uint64
) -> npt.NDArray[np.uint64]:
    left, right = value >> np.uint64(half), value & mask
    for key in keys:
        mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return left << np.uint64(half) | right
