"""The range of the training data: which windows are like those that a network was trained on.

Within this range a network uses what it learned of levels and spreads. Outside of it the forecast commutes with shift
and positive scale of the history, and a constant history has a constant forecast.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tsattn.layers.ops import Tensor, last_observed
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.windows import OBSERVED, PAST, WindowSpec, gather

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel

MAX_VALUES = 20_000_000
"""Maximum number of values in the windows of the statistics; more windows are subsampled evenly."""

CHUNK_VALUES = 2_000_000
"""Values whose statistics are computed at once, so that the memory is bounded."""

LEVEL_MARGIN, RELATIVE_MARGIN = 0.1, 1e-3
"""Margin of the level, in units of the range of the training data and of the largest absolute value."""

SPREAD_MARGIN = 2.0
"""Factor by which the spread of a window can be below or above those of the training data."""

FRACTION_MARGIN = 0.4
"""Margin of the fraction of zeros and of the autocorrelation."""

Bounds = tuple[tuple[float, float], ...]
"""The lowest and the highest value of a statistic in each channel."""


@dataclass(frozen=True)
class WindowStatistics:
    """Statistics of windows, each `(windows, channels)`; NaN where a window has too few values.

    Args:
        count: Number of observed values.
        level: Mean.
        spread: Standard deviation.
        zeros: Fraction of zeros.
        season: Autocorrelation at the season length.
    """

    count: npt.NDArray[Any]
    level: npt.NDArray[Any]
    spread: npt.NDArray[Any]
    zeros: npt.NDArray[Any]
    season: npt.NDArray[Any]

    @classmethod
    def of(cls, values: npt.NDArray[Any], observed: npt.NDArray[Any], season: int) -> Self:
        """Return the statistics of windows `(windows, steps, channels)`, 0 where nothing is observed."""
        seen, values = observed > 0, values.astype(np.float64)
        count = seen.sum(axis=1)
        known = np.where(count > 0, count, np.nan)
        level = values.sum(axis=1, where=seen) / known
        centred = np.where(seen, values - level[:, None], 0.0)
        variance = (centred**2).sum(axis=1) / known
        zeros = ((values == 0) & seen).sum(axis=1) / known
        pairs = (seen[:, season:] & seen[:, :-season]).sum(axis=1)
        products = (centred[:, season:] * centred[:, :-season]).sum(axis=1)
        enough = (pairs >= 2 * season) & (pairs > 10) & (variance > 0) & (season > 1)
        autocorrelation = products / np.where(enough, pairs * variance, np.nan)
        return cls(count, level, np.sqrt(variance), zeros, autocorrelation)


@dataclass(frozen=True)
class TrainingRange:
    """Bounds of the statistics of windows, by channel.

    Args:
        level: Mean of a window.
        spread: Standard deviation of a window of `steps` or more observed values.
        zeros: Fraction of zeros in a window of `steps` or more observed values.
        season: Autocorrelation at the season length.
        steps: Observed values of a window whose spread is known.
    """

    level: Bounds
    spread: Bounds
    zeros: Bounds
    season: Bounds
    steps: int

    @classmethod
    def of(cls, panel: Panel, spec: WindowSpec, steps: int) -> Self:
        """Return the range of a panel.

        Args:
            panel: The training data.
            spec: The window of the network.
            steps: Length of the shortest windows whose spread counts.
        """
        whole, short = (_statistics(panel, spec, length) for length in (spec.context, steps))
        finite = np.where(np.isfinite(panel.values), panel.values, np.nan).astype(np.float64)
        limits = _bounds(finite)
        margin = LEVEL_MARGIN * (limits[:, 1] - limits[:, 0]) + RELATIVE_MARGIN * np.abs(limits).max(axis=1)
        enough = short.count >= steps
        spreads = np.concatenate([np.where(enough, short.spread, np.nan), whole.spread])
        spread = _bounds(spreads)
        fractions = (
            _bounds(np.concatenate([np.where(enough, short.zeros, np.nan), whole.zeros])),
            _bounds(whole.season),
        )
        zeros, season = (bounds + np.array([-FRACTION_MARGIN, FRACTION_MARGIN]) for bounds in fractions)
        return cls(
            _pairs(limits + np.stack([-margin, margin], axis=1)),
            _pairs(spread * np.array([1 / SPREAD_MARGIN, SPREAD_MARGIN])),
            _pairs(zeros),
            _pairs(season),
            steps,
        )

    def differences(self, windows: WindowStatistics) -> dict[str, npt.NDArray[np.bool_]]:
        """Return in which windows and channels each statistic is outside its bounds, `(windows, channels)`."""
        enough = windows.count >= self.steps
        return {
            "level": _outside(windows.level, self.level),
            "spread": _outside(windows.spread, self.spread) & enough,
            "fraction of zeros": _outside(windows.zeros, self.zeros) & enough,
            "seasonality": _outside(windows.season, self.season),
        }


def _statistics(panel: Panel, spec: WindowSpec, length: int) -> WindowStatistics:
    """Return the statistics of evenly spaced windows of at most ``length`` steps."""
    spec = replace(spec, context=length)
    values = length * len(spec.targets)
    counts = np.maximum(panel.lengths // length, 1)
    ends, total = np.cumsum(counts), int(counts.sum())
    number = np.arange(0, total, max(-(-total * values // MAX_VALUES), 1))
    series = np.searchsorted(ends, number, side="right")
    origin = panel.lengths[series] - (number - (ends - counts)[series]) * length
    return window_statistics(panel, spec, series, origin)


def window_statistics(panel: Panel, spec: WindowSpec, series: Ints, origin: Ints) -> WindowStatistics:
    """Return the statistics of the windows of some series, int64 [windows], up to some origins, int64 [windows]."""
    spec, parts = spec.without_covariates(), []
    for begin in range(0, len(series), size := max(CHUNK_VALUES // (spec.context * len(spec.targets)), 1)):
        chosen = slice(begin, begin + size)
        batch = gather(panel, spec, series[chosen], origin[chosen], target=False)
        parts.append(WindowStatistics.of(batch[PAST], batch[OBSERVED], spec.season))
    names = [field.name for field in fields(WindowStatistics)]
    return WindowStatistics(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _bounds(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the minimum and the maximum of each column, `(channels, 2)`; infinite where all are NaN."""
    low = np.min(np.where(np.isnan(values), np.inf, values), axis=0, initial=np.inf)
    high = np.max(np.where(np.isnan(values), -np.inf, values), axis=0, initial=-np.inf)
    empty = low > high
    return np.stack([np.where(empty, -np.inf, low), np.where(empty, np.inf, high)], axis=1)


