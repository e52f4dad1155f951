"""Planted leaks: what only the future knows must move no forecast of it, and none of the weights behind it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster

HORIZON = 6
STEPS = 160
FOLDS = 2
QUICK = {"epochs": 2, "steps_per_epoch": 10, "refit": False}


def data() -> pd.DataFrame:
    """A random walk, which nobody can forecast, with its own future and with itself as columns."""
    walk = np.random.default_rng(4).normal(size=STEPS + HORIZON).cumsum()
    stamps = pd.date_range("2024-01-01", periods=STEPS)
    return pd.DataFrame({"ds": stamps, "y": walk[:STEPS], "future": walk[HORIZON:], "same": walk[:STEPS]})


def forecaster(**given: Any) -> Forecaster:
    return Forecaster("attention_pooling", HORIZON, season=1, target="y", options={"units": 8}, training=QUICK, **given)


@cache
def forecasts(column: str) -> pd.DataFrame:
    """What is forecast of the data as they are, with a column that is known up to the origin."""
    return forecaster(past_covariates=column).backtest(data(), FOLDS).forecasts


def changed(frame: pd.DataFrame, first: int, column: str) -> pd.DataFrame:
    """The same data with a column that is another one from a step on."""
    other = frame.copy()
    other.loc[other.index[first:], column] = 1e3 * np.arange(len(frame) - first)
    return other


@pytest.mark.parametrize("column", ["y", "future"])
def test_a_feature_equal_to_the_future_target_gives_nothing_away_behind_the_origin(column: str) -> None:
    """The column is past only: its values behind an origin, which are the target, are not there for the forecast."""
    plain, other = forecasts("future"), changed(data(), STEPS - HORIZON, column)
    moved = forecaster(past_covariates="future").backtest(other, FOLDS).forecasts
    for name in ("attention_pooling", "attention_pooling-lo-80", "attention_pooling-hi-80", "naive"):
        np.testing.assert_array_equal(plain[name], moved[name])


@pytest.mark.slow
@pytest.mark.parametrize("role", ["past_covariates", "future_covariates"])
def test_a_feature_equal_to_the_target_is_worth_what_is_known_of_it(role: str) -> None:
    """As past covariate it gives nothing away; said to be known ahead it does, which shows that the probe would see."""
    frame, last = data(), slice(-HORIZON, None)
    plain = forecaster(**{role: "same"}).backtest(frame, FOLDS).forecasts["attention_pooling"]
    other = changed(frame, STEPS - HORIZON, "same")
    moved = forecaster(**{role: "same"}).backtest(other, FOLDS).forecasts["attention_pooling"]
    assert (plain[last] != moved[last]).any() == (role == "future_covariates")


@pytest.mark.parametrize("column", ["y", "future"])
def test_nothing_is_scaled_by_the_whole_file(column: str) -> None:
    """Values behind the first origin a thousand times as large: weights, statistics and forecasts before stay."""
    before, other = forecasts("future")[:HORIZON], changed(data(), STEPS - FOLDS * HORIZON, column)
    after = forecaster(past_covariates="future").backtest(other, FOLDS).forecasts[:HORIZON]
    columns = [name for name in before if name != "y"]
    pd.testing.assert_frame_equal(before[columns], after[columns], check_exact=True)


@pytest.mark.parametrize("scaling", ["last", "training"])
def test_weights_and_statistics_know_nothing_of_the_validation_part(scaling: str) -> None:
    """Of the validation part only the number of epochs may come, which is one here."""
    training = {**QUICK, "epochs": 1}
    frame = data()[["ds", "y"]]

    def fitted(of: pd.DataFrame) -> list[np.ndarray[Any, Any]]:
        made = Forecaster(
            "attention_pooling",
            HORIZON,
            season=1,
            validation=30,
            options={"units": 8, "scaling": scaling},
            training=training,
            levels=(0.5,),
        ).fit(of)
        return made.model_.get_weights()

    for one, other in zip(fitted(frame), fitted(changed(frame, STEPS - 30, "y")), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_season_is_not_found_behind_the_first_origin() -> None:
    """A season that only the scored part has must not be known to the forecasts of it."""
    frame = data()[["ds", "y"]]
    frame["ds"] = np.arange(STEPS)
    frame.loc[frame.index[100:], "y"] = 50 * np.tile([0.0, 1, 5, 2], 15)
    result = Forecaster("seasonal_naive", horizon=HORIZON).backtest(frame, 9)
    assert result.scores.set_index("model").loc["seasonal_naive", "mae"] > 1, "four steps would make no error"
