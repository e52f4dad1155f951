"""Frequencies inferred from timestamps with gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from grid_origins import ORIGINS

from tsattn.data.frequency import infer_freq


@pytest.mark.parametrize(("freq", "origin"), ORIGINS.items())
def test_inferred_in_spite_of_gaps_and_disorder(freq: str, origin: str) -> None:
    rng = np.random.default_rng(0)
    times = pd.date_range(origin, periods=120, freq=freq)
    subset = times[np.sort(rng.choice(120, 95, replace=False))][rng.permutation(95)]
    expected = {"2B": "2D"}.get(freq, freq)
    assert infer_freq(subset, np.zeros(95, dtype=np.int64)) == expected


@pytest.mark.parametrize("freq", ["h", "15min", "D", "W-SUN", "MS"])
def test_frequency_across_time_shifts(freq: str) -> None:
    times = pd.date_range("2021-01-03", periods=4000 if freq == "h" else 100, freq=freq, tz="Europe/London")
    assert infer_freq(times, np.zeros(len(times), dtype=np.int64)) == freq


def test_frequency_of_every_15th() -> None:
    times = pd.DatetimeIndex([f"2020-{month:02d}-15" for month in (1, 2, 3, 5, 6)])
    assert infer_freq(times, np.zeros(5, dtype=np.int64)) == "MS"


def test_frequency_of_integers() -> None:
    assert infer_freq(pd.Index([1706, 1700, 1702, 1704, 1710]), np.zeros(5, dtype=np.int64)) == "2"


def test_the_step_is_taken_within_series() -> None:
    times = pd.DatetimeIndex(["2020-01-01", "2020-01-08", "2020-01-15", "2020-01-01", "2020-01-08"])
    assert infer_freq(times, np.array([0, 0, 0, 1, 1])) == "W-WED"
    assert infer_freq(times[[0, 3]], np.array([0, 1])) is None
