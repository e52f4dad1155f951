"""Domain of the targets: forecasts of values that are never below 0, but near it, are not either."""

from __future__ import annotations

import numpy as np

from tsattn.config import DataConfig
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import InferredSetting

MIN_VALUES = 20
"""Values of a target from which on its domain is inferred."""

MAX_NEAR = 0.1
"""Values up to this fraction of the mean of their series are near 0."""

MIN_FRACTION = 0.03
"""Fraction of values near 0 from which on a target is near 0."""


def infer_support(panel: Panel, config: DataConfig) -> InferredSetting:
    """Return the domain of the targets: "positive" if no value is below 0 and many are near it, else "real".

    Args:
        panel: The series.
        config: Options of the user.
    """
    if config.support is not None:
        return InferredSetting(field="support", value=config.support, given=True, reason="it was asked for")
    real = InferredSetting(field="support", value="real", given=False, reason="values below 0 are possible")
    if panel.levels is not None or np.fmin.reduce(panel.values, axis=None, initial=0) < 0:
        return real
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    for channel, name in enumerate(panel.targets):
        seen = np.isfinite(panel.values[:, channel])
        values, series = panel.values[seen, channel], owner[seen]
        if len(values) < MIN_VALUES:
            continue
        mean = np.bincount(series, weights=values) / np.maximum(np.bincount(series), 1)
        near = float((values <= MAX_NEAR * mean[series]).mean())
        if near >= MIN_FRACTION:
            reason = f"no value is below 0, and {max(round(100 * near), 1)} % of those of '{name}' are near 0"
            return InferredSetting(field="support", value="positive", given=False, reason=reason)
    return real
