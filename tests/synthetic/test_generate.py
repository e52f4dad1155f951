"""Synthetic series: reproducible, finite, of all kinds, with the seasons that were asked for."""

import numpy as np
import pytest

from tsattn.errors import ConfigError
from tsattn.synthetic import GENERATORS, generate

SEASONS = [(), (12,), (24, 168)]


def autocorrelation(series, lag):
    """Return the autocorrelation of the changes at a lag, one value per series."""
    change = np.diff(series, axis=1)
    change = change - change.mean(axis=1, keepdims=True)
    return (change[:, lag:] * change[:, :-lag]).mean(axis=1) / np.maximum(change.var(axis=1), 1e-12)


def test_the_same_seed_gives_the_same_series():
    first, second, other = (generate(40, 60, (12,), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_random_generator_continues():
    rng = np.random.default_rng(0)
    assert not np.array_equal(generate(20, 30, seed=rng), generate(20, 30, seed=rng))


@pytest.mark.parametrize("seasons", SEASONS, ids=str)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_gives_finite_series_of_the_shape(name, seasons):
    series = GENERATORS[name](np.random.default_rng(0), 12, 200, seasons)
    assert series.shape == (12, 200)
    assert np.isfinite(series).all()
    assert len(np.unique(series.round(9), axis=0)) == 12


@pytest.mark.parametrize("season", [7, 12])
def test_series_repeat_with_their_season(season):
    series = generate(240, 20 * season, (season,), seed=0)
    at_season, elsewhere = (np.median(autocorrelation(series, lag)) for lag in (season, season + 3))
    assert at_season > elsewhere + 0.1


def test_the_first_step_is_the_first_phase_of_all_series():
    series = GENERATORS["profiles"](np.random.default_rng(0), 200, 240, (24,))
    profile = series.reshape(200, 10, 24)
    profile = profile / profile.mean(axis=2, keepdims=True)
    # The same phase differs less from day to day than the phases of a day differ.
    assert np.median(profile.std(axis=1)) < np.median(profile.std(axis=2))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_short_series(length):
    assert np.isfinite(generate(30, length, (4,), seed=0)).all()


def test_selected_generators_only():
    counts = generate(50, 40, seed=0, generators=["counts"])
    assert counts.shape == (50, 40)


def test_errors_name_the_argument():
    with pytest.raises(ConfigError, match=r"generators must be some of .* Received: noise"):
        generate(5, 10, generators=["noise"])
    with pytest.raises(ConfigError, match="at most two"):
        generate(5, 10, (2, 3, 4))
