"""Errors of prediction intervals, with and without the calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.tasks import INTERVAL_METRICS
from tsattn.models.forecast_model import CALIBRATION_LAYER

Floats = npt.NDArray[np.float64]


class IntervalErrors:
    """Coverage, interval score and quantile loss, accumulated batch by batch.

    Args:
        levels: Quantile levels, ascending.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self._levels = np.array(levels)
        self._nominal_coverage = levels[-1] - levels[0]
        self._inside = self._score = self._loss = self._weight = self._count = 0.0

    def add(self, quantiles: npt.NDArray[Any], actual: Floats, scale: Floats | float = 1.0) -> None:
        """Add forecasts ``(..., levels)`` and observed values ``(...)``; interval scores are divided by ``scale``."""
        low, high = quantiles[..., 0].astype(np.float64), quantiles[..., -1].astype(np.float64)
        outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        error = actual[..., None] - quantiles
        self._inside += float(np.sum((low <= actual) & (actual <= high)))
        self._score += float(np.sum((high - low + 2 / (1 - self._nominal_coverage) * outside) / scale))
        self._loss += float(np.sum(2 * np.mean(np.maximum(self._levels * error, (self._levels - 1) * error), axis=-1)))
        self._weight += float(np.sum(np.abs(actual)))
        self._count += actual.size

    def figures(self, prefix: str = "") -> dict[str, float]:
        """Return `INTERVAL_METRICS` by name."""
        values = self._inside / self._count, self._score / self._count, self._loss / self._weight
        return {f"{prefix}{name}": value for name, value in zip(INTERVAL_METRICS, values, strict=True)}


@contextmanager
def without_calibration(model: keras.Model) -> Iterator[None]:
    """Disable the calibration of a model within the context."""
    layer = model.get_layer(CALIBRATION_LAYER)
    factors = keras.ops.convert_to_numpy(layer.factors)
    layer.fit(np.ones_like(factors))
    try:
        yield
    finally:
        layer.fit(factors)
