"""Explanations: attention against the model's own outputs, covariates and graphs against known effects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn
from keras_help import eager_training
from run_files import without_export

from tsattn import Forecaster
from tsattn.errors import ConfigError
from tsattn.explanation.attribution import MASKED_FRACTION
from tsattn.explanation.explanation import Explanation
from tsattn.pretrained.zero_shot import forecast_series, network_weights
from tsattn.timeseries.windows import gather

HORIZON = 6
QUICK = {"epochs": 1, "steps_per_epoch": 2, "refit": False}


def days(steps: int = 120) -> pd.DataFrame:
    """A week, with a covariate that adds to it and one that is noise."""
    rng = np.random.default_rng(0)
    promo = (rng.random(steps) < 0.3).astype(float)
    week = 10 * np.sin(np.arange(steps) * 2 * np.pi / 7)
    dates = pd.date_range("2024-01-01", periods=steps)
    return pd.DataFrame({"day": dates, "sold": 50 + week + 20 * promo, "promo": promo, "noise": rng.normal(size=steps)})


def with_future() -> pd.DataFrame:
    """The covariates are known for a horizon after the last value."""
    frame = days(120 + HORIZON)
    frame.loc[120:, ["sold", "noise"]] = np.nan
    return frame


@pytest.fixture(scope="module")
def network() -> Forecaster:
    roles = {"target": "sold", "future_covariates": "promo", "past_covariates": "noise"}
    options = {"units": 4, "heads": 2}
    with eager_training():
        return Forecaster("transformer", HORIZON, context=21, training=QUICK, options=options, **roles).fit(
            with_future()
        )


def inputs_of(forecaster: Forecaster) -> dict[str, keras.KerasTensor]:
    return {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in forecaster.model_.input.items()}


def with_model(forecaster: Forecaster, model: keras.Model) -> Forecaster:
    """Return a forecaster with another model of the same window."""
    changed = Forecaster()
    changed.fitted_ = replace(forecaster.fitted_, model=model)
    return changed


@pytest.fixture(scope="module")
def combination() -> Forecaster:
    return Forecaster("combination", HORIZON).fit(days()[["day", "sold"]])


def test_attention_is_that_of_the_network() -> None:
    frame = days()[["day", "sold"]]
    with eager_training():
        options = {"units": 4, "patch_length": 7, "copy_heads": 2}
        forecaster = Forecaster("seq2seq", 14, context=35, training=QUICK, options=options).fit(frame)
    found = forecaster.explain(frame).attention
    assert found is not None
    assert list(found.columns) == ["unique_id", "day", "head", "first", "last", "steps_back", "weight"]
    panel, spec = forecaster.panel_, forecaster.spec_
    batch = gather(panel, spec, np.array([0]), panel.lengths, target=False)
    known = keras.ops.convert_to_numpy(forecaster.model_(batch, training=False)["attention"])[0, 0]
    assert known.shape == (2, 2, 5)  # heads, patches ahead, patches of the past
    table = found.pivot_table("weight", ["head", "day"], "first").to_numpy().reshape(2, 14, 5)
    np.testing.assert_allclose(table, np.repeat(known, 7, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.groupby(["day", "head"])["weight"].sum(), 1, rtol=1e-5)
    # Every patch ends a week before the next one, and the last one with the history.
    assert list(found["last"].unique()) == list(frame["day"][-29::7]) and set(found["steps_back"]) == {1, 8, 15, 22, 29}
    assert ((found["last"] - found["first"]).dt.days == 6).all()


def test_of_many_columns_the_attention_of_the_first_is_returned(tmp_path: Path) -> None:
    frame = days()[["day"]].assign(**{f"c{number}": days()["sold"] * number for number in range(1, 9)})
    with eager_training():
        options = {"units": 4, "patch_length": 7, "copy_heads": 2}
        forecaster = Forecaster("seq2seq", 7, context=21, training=QUICK, options=options).fit(frame)
    explanation = forecaster.explain()
    assert explanation.attention is not None
    assert list(explanation.attention["unique_id"].unique()) == ["c1", "c2", "c3", "c4", "c5", "c6"]
    explanation.write(tmp_path / "x")


def test_masking_what_a_model_reads_moves_its_forecast(network: Forecaster) -> None:
    """A model that repeats the step that it attends to is moved by masking that step alone."""
    copied = 7
    inputs = inputs_of(network)
    past, observed = inputs["past"], inputs["observed"]
    value = keras.ops.repeat((past * observed)[:, -copied, None], HORIZON, axis=1)
    attention = keras.ops.zeros_like(past[:, None, None, None, :, 0]) + np.eye(21, dtype="float32")[-copied]
    steps = keras.ops.arange(21)[:, None] + keras.ops.zeros_like(past[:, :, :1], dtype="int64")
    outputs = {
        "quantiles": keras.ops.stack([value - 1, value, value + 1], axis=-1),
        "attention": attention,
        "key_steps": keras.ops.concatenate([steps, steps], axis=-1),
        "query_steps": keras.ops.zeros_like(past[:, :1, :1], dtype="int64") + np.array([0, HORIZON - 1]),
    }
    copying = with_model(network, keras.Model(inputs, outputs))
    explanation = copying.explain()
    assert explanation.faithfulness is not None and explanation.attention is not None
    top = explanation.attention.loc[explanation.attention["weight"].idxmax()]
    assert top["steps_back"] == copied and top["first"] == with_future()["day"][120 - copied]
    most, random = explanation.faithfulness["change"]
    history = with_future()["sold"].dropna().iloc[-21:]
    assert most == pytest.approx(history.iloc[-copied] / history.std(ddof=0), rel=1e-4)
    # A random fifth contains that step in a fifth of the draws on average.
    assert random < 3 * MASKED_FRACTION * most
    assert any("times as much" in sentence for sentence in explanation.summary())


def test_covariates_are_worth_what_the_forecast_loses(network: Forecaster) -> None:
    """This model forecasts the effect of `promo` and does not read `noise`."""
    inputs = inputs_of(network)
    value = 50 + 20 * inputs["future_covariates"]
    outputs = {"quantiles": keras.ops.stack([value, value, value], axis=-1)}
    given = with_model(network, keras.Model(inputs, outputs))
    covariates = given.explain().covariates
    assert covariates is not None and list(covariates["covariate"]) == ["promo", "noise"]
    assert covariates["increase"][0] > 0.5 and covariates["spread"][0] > 0
    assert covariates["increase"][1] == covariates["spread"][1] == 0
    assert (covariates["windows"] >= HORIZON + 1).all()


def test_the_learned_graph_is_that_of_the_layer(tmp_path: Path) -> None:
    steps = np.arange(90)
    frame = pd.DataFrame(
        {"day": days(90)["day"], **{name: np.sin(steps / k) for name, k in (("a", 2), ("b", 3), ("c", 5))}}
    )
    options = {"units": 4}
    with eager_training():
        forecaster = Forecaster("graph_attention", 4, context=14, training=QUICK, options=options).fit(frame)
    explanation = forecaster.explain()
    graph = explanation.graph
    assert graph is not None and graph["weight"].is_monotonic_decreasing and len(graph) == 9
    np.testing.assert_allclose(graph.groupby("source")["weight"].sum(), 1, rtol=1e-5)
    explanation.write(tmp_path / "x")
    assert pd.read_csv(tmp_path / "x" / "graph.csv").shape == (9, 3)
    assert (tmp_path / "x" / "explanation.png").read_bytes().startswith(b"\x89PNG")


def test_the_combination_names_its_candidates(combination: Forecaster) -> None:
    explanation = combination.explain()
    assert explanation.weights is not None and explanation.forecasters is not None and explanation.attention is not None
    for table in (explanation.weights, explanation.forecasters):
        np.testing.assert_allclose(table.groupby("day")["weight"].sum(), 1, rtol=1e-5)
        assert table["day"].nunique() == HORIZON
    np.testing.assert_allclose(explanation.attention.groupby(["day", "head"])["weight"].sum(), 1, rtol=1e-5)
    # A week without noise: the forecasters are those that repeat it.
    best = explanation.forecasters.groupby("forecaster")["weight"].mean().idxmax()
    assert "season" in best
    assert "Largest candidates of the pretrained network" in " ".join(explanation.summary())


def test_candidates_of_short_series() -> None:
    weights = network_weights([[1.0, 2.0, 3.0], [5.0, np.nan, 6.0, 7.0]], 2)
    assert weights.candidates.shape[:2] == (2, 2) and np.isfinite(weights.attention).all()
    assert set(forecast_series([[1.0, 2.0, 3.0]], 2).weights) >= {"pretrained network"}


def test_a_baseline_has_nothing_to_explain() -> None:
    with pytest.raises(ConfigError, match="naive has no weights, attention, covariates or graph to explain"):
        Forecaster("naive", HORIZON).fit(days()).explain()
    assert Explanation().summary() == []


def test_the_command(combination: Forecaster, network: Forecaster, tmp_path: Path) -> None:
    with without_export():
        combination.save(tmp_path / "combination")
        network.save(tmp_path / "network")
    result = tsattn("explain", tmp_path / "combination", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "pretrained network" in result.stdout and "last season" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "explanation.png",
        "weights.csv",
        "forecasters.csv",
        "attention.csv",
    }
    again = tsattn("explain", tmp_path / "combination", "-o", tmp_path / "out")
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    with_future().to_csv(tmp_path / "days.csv", index=False)
    result = tsattn("explain", tmp_path / "network", tmp_path / "days.csv")
    assert result.exit_code == 0, result.output
    assert "promo" in result.stdout and "Masking the most attended fifth" in result.stdout
