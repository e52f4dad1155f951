"""Names, shapes and meaning of the tensors of a model: the contract between data, models, export and serving.

A *window* holds everything that is known at one forecast origin.

========================  ==============================  =====================================================
Input                     Shape                           Meaning
========================  ==============================  =====================================================
``past``                  [batch, context, targets]       history in original units, oldest first, right-padded;
                                                          0 where missing or padded
``observed``              [batch, context, targets]       1 where ``past`` was observed, else 0
``length``                [batch] int32                   number of valid steps; step t is padding if t >= length
``past_covariates``       [batch, context, features]      covariates over the history, future covariates first; NaN
                                                          where missing or padded; only if the data have any
``future_covariates``     [batch, horizon, features]      future covariates over the horizon; NaN where missing
``static_NAME``           [batch]                         one input per static covariate, only if there are any:
                                                          float32, NaN where missing, or int32, the index of a
                                                          category from 1, 0 where unknown
``target``                [batch, horizon, targets]       training only: the values to forecast, 0 where missing
``target_observed``       [batch, horizon, targets]       training only: 1 where ``target`` was observed, else 0
``target_scale``          [batch, targets]                training only: scale by which errors of the series are divided
========================  ==============================  =====================================================

========================  ==============================  =====================================================
Output                    Shape                           Meaning
========================  ==============================  =====================================================
``quantiles``             [batch, horizon, targets,       ascending quantiles in original units
                          levels]
``parameters``            [batch, horizon, targets,       parameters of the distribution of each step, in original
                          parameters]                     units, if the model has one; see
                                                          tsattn.layers.DistributionHead
``samples``               [batch, samples, horizon,       sample paths from it, in original units
                          targets]
``forecast``              [batch, horizon, targets]       the 0.5 quantile
``weights``               [batch, horizon, targets,       weight of each method in the forecast, if the model combines
                          methods]                        several
``attention``             [batch, targets or 1, heads,    weights; 0 for padding; each row sums to 1 (to 0 without
                          queries, keys]                  history); one head unless the model has several
``key_steps``             [batch, keys, 2] int32          first and last step of the history that a key covers, -1 for
                                                          padding
``query_steps``           [batch, queries, 2] int32       first and last step of the horizon that a query covers
========================  ==============================  =====================================================

A gap is a step with ``t < length`` and ``observed`` 0. NaN occurs in covariates only; their scaling replaces it by the
mean. Models never see timestamps.

`Windows` gathers the windows of a panel in NumPy, one batch at a time. There a window is a pair (series, origin): the
steps before the origin are the history, those from it on are the target. Batch ``k`` of an epoch is a pure function of
(seed, epoch, k), so that resumed and repeated trainings see the same batches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsattn.config import RunConfig
from tsattn.timeseries.calendar import calendar_feature_names
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.schema import Schema

PAST = "past"
OBSERVED = "observed"
LENGTH = "length"
PAST_COVARIATES = "past_covariates"
FUTURE_COVARIATES = "future_covariates"
STATIC_PREFIX = "static_"
TARGET = "target"
TARGET_OBSERVED = "target_observed"
TARGET_SCALE = "target_scale"

QUANTILES = "quantiles"
FORECAST = "forecast"
PARAMETERS = "parameters"
SAMPLES = "samples"
WEIGHTS = "weights"
ATTENTION = "attention"
KEY_STEPS = "key_steps"
QUERY_STEPS = "query_steps"

Batch = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StaticInput:
    """One static covariate of a window.

    Args:
        name: Its column.
        input: Name of the tensor.
        categories: Its categories; None for numbers.
    """

    name: str
    input: str
    categories: tuple[str, ...] | None = None

    @classmethod
    def from_names(cls, names: Iterable[str], categories: Mapping[str, tuple[str, ...]]) -> tuple[Self, ...]:
        """Return static covariates. "_" replaces the characters that names of tensors cannot have."""
        inputs: dict[str, str] = {}
        for name in names:
            plain = STATIC_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name)
            inputs[name] = plain if plain not in inputs.values() else f"{plain}_{len(inputs)}"
        return tuple(cls(name, input, categories.get(name)) for name, input in inputs.items())

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.categories or (), start=1)}

    def indices(self, labels: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the index of each label, 1 to n; 0 for unknown ones."""
        return np.array([self._index_of.get(label, 0) for label in labels], dtype=np.int32)

    def gather(self, panel: Panel, series: Ints) -> npt.NDArray[Any]:
        """Return the tensor for some series of a panel, by index."""
        covariate = next(covariate for covariate in panel.static if covariate.name == self.name)
        if covariate.labels is None:
            return covariate.values[series]
        return np.append(self.indices(covariate.labels), np.int32(0))[covariate.values[series]]


