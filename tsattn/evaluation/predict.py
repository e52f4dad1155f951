"""Forecasts of windows, a batch at a time."""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt

from tsattn.data.panel import Panel
from tsattn.data.windows import gather
from tsattn.window import QUANTILES, WindowSpec

ROWS = 2048
"""Rows of a batch: windows times targets, so that many targets do not fill the memory."""


def predict_windows(
    model: keras.Model,
    spec: WindowSpec,
    panel: Panel,
    series: npt.NDArray[np.int64],
    origin: npt.NDArray[np.int64],
    output: str = QUANTILES,
    most: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float32]:
    """Forecast at pairs of series and origin.

    Args:
        model: an inference model.
        spec: its window.
        panel: the series.
        series: index of the series, int64 [windows].
        origin: steps of history, int64 [windows].
        output: which output of the model.
        most: steps of history that are kept of each window, int64 [windows]; the context if left out.

    Returns:
        That output, by default the quantiles [windows, horizon, targets, levels] in original units.
    """
    parts = []
    size = max(ROWS // len(spec.targets), 1)
    for begin in range(0, len(series), size):
        chosen = slice(begin, begin + size)
        kept = None if most is None else most[chosen]
        batch = gather(panel, spec, series[chosen], origin[chosen], target=False, most=kept)
        # Called as a function: `predict` would trace a graph for each model and each size of batch.
        parts.append(keras.ops.convert_to_numpy(model(batch, training=False)[output]))
    return np.concatenate(parts)
