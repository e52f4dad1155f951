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
    """Fit one model per series, without the validation part if it must not be used for fitting."""
    model = getattr(statsforecast.models, options["model"])(season_length=data.season)
    held_out = 0 if data.refit else data.validation
    with _process_pool() as pool:
        fitted = list(pool.map(model.fit, [values[: len(values) - held_out] for values in data.series]))

    def forecast(history: Data, windows: int) -> Values:
        if windows == 1:
            return np.stack([model.predict(history.horizon)["mean"] for model in fitted], axis=-1)[None]
        with _process_pool() as pool:
            series = history.series
            rolled = pool.map(_roll, fitted, series, [windows] * len(series), [history.horizon] * len(series))
            return np.stack(list(rolled), axis=-1)

    return Fitted(forecast)


def _process_pool() -> ProcessPoolExecutor:
    """Return a pool of spawned processes; forked ones, as in StatsForecast's own pool, may hang next to threads."""
    return ProcessPoolExecutor(CORES, get_context("spawn"))


def _roll(model: Any, values: Values, windows: int, horizon: int) -> Values:
    """Return rolling forecasts [windows, horizon] with the parameters of a fitted model."""
    origins = range(len(values) - windows + 1, len(values) + 1)
    # Models need a writable array, and some of them write into it.
    with _fft_autocorrelation():
        return np.stack([model.forward(values[:origin].copy(), horizon)["mean"] for origin in origins])


@contextmanager
def _fft_autocorrelation() -> Iterator[None]:
    """Make Theta models compute autocorrelations by the Fourier transform.

    For each window they sum over all pairs of steps: most of a second for the two years of ETTh1, hours for all of its
    windows. The results are equal up to rounding.
    """
    slow = statsforecast.theta.acf
    statsforecast.theta.acf = lambda values, nlags, fft: slow(values, nlags=nlags, fft=True)
    try:
        yield
    finally:
        statsforecast.theta.acf = slow
