"""Covariates in fit, predict, export and backtest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn
from keras_help import eager_training

from tsattn import Forecaster
from tsattn.config import RunConfig
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import Table
from tsattn.errors import DataError, DataWarning
from tsattn.forecasting.fitted import covariate_notes
from tsattn.forecasting.warm_start import read_series

HORIZON = 12
ROLES: dict[str, Any] = {"target": "y", "future_covariates": "heat", "past_covariates": "visits"}
TRAINING = {"epochs": 10, "learning_rate": 3e-3, "refit": False}


def frame(steps: int = 800) -> pd.DataFrame:
    """Hours with a daily season and an effect of heat, a future covariate."""
    rng = np.random.default_rng(0)
    heat, visits = rng.normal(20, 5, steps), rng.normal(size=steps)
    value = 100 + 3 * np.sin(np.arange(steps) * 2 * np.pi / 24) + 2 * np.abs(heat - 18) + rng.normal(0, 0.5, steps)
    data = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=steps, freq="h"), "y": value, "heat": heat, "visits": visits}
    )
    data.loc[steps - HORIZON :, ["y", "visits"]] = np.nan
    return data


QUICK = {"epochs": 1, "steps_per_epoch": 2, "refit": False}


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    """A network after two steps."""
    with eager_training():
        return Forecaster("seq2seq", HORIZON, **ROLES, options={"units": 8}, training=QUICK).fit(frame())


@pytest.mark.slow
def test_a_covariate_that_explains_the_target_halves_the_error() -> None:
    data = frame()
    known = Forecaster("seq2seq", HORIZON, **ROLES, options={"units": 32}, training=TRAINING).fit(data)
    alone = Forecaster("seq2seq", HORIZON, target="y", options={"units": 32}, training=TRAINING).fit(data.dropna())
    errors = [model.scores_.set_index("model").loc["seq2seq", "mae"] for model in (known, alone)]
    assert errors[0] < 0.5 * errors[1]
    history, ahead = data.iloc[:-HORIZON], data.iloc[-HORIZON:][["ds", "heat"]]
    hotter = known.predict(history, ahead.assign(heat=ahead["heat"].clip(lower=20) + 5))
    assert hotter["y"].mean() > known.predict()["y"].mean() + 3


def test_the_forecast_depends_on_future_covariates(fitted: Forecaster) -> None:
    data = frame()
    forecast = fitted.predict()
    assert len(forecast) == HORIZON and forecast["ds"].iloc[0] == data["ds"].iloc[-HORIZON]
    np.testing.assert_allclose(fitted.predict(data)["y"], forecast["y"], rtol=1e-6)
    history, ahead = data.iloc[:-HORIZON], data.iloc[-HORIZON:][["ds", "heat"]]
    np.testing.assert_allclose(fitted.predict(history, ahead)["y"], forecast["y"], rtol=1e-6)
    hotter = fitted.predict(history, ahead.assign(heat=ahead["heat"].clip(lower=20) + 5))
    assert np.abs(hotter["y"] - forecast["y"]).max() > 1e-3
    with pytest.warns(DataWarning, match=f"{HORIZON} of {HORIZON} values .* 'heat' at 2024-02-02 20:00"):
        unknown = fitted.predict(history)
    assert np.isfinite(unknown["y"]).all()
    with pytest.raises(DataError, match="expected a column 'heat'"):
        fitted.predict(history.drop(columns="heat"))


def test_past_covariates_do_not_leak(fitted: Forecaster) -> None:
    data = frame()
    changed = data.copy()
    changed.loc[len(data) - HORIZON :, "visits"] = 1e6
    np.testing.assert_array_equal(fitted.predict(changed)["y"], fitted.predict(data)["y"])


@pytest.mark.slow
def test_saved_and_served(fitted: Forecaster, tmp_path: Path) -> None:
    import tensorflow as tf

    fitted.save(tmp_path / "run")
    expected = fitted.predict()["y"]
    loaded = Forecaster.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.predict()["y"], expected, rtol=1e-6)
    assert loaded.spec_ == fitted.spec_ and loaded.config_ == fitted.config_
    served = tf.saved_model.load(tmp_path / "run" / "saved_model" / "1").signatures["serving_default"]
    metadata = json.loads((tmp_path / "run" / "saved_model" / "1" / "assets.extra" / "tsattn.json").read_text())
    assert metadata["past_covariates"] == ["heat", "visits"] and metadata["future_covariates"] == ["heat"]
    assert (metadata["horizon"], metadata["targets"], metadata["levels"]) == (HORIZON, ["y"], [0.1, 0.5, 0.9])
    data = frame()
    history, ahead = data.iloc[:-HORIZON], data.iloc[-HORIZON:]
    answer = served(
        past=tf.constant(history[["y"]].to_numpy("float32")[None]),
        length=tf.constant([len(history)]),
        past_covariates=tf.constant(history[["heat", "visits"]].to_numpy("float32")[None]),
        future_covariates=tf.constant(ahead[["heat"]].to_numpy("float32")[None]),
    )
    np.testing.assert_allclose(answer["forecast"].numpy().ravel(), expected, atol=1e-5 * history["y"].std())


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training", "without_export")
def test_the_command_line(tmp_path: Path) -> None:
    data = frame(300)
    data.iloc[:-HORIZON].to_csv(tmp_path / "history.csv", index=False)
    data.iloc[-HORIZON:][["ds", "heat"]].to_csv(tmp_path / "ahead.csv", index=False)
    columns = ("--target", "y", "--future-covariates", "heat", "--past-covariates", "visits")
    quick = ("--set", "training.epochs=1", "--set", "training.steps_per_epoch=2", "--set", "training.refit=false")
    out = tmp_path / "run"
    given = ("--out", out, "--horizon", 12, "--model", "seq2seq")
    result = tsattn("fit", tmp_path / "history.csv", *given, *columns, *quick)
    assert result.exit_code == 0, result.output
    assert "future covariates" in result.stderr and "past covariates" in result.stderr
    assert "Warning: 12 of 12 values of future covariates are missing" in result.stderr
    known = tsattn("predict", out, "--future", tmp_path / "ahead.csv")
    assert known.exit_code == 0 and "Warning:" not in known.stderr and len(known.stdout.splitlines()) == 13
    assert "Warning:" in tsattn("predict", out).stderr


@pytest.mark.usefixtures("eager_training", "without_export")
def test_save_does_not_repeat_the_warning_of_predict(tmp_path: Path) -> None:
    history = frame(300).iloc[:-HORIZON]
    forecaster = Forecaster("seq2seq", HORIZON, **ROLES, options={"units": 8}, training=QUICK).fit(history)
    with pytest.warns(DataWarning, match="values of future covariates are missing"):
        forecaster.predict()
    forecaster.save(tmp_path / "run")  # in the tests, a warning is an error
    assert "values of future covariates are missing" in (tmp_path / "run" / "report.html").read_text()


def test_future_covariates_of_another_file_are_read_with_the_data() -> None:
    data = frame(300)
    history, ahead = data.iloc[:-HORIZON], data.iloc[-HORIZON:][["ds", "heat"]]
    config = RunConfig.from_dict({"data": {"target": "y"}}, source="the test")
    panel, schema = read_series(history, config, ahead.iloc[:9])
    assert (schema.future_covariates, schema.horizon) == (("heat",), 9)
    reasons = {setting.field: setting.reason for setting in schema.inferred_settings if not setting.given}
    assert reasons["future covariates"] == "they are columns of the frame as well"
    assert panel.covariates is not None and panel.times(0)[-1] == history["ds"].iloc[-1]
    np.testing.assert_allclose(panel.covariates.series[0][-9:, 0], ahead["heat"].iloc[:9], rtol=1e-6)
    with pytest.raises(DataError, match="expected future covariates, which are columns of the frame as well"):
        read_series(history, config, ahead.rename(columns={"heat": "warmth"}))


def test_values_unlike_those_of_the_training_are_noted() -> None:
    data = frame(300)
    baseline = Forecaster("seasonal_naive", HORIZON, **ROLES).fit(data.iloc[:-HORIZON])
    spec = replace(baseline.spec_, future_covariates=("heat",), past_covariates=("heat",))
    ahead = data.iloc[-HORIZON:][["ds", "heat"]]
    for change, expected in ((lambda heat: heat, 0), (lambda heat: 32 + 1.8 * heat, 1)):
        table = Table(ahead.assign(heat=change(ahead["heat"])))
        panel = add_future_covariates(baseline.panel_, table, baseline.schema_)
        notes = covariate_notes(panel, spec, baseline.schema_)
        assert len(notes) == expected, notes
    low, high = data["heat"].iloc[:-HORIZON].agg(["min", "max"])
    assert f"'heat' are outside of its range in the training data, {low:g} to {high:g}" in str(notes[0])
    missing = covariate_notes(baseline.panel_, spec, baseline.schema_)
    assert str(missing[0]) == (
        f"{HORIZON} of {HORIZON} values of future covariates are missing, the first one of 'heat' at 2024-01-13; means "
        "of the training data replace them: give all of them by future="
    )


def test_a_column_of_categories_is_counted_once_and_named_as_in_the_data() -> None:
    data = frame(300)
    data["heat"] = np.where(data["heat"] > 20, "warm", "cold")
    baseline = Forecaster("seasonal_naive", HORIZON, **ROLES).fit(data.iloc[:-HORIZON])
    spec = replace(baseline.spec_, future_covariates=("heat=cold", "heat=warm"), past_covariates=())
    (note,) = covariate_notes(baseline.panel_, spec, baseline.schema_)
    count = f"{HORIZON} of {HORIZON} values of future covariates are missing"
    assert note.message.startswith(f"{count}, the first one of 'heat' at")
    ahead = data.iloc[-HORIZON:][["ds", "heat"]].assign(heat=["warm"] * (HORIZON - 2) + ["Warm", "cold"])
    panel = add_future_covariates(baseline.panel_, Table(ahead), baseline.schema_)
    (note,) = covariate_notes(panel, spec, baseline.schema_)
    assert str(note) == (
        f"1 of {HORIZON} values of 'heat' are none of those in the training data, 'cold', 'warm', the first one at "
        f"{ahead['ds'].iloc[-2]}"
    )


def test_a_baseline_needs_no_covariates() -> None:
    data = frame(300)
    baseline = Forecaster("seasonal_naive", HORIZON, **ROLES).fit(data)
    history = data.iloc[:-HORIZON]
    alone = baseline.predict(history[["ds", "y"]])
    np.testing.assert_array_equal(alone["y"], history["y"].iloc[-24:-12].astype("float32"))
    pd.testing.assert_frame_equal(alone, baseline.predict(data))


SHOPS: dict[str, Any] = {"target": "sales", "context": 3, "options": {"units": 32}, "training": TRAINING}


def shops() -> pd.DataFrame:
    """Days of shops that are busy or closed at the weekend depending on their kind, on different levels."""
    rng = np.random.default_rng(0)
    # The last week, the validation part, begins on a Friday: the context of three days has no weekend.
    times = pd.date_range("2024-01-01", "2024-04-25")
    parts = []
    for number in range(30):
        kind = ("mall", "office")[number % 2]
        sign = {"mall": 1, "office": -1}[kind]
        sales = 50 + number + 10 * sign * (times.day_of_week >= 5) + rng.normal(0, 1, len(times))
        parts.append(pd.DataFrame({"shop": f"S{number:02d}", "date": times, "sales": sales, "kind": kind}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def weekly() -> Forecaster:
    return Forecaster("seq2seq", 7, **SHOPS, calendar="day_of_week").fit(shops())


@pytest.mark.slow
def test_calendar_and_static_covariate_halve_the_error(weekly: Forecaster) -> None:
    alone = Forecaster("seq2seq", 7, **SHOPS, static_covariates=()).fit(shops())
    assert weekly.schema_.static_covariates == ("kind",) and alone.schema_.static_covariates == ()
    errors = [model.scores_.set_index("model").loc["seq2seq", "mae"] for model in (weekly, alone)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.slow
def test_a_shop_of_an_unknown_kind_is_forecast(weekly: Forecaster) -> None:
    new = shops().query("shop == 'S00'").assign(shop="new", kind="kiosk")
    forecast = weekly.predict(new)
    assert np.isfinite(forecast["sales"]).all() and forecast["sales"].between(20, 80).all()


@pytest.mark.slow
def test_static_covariates_saved_and_served(weekly: Forecaster, tmp_path: Path) -> None:
    import tensorflow as tf

    weekly.save(tmp_path / "run")
    expected = weekly.predict()
    loaded = Forecaster.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.predict()["sales"], expected["sales"], rtol=1e-6)
    new = shops().replace("office", "kiosk")
    np.testing.assert_allclose(loaded.predict(new)["sales"], weekly.predict(new)["sales"], rtol=1e-6)
    served = tf.saved_model.load(tmp_path / "run" / "saved_model" / "1").signatures["serving_default"]
    metadata = json.loads((tmp_path / "run" / "saved_model" / "1" / "assets.extra" / "tsattn.json").read_text())
    assert metadata["static"] == {"static_kind": {"name": "kind", "categories": ["mall", "office"]}}
    assert metadata["past_covariates"] == metadata["future_covariates"] == [], (
        "the graph computes the calendar features"
    )
    for data, kinds in ((shops(), ["mall", "office"]), (new, ["mall", "kiosk"])):
        history = np.stack([data.query(f"shop == 'S0{number}'")[["sales"]] for number in (0, 1)])
        answer = served(
            past=tf.constant(history, tf.float32),
            length=tf.constant([116, 116]),
            last_time=tf.constant([int(pd.Timestamp("2024-04-25").timestamp())] * 2, tf.int64),
            static_kind=tf.constant(kinds),
        )
        wanted = weekly.predict(data)["sales"].to_numpy()[:14]
        np.testing.assert_allclose(answer["forecast"].numpy().ravel(), wanted, rtol=1e-4)


@pytest.mark.usefixtures("eager_training")
def test_weights_do_not_depend_on_the_validation_part() -> None:
    """New categories and other numbers in the validation part do not change the weights."""
    data = shops()[shops()["date"] < "2024-03-01"].assign(weather="fine", heat=np.arange(60.0).tolist() * 30)
    late = data["date"] >= data["date"].max() - pd.Timedelta(days=6)
    changed = data.copy()
    changed.loc[late, "weather"] = "snow"
    changed.loc[late, "heat"] = 1e6
    changed.loc[late, "sales"] *= 1000
    given: dict[str, Any] = {**SHOPS, "training": QUICK, "validation": 7, "calendar": "day_of_week"}
    roles = {"past_covariates": ["weather", "heat"]}
    forecasters = [Forecaster("seq2seq", 7, **given, **roles).fit(frame) for frame in (data, changed)]
    # The factors of the calibration are not trained: they are fitted to the validation part.
    for first, second in zip(*(forecaster.model_.trainable_weights for forecaster in forecasters), strict=True):
        np.testing.assert_array_equal(first, second)
    first, second = (forecaster.predict(data[~late])["sales"] for forecaster in forecasters)
    np.testing.assert_array_equal(first, second)
