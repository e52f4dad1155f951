"""Forecasts of series with a short history: the same windows, with fewer and fewer seasons of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.tasks import COLD_START, COLD_START_SEASONS
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.windows import WindowSpec

Ints = npt.NDArray[np.int64]


def cold_start_errors(
    model: keras.Model,
    spec: WindowSpec,
    panel: Panel,
    series: Ints,
    origin: Ints,
    actual: npt.NDArray[Any],
    scale: npt.NDArray[Any] | float = 1.0,
) -> dict[str, float]:
    """Return the mean absolute error of the median for each number of seasons of history.

    Args:
        model: An inference model.
        spec: Its window.
        panel: The series.
        series: Index of the series, ``(windows,)``.
        origin: Length of the history, ``(windows,)``.
        actual: Observed values, ``(windows, horizon, targets)``.
        scale: Divisor of the errors.
    """
    figures = {}
    for seasons in COLD_START_SEASONS:
        length = np.full_like(origin, seasons * spec.season)
        median = predict_windows(model, spec, panel, series, origin, max_length=length)[..., spec.median]
        figures[f"{COLD_START}{seasons}"] = float(np.mean(np.abs(median.astype(np.float64) - actual) / scale))
    return figures
