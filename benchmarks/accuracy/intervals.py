"""How good the intervals are, as forecast and as they were before the calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.tasks import INTERVAL_METRICS
from tsattn.models.forecast_model import CALIBRATED

Floats = npt.NDArray[np.float64]


class IntervalErrors:
    """Sums of the losses of quantiles, a batch at a time.

    Args:
        levels: quantile levels, ascending.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self._levels = np.array(levels)
        self._share = levels[-1] - levels[0]
        self._inside = self._score = self._loss = self._weight = self._count = 0.0

    def add(self, quantiles: npt.NDArray[Any], actual: Floats, scale: Floats | float = 1.0) -> None:
        """Add forecasts ``(..., levels)`` of what was observed ``(...)``; interval scores are divided by ``scale``."""
        low, high = quantiles[..., 0].astype(np.float64), quantiles[..., -1].astype(np.float64)
        outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        error = actual[..., None] - quantiles
        self._inside += float(np.sum((low <= actual) & (actual <= high)))
        self._score += float(np.sum((high - low + 2 / (1 - self._share) * outside) / scale))
        self._loss += float(np.sum(2 * np.mean(np.maximum(self._levels * error, (self._levels - 1) * error), axis=-1)))
        self._weight += float(np.sum(np.abs(actual)))
        self._count += actual.size

    def figures(self, prefix: str = "") -> dict[str, float]:
        """Return `INTERVAL_METRICS` by name."""
        values = self._inside / self._count, self._score / self._count, self._loss / self._weight
        return {f"{prefix}{name}": value for name, value in zip(INTERVAL_METRICS, values, strict=True)}


@contextmanager
def uncalibrated(model: keras.Model) -> Iterator[None]:
    """Take the calibration off a model for a while."""
    layer = model.get_layer(CALIBRATED)
    factors = keras.ops.convert_to_numpy(layer.factors)
    layer.fit(np.ones_like(factors))
    try:
        yield
    finally:
        layer.fit(factors)
