"""How good forecasts of series are that have just begun: the same windows, with less and less history."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.tasks import COLD, COLD_SEASONS
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import WindowSpec

Ints = npt.NDArray[np.int64]


def cold_errors(
    model: keras.Model,
    spec: WindowSpec,
    panel: Panel,
    series: Ints,
    origin: Ints,
    actual: npt.NDArray[Any],
    scale: npt.NDArray[Any] | float = 1.0,
) -> dict[str, float]:
    """Return the mean absolute errors of the median by the number of seasons that are known of each window.

    Args:
        model: an inference model.
        spec: its window.
        panel: the series.
        series: index of the series, ``(windows,)``.
        origin: steps of history, ``(windows,)``.
        actual: what was observed, ``(windows, horizon, targets)``.
        scale: what errors are divided by.
    """
    figures = {}
    for seasons in COLD_SEASONS:
        known = np.full_like(origin, seasons * spec.season)
        median = predict_windows(model, spec, panel, series, origin, max_length=known)[..., spec.median]
        figures[f"{COLD}{seasons}"] = float(np.mean(np.abs(median.astype(np.float64) - actual) / scale))
    return figures
