"""Windows of a panel, gathered in NumPy a batch at a time.

A window is an index pair (series, origin): the history is what lies before the origin, the target what begins there.
Nothing is materialised. Batch ``k`` of an epoch is a pure function of (seed, epoch, k), so that a resumed, sharded or
repeated training sees the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.timeseries.panel import Panel
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
Ints = npt.NDArray[np.int64]


def shortest(horizon: int) -> int:
    """Return the steps of the shortest series that has a step of history, a target to train and one to validate on."""
    return 2 * horizon + 1


@dataclass(frozen=True)
class Windows:
    """The windows of a panel with origins ``first[i], first[i] + stride, ...`` up to ``last[i]`` in series ``i``.

    Args:
        panel: the series.
        spec: the window.
        first: first origin of each series, int64 [series].
        last: last origin of each series, included; a series with ``last < first`` has no window.
        stride: steps between the origins of a series.
    """

    panel: Panel
    spec: WindowSpec
    first: Ints
    last: Ints
    stride: int = 1

    @classmethod
    def before_end(cls, panel: Panel, spec: WindowSpec, history: int) -> Windows:
        """All windows whose target lies in the panel, with ``history`` steps before it, or at least one."""
        last = panel.lengths - spec.horizon
        return cls(panel, spec, np.maximum(np.minimum(history, last), 1), last)

    @classmethod
    def over_last(cls, panel: Panel, spec: WindowSpec, steps: int | Ints, most: int | None = None) -> Windows:
        """The windows whose target lies in the last ``steps`` steps of each series; about ``most`` of them, spread.

        ``steps`` is a number for all series, or int64 [series].
        """
        last = panel.lengths - spec.horizon
        first = np.maximum(panel.lengths - steps, 1)
        total = int(np.maximum(last - first + 1, 0).sum())
        # Counted from the end, so that the newest window is always one of them.
        stride = 1 if most is None else max(-(-total // most), 1)
        return cls(panel, spec, last - np.maximum(last - first, -1) // stride * stride, last, stride)

    @property
    def counts(self) -> Ints:
        """Windows of each series, int64 [series]."""
        return np.asarray(np.maximum((self.last - self.first) // self.stride + 1, 0), dtype=np.int64)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.counts.sum())

    def locate(self, index: Ints) -> tuple[Ints, Ints]:
        """Return series and origin of windows by their number, 0 to ``len(self) - 1``."""
        ends = np.cumsum(self.counts)
        series = np.searchsorted(ends, index, side="right")
        within = index - (ends - self.counts)[series]
        return series, self.first[series] + within * self.stride

    def gather(self, index: Ints, *, target: bool = True, most: Ints | None = None) -> Batch:
        """Return the tensors of the window contract for windows by their number; ``most`` as below."""
        series, origin = self.locate(np.asarray(index, dtype=np.int64))
        return gather(self.panel, self.spec, series, origin, target=target, most=most)

    def shuffled(self, seed: int, epoch: int, batch: int, size: int) -> Ints:
        """Return the window numbers of one batch of a shuffled epoch; the last batch is filled from the first."""
        position = (np.arange(batch * size, (batch + 1) * size)) % len(self)
        return permute(position, len(self), seed=(seed, epoch))

    def balanced(self, seed: int, epoch: int, batch: int, size: int) -> Ints:
        """Return the window numbers of one batch in which each series comes as often as the others, at random places.

        Series come in shuffled rounds, each once a round; those without a window never.
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
    panel: Panel, spec: WindowSpec, series: Ints, origin: Ints, *, target: bool = True, most: Ints | None = None
) -> Batch:
    """Return the window tensors for pairs of series and origin, each int64 [batch].

    Args:
        panel: the series.
        spec: the window.
        series: index of the series.
        origin: steps of history; the rest of the series is the future.
        target: whether to add the target, which may reach over the end (missing there).
        most: steps of history that are kept of each window, int64 [batch]; the context if left out.
    """
    length = np.minimum(origin, spec.context if most is None else np.minimum(most, spec.context))
    begin = panel.offsets[series]
    values, observed = _take(panel, begin + origin - length, length, spec.context)
    batch: Batch = {PAST: values, OBSERVED: observed, LENGTH: length.astype(np.int32)}
    if spec.past_covariates:
        assert panel.covariates is not None
        names = spec.past_covariates
        batch[PAST_COVARIATES] = panel.covariates.window(names, series, origin - length, spec.context, length)
    if spec.future_covariates:
        assert panel.covariates is not None
        names, ahead = spec.future_covariates, np.full_like(origin, spec.horizon)
        batch[FUTURE_COVARIATES] = panel.covariates.window(names, series, origin, spec.horizon, ahead)
    for static in spec.static:
        batch[static.input] = panel.static_values(static, series)
    if target:
        ahead = np.minimum(panel.lengths[series] - origin, spec.horizon)
        batch[TARGET], batch[TARGET_OBSERVED] = _take(panel, begin + origin, ahead, spec.horizon)
    return batch


def _take(
    panel: Panel, start: Ints, length: Ints, steps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Take ``length`` rows from ``start`` on, right-padded to ``steps``; and 1 where a value was observed."""
    step = np.arange(steps)
    valid = step[None, :] < length[:, None]
    rows = np.where(valid, start[:, None] + step[None, :], 0)
    values = panel.values[rows]
    seen = np.isfinite(values) & valid[:, :, None]
    return np.where(seen, values, np.float32(0)), seen.astype(np.float32)


def permute(position: Ints, size: int, seed: tuple[int, ...]) -> Ints:
    """Return the items at ``position`` of a random permutation of ``range(size)``, without making it.

    A Feistel network over the next even power of two, walked until the value falls below ``size`` (format-preserving
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
