"""Season detection on synthetic series with known season, and the default horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.timeseries.characteristics import combined_seasons, default_horizon, detect_season


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("season", [4, 7, 12, 24, 52])
def test_a_season_is_found_under_trend_noise_and_gaps(season: int) -> None:
    time = np.arange(12 * season)
    noise = rng().normal(size=len(time))
    values = 0.05 * time + 2 * np.sin(2 * np.pi * time / season) + 0.5 * noise
    values[rng().choice(len(time), len(time) // 10, replace=False)] = np.nan
    assert detect_season([values]) == season


def test_the_short_season_is_preferred_to_its_multiples() -> None:
    hours = np.arange(24 * 28)
    weekend = (hours // 24) % 7 >= 5
    values = np.sin(2 * np.pi * hours / 24) * np.where(weekend, 0.8, 1.0) + 0.1 * rng().normal(size=len(hours))
    assert detect_season([values]) == 24


def test_many_short_series_are_averaged() -> None:
    time = np.arange(60)
    series = [np.sin(2 * np.pi * (time + shift) / 12) + rng().normal(size=60) for shift in range(40)]
    assert detect_season(series) == 12


def test_an_uneven_cycle_has_its_mean_length() -> None:
    lengths = rng().integers(10, 13, size=40)
    values = np.concatenate([np.sin(2 * np.pi * np.arange(n) / n) for n in lengths])
    assert detect_season([values]) == round(lengths.mean())


@pytest.mark.parametrize("kind", ["walk", "integer walk", "twice integrated", "noise", "autoregressive"])
def test_series_without_a_season_have_none(kind: str) -> None:
    found = []
    for seed in range(30):
        shocks = np.random.default_rng(seed).normal(size=300)
        values = {"walk": np.cumsum(shocks), "integer walk": np.cumsum(np.round(2 * shocks)), "noise": shocks}
        values["twice integrated"] = np.cumsum(np.cumsum(shocks))
        values["autoregressive"] = np.convolve(shocks, 0.8 ** np.arange(60))[:300]
        found.append(detect_season([values[kind]]))
    assert found.count(1) >= 28


@pytest.mark.parametrize(
    "values",
    [np.full(100, np.nan), np.ones(100), np.arange(100.0), np.arange(3.0), np.zeros((50, 3)), np.empty(0)],
)
def test_series_without_information(values: np.ndarray) -> None:
    assert detect_season([values]) == 1


def test_no_series_at_all() -> None:
    assert detect_season([]) == 1


@pytest.mark.parametrize(
    ("freq", "season", "length", "horizon"),
    [
        ("h", 24, 17420, 48),
        ("30min", 48, 289, 48),
        ("15min", 96, 69680, 96),
        ("min", 1440, 100_000, 96),
        ("D", 7, 1000, 14),
        ("B", 5, 1000, 10),
        ("W-SAT", 52, 2284, 13),
        ("MS", 12, 144, 12),
        ("QS", 4, 203, 8),
        ("YS", 1, 100, 6),
        ("1", 24, 960, 48),
        ("1", 11, 309, 22),
        ("1", 1, 100, 10),
        ("1", 288, 2016, 96),
        ("MS", 12, 30, 6),
        ("MS", 12, 3, 1),
    ],
)
def test_default_horizon(freq: str, season: int, length: int, horizon: int) -> None:
    assert default_horizon(freq, season, length) == horizon


@pytest.mark.parametrize(
    ("times", "period", "steps", "seasons"),
    [
        (None, 24, 600, (24, 168)),  # a season of 24 steps is taken for a day of hours
        ("h", 24, 600, (24, 168)),
        ("h", 24, 400, (24,)),  # too short for three weeks
        ("30min", 48, 1200, (48, 336)),
        (None, 12, 600, (12,)),
        ("W-SUN", 52, 1300, (52,)),  # not seven years
        ("MS", 12, 240, (12,)),
        ("YS", 10, 60, (10,)),
    ],
)
def test_the_week_of_hours_is_a_second_season(
    times: str | None, period: int, steps: int, seasons: tuple[int, ...]
) -> None:
    values = 10 + np.sin(np.arange(steps) * 2 * np.pi / period) + rng().normal(0, 0.1, steps)
    index = np.arange(steps) if times is None else pd.date_range("1950-01-01", periods=steps, freq=times)
    panel, schema = load(pd.DataFrame({"ds": index, "y": values}), DataConfig())
    assert combined_seasons(panel, schema, given=False) == seasons
    assert combined_seasons(panel, schema, given=True) == seasons[:1]
