"""The calendar inside a graph against that of the data room, and its arithmetic against pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load
from tsattn.export.signatures import StampFeatures, WindowReader
from tsattn.forecasting.fit import window_spec
from tsattn.timeseries import calendar as clock
from tsattn.timeseries.calendar import CYCLES
from tsattn.timeseries.windows import gather

FREQS = ["30s", "15min", "h", "6h", "D", "2D", "B", "W-SAT", "MS", "2MS", "ME", "QS", "QE", "YS"]


def made(freq: str, **given: Any) -> Any:
    stamps = pd.date_range("2023-11-30 06:30", periods=130, freq=freq)
    return load(pd.DataFrame({"ds": stamps, "y": 1.0}), DataConfig(horizon=9, freq=freq, **given))


@pytest.mark.parametrize("freq", FREQS)
def test_features_are_those_of_the_data_room(freq: str) -> None:
    import tensorflow as tf

    panel, schema = made(freq, calendar=tuple(CYCLES), holidays="DE-BY")
    assert panel.covariates is not None and StampFeatures.can_step(schema)
    features = StampFeatures(schema)
    assert features.names == panel.covariates.names
    last = np.array([129, 40, 77])
    seconds = np.array([panel.stamps(0)[number].timestamp() for number in last], np.int64)
    steps = np.stack([np.arange(-30, 10)] * 3)
    found = features(tf.constant(seconds), tf.constant(steps))
    np.testing.assert_allclose(found, panel.covariates.values[last[:, None] + steps], atol=1e-6)


@pytest.mark.parametrize(("freq", "given"), [("h", {}), ("BMS", {"calendar": ("month_of_year",)})])
def test_no_calendar_or_one_that_a_graph_cannot_follow(freq: str, given: dict[str, Any]) -> None:
    assert not StampFeatures.can_step(made(freq, **given)[1])


def test_dates_of_a_thousand_years() -> None:
    days = np.arange(-200_000, 200_000)
    stamps = pd.DatetimeIndex(days.astype("datetime64[D]").astype("datetime64[s]"))
    date = clock.date_of(days)
    for found, known in zip(date, (stamps.year, stamps.month, stamps.day), strict=True):
        np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(clock.days_of(date), days)
    np.testing.assert_array_equal(clock.weekday_of(days), stamps.day_of_week)
    for phase, known, whole in (
        (clock.phase_of_month, stamps.day - 1, stamps.days_in_month),
        (clock.phase_of_year, stamps.day_of_year - 1, 365 + stamps.is_leap_year),
    ):
        elapsed, length = phase(days * clock.DAY + 7)
        np.testing.assert_array_equal(elapsed, known)
        np.testing.assert_array_equal(length, whole)


def test_days_and_times_where_whole_numbers_are_divided_in_float32() -> None:
    class Coarse(np.ndarray[Any, Any]):
        """Whole numbers that are divided as OpenVINO does."""

        def __floordiv__(self, other: Any) -> Any:
            quotient = np.floor(np.asarray(self, np.float32) / np.float32(other))
            return quotient.astype(np.int64).view(Coarse)

    days = np.arange(-8000, 24_000, 7)
    for time in (0, 1, 3600, clock.DAY - 1):
        seconds = days * clock.DAY + time
        known = clock.split(seconds, clock.DAY)
        np.testing.assert_array_equal(known[0], days)
        assert (known[1] == time).all()
        coarse = seconds.view(Coarse)
        assert time != clock.DAY - 1 or (coarse // clock.DAY != days).any(), "else the test tells nothing"
        for found, exact in zip(clock.split(coarse, clock.DAY), known, strict=True):
            np.testing.assert_array_equal(found, exact)


def test_a_served_window_is_that_of_training() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame(
        {"ds": stamps, "y": rng.normal(size=60), "heat": rng.normal(size=60), "rain": rng.normal(size=60)}
    )
    frame.loc[55:, ["y", "rain"]] = np.nan
    config = DataConfig(horizon=5, calendar=("day_of_week",), past_covariates=("rain",), holidays="DE")
    panel, schema = load(frame, config)
    spec = window_spec(schema, RunConfig(), 20)
    assert spec.past_covariates[0] == "heat" and spec.past_covariates[-2:] == ("holiday", "rain")
    origin = np.array([55, 12])
    expected = gather(panel, spec, np.zeros(2, np.int64), origin, target=False)
    history = np.full((2, 55, 3), np.nan, np.float32)
    for row, steps in enumerate(origin):
        history[row, :steps] = frame[["y", "heat", "rain"]].to_numpy()[:steps]
    ahead = np.stack([frame[["heat"]].to_numpy(np.float32)[steps : steps + 5] for steps in origin])
    given = {
        "past": history[:, :, :1],
        "length": origin.astype("int32"),
        "past_covariates": history[:, :, 1:],
        "future_covariates": ahead,
        "last_time": np.array([int(stamps[steps - 1].timestamp()) for steps in origin]),
    }
    reader = WindowReader(spec, StampFeatures(schema))
    window, _ = reader(*(tf.constant(given[part.name]) for part in reader.signature()))
    assert window.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(window[name], expected[name], atol=1e-6, err_msg=name)
