"""The baselines against pandas, with gaps, and with histories shorter than a season."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from keras_help import outputs
from numpy_reference import Array
from small_models import Histories, histories, make_model, window

from tsattn.timeseries.windows import WindowSpec

SEASON, HORIZON = 4, 11
SPEC = WindowSpec(context=14, horizon=HORIZON, targets=("a", "b"), season=SEASON)
AHEAD = np.arange(1, HORIZON + 1)

Moments = tuple[Array, Array]


def phases(history: pd.Series) -> pd.Series:
    """Steps back to the forecast origin, as the point of the season that they are at: 0 for the first step ahead."""
    return pd.Series((np.arange(len(history)) - len(history)) % SEASON, index=history.index)


def rms(differences: pd.Series) -> float:
    known = differences.dropna()
    return float(np.sqrt((known**2).mean())) if len(known) else 0.0


def naive(history: pd.Series) -> Moments:
    return np.full(HORIZON, history.ffill().iloc[-1]), rms(history.diff()) * np.sqrt(AHEAD)


def seasonal_naive(history: pd.Series) -> Moments:
    last = history.groupby(phases(history)).last().reindex(range(SEASON)).fillna(history.ffill().iloc[-1])
    seasonal = history.diff(SEASON)
    sigma = rms(seasonal if seasonal.notna().any() else history.diff())
    return last.to_numpy()[(AHEAD - 1) % SEASON], sigma * np.sqrt((AHEAD - 1) // SEASON + 1)


def seasonal_mean(history: pd.Series) -> Moments:
    groups = history.groupby(phases(history))
    mean = groups.mean().reindex(range(SEASON)).fillna(history.ffill().iloc[-1])
    count = groups.count().reindex(range(SEASON), fill_value=0).clip(lower=1)
    sigma = rms(history - groups.transform("mean"))
    phase = (AHEAD - 1) % SEASON
    return mean.to_numpy()[phase], sigma * np.sqrt(1 + 1 / count.to_numpy()[phase])


def drift(history: pd.Series) -> Moments:
    known = history.dropna()
    first, last = known.index[0], known.index[-1]
    span = max(last - first, 1)
    slope = (known[last] - known[first]) / span
    ahead = len(history) - 1 - last + AHEAD
    return known[last] + slope * ahead, rms(history.diff() - slope) * np.sqrt(ahead * (1 + ahead / span))


FORMULAS: dict[str, Callable[[pd.Series], Moments]] = {
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "seasonal_mean": seasonal_mean,
    "drift": drift,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_forecast_and_intervals_are_the_textbooks(name: str) -> None:
    # One step, less than a season, one, some that are not whole, and more than the context; the second channel's
    # last value is missing.
    given = histories([1, 2, 3, 4, 5, 9, 14, 20])
    result = outputs(make_model(name, SPEC)(window(given, SPEC)))[0]
    for row, history in enumerate(given.rows()):
        for channel in range(2):
            mean, sigma = FORMULAS[name](pd.Series(history[-SPEC.context :, channel], dtype=float))
            for position, level in enumerate(SPEC.levels):
                known = mean + sigma * NormalDist().inv_cdf(level)
                np.testing.assert_allclose(result[row, :, channel, position], known, rtol=1e-5, atol=1e-4)


def forecast(name: str, *series: list[float]) -> Array:
    """Point forecasts [series, horizon] of single-channel histories."""
    spec = WindowSpec(SPEC.context, HORIZON, ("y",), SEASON)
    past = np.full((len(series), SPEC.context, 1), np.nan, dtype="float32")
    for row, values in enumerate(series):
        past[row, : len(values), 0] = values
    given = Histories(past, np.array([len(values) for values in series], dtype="int32"))
    return outputs(make_model(name, spec)(window(given, spec)))[0][:, :, 0, spec.median]


def test_a_line_is_forecast_without_error_across_a_gap_at_its_end() -> None:
    nan = np.nan
    result = forecast("drift", [1, 2, 3, 4, 5, 6], [1, nan, 3, 4, nan, nan], [nan, 2, 3, nan, 5, nan])
    np.testing.assert_allclose(result, np.broadcast_to(6 + AHEAD, result.shape), rtol=1e-6)


def test_a_season_is_repeated_whatever_part_of_it_came_last() -> None:
    season = [10.0, 20.0, 30.0, 40.0]
    for cut in range(SEASON):
        history = (season * 3)[cut:]
        for name in ("seasonal_naive", "seasonal_mean"):
            known = [season[step % SEASON] for step in range(HORIZON)]
            np.testing.assert_allclose(forecast(name, history)[0], known, rtol=1e-6)


def test_a_gap_is_filled_from_the_season_before() -> None:
    history = [10.0, 20.0, 30.0, 40.0, 11.0, np.nan, 31.0, np.nan]
    np.testing.assert_allclose(forecast("seasonal_naive", history)[0, :4], [11, 20, 31, 40])
    np.testing.assert_allclose(forecast("seasonal_mean", history)[0, :4], [10.5, 20, 30.5, 40])
