"""The forecaster in Python: fit, predict, save and load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from keras_help import eager_training
from run_files import without_export
from sklearn.base import clone

from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError, DataWarning, RunError, TsattnError
from tsattn.forecaster import Callbacks
from tsattn.models import BASELINES
from tsattn.scoring.forecast_weights import ForecastWeights

QUICK: dict[str, Any] = {
    "options": {"units": 8},
    "training": {"epochs": 2, "steps_per_epoch": 5, "refit": False},
}


def ragged(seed: int = 0) -> pd.DataFrame:
    """Three daily series of different lengths and scales; one is short, one has gaps."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, steps, scale in (("a", 120, 1.0), ("b", 90, 1e4), ("c", 20, 1e-3)):
        values = scale * (5 + np.sin(np.arange(steps) * 2 * np.pi / 7) + rng.normal(0, 0.1, steps))
        times = pd.date_range("2024-03-01", periods=steps)
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": values}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[[5, 6, 140, 141, 142], "y"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    """A quick forecaster of the ragged series."""
    with eager_training():
        return Forecaster(horizon=7, seed=1, **QUICK).fit(ragged())


def test_scikit_learn_parameters() -> None:
    forecaster = Forecaster(model="attention_pooling", horizon=3, levels=(0.25, 0.5, 0.75), **QUICK)
    parameters = forecaster.get_params()
    assert parameters["horizon"] == 3 and parameters["options"] == {"units": 8}
    copy = clone(forecaster)
    assert copy is not forecaster and copy.get_params() == parameters
    assert copy.set_params(horizon=5).horizon == 5


def test_predict_before_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        Forecaster().predict()


def test_every_series_is_forecast(fitted: Forecaster) -> None:
    forecast = fitted.predict()
    assert list(forecast.columns) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
    assert dict(forecast.groupby("unique_id")["ds"].min()) == {
        "a": pd.Timestamp("2024-06-29"),
        "b": pd.Timestamp("2024-05-30"),
        "c": pd.Timestamp("2024-03-21"),
    }
    assert (forecast.groupby("unique_id").size() == 7).all()
    level = forecast.groupby("unique_id")["y"].mean()
    assert level["a"] == pytest.approx(5, rel=0.5) and level["b"] == pytest.approx(5e4, rel=0.5)
    assert level["c"] == pytest.approx(5e-3, rel=0.5), "the short series has its own scale"


def test_forecast_follows_the_scale_of_the_data(fitted: Forecaster) -> None:
    frame = ragged()
    plain = fitted.predict(frame)
    with pytest.warns(DataWarning, match="unlike all training data"):
        larger = fitted.predict(frame.assign(y=frame["y"] * 1000))
    np.testing.assert_allclose(larger["y"], 1000 * plain["y"], rtol=1e-4)


def test_only_the_context_matters(fitted: Forecaster) -> None:
    # An outlier before the context of the longest series must not change its forecast.
    frame = ragged()
    frame.loc[0, "y"] = 1e6
    context = fitted.spec_.context
    assert context < 119
    np.testing.assert_array_equal(fitted.predict(frame)["y"], fitted.predict(ragged())["y"])


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
def test_refit_learns_from_the_newest_rows() -> None:
    frame = ragged().query("unique_id == 'a'")
    changed = frame.copy()
    changed.iloc[-20:, 2] += 3
    settings = {
        "horizon": 7,
        "validation": 20,
        "options": QUICK["options"],
        "training": {**QUICK["training"], "epochs": 1, "refit": True},
    }
    first, second = (Forecaster(**settings).fit(data) for data in (frame, changed))
    assert any(
        np.abs(one - other).max() > 1e-4
        for one, other in zip(first.model_.get_weights(), second.model_.get_weights(), strict=True)
    )


@pytest.mark.usefixtures("eager_training")
def test_another_seed_gives_another_forecast(fitted: Forecaster) -> None:
    """The tests of stored folds train several times with the same seed."""
    other = Forecaster(horizon=7, seed=5, **QUICK).fit(ragged())
    assert np.abs(fitted.predict()["y"] - other.predict()["y"]).max() > 0


@pytest.mark.usefixtures("eager_training")
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("drift", {}),
        pytest.param("seq2seq", {"units": 8}, marks=pytest.mark.slow),
        pytest.param("seq2seq", {"units": 8, "channels": "joint"}, marks=pytest.mark.slow),
    ],
)
def test_wide_data_are_forecast_by_column(model: str, options: dict[str, Any]) -> None:
    steps = np.arange(60)
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=60), "low": np.sin(steps), "high": 100 + 1.5 * steps}
    )
    forecast = Forecaster(model, horizon=4, options=options, training=QUICK["training"]).fit(frame).predict()
    assert list(forecast["unique_id"]) == ["low"] * 4 + ["high"] * 4
    assert forecast.query("unique_id == 'high'")["y"].between(50, 300).all()


@pytest.fixture(scope="module")
def run(fitted: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of the forecaster of the ragged series."""
    path = tmp_path_factory.mktemp("forecaster") / "run"
    fitted.save(path)
    return path


