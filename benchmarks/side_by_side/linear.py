"""One ridge regression for all series."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted, Values

PENALTIES = tuple(float(penalty) for penalty in np.logspace(-2, 5, 8))


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Fit one model per penalty to the training part and select the lowest squared error on the validation part."""
    context, scaled, horizon = options["context"], options["scaled"], data.horizon
    training = [values[: -data.validation] for values in data.series]
    validation = [values[-data.validation - context :] for values in data.series]
    past, future, _, _ = _examples(training, context, horizon, scaled)
    inputs, expected, _, _ = _examples(validation, context, horizon, scaled)
    models = {penalty: Ridge(penalty).fit(past, future) for penalty in PENALTIES}
    errors = {penalty: float(np.mean((model.predict(inputs) - expected) ** 2)) for penalty, model in models.items()}
    best = min(errors, key=errors.__getitem__)
    model = models[best]
    if data.refit:
        model = Ridge(best).fit(*_examples(data.series, context, horizon, scaled)[:2])

    def forecast(history: Data, windows: int) -> Values:
        forecasts = []
        for values in history.series:
            # Padded because windows also contain the horizon.
            padded = np.append(values[-context - windows + 1 :], np.zeros(horizon))
            last, _, level, scale = _examples([padded], context, horizon, scaled)
            forecasts.append(model.predict(last) * scale + level)
        return np.stack(forecasts, axis=-1)

    return Fitted(forecast, {"penalty": best})


def _examples(series: list[Values], context: int, horizon: int, scaled: bool) -> tuple[Values, Values, Values, Values]:
    """Return contexts and horizons of all windows relative to the last value of the context, that value and a scale."""
    windows = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(values, context + horizon)
            for values in series
            if len(values) >= context + horizon
        ]
    )
    past, future = windows[:, :context], windows[:, context:]
    level = past[:, -1:]
    scale = past.std(axis=1, keepdims=True) if scaled else np.ones_like(level)
    scale = np.where(scale > 0, scale, 1.0)
    return (past - level) / scale, (future - level) / scale, level, scale
