"""Backtests compared with loops written by hand, and tests for leaks of the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from keras_help import eager_training

from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError
from tsattn.evaluation.rolling_origin import Backtest, Refit

BASELINES = ["naive", "seasonal_naive", "drift", "seasonal_mean"]
QUICK = {"epochs": 1, "steps_per_epoch": 1, "refit": False}
WEEK, HORIZON, STEP = 7, 5, 4


def ragged() -> pd.DataFrame:
    """Three daily series; one has gaps, one is too short for the first origins."""
    rng = np.random.default_rng(5)
    parts = []
    for name, steps, scale in (("a", 80, 1.0), ("b", 61, 1e3), ("c", 10, 1e-2)):
        values = scale * (5 + np.sin(np.arange(steps) * 2 * np.pi / WEEK) + rng.normal(0, 0.3, steps))
        times = pd.date_range("2024-03-01", periods=steps)
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": values.astype("float32")}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[[20, 62, 75, 76, 130], "y"] = np.nan
    return frame


def by_hand(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """The seasonal naive forecasts of a rolling origin with their errors, series by series and origin by origin."""
    rows = []
    for name, group in frame.groupby("unique_id"):
        values, times = group["y"].to_numpy("float64"), group["ds"].to_numpy()
        first = len(values) - HORIZON - (count - 1) * STEP
        known = values[: max(first, 0)]
        scale = np.nanmean(np.abs(known[WEEK:] - known[:-WEEK])) if len(known) > WEEK else np.nan
        for origin in range(first, len(values) - HORIZON + 1, STEP):
            if origin < 1:
                continue
            past, actual = values[:origin], values[origin : origin + HORIZON]
            guess = np.empty(HORIZON)
            for ahead in range(HORIZON):
                same = past[origin - WEEK + ahead :: -WEEK] if origin - WEEK + ahead >= 0 else np.array([])
                same = same[np.isfinite(same)]
                guess[ahead] = same[0] if len(same) else past[np.isfinite(past)][-1]
            error = np.abs(actual - guess)
            rows.append(
                {
                    "unique_id": name,
                    "cutoff": times[origin - 1],
                    "guess": guess,
                    "mase": np.nanmean(error) / scale,
                    "smape": np.nanmean(200 * error / (np.abs(actual) + np.abs(guess))),
                    "mae": np.nanmean(error),
                    "rmse": np.sqrt(np.nanmean(error**2)),
                }
            )
    return pd.DataFrame(rows)


def test_seasonal_naive_equals_a_loop_by_hand() -> None:
    frame = ragged()
    result = Forecaster("seasonal_naive", horizon=HORIZON, season=WEEK).backtest(frame, 3, STEP)
    known = by_hand(frame, 3).set_index(["unique_id", "cutoff"]).sort_index()
    assert len(known) == 3 + 3 + 2, "the short series has no history at the first origin"

    forecasts = result.forecasts.set_index(["unique_id", "cutoff"]).sort_index()
    for pair, guess in known["guess"].items():
        np.testing.assert_allclose(forecasts.loc[[pair], "seasonal_naive"], guess, rtol=1e-6)
    found = result.scored.by_origin.query("model == 'seasonal_naive'").set_index(["unique_id", "cutoff"])
    for metric in ("mae", "smape", "rmse", "mase"):
        np.testing.assert_allclose(found[metric], known[metric], rtol=1e-5)
        row = result.scores.set_index("model").loc["seasonal_naive"]
        assert row[metric] == pytest.approx(np.nanmean(known[metric]), rel=1e-5)
    assert np.isnan(found.loc["c", "mase"]).all(), "without training data it has no scale"


def test_forecasts_are_in_long_format() -> None:
    frame = ragged()
    result = Forecaster("naive", horizon=HORIZON, levels=(0.1, 0.3, 0.5, 0.9)).backtest(frame, 3, STEP)
    names = ["naive", "seasonal_naive", "drift", "seasonal_mean"]
    columns = [f"{name}{end}" for name in names for end in ("", "-lo-80", "-hi-80", "-q-0.3")]
    assert list(result.forecasts.columns) == ["unique_id", "cutoff", "ds", "y", *columns]
    assert len(result.forecasts) == 8 * HORIZON
    ahead = (result.forecasts["ds"] - result.forecasts["cutoff"]).dt.days.to_numpy().reshape(-1, HORIZON)
    assert (ahead == np.arange(1, HORIZON + 1)).all()
    truth = result.forecasts.merge(frame, on=["unique_id", "ds"], how="left", suffixes=("", "_read"))
    np.testing.assert_array_equal(truth["y"], truth["y_read"])
    assert truth["y"].isna().any(), "missing values are forecast, but not scored"
    assert result.cutoffs["skipped"].tolist() == [1, 0, 0] and result.cutoffs["series"].tolist() == [2, 3, 3]


def test_coverage_and_skill() -> None:
    result = Forecaster("drift", horizon=HORIZON).backtest(ragged(), 3, STEP)
    scores, forecasts = result.scores.set_index("model"), result.forecasts.dropna(subset="y")
    for name in BASELINES:
        inside = forecasts["y"].between(forecasts[f"{name}-lo-80"], forecasts[f"{name}-hi-80"])
        coverage = inside.groupby([forecasts["unique_id"], forecasts["cutoff"]]).mean()
        assert scores.loc[name, "coverage-80"] == pytest.approx(coverage.mean())
    np.testing.assert_allclose(scores["skill"], 1 - scores["mase"] / scores.loc["seasonal_naive", "mase"])
    assert list(scores["mase"]) == sorted(scores["mase"]) and scores.loc["seasonal_naive", "skill"] == 0
    assert any("c" in sentence and "MASE" in sentence for sentence in result.scored.notes)


def test_no_coverage_without_intervals() -> None:
    result = Forecaster("naive", horizon=HORIZON, levels=(0.5,)).backtest(ragged(), 2)
    assert not [name for name in result.scores if name.startswith(("coverage", "width", "winkler"))]
    assert "wql" in result.scores and list(result.scored.by_origin) == ["unique_id", "cutoff", *result.scores]
    assert list(result.forecasts.columns)[4:] == BASELINES


def test_skill_is_missing_if_the_season_repeats_exactly() -> None:
    times = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"ds": times, "y": np.arange(60.0)})
    scores = Forecaster("naive", horizon=4).backtest(frame, 3).scores.set_index("model")
    assert scores.loc["drift", "mase"] == pytest.approx(0, abs=1e-6)
    assert scores["mase"].notna().all()
    constant = Forecaster("naive", horizon=4).backtest(frame.assign(y=3.0), 3)
    assert constant.scores[["mase", "rmsse", "skill"]].isna().all(axis=None) and (constant.scores["mae"] == 0).all()
    assert constant.scored.notes[0].startswith("MASE and RMSSE leave out 1 of 1 series (y): the seasonal naive")


def test_targets_are_scored_as_separate_series() -> None:
    steps = np.arange(60)
    times = pd.date_range("2024-01-01", periods=60, freq="h", tz="Europe/Vienna")
    frame = pd.DataFrame({"ds": times, "low": np.sin(steps), "high": 100 + 1.5 * steps})
    result = Forecaster("naive", horizon=3).backtest(frame, 4)
    assert result.cutoffs["series"].tolist() == [2] * 4 and len(result.forecasts) == 4 * 2 * 3
    for name in ("low", "high"):
        rows = result.forecasts.query("unique_id == @name")
        values = frame.set_index("ds")[name]
        np.testing.assert_allclose(rows["y"], values[rows["ds"]], rtol=1e-6)
        np.testing.assert_allclose(rows["naive"], values[rows["cutoff"]], rtol=1e-6)


@pytest.fixture(scope="module")
def network() -> Forecaster:
    return Forecaster(horizon=HORIZON, seed=2, options={"units": 4}, training=QUICK)


@pytest.fixture(scope="module")
def titles() -> list[str]:
    """Titles of the trainings of `plain`."""
    return []


@pytest.fixture(scope="module")
def plain(network: Forecaster, titles: list[str]) -> dict[str, Backtest]:
    """Backtests with two origins, trained once and for each."""

    def callbacks(title: str) -> tuple[()]:
        titles.append(title)
        return ()

    refits: tuple[Refit, ...] = ("never", "every")
    with eager_training():
        return {refit: network.backtest(ragged(), 2, STEP, refit, callbacks=callbacks) for refit in refits}


@pytest.mark.usefixtures("eager_training")
@pytest.mark.parametrize(("refit", "number"), [("never", 0), pytest.param("every", 1, marks=pytest.mark.slow)])
def test_data_after_an_origin_do_not_change_its_forecast(
    network: Forecaster, plain: dict[str, Backtest], refit: Any, number: int
) -> None:
    changed = ragged()
    for name, group in changed.groupby("unique_id"):
        origin = len(group) - HORIZON - (1 - number) * STEP
        changed.loc[group.index[origin:], "y"] = np.nan if name == "b" else 1e9
    marked = network.backtest(changed, 2, STEP, refit)
    columns = [column for column in plain[refit].forecasts if column != "y"]
    rows = 3 * HORIZON
    before = slice(0, (number + 1) * rows)
    pd.testing.assert_frame_equal(
        plain[refit].forecasts[columns][before], marked.forecasts[columns][before], check_exact=True
    )
    if number == 0:
        moved = marked.forecasts["seq2seq"][rows:] - plain[refit].forecasts["seq2seq"][rows:]
        assert moved.abs().max() > 1e6, "the changed data do change later forecasts"


def test_refit_learns_from_the_data_between_origins(plain: dict[str, Backtest], titles: list[str]) -> None:
    assert titles == ["training", "origin 1 of 2, training", "origin 2 of 2, training"]
    once, again = (plain[refit].forecasts for refit in ("never", "every"))
    pd.testing.assert_frame_equal(once[: 3 * HORIZON], again[: 3 * HORIZON], check_exact=True)
    assert (once["seq2seq"] != again["seq2seq"])[3 * HORIZON :].any()
    np.testing.assert_array_equal(once["seasonal_naive"], again["seasonal_naive"])
    scores = [plain[refit].scores.set_index("model").loc["naive", "mase"] for refit in ("never", "every")]
    assert scores[0] == scores[1], "the scale does not depend on the training"


def test_a_backtest_does_not_change_the_forecaster() -> None:
    fitted = Forecaster("drift", horizon=HORIZON).fit(ragged())
    before, forecast = dict(vars(fitted)), fitted.predict()
    fitted.backtest(ragged(), 2)
    assert list(before) == list(vars(fitted)) and all(vars(fitted)[name] is value for name, value in before.items())
    pd.testing.assert_frame_equal(fitted.predict(), forecast)
    fresh = Forecaster("drift", horizon=HORIZON)
    fresh.backtest(ragged(), 2)
    assert not [name for name in vars(fresh) if name.endswith("_")]


def test_invalid_arguments() -> None:
    network = Forecaster(horizon=HORIZON)
    with pytest.raises(ConfigError, match="refit must be one of never, every"):
        network.backtest(ragged(), refit="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="folds must be 1 or more"):
        network.backtest(ragged(), folds=0)
    with pytest.raises(DataError, match=r"the frame: a backtest of 70 folds .* set folds= to at most 65 or set hor"):
        network.backtest(ragged(), folds=70)
    with pytest.raises(DataError, match="the frame before origin 1 of 2: the validation part must"):
        Forecaster(horizon=HORIZON, validation=70).backtest(ragged(), 2)


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
def test_the_default_is_a_separate_row_and_chooses_at_every_refit() -> None:
    # Networks are trained from 200 values on: 165 before the first origin, 220 before the second.
    values = 20 + 5 * np.sin(np.arange(220 + HORIZON) * np.pi / 6) + np.random.default_rng(1).normal(size=220 + HORIZON)
    frame = pd.DataFrame({"ds": np.arange(len(values)), "y": values})
    default = Forecaster(horizon=HORIZON, season=12, training=QUICK)
    once, again = (default.backtest(frame, 2, 55, refit) for refit in ("never", "every"))
    assert [choice.selected for choice in once.choices["default"]] == ["combination"]
    assert once.label("default") == "default (combination)" and once.models == ("default",)
    assert set(once.scores["model"]) == {"default", *BASELINES}
    named = Forecaster("combination", horizon=HORIZON, season=12).backtest(frame, 2, 55)
    for end in ("", "-lo-80", "-hi-80"):
        np.testing.assert_array_equal(once.forecasts[f"default{end}"], named.forecasts[f"combination{end}"])
    assert [choice.selected for choice in again.choices["default"]] == ["combination", "seq2seq + combination"]
    assert again.label("default") == "default (combination, seq2seq + combination)"
    np.testing.assert_array_equal(again.forecasts["default"][:HORIZON], named.forecasts["combination"][:HORIZON])


def test_a_named_model_is_a_row_with_its_name(plain: dict[str, Backtest]) -> None:
    assert plain["never"].models == (plain["never"].label("seq2seq"),) == ("seq2seq",) and not plain["never"].choices
    assert Forecaster("drift", horizon=HORIZON).backtest(ragged(), 2).models == ("drift",)