def test_save_and_load(fitted: Forecaster, run: Path, tmp_path: Path) -> None:
    loaded = Forecaster.load(run)
    pd.testing.assert_frame_equal(loaded.predict(), fitted.predict())
    pd.testing.assert_frame_equal(loaded.scores_, fitted.scores_, check_exact=False)
    assert loaded.config_ == fitted.config_ and loaded.spec_ == fitted.spec_ and loaded.history_ == fitted.history_
    with pytest.raises(RunError, match="already exists"):
        fitted.save(run)
    with pytest.raises(RunError, match="expected a run directory"):
        Forecaster.load(tmp_path)


def test_saved_model_equals_python(fitted: Forecaster, run: Path) -> None:
    import tensorflow as tf

    served = tf.saved_model.load(run / "saved_model" / "1").signatures["serving_default"]
    frame = ragged()
    series = [group["y"].to_numpy("float32") for _, group in frame.groupby("unique_id")]
    length = np.array([len(values) for values in series], "int32")
    past = np.full((3, length.max(), 1), 7e7, "float32")
    for row, values in enumerate(series):
        past[row, : len(values), 0] = values
    answer = served(past=tf.constant(past), length=tf.constant(length))["forecast"].numpy()[:, :, 0]
    expected = fitted.predict(frame)["y"].to_numpy().reshape(3, 7)
    for row, values in enumerate(series):
        np.testing.assert_allclose(answer[row], expected[row], atol=1e-5 * np.nanstd(values))


@pytest.mark.usefixtures("without_export")
def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tsattn.run_directory

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tsattn.run_directory, "write_report", fail)
    with pytest.raises(RunError, match="cannot be written: disk full"):
        Forecaster("naive", horizon=7).fit(ragged()).save(tmp_path / "run")
    assert not list(tmp_path.iterdir())


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in sorted(set(BASELINES) - {"drift"})]


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("model", ["drift", *OTHERS])
def test_baselines(model: str, tmp_path: Path) -> None:
    forecaster = Forecaster(model, horizon=7).fit(ragged())
    assert forecaster.history_ is None and set(forecaster.scores_["model"]) >= {model, "naive"}
    forecaster.save(tmp_path / "run")
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "run").predict(), forecaster.predict())


def test_seasonal_naive_repeats_the_last_week() -> None:
    frame = ragged().query("unique_id == 'a'")
    forecast = Forecaster("seasonal_naive", horizon=10).fit(frame).predict()
    np.testing.assert_allclose(forecast["y"], np.resize(frame["y"].to_numpy()[-7:], 10), rtol=1e-6)


def test_invalid_parameters() -> None:
    frame = ragged()
    with pytest.raises(ConfigError, match="there is no model 'prophet'"):
        Forecaster("prophet").fit(frame)
    with pytest.raises(ConfigError, match="unitz"):
        Forecaster(options={"unitz": 3}).fit(frame)
    with pytest.raises(ConfigError, match="horizon"):
        Forecaster(horizon=0).fit(frame)
    with pytest.raises(DataError, match="horizon of 100 needs a series of at least 201 rows"):
        Forecaster(horizon=100).fit(frame)
    with pytest.raises(DataError, match="validation"):
        Forecaster(horizon=7, validation=119).fit(frame)


@pytest.mark.usefixtures("eager_training")
def test_diverging_training_is_an_error() -> None:
    training = {**QUICK["training"], "learning_rate": 1e30}
    with pytest.raises(TsattnError, match=r"diverged.*learning_rate"):
        Forecaster(horizon=7, options=QUICK["options"], training=training).fit(ragged())


def noise(steps: int = 120) -> pd.DataFrame:
    """A mean with white noise: the mean is the best forecast."""
    values = np.random.default_rng(8).normal(50, 2, steps)
    return pd.DataFrame({"ds": pd.date_range("2024-03-01", periods=steps), "y": values})


def record(titles: list[str]) -> Callbacks:
    """Return a function to callbacks that records the titles of the trainings."""

    def callbacks(title: str) -> tuple[()]:
        titles.append(title)
        return ()

    return callbacks


