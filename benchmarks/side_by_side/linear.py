"""One linear map for all series, by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted, Values

PENALTIES = tuple(float(penalty) for penalty in np.logspace(-2, 5, 8))


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Fit a map with each penalty to the train part and keep the one of least squared error on the validation part."""
    lookback, scaled, horizon = options["lookback"], options["scaled"], data.horizon
    before = [values[: -data.validation] for values in data.series]
    after = [values[-data.validation - lookback :] for values in data.series]
    past, future, _, _ = _examples(before, lookback, horizon, scaled)
    seen, expected, _, _ = _examples(after, lookback, horizon, scaled)
    maps = {penalty: Ridge(penalty).fit(past, future) for penalty in PENALTIES}
    errors = {penalty: float(np.mean((made.predict(seen) - expected) ** 2)) for penalty, made in maps.items()}
    best = min(errors, key=errors.__getitem__)
    chosen = maps[best]
    if data.refit:
        chosen = Ridge(best).fit(*_examples(data.series, lookback, horizon, scaled)[:2])

    def forecast(asked: Data, windows: int) -> Values:
        forecasts = []
        for values in asked.series:
            # So long that the last origin lies behind the last step.
            padded = np.append(values[-lookback - windows + 1 :], np.zeros(horizon))
            last, _, level, scale = _examples([padded], lookback, horizon, scaled)
            forecasts.append(chosen.predict(last) * scale + level)
        return np.stack(forecasts, axis=-1)

    return Fitted(forecast, {"penalty": best})


def _examples(series: list[Values], lookback: int, horizon: int, scaled: bool) -> tuple[Values, Values, Values, Values]:
    """Return look-backs and horizons of all windows, counted from the last value, that level and the scale."""
    windows = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(values, lookback + horizon)
            for values in series
            if len(values) >= lookback + horizon
        ]
    )
    past, future = windows[:, :lookback], windows[:, lookback:]
    level = past[:, -1:]
    scale = past.std(axis=1, keepdims=True) if scaled else np.ones_like(level)
    scale = np.where(scale > 0, scale, 1.0)
    return (past - level) / scale, (future - level) / scale, level, scale