@dataclass(frozen=True)
class WindowSpec:
    """Sizes and names of one window.

    Args:
        context: Steps of history.
        horizon: Steps to forecast.
        targets: Names of the target channels, in order.
        season: Season length in steps; 1 without seasonality.
        levels: Ascending quantile levels in (0, 1), with 0.5, the point forecast.
        past_covariates: Names of the features over the history, beginning with ``future_covariates``.
        future_covariates: Names of the features over the horizon.
        static: The static covariates.
        support: Domain of the targets: ``real``, ``positive`` (not negative) or ``count``.
    """

    context: int
    horizon: int
    targets: tuple[str, ...]
    season: int = 1
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    past_covariates: tuple[str, ...] = ()
    future_covariates: tuple[str, ...] = ()
    static: tuple[StaticInput, ...] = ()
    support: str = "real"

    @classmethod
    def from_schema(cls, schema: Schema, config: RunConfig, context: int) -> WindowSpec:
        """Return the window for data that were read by a schema."""
        future = (*schema.feature_names(*schema.future_covariates), *calendar_feature_names(schema))
        return cls(
            context,
            schema.horizon,
            schema.targets,
            schema.season,
            tuple(config.levels),
            past_covariates=(*future, *schema.feature_names(*schema.past_covariates)),
            future_covariates=future,
            static=StaticInput.from_names(schema.static_covariates, schema.categories),
            support=schema.support,
        )

    @property
    def median(self) -> int:
        """Index of the 0.5 quantile in ``levels``."""
        return self.levels.index(0.5)

    def shapes(self, *, training: bool = False) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of the window by name, without the batch axis."""
        channels = len(self.targets)
        shapes: dict[str, tuple[int, ...]] = {
            PAST: (self.context, channels),
            OBSERVED: (self.context, channels),
            LENGTH: (),
        }
        if self.past_covariates:
            shapes[PAST_COVARIATES] = (self.context, len(self.past_covariates))
        if self.future_covariates:
            shapes[FUTURE_COVARIATES] = (self.horizon, len(self.future_covariates))
        shapes.update({static.input: () for static in self.static})
        if training:
            shapes[TARGET] = (self.horizon, channels)
            shapes[TARGET_OBSERVED] = (self.horizon, channels)
            shapes[TARGET_SCALE] = (channels,)
        return shapes

    def without_covariates(self) -> WindowSpec:
        """Return the window of the targets only."""
        return replace(self, past_covariates=(), future_covariates=(), static=())

    def dtype(self, name: str) -> str:
        """Return the dtype of a tensor of the window."""
        integers = {LENGTH, *(static.input for static in self.static if static.categories is not None)}
        return "int32" if name in integers else "float32"


def min_series_length(horizon: int) -> int:
    """Return the least length of a series: one step of history, one horizon to train on and one to validate on."""
    return 2 * horizon + 1


MAX_SERIES = 4_000
"""Series of which windows are taken where windows are thinned out."""


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
            max_windows: Thin out the windows to about this many, evenly. The last one of each series remains, but if
                there are more than `MAX_SERIES` series, of that many, evenly spread.
        """
        last = panel.lengths - spec.horizon
        first = np.maximum(panel.lengths - steps, 1)
        total = int(np.maximum(last - first + 1, 0).sum())
        stride = 1 if max_windows is None else max(-(-total // max_windows), 1)
        first = last - np.maximum(last - first, -1) // stride * stride
        series = np.flatnonzero(first <= last)
        if max_windows is not None and len(series) > MAX_SERIES:
            chosen = series[np.linspace(0, len(series) - 1, MAX_SERIES).astype(int)]
            first = np.where(np.isin(np.arange(len(panel)), chosen), first, last + stride)
        return cls(panel, spec, first, last, stride)

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
