import numpy as np
import pytest
from smoothing.recursions import croston, expected_forecasts, initial_states, smooth

from tsattn.smoothing import SmoothingSpec, candidates, smoothing_kernels
from tsattn.smoothing.bank import bank
from tsattn.smoothing.forecasts import right_aligned
from tsattn.smoothing.history import positions
from tsattn.smoothing.intermittent import intermittent_forecasts


def series(length: int, season: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    return 50 + 0.3 * time + 8 * np.sin(2 * np.pi * time / max(season, 7)) + rng.normal(size=length).cumsum()


def raw_forecasts(values, spec):
    kernels = smoothing_kernels(spec)
    parts = bank(np, *right_aligned([values], spec.length), kernels)
    return kernels, parts.forecasts[0] * parts.scale[0] + parts.centre[0], parts


@pytest.mark.parametrize(("season", "horizon", "length"), [(1, 6, 40), (4, 8, 60), (12, 5, 90)])
def test_every_candidate_equals_its_recursion(season, horizon, length):
    spec = SmoothingSpec(horizon, () if season == 1 else (season,), window=length + 5)
    values = series(length, season)
    kernels, forecasts, parts = raw_forecasts(values, spec)
    for index, candidate in enumerate(kernels.table):
        expected = expected_forecasts(values, candidate, season, horizon)
        for row, origin in enumerate(kernels.origins):
            after = origin - 5
            if after >= 2 * season:
                np.testing.assert_allclose(forecasts[row, index], expected[after], rtol=1e-10, atol=1e-9)
        targets = kernels.steps + 1 - 5
        late = targets >= max(2 * season, 4)
        errors = parts.step_errors[0, :, index] * parts.scale[0]
        np.testing.assert_allclose(errors[late], (expected[targets - 1, 0] - values[targets])[late], atol=1e-8)


@pytest.mark.parametrize(("season", "horizon"), [(1, 6), (4, 8)])
def test_log_candidates_are_the_same_filters_of_logarithms(season, horizon):
    spec = SmoothingSpec(horizon, () if season == 1 else (season,), window=48)
    values = np.exp(series(48, season) / 100)
    kernels, forecasts, _ = raw_forecasts(values, spec)
    count = len(kernels.table)
    bound = np.ptp(np.log(values))
    for index, candidate in enumerate(kernels.table):
        expected = expected_forecasts(np.log(values), candidate, season, horizon)[-1]
        expected = np.exp(np.clip(expected, np.log(values.min()) - bound, np.log(values.max()) + bound))
        np.testing.assert_allclose(forecasts[-1, count + index], expected, rtol=1e-9)


def test_two_seasons_equal_their_recursion():
    spec = SmoothingSpec(5, (4, 12), window=60)
    values = series(60, 12)
    kernels, forecasts, _ = raw_forecasts(values, spec)
    level, trend, pattern = initial_states(values, 12)
    for index, candidate in enumerate(kernels.table):
        if candidate.line == "drift" or candidate.pattern == 0:
            continue
        patterns = (np.zeros(4), pattern if candidate.pattern == 1 else np.zeros(12))
        start = level - (6.5 * trend if candidate.line == "initial" else 0)
        slope = trend if candidate.line == "initial" else 0.0
        ahead = smooth(values, candidate, (4, 12), start, slope, patterns, 5)[1][-1]
        np.testing.assert_allclose(forecasts[-1, index], ahead, atol=1e-9)


def test_naive_methods_are_candidates():
    values = series(60, 12)
    kernels, forecasts, _ = raw_forecasts(values, SmoothingSpec(14, (12,), window=60))
    steps = np.arange(1, 15)
    wanted = {"last value": np.full(14, values[-1]), "naive, seasonal": values[-12:][(steps - 1) % 12]}
    for kind, expected in wanted.items():
        index = [candidate.kind for candidate in kernels.table].index(kind)
        np.testing.assert_allclose(forecasts[-1, index], expected, atol=1e-10)
    kernels, forecasts, _ = raw_forecasts(values, SmoothingSpec(14, (), window=60))
    index = [candidate.kind for candidate in kernels.table].index("drift")
    np.testing.assert_allclose(forecasts[-1, index], values[-1] + steps * (values[-1] - values[0]) / 59, atol=1e-9)


def test_croston_equals_its_recursion():
    rng = np.random.default_rng(2)
    values = np.where(rng.random(70) < 0.3, rng.poisson(3, 70) + 1.0, 0.0)
    spec = SmoothingSpec(4, (), window=80)
    kernels = smoothing_kernels(spec)
    window, observed = right_aligned([values], 80)
    rates = intermittent_forecasts(np, window, positions(np, observed, kernels.spec), kernels)
    for row, origin in enumerate(kernels.origins):
        expected = croston(values[: origin - 9], 0.1)
        np.testing.assert_allclose(rates[0, row, 0], expected, rtol=1e-10)
        np.testing.assert_allclose(rates[0, row, 1], 0.95 * expected, rtol=1e-10)


def test_a_simple_smoothing_equals_statsforecast():
    models = pytest.importorskip("statsforecast.models", reason="statsforecast, the reference, is not installed")
    values = series(300, 1)
    kernels, forecasts, _ = raw_forecasts(values, SmoothingSpec(3, (), window=300))
    for level in (0.5, 0.9):
        index = next(i for i, c in enumerate(kernels.table) if c.level == level and c.line == "none")
        peer = models.SimpleExponentialSmoothing(alpha=level).forecast(y=values, h=3)["mean"]
        np.testing.assert_allclose(forecasts[-1, index], peer, rtol=1e-6)


@pytest.mark.parametrize("seasons", [(), (4,), (12,), (24, 168)])
def test_candidates_are_distinct_and_few(seasons):
    table = candidates(seasons)
    assert len(set(table)) == len(table) <= 80
    assert all(len(candidate.seasonal) == len(seasons) for candidate in table)