def test_few_values_are_forecast_without_a_network() -> None:
    titles: list[str] = []
    default = Forecaster(horizon=5, season=1).fit(noise(), callbacks=record(titles))
    assert titles == [] and default.history_ is None and default.get_params()["model"] is None
    assert default.config_.model == {"name": "combination", "second_season": 0}
    named = Forecaster("combination", horizon=5, season=1).fit(noise())
    pd.testing.assert_frame_equal(default.predict(), named.predict())
    assert default.spec_ == named.spec_ and named.choice_ is None
    assert default.choice_ is not None and default.choice_.selected == "combination"
    assert "the data have 120" in default.summary()


def waves(steps: int = 240) -> pd.DataFrame:
    """A season of 12 steps with noise."""
    values = 50 + 5 * np.sin(np.arange(steps) * np.pi / 6) + np.random.default_rng(0).normal(size=steps)
    return pd.DataFrame({"ds": np.arange(steps), "y": values})


@pytest.fixture(scope="module")
def combined() -> Forecaster:
    """The default on a series of 240 values."""
    with eager_training():
        return Forecaster(horizon=6, season=12, training={**QUICK["training"], "refit": True}).fit(waves())


def test_the_default_combines_network_and_smoothings(combined: Forecaster) -> None:
    choice = combined.choice_
    assert isinstance(choice, ForecastWeights) and 0 < choice.weight < 1 and len(choice.weights) == 6
    assert set(combined.scores_["model"]) == {"seq2seq + combination", *BASELINES}
    assert combined.config_.model["zero_shot"] is True and combined.fitted_.name in combined.scores_["model"].to_list()
    assert f"weight {choice.weight:.0%}" in combined.summary()
    weights = combined.explain().weights
    assert weights is not None
    np.testing.assert_allclose(weights.loc[weights["method"] == "seq2seq", "weight"], choice.weights, rtol=1e-4)
    # The network reads its own window.
    assert combined.config_.data.context < combined.spec_.context


def test_a_combined_forecaster_is_saved_and_exported(combined: Forecaster, tmp_path: Path) -> None:
    import tensorflow as tf

    combined.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(), combined.predict())
    assert loaded.spec_ == combined.spec_ and loaded.choice_ == combined.choice_
    served = tf.saved_model.load(tmp_path / "run" / "saved_model" / "1")
    past = tf.constant(waves()["y"].to_numpy("float32")[None, :, None])
    answer = served.signatures["serving_default"](past=past, length=tf.constant([240]))
    np.testing.assert_allclose(answer["forecast"].numpy().ravel(), combined.predict()["y"], rtol=1e-5)
    weights = served.signatures["weights"](past=past, length=tf.constant([240]))["weights"].numpy()
    assert combined.choice_ is not None
    np.testing.assert_allclose(weights[0, :, 0, 0], combined.choice_.weights, rtol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
def test_a_combined_network_is_trained_further(combined: Forecaster, tmp_path: Path) -> None:
    with without_export():
        combined.save(tmp_path / "run")
    tuned = Forecaster(init_from=tmp_path / "run", training=QUICK["training"]).fit(waves())
    assert tuned.config_.model == combined.config_.model and tuned.spec_ == combined.spec_


def test_the_zero_shot_forecast_needs_quantiles() -> None:
    with pytest.raises(ConfigError, match=r"model.zero_shot=true combines quantiles"):
        Forecaster("seq2seq", 6, options={"zero_shot": True, "head": "normal"}).fit(waves())


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
def test_a_network_that_is_configured_is_used() -> None:
    forecaster = Forecaster(**QUICK, horizon=5, season=1).fit(noise())
    assert forecaster.config_.model["name"] == "seq2seq" and forecaster.choice_ is None
    assert forecaster.model_.count_params() > 0 and "seq2seq" in forecaster.summary()


@pytest.mark.slow
def test_a_better_network_has_weight_and_is_trained_to_the_end() -> None:
    # A period that is not the season: no baseline follows it, and any network does.
    steps = np.arange(300)
    frame = pd.DataFrame({"ds": steps, "y": 10 + np.sin(steps * 2 * np.pi / 9)})
    titles: list[str] = []
    forecaster = Forecaster(horizon=4, season=1, training={"epochs": 6}).fit(frame, callbacks=record(titles))
    assert forecaster.config_.model["name"] == "seq2seq" and titles == ["training", "training to the end"]
    assert forecaster.choice_ is not None and forecaster.choice_.uses_network
    assert forecaster.choice_.weight > 0.5 and "seq2seq" in forecaster.summary()
