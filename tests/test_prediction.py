"""Forecasts from an earlier cutoff, and beyond the horizon of the model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn
from keras_help import eager_training

from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError, DataWarning

HORIZON = 6
ROLES: dict[str, Any] = {
    "target": "y",
    "future_covariates": "heat",
    "past_covariates": "visits",
    "calendar": "hour_of_day",
}
QUICK: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "refit": False}


def hours(steps: int = 200) -> pd.DataFrame:
    """Hours with covariates."""
    rng, times = np.random.default_rng(0), pd.date_range("2024-01-01", periods=steps, freq="h")
    heat, visits = rng.normal(20, 5, steps), rng.normal(size=steps)
    value = 100 + 3 * np.sin(np.arange(steps) * np.pi / 12) + heat + rng.normal(0, 0.5, steps)
    return pd.DataFrame({"ds": times, "y": value, "heat": heat, "visits": visits})


def days() -> pd.DataFrame:
    """Three daily series: one of 100 days, one that ends after 60, one that begins after 90."""
    parts = []
    for name, first, last in (("a", 0, 100), ("b", 0, 60), ("c", 90, 100)):
        step = np.arange(first, last)
        times = pd.Timestamp("2024-01-01") + pd.to_timedelta(step, unit="D")
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": 10.0 + step % 7}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    """A network with every kind of covariate."""
    options = {"units": 8, "context_scales": 1}
    with eager_training():
        return Forecaster("seq2seq", HORIZON, **ROLES, context=48, options=options, training=QUICK).fit(hours())


@pytest.fixture(scope="module")
def weekly() -> Forecaster:
    """A seasonal naive forecaster of days."""
    return Forecaster("seasonal_naive", 7, season=7).fit(days())


CUTOFF = "2024-01-07 03:00"
STEPS = 148
"""Steps up to the cutoff."""


def test_only_future_covariates_are_used_after_the_cutoff(fitted: Forecaster) -> None:
    data = hours()
    forecast = fitted.predict(data, cutoff=CUTOFF)
    assert len(forecast) == HORIZON and forecast["ds"].iloc[0] == pd.Timestamp("2024-01-07 04:00")
    later = np.arange(len(data)) >= STEPS
    changed = data.copy()
    changed.loc[later, "y"] *= -1e6
    changed.loc[later, "visits"] = 1e6
    pd.testing.assert_frame_equal(fitted.predict(changed, cutoff=CUTOFF), forecast, check_exact=True)
    pd.testing.assert_frame_equal(fitted.predict(changed.assign(y=changed["y"].where(~later)), cutoff=CUTOFF), forecast)
    known = fitted.predict(data[~later], data.loc[later, ["ds", "heat"]].iloc[:HORIZON])
    pd.testing.assert_frame_equal(known, forecast, check_exact=True)
    hotter = data.assign(heat=data["heat"] + 10 * later)
    assert (fitted.predict(hotter, cutoff=CUTOFF)["y"] != forecast["y"]).any()
    with pytest.warns(DataWarning, match="too narrow"):
        recursive = [
            fitted.predict(frame, cutoff=pd.Timestamp(CUTOFF), horizon=2 * HORIZON, recursive=True)
            for frame in (data, changed)
        ]
    pd.testing.assert_frame_equal(*recursive, check_exact=True)


def test_the_cutoff_can_be_within_the_data_of_the_run(fitted: Forecaster) -> None:
    with pytest.warns(DataWarning, match="give the data for a better forecast"):
        forecast = fitted.predict(cutoff="2024-01-06 12:00")
    assert forecast["ds"].iloc[0] == pd.Timestamp("2024-01-06 13:00")
    pd.testing.assert_frame_equal(fitted.predict(cutoff="2024-01-08"), fitted.predict(hours(), cutoff="2024-01-08"))
    with pytest.raises(DataError, match="the run: cutoff 2024-01-01: expected a timestamp of the history"):
        fitted.predict(cutoff="2024-01-01")


def test_every_series_is_forecast_from_the_cutoff(weekly: Forecaster) -> None:
    with pytest.warns(DataWarning) as caught:
        forecast = weekly.predict(days(), cutoff="2024-03-02")
    messages = [str(warning.message) for warning in caught]
    assert messages[0] == "1 of 3 series have no history up to 2024-03-02 and are left out: 'c'"
    assert messages[1].startswith("1 of 3 series end before 2024-03-02, and the steps up to it are missing values: 'b'")
    assert set(forecast["unique_id"]) == {"a", "b"}
    assert (forecast.groupby("unique_id")["ds"].min() == pd.Timestamp("2024-03-03")).all()
    both = [forecast.query(f"unique_id == '{name}'")["y"].tolist() for name in "ab"]
    assert both[0] == both[1] == (10.0 + np.arange(62, 69) % 7).tolist()


BAD_CUTOFFS = [
    ("2023-12-31", "expected a timestamp of the history, 2024-01-01 to 2024-04-09: set a later cutoff="),
    ("2024-04-10", "leave cutoff= out"),
    ("2024-02-01 12:00", "expected a step of 'D', got a timestamp between 2024-02-01 and 2024-02-02"),
    ("soon", "expected a date such as 2020-12-31"),
    ("2024-02-01T00:00+02:00", "without a time zone"),
]


@pytest.mark.parametrize(("cutoff", "message"), BAD_CUTOFFS)
def test_invalid_cutoffs(weekly: Forecaster, cutoff: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        weekly.predict(days(), cutoff=cutoff)


def test_series_without_a_forecast_are_named_with_the_reason() -> None:
    data = days()
    data["y"] = data["y"].mask(data["unique_id"] == "b")
    data.loc[data.index[data["unique_id"] == "c"][[0, -1]], "y"] = -3e38, 3e38
    with pytest.warns(DataWarning) as caught:
        forecast = Forecaster("drift", 7, season=7).fit(days()).predict(data).set_index("unique_id")["y"]
    messages = " ".join(str(warning.message) for warning in caught)
    assert re.search(r"1 of 3 series \('b'\): no forecast, because the last \d+ steps have no observed value", messages)
    assert "1 of 3 series ('c'): no forecast, because sums of values as large as these exceed float32" in messages
    assert np.isfinite(forecast["a"]).all() and forecast["b"].isna().all()


def test_cutoffs_in_the_formats_of_the_data() -> None:
    values = 10.0 + np.arange(40) % 4
    quarters = [f"{number // 4}Q{number % 4 + 1}" for number in range(4 * 2015, 4 * 2015 + 40)]
    cases: list[tuple[Any, Any, str]] = [
        (quarters, "2020Q4", "2020-10-01"),
        (pd.date_range("2015-01-01", periods=40, freq="D", tz="Europe/Berlin"), "2015-01-30", "2015-01-30"),
        (np.arange(40), 30, "30"),
    ]
    for times, cutoff, same in cases:
        frame = pd.DataFrame({"ds": times, "y": values})
        forecaster = Forecaster("naive", 4, season=4).fit(frame)
        forecast = forecaster.predict(frame, cutoff=cutoff)
        assert len(forecast) == 4
        pd.testing.assert_frame_equal(forecaster.predict(frame, cutoff=same), forecast)


def test_a_longer_horizon_needs_recursion(weekly: Forecaster, fitted: Forecaster) -> None:
    with pytest.raises(ConfigError, match=r"horizon=20 is more than the 7 steps .* or set recursive=, which"):
        weekly.predict(horizon=20)
    with pytest.raises(ConfigError, match="horizon must be 1 or more"):
        weekly.predict(horizon=0)
    short = weekly.predict(horizon=3)
    pd.testing.assert_frame_equal(short, weekly.predict().groupby("unique_id").head(3).reset_index(drop=True))
    with pytest.warns(DataWarning, match=r"20 steps are more than the 7 .* from step 8 on .* too narrow"):
        forecast = weekly.predict(horizon=20, recursive=True)
    assert (forecast.groupby("unique_id").size() == 20).all()
    first = forecast.query("unique_id == 'a'")["y"]
    assert first.tolist() == (10.0 + np.arange(100, 120) % 7).tolist()


def test_recursion_appends_the_median(fitted: Forecaster) -> None:
    data = hours()
    history, ahead = data.iloc[:STEPS], data.iloc[STEPS:][["ds", "heat"]]
    with pytest.warns(DataWarning, match="from step 7 on"):
        recursive = fitted.predict(history, ahead.iloc[: 2 * HORIZON], horizon=2 * HORIZON, recursive=True)
    once = fitted.predict(history, ahead.iloc[:HORIZON])
    pd.testing.assert_frame_equal(recursive.iloc[:HORIZON], once)
    fed = pd.concat([history, ahead.iloc[:HORIZON].assign(y=once["y"].to_numpy())], ignore_index=True)
    by_hand = fitted.predict(fed, ahead.iloc[HORIZON : 2 * HORIZON])
    pd.testing.assert_frame_equal(recursive.iloc[HORIZON:].reset_index(drop=True), by_hand, rtol=1e-5)
    with pytest.raises(DataError, match=r"1 of 12 values .* 'heat' at 2024-01-07 15:00.* all of its 12 steps"):
        fitted.predict(history, ahead.iloc[: 2 * HORIZON - 1], horizon=2 * HORIZON, recursive=True)


@pytest.mark.usefixtures("without_export")
def test_the_command_line(weekly: Forecaster, tmp_path: Path) -> None:
    weekly.save(tmp_path / "run")
    days().to_csv(tmp_path / "days.csv", index=False)
    asked = ("predict", tmp_path / "run", tmp_path / "days.csv")
    result = tsattn(*asked, "--cutoff", "2024-04-05", "--horizon", 9, "--recursive")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("a,2024-04-06,") and len(result.stdout.splitlines()) == 19
    assert "Warning: 1 of 3 series have no history" in result.stderr, result.stderr
    assert "Warning: 9 steps are more than" in result.stderr, result.stderr
    refused = tsattn(*asked, "--horizon", 9)
    assert refused.exit_code == 2 and "--recursive" in refused.stderr
    wrong = tsattn(*asked, "--cutoff", "2025-01-01")
    assert wrong.exit_code == 1 and "days.csv: cutoff 2025-01-01" in wrong.stderr and "Traceback" not in wrong.output
