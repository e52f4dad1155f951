"""Inputs of the pretrained network: candidates by their formulas, no look into the future, any units."""

import numpy as np
import pytest

from tsattn.pretrained.features import CANDIDATES, LEVELS, PATCH, SIMPLE_FORECASTS, Layout, compute_features
from tsattn.pretrained.network import level_weights
from tsattn.pretrained.zero_shot import network_layout

SEASON, HORIZON = 12, 30


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    steps = np.arange(10 * PATCH)
    values = 50 + 0.2 * steps + 5 * np.sin(2 * np.pi * steps / SEASON) + rng.normal(size=(4, len(steps)))
    observed = np.ones(values.shape, bool)
    observed[1, :17] = False
    observed[2] = rng.random(len(steps)) < 0.8
    return values, observed


def layout_at(origins, patches=10, season=SEASON, second=0):
    return Layout(season, second, patches, tuple(origins), np.tile(np.arange(1, HORIZON + 1), (len(origins), 1)))


def candidate(features, name):
    """Return a candidate in the units of the series."""
    part = features.candidates[:, 0, :, CANDIDATES.index(name)]
    return part * features.scale + features.centre


def test_candidates_are_the_naive_forecasts(series):
    values, observed = series
    features = compute_features(np, values, observed, layout_at([9]))
    complete, steps = values[0], np.arange(1, HORIZON + 1)
    last_season = np.resize(complete[-SEASON:], HORIZON)
    season_before = np.resize(complete[-2 * SEASON : -SEASON], HORIZON)
    slope = (complete[-1] - complete[0]) / (len(complete) - 1)
    seasons = complete[-4 * SEASON :].reshape(4, SEASON)
    changes = complete[-SEASON:] - complete[-2 * SEASON : -SEASON]
    expected = {
        "same phase, 1 season before": last_season,
        "same phase, 2 seasons before": season_before,
        "last value": np.full(HORIZON, complete[-1]),
        "drift": complete[-1] + slope * steps,
        "mean of the last season": np.full(HORIZON, complete[-SEASON:].mean()),
        "last season and the last change": last_season + complete[-1] - complete[-1 - SEASON],
        "mean of the last seasons at the present level": np.resize(
            (seasons - seasons.mean(axis=1, keepdims=True)).mean(axis=0), HORIZON
        )
        + complete[-SEASON:].mean(),
        "last season and its drift": last_season + changes.mean() * np.ceil(steps / SEASON),
    }
    for name, forecast in expected.items():
        np.testing.assert_allclose(candidate(features, name)[0], forecast, err_msg=name)


def test_the_second_season(series):
    values, observed = series
    features = compute_features(np, values, observed, layout_at([9], season=4, second=20))
    np.testing.assert_allclose(
        candidate(features, "same phase of the second season")[0], np.resize(values[0, -20:], HORIZON)
    )


def test_in_sample_errors_are_those_of_the_naive_forecasts(series):
    values, observed = series
    season, second = 4, 16
    features = compute_features(np, values, observed, layout_at([9], season=season, second=second))
    first = features.queries.shape[-1] - 2 * len(CANDIDATES) - len(SIMPLE_FORECASTS)
    found = np.exp(features.queries[0, 0, 0, first:][: len(SIMPLE_FORECASTS)]) - 0.02
    y, scale = values[0], features.scale[0, 0]
    change = y[season:] - y[:-season]
    longer = y[second:] - y[:-second]
    mean_change, mean_longer, centre = (
        np.convolve(part, np.full(season, 1 / season), "valid") for part in (change, longer, y)
    )
    average = np.mean([y[4 * season - lag * season : len(y) - lag * season] for lag in (1, 2, 3, 4)], axis=0)
    errors = {
        "same phase, 1 season before, in the last season": change[-6:],
        "last value": np.diff(y),
        "last season and the change of the season before": change[season:] - change[:-season],
        "last season and its mean change": change[2 * season - 1 :] - mean_change[:-season],
        "last season and the last change": np.diff(change),
        "mean of the last season": y[2 * season - 1 :] - centre[:-season],
        "mean of the last seasons": y[4 * season :] - average,
        "same phase of the second season": longer,
        "second season and its mean change": longer[2 * season - 1 :] - mean_longer[:-season],
    }
    for name, error in zip(SIMPLE_FORECASTS, found, strict=True):
        np.testing.assert_allclose(error * scale, np.abs(errors[name][-36:]).mean(), rtol=1e-4, err_msg=name)


