"""The model `auto`: the best of several by a short backtest, within a time limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.conftest import TINY, tsattn
from keras_help import eager_training

from tsattn import Forecaster
from tsattn.errors import ConfigError
from tsattn.evaluation.model_selection import first_within_standard_error
from tsattn.models import BASELINES
from tsattn.scoring.model_choice import ModelSelection

pytestmark = pytest.mark.usefixtures("eager_training")

QUICK = {"epochs": 1, "steps_per_epoch": 1, "refit": False}
NETWORKS = ("attention_pooling", "tcn")


def repeated() -> pd.DataFrame:
    """A week that repeats exactly, so that the seasonal naive forecast has no error."""
    values = np.array([3.0, 8, 1, 9, 4, 7, 2])
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=140), "y": np.tile(values, 20)})


def rising() -> pd.DataFrame:
    """A line with noise, on which drift is best."""
    noise = np.random.default_rng(0).normal(0, 0.1, 120)
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120), "y": np.arange(120.0) + noise})


def auto(**selection: object) -> Forecaster:
    given = {"models": NETWORKS, **selection}
    return Forecaster("auto", horizon=5, training=QUICK, selection=given)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    with eager_training():
        return auto().fit(repeated())


def test_a_baseline_can_be_selected(fitted: Forecaster) -> None:
    choice = fitted.choice_
    assert isinstance(choice, ModelSelection) and choice.selected == fitted.config_.model["name"] == "seasonal_naive"
    assert set(choice.scores["model"]) == {*NETWORKS, "combination", *BASELINES}
    assert choice.folds == 5 and choice.steps == 5, "a fifth of 140 steps has room for 28 // 5 horizons"
    np.testing.assert_allclose(fitted.predict()["y"], repeated()["y"][:5])
    assert choice.summary().startswith("Selected: seasonal_naive, the best of 7 models over 5 folds of 5 steps: MAE 0 ")
    assert fitted.summary() == choice.summary()


@pytest.mark.slow
def test_the_scores_equal_those_of_a_backtest(fitted: Forecaster) -> None:
    assert isinstance(fitted.choice_, ModelSelection)
    known = Forecaster(horizon=5, season=7, training=QUICK).backtest(repeated(), 5, models=NETWORKS).scores
    found = fitted.choice_.scores.set_index("model").loc[known["model"]].reset_index()
    pd.testing.assert_frame_equal(found[["model", "mae", "wql"]], known[["model", "mae", "wql"]], check_exact=True)
    assert list(fitted.choice_.scores["mae"]) == sorted(fitted.choice_.scores["mae"])


def test_the_result_equals_that_of_the_named_model(fitted: Forecaster) -> None:
    plain = Forecaster("seasonal_naive", horizon=5, training=QUICK).fit(repeated())
    pd.testing.assert_frame_equal(fitted.predict(), plain.predict())
    pd.testing.assert_frame_equal(fitted.scores_, plain.scores_)
    assert fitted.config_ == plain.config_, "which reproduces the run"
    assert fitted.model == "auto" and fitted.get_params()["selection"] == {"models": NETWORKS}


@pytest.mark.slow
def test_run_and_export(fitted: Forecaster, tmp_path: Path) -> None:
    import tensorflow as tf

    fitted.save(tmp_path / "run")
    again = Forecaster.load(tmp_path / "run")
    assert isinstance(again.choice_, ModelSelection) and again.choice_.summary() == fitted.summary()
    pd.testing.assert_frame_equal(again.choice_.scores, fitted.choice_.scores)  # type: ignore[union-attr]
    serve = tf.saved_model.load(str(tmp_path / "run" / "saved_model" / "1")).signatures["serving_default"]
    week = repeated()["y"].to_numpy("float32")[None, :7, None]
    answer = serve(past=tf.constant(week), length=tf.constant([7]))
    np.testing.assert_allclose(answer["forecast"][0, :, 0], week[0, :5, 0])


@pytest.mark.slow
def test_without_time_only_the_first_network_is_compared() -> None:
    found = auto(max_seconds=1e-3).fit(rising())
    choice = found.choice_
    assert isinstance(choice, ModelSelection) and choice.skipped == ("tcn",) and list(choice.seconds) == [NETWORKS[0]]
    assert "Skipped for lack of time: tcn. Increase selection.max_seconds to include them." in choice.summary()
    assert found.config_.model["name"] == "combination" and found.config_.training.max_seconds is None


def test_a_model_without_training_can_be_selected_despite_options_of_networks(limits: list[float]) -> None:
    given = auto(models=["tcn"]).set_params(
        options={"units": 4, "head": "normal"}, training={**QUICK, "max_seconds": 7}
    )
    found = given.fit(rising())
    assert isinstance(found.choice_, ModelSelection) and found.choice_.selected == "combination"
    assert found.config_.model == {"name": "combination", "second_season": 0}
    assert found.config_.training.max_seconds == 7
    assert limits == [7], "the given limit holds, though more time is left"
    plain = Forecaster("combination", horizon=5).fit(rising())
    pd.testing.assert_frame_equal(found.predict(), plain.predict())


@pytest.mark.slow
def test_short_data_have_fewer_folds() -> None:
    short = auto().fit(repeated()[:22])
    assert isinstance(short.choice_, ModelSelection) and 1 <= short.choice_.folds <= 3
    with pytest.raises(Exception, match="a backtest of 9 folds"):
        auto(folds=9).fit(repeated()[:22])


def test_invalid_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected networks, which naive is not"):
        auto(models=["naive"]).fit(repeated())
    with pytest.raises(ConfigError, match="there is no model 'arima'"):
        auto(models="arima").fit(repeated())
    with pytest.raises(ConfigError, match="init_from holds the weights of one"):
        Forecaster("auto", horizon=5, init_from=tmp_path).fit(repeated())
    with pytest.raises(ConfigError, match=r"'selection\.networks'; the options here are models, max_seconds, folds"):
        auto(networks=3).fit(repeated())


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
def test_the_command(tmp_path: Path) -> None:
    rising().to_csv(tmp_path / "data.csv", index=False)
    arguments = (tmp_path / "data.csv", "--horizon", 5, "--set", "selection.models=tcn", *TINY)
    result = tsattn("fit", *arguments, "--model", "auto", "--time-limit", "2m", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "In a backtest of 4 folds, best first" in result.stderr
    assert "Selected: combination, the best of 6 models over 4 folds of 5 steps: MASE" in result.stderr
    result = tsattn("fit", *arguments, "--model", "tcn")
    assert result.exit_code == 2 and "selection needs the model auto" in result.stderr
    result = tsattn("fit", *arguments, "--model", "auto", "--time-limit", "soon")
    assert result.exit_code == 2 and "expected a duration such as 90, 30s, 20m or 1.5h" in result.stderr


def test_auto_in_a_backtest() -> None:
    result = Forecaster(horizon=5, training=QUICK, selection={"models": "tcn"}).backtest(
        rising(), 2, models=["auto", "combination"]
    )
    assert result.label("auto") == "auto (combination)"
    np.testing.assert_array_equal(result.forecasts["auto"], result.forecasts["combination"])


def test_of_similar_networks_the_first_is_selected() -> None:
    """Errors are paired over series and folds; a difference below its standard error is ignored."""
    common, swing = np.random.default_rng(0).normal(1, 0.3, 40), np.tile([1.0, -1.0], 20)
    # Standard errors of 0.2 / sqrt(39) = 0.032 and 0.05 / sqrt(39) = 0.008.
    columns = {"best": common, "near": common + 0.02 + 0.2 * swing, "far": common + 0.02 + 0.05 * swing}
    columns["naive"] = columns["near"]
    keys = {"unique_id": np.repeat(["a", "b"], 20), "cutoff": np.tile(np.arange(20), 2)}
    errors = pd.concat([pd.DataFrame({**keys, "model": name, "mase": values}) for name, values in columns.items()])
    assert first_within_standard_error(errors, "mase", "best", ["far", "near", "best"]) == "near"
    assert first_within_standard_error(errors, "mase", "best", ["far", "best", "near"]) == "best"
    assert first_within_standard_error(errors, "mase", "naive", ["near", "best"]) == "naive", (
        "a baseline that is best is selected"
    )
    assert first_within_standard_error(errors[errors["cutoff"] == 0][:1], "mase", "best", ["best"]) == "best"
