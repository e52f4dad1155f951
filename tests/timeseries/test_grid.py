"""Time grids against pandas date ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from grid_origins import ORIGINS

from tsattn.errors import DataError
from tsattn.timeseries.grid import Grid, default_season, parse_freq
from tsattn.timeseries.ragged import Ints


def positions(grid: Grid, times: Any) -> Ints:
    position, on_grid = grid.locate(times)
    assert on_grid.all()
    return position


@pytest.mark.parametrize(("freq", "origin"), ORIGINS.items())
def test_times_equal_those_of_pandas_and_positions_invert_them(freq: str, origin: str) -> None:
    grid = Grid(freq, origin)
    expected = pd.date_range(origin, periods=200, freq=freq).as_unit("us")
    assert grid.time_range(0, 200).equals(expected)
    before = pd.date_range(end=origin, periods=11, freq=freq).as_unit("us")
    assert grid.time_range(-10, 11).equals(before)
    np.testing.assert_array_equal(positions(grid, expected), np.arange(200))
    np.testing.assert_array_equal(positions(grid, before), np.arange(-10, 1))


@pytest.mark.parametrize("freq", ["h", "15min", "D", "W-SUN", "MS"])
def test_time_shifts_keep_hours_elapsed_and_days_on_the_wall_clock(freq: str) -> None:
    expected = pd.date_range("2021-01-03", periods=4000 if freq == "h" else 100, freq=freq, tz="Europe/London")
    grid = Grid(freq, expected[0].isoformat(), "Europe/London")
    assert grid.time_range(0, len(expected)).equals(expected.as_unit("us"))
    np.testing.assert_array_equal(positions(grid, expected), np.arange(len(expected)))


def test_days_at_a_time_that_a_shift_skips_stay_on_the_grid() -> None:
    grid = Grid("D", "2021-03-26T01:30:00+00:00", "Europe/London")
    times = grid.time_range(0, 4)
    assert str(times[2]) == "2021-03-28 02:00:00+01:00"
    np.testing.assert_array_equal(positions(grid, times), np.arange(4))


def test_months_keep_the_day_of_the_origin() -> None:
    times = pd.DatetimeIndex([f"2020-{month:02d}-15" for month in (1, 2, 3, 5, 6)])
    grid = Grid("MS", "2020-01-15")
    np.testing.assert_array_equal(positions(grid, times), [0, 1, 2, 4, 5])
    assert str(grid.time_range(12, 1)[0].date()) == "2021-01-15"


def test_integer_grids_count_integers() -> None:
    grid = Grid("2", 1700)
    assert grid.time_range(-1, 3).tolist() == [1698, 1700, 1702]
    np.testing.assert_array_equal(positions(grid, [1704, 1700]), [2, 0])


@pytest.mark.parametrize(
    ("grid", "time"),
    [
        (Grid("h", "2020-01-01"), "2020-01-01T00:30"),
        (Grid("B", "2024-01-05"), "2024-01-06"),
        (Grid("MS", "2020-01-01"), "2020-02-02"),
        (Grid("ME", "2020-01-31"), "2020-02-28"),
        (Grid("QS", "2020-01-01"), "2020-02-01"),
        (Grid("BME", "2024-01-31"), "2024-03-31"),
        (Grid("2", 0), 3),
    ],
)
def test_a_time_off_the_grid(grid: Grid, time: str | int) -> None:
    _, on_grid = grid.locate([time])
    assert on_grid.tolist() == [False]


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("h", 24),
        ("15min", 96),
        ("30min", 48),
        ("min", 1440),
        ("6h", 4),
        ("7min", 1),
        ("D", 7),
        ("2D", 1),
        ("B", 5),
        ("W-SAT", 52),
        ("2W-SAT", 26),
        ("MS", 12),
        ("2MS", 6),
        ("ME", 12),
        ("QS", 4),
        ("YS", 1),
    ],
)
def test_season_table(freq: str, season: int) -> None:
    assert default_season(freq) == season


@pytest.mark.parametrize(
    ("freq", "parts"),
    [
        ("fortnight", ["fortnight", "not a pandas frequency"]),
        ("M", ["MS or ME"]),
        ("H", ["as h"]),
        ("-1h", ["positive"]),
    ],
)
def test_unknown_frequencies_are_refused(freq: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        parse_freq(freq)
    assert all(part in str(caught.value) for part in parts)
