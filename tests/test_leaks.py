"""Planted leaks: future values must not influence forecasts of them or the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from keras_help import eager_training

from tsattn import Forecaster

pytestmark = pytest.mark.usefixtures("eager_training")

HORIZON = 6
STEPS = 160
FOLDS = 2
QUICK = {"epochs": 2, "steps_per_epoch": 2, "refit": False}


def data() -> pd.DataFrame:
    """A random walk, which cannot be forecast, with its future and a copy of itself as columns."""
    walk = np.random.default_rng(4).normal(size=STEPS + HORIZON).cumsum()
    times = pd.date_range("2024-01-01", periods=STEPS)
    return pd.DataFrame({"ds": times, "y": walk[:STEPS], "future": walk[HORIZON:], "same": walk[:STEPS]})


def forecaster(**given: Any) -> Forecaster:
    return Forecaster("attention_pooling", HORIZON, season=1, target="y", options={"units": 8}, training=QUICK, **given)


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    """Forecasts of the unchanged data with a past covariate."""
    with eager_training():
        return forecaster(past_covariates="future").backtest(data(), FOLDS).forecasts


def changed(frame: pd.DataFrame, first: int, *columns: str) -> pd.DataFrame:
    """The same data with other values in some columns from a step on."""
    other = frame.copy()
    for number, column in enumerate(columns):
        other.loc[other.index[first:], column] = (1 + number) * 1e3 * np.arange(len(frame) - first)
    return other


def test_a_past_covariate_equal_to_the_future_target_does_not_leak(plain: pd.DataFrame) -> None:
    """Its values after an origin, which equal the target, must not be used, nor those of the target."""
    other = changed(data(), STEPS - HORIZON, "y", "future")
    moved = forecaster(past_covariates="future").backtest(other, FOLDS).forecasts
    for name in ("attention_pooling", "attention_pooling-lo-80", "attention_pooling-hi-80", "naive"):
        np.testing.assert_array_equal(plain[name], moved[name])


@pytest.mark.slow
@pytest.mark.parametrize("role", ["past_covariates", "future_covariates"])
def test_a_future_covariate_equal_to_the_target_is_used(role: str) -> None:
    """As a past covariate it is not, which shows that the test detects a leak."""
    frame = data()
    plain = forecaster(**{role: "same"}).backtest(frame, FOLDS).forecasts["attention_pooling"]
    other = changed(frame, STEPS - HORIZON, "same")
    moved = forecaster(**{role: "same"}).backtest(other, FOLDS).forecasts["attention_pooling"]
    differs = (plain != moved).to_numpy()
    assert differs[-HORIZON:].any() == (role == "future_covariates") and not differs[:-HORIZON].any()


def test_statistics_do_not_include_the_future(plain: pd.DataFrame) -> None:
    """Larger values after the first origin do not change its forecasts."""
    before, other = plain[:HORIZON], changed(data(), STEPS - FOLDS * HORIZON, "y", "future")
    after = forecaster(past_covariates="future").backtest(other, FOLDS).forecasts[:HORIZON]
    columns = [name for name in before if name != "y"]
    pd.testing.assert_frame_equal(before[columns], after[columns], check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["last", "training"])
def test_weights_and_statistics_do_not_depend_on_the_validation_part(scaling: str) -> None:
    """The validation part only determines the number of epochs, which is one here."""
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


def test_the_season_is_inferred_before_the_first_origin() -> None:
    """A season that only occurs in the scored part must not be used."""
    frame = data()[["ds", "y"]]
    frame["ds"] = np.arange(STEPS)
    frame.loc[frame.index[100:], "y"] = 50 * np.tile([0.0, 1, 5, 2], 15)
    result = Forecaster("seasonal_naive", horizon=HORIZON).backtest(frame, 9)
    assert result.scores.set_index("model").loc["seasonal_naive", "mae"] > 1, (
        "a season of four steps would have no error"
    )
