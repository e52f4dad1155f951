"""AutoETS and AutoTheta of statsforecast."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import numpy as np
import statsforecast.models
import statsforecast.theta

from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.contestants import CORES
from benchmarks.side_by_side.tasks import Data, Fitted, Values


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Fit a model to each series; to its train part alone where the validation part must not be fitted to."""
    model = getattr(statsforecast.models, options["model"])(season_length=data.season)
    leave = 0 if data.refit else data.validation
    with _processes() as pool:
        fitted = list(pool.map(model.fit, [values[: len(values) - leave] for values in data.series]))

    def forecast(asked: Data, windows: int) -> Values:
        if windows == 1:
            return np.stack([model.predict(asked.horizon)["mean"] for model in fitted], axis=-1)[None]
        with _processes() as pool:
            series = asked.series
            rolled = pool.map(_roll, fitted, series, [windows] * len(series), [asked.horizon] * len(series))
            return np.stack(list(rolled), axis=-1)

    return Fitted(forecast)


def _processes() -> ProcessPoolExecutor:
    """Return processes that begin anew: a fork, such as StatsForecast's own pool makes, may hang beside threads."""
    return ProcessPoolExecutor(CORES, get_context("spawn"))


def _roll(model: Any, values: Values, windows: int, horizon: int) -> Values:
    """Return forecasts [windows, horizon] with the parameters of a fitted model."""
    origins = range(len(values) - windows + 1, len(values) + 1)
    # It takes no view that is not writable, and some models write into what they take.
    with _quick_autocorrelation():
        return np.stack([model.forward(values[:origin].copy(), horizon)["mean"] for origin in origins])


@contextmanager
def _quick_autocorrelation() -> Iterator[None]:
    """Let Theta models test for seasonality by the Fourier transform.

    They take the autocorrelation anew for each window, by sums over all pairs of steps: most of a second with the two
    years of ETTh1, hours for its windows. What comes out is the same to the rounding.
    """
    slow = statsforecast.theta.acf
    statsforecast.theta.acf = lambda values, nlags, fft: slow(values, nlags=nlags, fft=True)
    try:
        yield
    finally:
        statsforecast.theta.acf = slow
