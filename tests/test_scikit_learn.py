"""The forecaster as a scikit-learn estimator: estimator checks, searches and time series splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from tsattn import Forecaster
from tsattn.errors import DataError
from tsattn.scoring.comparison import compare
from tsattn.scoring.metrics import Scores

EXCEPTIONS = {
    "check_dtype_object": "it expects a TypeError for a cell that is not a number; here it is a ValueError",
    "check_estimators_nan_inf": "missing values are gaps, which are allowed",
    "check_fit1d": "an array of steps is one series",
    "check_fit2d_1sample": "one step is too short, with another message",
    "check_fit2d_predict1d": "the same, for a forecaster of one series that predicts several",
    "check_fit_idempotent": "it subtracts predictions, and a forecast has ids and timestamps",
    "check_estimators_pickle": "it subtracts predictions, and a forecast has ids and timestamps",
    "check_fit_score_takes_y": "the score is that of the data after the training data, not of the same rows",
    "check_pipeline_consistency": "the same",
    "check_methods_sample_order_invariance": "the order of rows without timestamps is their time",
    "check_methods_subset_invariance": "a forecast depends on the whole history",
    "check_n_features_in": "columns are read by name, and some are ids or timestamps",
    "check_n_features_in_after_fitting": "the same",
}
"""Checks of scikit-learn that a forecaster cannot pass, with the reason; listed in docs/scikit-learn.md."""


@pytest.fixture
def scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every forecaster the scores of the first one, because scoring takes most of the time of a naive fit."""
    known: list[Scores] = []

    def compare_once(*args: Any) -> Scores:
        if not known:
            known.append(compare(*args))
        return known[0]

    monkeypatch.setattr("tsattn.forecasting.fit.compare", compare_once)


@pytest.mark.usefixtures("scored_once")
def test_every_other_check_of_scikit_learn_passes() -> None:
    results = check_estimator(Forecaster("naive", horizon=3), on_skip=None, on_fail=None)
    assert len(results) > 35
    failed = {result["check_name"]: str(result["exception"]) for result in results if result["status"] == "failed"}
    assert set(failed) == set(EXCEPTIONS), {name: failed[name] for name in set(failed) - set(EXCEPTIONS)}


def line(steps: int = 80) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.1, steps)
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps), "y": np.arange(steps) + noise})


@pytest.mark.slow
def test_a_search_over_models_with_folds_in_time() -> None:
    folds = TimeSeriesSplit(n_splits=2, test_size=10)
    search = GridSearchCV(Forecaster(horizon=5, season=1), {"model": ["naive", "drift"]}, cv=folds)
    search.fit(line())
    assert search.best_params_ == {"model": "drift"} and search.best_estimator_.config_.model["name"] == "drift"
    forecast = search.predict(None)
    np.testing.assert_allclose(forecast["y"], np.arange(80, 85), atol=0.5)
    by_hand = Forecaster("drift", horizon=5, season=1).fit(line()[:70])
    assert search.cv_results_["split1_test_score"][1] == by_hand.score(line()[70:])


def test_the_score_is_minus_the_mase_after_the_training_data() -> None:
    data = line()
    fitted = Forecaster("naive", horizon=5, season=1, context=20).fit(data[:70])
    values = data["y"].to_numpy()
    errors = np.abs(values[70:80] - np.repeat(values[[69, 74]], 5))
    assert fitted.score(data) == pytest.approx(-errors.mean() / np.abs(np.diff(values[:70])).mean(), rel=1e-5)
    # Scaled by the end of the training data, the part that is stored.
    assert fitted.score(data[70:]) == pytest.approx(-errors.mean() / np.abs(np.diff(values[50:70])).mean(), rel=1e-5)
    constant = Forecaster("drift", horizon=5).fit(data.assign(y=2.0)[:70])
    assert constant.score(data.assign(y=5.0)[70:]) < 0, "in units of the data, without a scale"


def test_splits_of_several_series_sorted_by_time() -> None:
    both = pd.concat([line().assign(unique_id=name) for name in "ab"]).sort_values(["ds", "unique_id"])
    scores = cross_val_score(Forecaster("drift", horizon=5), both, cv=TimeSeriesSplit(3, test_size=20))
    assert len(scores) == 3 and (scores < 0).all() and np.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
def test_parameters_of_a_network() -> None:
    options = [{"units": 2}, {"units": 3}]
    training = {"epochs": 1, "steps_per_epoch": 2, "refit": False}
    search = GridSearchCV(
        Forecaster("attention_pooling", horizon=5, training=training),
        {"options": options},
        cv=TimeSeriesSplit(2, test_size=5),
        refit=False,
    )
    search.fit(line())
    assert list(search.cv_results_["param_options"]) == options and np.isfinite(search.best_score_)
    assert clone(search.estimator).get_params() == search.estimator.get_params()


@pytest.mark.parametrize("columns", [1, 3])
def test_arrays_have_the_shape_steps_by_series(columns: int) -> None:
    values = np.random.default_rng(1).normal(size=(60, columns)).cumsum(axis=0)
    fitted = Forecaster("naive", horizon=4).fit(values)
    names = ["y"] if columns == 1 else ["y1", "y2", "y3"]
    forecast = fitted.predict()
    assert list(forecast["unique_id"]) == list(np.repeat(names, 4)) and list(forecast["ds"][:4]) == [60, 61, 62, 63]
    np.testing.assert_allclose(forecast["y"], np.repeat(values[-1], 4), rtol=1e-6)
    if columns == 1:
        flat, series = (
            Forecaster("naive", horizon=4).fit(x).predict() for x in (values[:, 0], pd.Series(values[:, 0]))
        )
        pd.testing.assert_frame_equal(flat, forecast)
        pd.testing.assert_frame_equal(series, forecast)


def test_masked_values_are_missing() -> None:
    values = np.random.default_rng(1).integers(0, 9, 60)
    values[-1] = 999
    masked = np.ma.masked_equal(values, 999)
    gaps = np.where(values == 999, np.nan, values)
    found, known = (Forecaster("naive", horizon=4).fit(x).predict() for x in (masked, gaps))
    pd.testing.assert_frame_equal(found, known)
    assert found["y"].max() < 9


RECORDS = np.zeros(9, dtype=[("ds", "i8"), ("y", "f4")])


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3, 4)), np.zeros((0, 2)), np.zeros(3, dtype=complex), RECORDS, [1.0, 2.0], None]
)
def test_invalid_data(wrong: object) -> None:
    with pytest.raises(DataError, match="expected"):
        Forecaster("naive").fit(wrong)  # type: ignore[arg-type]
