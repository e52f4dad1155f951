"""Errors of point forecasts; needs NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.tasks import M4_SEASON

Values = npt.NDArray[np.float64]

NAIVE2 = {"smape": 18.383, "mase": 2.395}
"""Errors of the competition's benchmark on the hourly series; OWA is relative to them."""


def window_scores(actual: Values, forecasts: npt.NDArray[Any]) -> dict[str, float]:
    """Return MSE and MAE over windows one step apart.

    Args:
        actual: Observed values, [steps, channels].
        forecasts: [windows, horizon, channels], one for each window of ``actual``.
    """
    covered = np.lib.stride_tricks.sliding_window_view(actual, forecasts.shape[1], axis=0).swapaxes(1, 2)
    if covered.shape != forecasts.shape:
        raise ValueError(f"expected forecasts of the shape {covered.shape}, got {forecasts.shape}")
    error = forecasts.astype(np.float64) - covered
    return {"mse": float(np.mean(error**2)), "mae": float(np.mean(np.abs(error))), "windows": len(forecasts)}


def m4_scale(history: list[Values]) -> Values:
    """Return the mean absolute error of the seasonal naive forecast within each series."""
    return np.array([np.abs(values[M4_SEASON:] - values[:-M4_SEASON]).mean() for values in history])


def m4_scores(history: list[Values], actual: Values, forecast: Values) -> dict[str, float]:
    """Return sMAPE, MASE and OWA.

    Args:
        history: The history of each series.
        actual: Observed values, [series, horizon].
        forecast: [series, horizon].
    """
    error = np.abs(actual - forecast)
    scale = m4_scale(history)
    smape = float(np.mean(200 * error / (np.abs(actual) + np.abs(forecast))))
    mase = float(np.mean(error.mean(axis=1) / scale))
    owa = (smape / NAIVE2["smape"] + mase / NAIVE2["mase"]) / 2
    return {"smape": smape, "mase": mase, "owa": owa, "series": len(history)}
