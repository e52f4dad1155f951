"""The seasonal naive forecast."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted, Values


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Return the seasonal naive forecaster."""

    def forecast(history: Data, windows: int) -> Values:
        lags = np.arange(history.horizon) % history.season - history.season
        origins = np.arange(1 - windows, 1)[:, None] + lags
        return np.stack([values[len(values) + origins] for values in history.series], axis=-1)

    return Fitted(forecast)
