from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from tsattn.errors import ConfigError
from tsattn.smoothing import SmoothingSpec, combine, forecast_series, quantiles, smoothing_kernels
from tsattn.smoothing.forecasts import right_aligned

LEVELS = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
TIME = np.arange(72)
RNG = np.random.default_rng(3)
SEASON = 10 * np.sin(2 * np.pi * TIME / 12)
NOISE = RNG.normal(size=72)

ODD = {
    **{f"first {count}": (100 + SEASON + NOISE)[:count] for count in range(1, 11)},
    "constant": np.full(40, 7.0),
    "zero": np.zeros(40),
    "negative": SEASON - 100 + NOISE,
    "intermittent": np.where(RNG.random(72) < 0.2, 3.0, 0.0),
    "outlier": np.where(TIME == 40, 1000, 100 + SEASON + NOISE),
    "level shift": 100 + SEASON + NOISE + 100 * (TIME > 50),
    "multiplicative": (50 + 2 * TIME) * (1 + 0.3 * np.sin(2 * np.pi * TIME / 12)),
    "exponential": np.exp(0.2 * TIME),
    "gaps": np.where(RNG.random(72) < 0.3, np.nan, 100 + SEASON + TIME),
    "gap at the end": np.where(TIME > 66, np.nan, 100 + SEASON + TIME),
    "nothing observed": np.full(20, np.nan),
    "empty": np.zeros(0),
    "large": 1e9 + 1e7 * SEASON,
    "small": 1e-9 * (100 + SEASON + NOISE),
}


@pytest.fixture(scope="module", params=[(), (12,)], ids=["no season", "season 12"])
def odd(request):
    with np.errstate(all="raise", under="ignore"):
        result = forecast_series(list(ODD.values()), 12, request.param, LEVELS)
    return request.param, dict(zip(ODD, result.forecast, strict=True)), dict(zip(ODD, result.quantiles, strict=True))


def test_odd_series_are_forecast_within_reach_of_their_values(odd):
    seasons, forecasts, bands = odd
    for name, values in ODD.items():
        assert np.isfinite(forecasts[name]).all() and np.isfinite(bands[name]).all(), name
        assert (np.diff(bands[name], axis=1) >= 0).all(), name
        if name == "exponential" or not np.isfinite(values).any():
            continue
        low, high = np.nanmin(values), np.nanmax(values)
        reach = (2 if len(values) < 12 else 1) * max(high - low, 0.02 * abs(high))
        assert (forecasts[name] >= low - reach).all() and (forecasts[name] <= high + reach).all(), (name, seasons)


def test_simple_patterns_continue(odd):
    seasons, forecasts, bands = odd
    np.testing.assert_allclose(forecasts["constant"], 7)
    np.testing.assert_allclose(bands["zero"], 0, atol=1e-12)
    np.testing.assert_allclose(forecasts["nothing observed"], 0)
    if seasons:
        later = np.arange(72, 84)
        season = 10 * np.sin(2 * np.pi * later / 12)
        assert np.abs(forecasts["multiplicative"] / ((50 + 2 * later) * (1 + 0.03 * season)) - 1).max() < 0.1
        np.testing.assert_allclose(forecasts["outlier"], 100 + season, atol=20)
        np.testing.assert_allclose(forecasts["level shift"], 200 + season, atol=12)
        np.testing.assert_allclose(forecasts["gap at the end"], 100 + season + later, atol=10)
        np.testing.assert_allclose(forecasts["gaps"], 100 + season + later, atol=5)


def test_intermittent_demand_is_forecast_near_its_rate():
    rng = np.random.default_rng(5)
    series = [np.where(rng.random(100) < 0.2, rng.poisson(4, 100) + 1.0, 0.0) for _ in range(40)]
    result = forecast_series(series, 6, (), [0.1, 0.9])
    assert abs(result.forecast.mean() - 1.0) < 0.25
    assert (result.forecast >= 0).all()


def test_a_factor_commutes_and_a_shift_does_without_logarithms():
    series = [100 + SEASON + NOISE, SEASON + NOISE, np.where(RNG.random(72) < 0.2, 3.0, 0.0)]
    first = forecast_series(series, 12, (12,), LEVELS)
    for factor in (1e-6, 1e6):
        scaled = forecast_series([factor * values for values in series], 12, (12,), LEVELS)
        np.testing.assert_allclose(scaled.forecast, factor * first.forecast, rtol=1e-8)
        np.testing.assert_allclose(scaled.quantiles, factor * first.quantiles, rtol=1e-7)
    shifted = forecast_series([values - 50 for values in series[1:2]], 12, (12,), LEVELS)
    np.testing.assert_allclose(shifted.forecast, first.forecast[1:2] - 50, atol=1e-8)
    np.testing.assert_allclose(shifted.quantiles, first.quantiles[1:2] - 50, atol=1e-8)


@pytest.mark.parametrize("seasons", [(), (12,)])
def test_padding_changes_nothing(seasons):
    values = [100 + SEASON + NOISE, (100 + SEASON)[:30], np.array([3.0, 4.0])]
    results = []
    for window in (72, 96, 144):
        spec = SmoothingSpec(6, seasons, window)
        kernels = smoothing_kernels(spec)
        result = combine(np, *right_aligned(values, window), kernels)
        results.append(np.concatenate([result.forecast[:, :, None], quantiles(np, result, kernels, [0.5])], axis=2))
    for other in results[1:]:
        np.testing.assert_allclose(other[:, :, 0], results[0][:, :, 0], rtol=1e-9)
    np.testing.assert_allclose(results[2], results[1], rtol=0.05)