def test_values_before_the_start_are_not_candidates(series):
    values, observed = series
    features = compute_features(np, values, observed, layout_at([4]))  # series 1 has 13 values until then
    lags = [CANDIDATES.index(f"same phase, {name} before") for name in ("1 season", "2 seasons")]
    assert features.available[1, 0, :, lags[0]].all()
    # 13 values: only the first step of each season has a value two seasons before.
    np.testing.assert_array_equal(features.available[1, 0, :SEASON, lags[1]], np.arange(SEASON) == SEASON - 1)


def test_missing_values_take_the_last_one():
    values = np.arange(24.0)[None]
    observed = np.ones(values.shape, bool)
    observed[0, -3:] = False
    features = compute_features(np, values, observed, layout_at([3], patches=4))
    np.testing.assert_allclose(candidate(features, "last value")[0], 20)


def test_nothing_after_an_origin_is_used(series):
    values, observed = series
    early = layout_at([2, 5])
    first = compute_features(np, values, observed, early)
    later = values.copy()
    later[:, 6 * PATCH :] = -1e3 * np.arange(later.shape[1] - 6 * PATCH)
    second = compute_features(np, later, observed, early)
    for name in ("queries", "candidates", "centre", "scale"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-6, err_msg=name)
    np.testing.assert_allclose(first.patches[:, :6], second.patches[:, :6], atol=1e-6)


def test_an_early_origin_is_the_end_of_a_shorter_series(series):
    values, observed = series
    dense = compute_features(np, values, observed, layout_at([6, 9]))
    shorter = compute_features(np, values[:, : 7 * PATCH], observed[:, : 7 * PATCH], layout_at([6], patches=7))
    np.testing.assert_allclose(dense.queries[:, :1], shorter.queries, atol=1e-6)
    np.testing.assert_allclose(dense.patches[:, :7], shorter.patches, atol=1e-6)


@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0), (1e9, 3e11), (2.5, -1e5)])
def test_features_do_not_depend_on_the_units(series, factor, shift):
    values, observed = series
    first = compute_features(np, values, observed, layout_at([3, 9]))
    second = compute_features(np, values * factor + shift, observed, layout_at([3, 9]))
    np.testing.assert_allclose(first.queries, second.queries, atol=1e-4)
    np.testing.assert_allclose(first.patches, second.patches, atol=1e-4)
    np.testing.assert_allclose(first.scale * factor, second.scale, rtol=1e-4)


@pytest.mark.parametrize("values", [[7.0], [0.0] * 9, [5.0] * 40, [1e30, 2e30, 1e30]], ids=len)
def test_few_and_constant_values_are_finite(values):
    layout = network_layout(5, (4,), len(values))
    padded = np.zeros((1, layout.length))
    padded[0, -len(values) :] = values
    observed = np.arange(layout.length)[None] >= layout.length - len(values)
    features = compute_features(np, padded, observed, layout)
    for name in ("patches", "queries", "candidates", "scale", "centre"):
        assert np.isfinite(getattr(features, name)).all(), name
    assert (features.scale >= 0).all()
    assert (features.scale > 0).all() == (len(set(values)) > 1 or len(values) == 1)


def test_levels_between_those_of_the_network_are_interpolated():
    quantiles = np.arange(len(LEVELS), dtype=float)
    np.testing.assert_allclose(quantiles @ level_weights(LEVELS), quantiles)
    (between,) = quantiles @ level_weights([0.25])
    assert LEVELS.index(0.2) < between < LEVELS.index(0.3)
