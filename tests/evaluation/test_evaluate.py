"""Evaluation of a fitted forecaster, compared with slices cut by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError

WEEK, HORIZON = 7, 5
TRAINED = 60


def frame(steps: int = 80, names: str = "ab", first: str = "2024-03-01") -> pd.DataFrame:
    """Daily series with a week in them."""
    rng = np.random.default_rng(3)
    parts = []
    for number, name in enumerate(names):
        values = 10**number * (5 + np.sin(np.arange(80) * 2 * np.pi / WEEK) + rng.normal(0, 0.3, 80))[:steps]
        times = pd.date_range(first, periods=steps)
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": values.astype("float32")}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster("seasonal_naive", horizon=HORIZON, season=WEEK).fit(frame(TRAINED))


def cutoffs(result: pd.DataFrame) -> list[str]:
    return sorted(set(result["cutoff"].dt.strftime("%Y-%m-%d")))


def test_by_default_all_data_after_the_training_data(fitted: Forecaster) -> None:
    result = fitted.evaluate(frame(77))
    # 17 new days hold 3 horizons, counted from the end; histories end 2, 7 and 12 days after the training data.
    days = [str(day.date()) for day in pd.Timestamp("2024-04-29") + pd.to_timedelta([2, 7, 12], "D")]
    assert cutoffs(result.forecasts) == days
    assert result.summary == f"6 forecasts of 2 series, 5 steps each: histories end from {days[0]} to {days[-1]}."
    truth = frame(77).set_index(["unique_id", "ds"])["y"]
    keys = pd.MultiIndex.from_frame(result.forecasts[["unique_id", "ds"]])
    np.testing.assert_array_equal(result.forecasts["y"], truth[keys])
    week_before = keys.set_levels(keys.levels[1] - pd.Timedelta(days=WEEK), level=1)
    np.testing.assert_allclose(result.forecasts["seasonal_naive"], truth[week_before], rtol=1e-6)
    assert result.notes == () and result.model == "seasonal_naive" and len(result.scores) == 4
    assert len(result.scored.by_series) == 2 * 4 and len(result.scored.by_step) == HORIZON * 4


def test_forecasts_equal_those_of_predict(fitted: Forecaster) -> None:
    forecasts = fitted.evaluate(frame(75)).forecasts
    known = fitted.predict(frame(70))
    last = forecasts[forecasts["cutoff"] == forecasts["cutoff"].max()].reset_index(drop=True)
    for column in ("", "-lo-80", "-hi-80"):
        np.testing.assert_array_equal(last[f"seasonal_naive{column}"], known[f"y{column}"])
    np.testing.assert_array_equal(last["ds"], known["ds"])


def test_data_that_begin_after_the_training_data_continue_them(fitted: Forecaster) -> None:
    whole, new = frame(75), frame(75).query("ds >= '2024-04-30'")
    assert len(new) == 2 * 15
    with_history, alone = fitted.evaluate(whole), fitted.evaluate(new)
    pd.testing.assert_frame_equal(with_history.forecasts, alone.forecasts)
    gap = fitted.evaluate(frame(80).query("ds >= '2024-05-02'")).forecasts
    first = gap[gap["cutoff"] == "2024-04-29"].groupby("unique_id")["y"]
    assert (first.apply(lambda values: values.isna().sum()) == 2).all(), "forecast, but not scored"
    assert np.isfinite(gap["seasonal_naive"]).all()


def test_origins(fitted: Forecaster) -> None:
    every = fitted.evaluate(frame(77), step=1).forecasts
    assert len(cutoffs(every)) == 17 - HORIZON + 1
    newest = fitted.evaluate(frame(77), step=2, origins=2).forecasts
    assert cutoffs(newest) == cutoffs(every)[-3::2]
    assert cutoffs(fitted.evaluate(frame(77), last_steps=12).forecasts) == cutoffs(every)[-6::5]


def test_overlap_with_the_training_data_is_noted(fitted: Forecaster) -> None:
    with pytest.raises(
        DataError, match=r"the frame: expected at least 5 rows after .* end at 2024-04-29, .* are 4: .*last_steps="
    ):
        fitted.evaluate(frame(64))
    result = fitted.evaluate(frame(64), last_steps=10)
    assert result.notes == (
        "4 of 4 forecasts do not start after the training data, which end at 2024-04-29: errors on training data are "
        "lower than on new data.",
    )
    half = fitted.evaluate(frame(70), last_steps=20).notes
    assert half[0].startswith("4 of 8 forecasts do not start after the training data")


def test_other_series_are_covered_from_a_context_on(fitted: Forecaster) -> None:
    other = frame(50).replace({"unique_id": {"a": "c", "b": "d"}})
    result = fitted.evaluate(other)
    first = pd.Timestamp("2024-03-01") + pd.Timedelta(days=fitted.spec_.context - 1)
    assert result.notes == () and first <= result.forecasts["cutoff"].min() < first + pd.Timedelta(days=HORIZON)
    short = pd.concat([other.groupby("unique_id").head(5), frame(77)])
    assert fitted.evaluate(short).notes == ("Skipped 2 of 4 series, which have too few rows.",)


def test_without_timestamps_only_identical_data_are_recognised() -> None:
    values = frame(TRAINED, "a")[["y"]]
    fitted = Forecaster("naive", horizon=HORIZON, season=WEEK).fit(values)
    with pytest.raises(DataError, match="rows after the training data"):
        fitted.evaluate(values)
    assert "2 of 2 forecasts do not start after" in fitted.evaluate(values, last_steps=10).notes[0]
    assert (
        fitted.evaluate(values + 1).notes[0].startswith("Without timestamps it is unknown which rows are training data")
    )


def test_invalid_numbers_and_short_data(fitted: Forecaster) -> None:
    with pytest.raises(ConfigError, match="origins must be 1 or more"):
        fitted.evaluate(frame(77), origins=0)
    with pytest.raises(DataError, match="does not fit into the last 3: set last_steps= to at least 5"):
        fitted.evaluate(frame(77), last_steps=3)
    with pytest.raises(DataError, match="at least 6 rows, and the longest has 4"):
        fitted.evaluate(frame(4).replace({"unique_id": {"a": "c", "b": "d"}}))
    empty = frame(77)
    empty.loc[empty["ds"] >= "2024-05-01", "y"] = np.nan
    with pytest.raises(DataError, match="but all are empty: remove the rows that lie in the future"):
        fitted.evaluate(empty)


@pytest.mark.usefixtures("eager_training")
def test_covariates_of_the_training_data_are_prepended() -> None:
    data = frame(80, "a").assign(heat=np.arange(80.0))
    fitted = Forecaster(
        "seq2seq",
        horizon=HORIZON,
        season=WEEK,
        target="y",
        future_covariates="heat",
        options={"units": 4},
        training={"epochs": 1, "steps_per_epoch": 1, "refit": False},
    ).fit(data[:TRAINED])
    whole, alone = fitted.evaluate(data), fitted.evaluate(data[TRAINED:])
    pd.testing.assert_frame_equal(whole.forecasts, alone.forecasts, rtol=1e-5)