def _pairs(bounds: npt.NDArray[Any]) -> Bounds:
    return tuple((float(low), float(high)) for low, high in bounds)


def _outside(values: npt.NDArray[Any], bounds: Bounds) -> npt.NDArray[np.bool_]:
    low, high = np.array(bounds).T
    return np.asarray((values < low) | (values > high))


@keras.saving.register_keras_serializable(package="tsattn")
class InTrainingRange(keras.layers.Layer):
    """Whether level and spread of each window are within the range of the training data.

    Args:
        training_range: Fields of a `TrainingRange`.

    Call arguments:
        values: `(batch, context, channels)`, in original units.
        observed: `(batch, context, channels)`, 0 where missing or padded.

    Output shape:
        `(batch, 1, channels)`, float32: 1 within the range, else 0.
    """

    def __init__(self, training_range: dict[str, Any], **kwargs: Any) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        bounds = {name: tuple(map(tuple, value)) for name, value in training_range.items() if name != "steps"}
        self.training_range = TrainingRange(**bounds, steps=int(training_range["steps"]))

    def call(self, values: Tensor, observed: Tensor) -> Tensor:
        values, observed = ops.cast(values, "float32"), ops.cast(observed, "float32")
        count = ops.sum(observed, axis=1, keepdims=True)
        known = ops.maximum(count, 1.0)
        last = last_observed(values, observed)
        shifted = observed * (values - last)
        mean_shift = ops.sum(shifted, axis=1, keepdims=True) / known
        spread = ops.sqrt(ops.sum(observed * (shifted - mean_shift) ** 2, axis=1, keepdims=True) / known)
        inside = self._inside(last + mean_shift, self.training_range.level)
        has_spread = self._inside(spread, self.training_range.spread)
        short = count < self.training_range.steps
        return ops.cast(ops.logical_and(inside, ops.logical_or(short, has_spread)), "float32")

    def _inside(self, statistic: Tensor, bounds: Bounds) -> Tensor:
        # Infinite bounds of a channel without values become the largest float32.
        low, high = np.clip(np.array(bounds), -3e38, 3e38).astype("float32").T
        return ops.logical_and(statistic >= low, statistic <= high)

    def compute_output_spec(self, values: Any, observed: Any) -> Any:
        return keras.KerasTensor((values.shape[0], 1, values.shape[2]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "training_range": asdict(self.training_range)}


def get_training_range(model: keras.Model) -> TrainingRange | None:
    """Return the range of the training data of a network, or None if it has none."""
    layers = (layer for layer in model.layers if isinstance(layer, InTrainingRange))
    found = next(layers, None)
    return None if found is None else found.training_range