def test_series_do_not_depend_on_each_other():
    series = [100 + SEASON + NOISE, SEASON, np.array([3.0, 4.0, 3.5])]
    together = forecast_series(series, 6, (12,))
    for index, values in enumerate(series):
        alone = forecast_series([values, np.zeros(72)], 6, (12,))
        np.testing.assert_allclose(alone.forecast[0], together.forecast[index], rtol=1e-9)
        np.testing.assert_allclose(alone.quantiles[0], together.quantiles[index], rtol=1e-9)


def test_errors_at_missing_values_do_not_count():
    values = 100 + SEASON + NOISE
    window, observed = right_aligned([values], 72)
    observed[0, 60] = False
    kernels = smoothing_kernels(SmoothingSpec(6, (12,), 72))
    results = []
    for hidden in (0.0, 1e6):
        window[0, 60] = hidden
        results.append(combine(np, window, observed, kernels))
    np.testing.assert_array_equal(results[0].forecast, results[1].forecast)
    parts = results[0].bank
    assert parts.step_weight[0, kernels.steps + 1 == 60] == 0
    assert (parts.weight[0][kernels.targets[:-1] == 60] == 0).all()


def test_weights_are_reported_by_kind_and_follow_the_series():
    time = np.arange(120)
    seasonal = 100 + 10 * np.sin(2 * np.pi * time / 12) + np.random.default_rng(0).normal(size=120)
    walk = np.random.default_rng(1).normal(size=120).cumsum()
    weights = forecast_series([seasonal, walk], 6, (12,)).weights
    np.testing.assert_allclose(sum(weights.values()), 1)
    used = sum(weight for kind, weight in weights.items() if "seasonal" in kind)
    assert used[0] > 0.95 and used[1] < used[0]


def test_intervals_cover_what_they_state():
    rng = np.random.default_rng(7)
    season = 10 * np.sin(2 * np.pi * np.arange(120) / 12)
    values = 100 + season + 0.3 * rng.normal(size=(200, 120)).cumsum(1) + rng.normal(size=(200, 120))
    bands = forecast_series(list(values[:, :-8]), 8, (12,), [0.1, 0.9]).quantiles
    inside = (values[:, -8:] >= bands[:, :, 0]) & (values[:, -8:] <= bands[:, :, 1])
    assert 0.72 < inside.mean() < 0.9


def test_few_values_give_wide_intervals():
    rng = np.random.default_rng(9)
    values = rng.normal(size=(300, 8)).cumsum(1)
    for count in (3, 4, 5):
        bands = forecast_series(list(values[:, :count]), 3, (), [0.1, 0.9]).quantiles
        inside = (values[:, count : count + 3] >= bands[:, :, 0]) & (values[:, count : count + 3] <= bands[:, :, 1])
        assert inside.mean() > 0.6, count
    one = forecast_series([[5.0], [5e6]], 3)
    assert (one.quantiles[0, :, 1] > one.quantiles[0, :, 0]).all()
    np.testing.assert_allclose(one.quantiles[1], 1e6 * one.quantiles[0])


def test_wrong_settings_are_named():
    for bad in ({"horizon": 0}, {"seasons": (12, 4, 7)}, {"seasons": (1,)}, {"window": 1}):
        with pytest.raises(ConfigError):
            replace(SmoothingSpec(6), **bad)
    with pytest.raises(ConfigError, match="levels"):
        forecast_series([np.arange(5.0)], 2, levels=[0.5, 1.0])


def test_no_series_give_no_forecasts():
    assert forecast_series([], 3).forecast.shape == (0, 3)


@pytest.mark.parametrize("days", [1, 1.5, 2, 4, 10])
def test_a_week_that_was_not_seen_twice_is_not_used(days: float) -> None:
    hour = np.arange(24 * 40)
    series = 50 + 20 * np.sin(hour * np.pi / 12) + np.random.default_rng(0).normal(0, 1, len(hour))
    history, future = series[: int(24 * days)], series[int(24 * days) :][:48]
    both, day = (forecast_series([history], 48, seasons).forecast[0] for seasons in ((24, 168), (24,)))
    repeated = np.resize(history[-24:] if days >= 1 else history, 48)
    naive = np.abs(repeated - future).mean()
    assert np.abs(both - future).mean() < 2.5 * naive and np.abs(day - future).mean() < 2.5 * naive


def test_a_history_without_past_origins_has_intervals() -> None:
    result = forecast_series([np.arange(20.0)], 48, (24, 168), levels=(0.1, 0.5, 0.9))
    assert np.isfinite(result.quantiles).all() and (np.diff(result.quantiles, axis=-1) > 0).all()


def test_a_few_days_of_changing_swings_are_repeated() -> None:
    # One-step errors favour a level that follows each hour, which is wrong a day later.
    rng = np.random.default_rng(5)
    swing = np.exp(lfilter([1.0], [1.0, -0.9], rng.normal(0, 0.2, (60, 6, 1)), axis=1))
    day = 60 * np.maximum(np.sin(np.arange(24) * 2 * np.pi / 24), 0)
    series = 200 + (day * swing).reshape(60, -1) + rng.normal(0, 2, (60, 144))
    history, future = series[:, :96], series[:, 96:]
    forecast = forecast_series(list(history), 48, (24,), (0.5,)).forecast
    naive = np.abs(np.tile(history[:, -24:], 2) - future).mean()
    assert np.abs(forecast - future).mean() < 1.1 * naive
