"""Metrics compared with direct calls of `utilsforecast` and with formulas in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from utilsforecast import losses

from tsattn.scoring.metrics import Scores, displayed_metrics, score

LEVELS = (0.05, 0.1, 0.3, 0.5, 0.9, 0.95)
ENDS = ("", "-lo-80", "-hi-80", "-lo-90", "-hi-90", "-q-0.3")
MODELS = ["seasonal_naive", "other"]
SEASON, HORIZON = 3, 4
QUANTILES = {
    name: [f"{name}{end}" for end in ("-lo-90", "-lo-80", "-q-0.3", "", "-hi-80", "-hi-90")] for name in MODELS
}


def forecasts() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecasts of three series on different scales at two origins, with gaps and a zero; and the training data."""
    rng = np.random.default_rng(4)
    rows, past = [], []
    for name, scale in (("a", 1.0), ("b", 1e4), ("c", 1e-3)):
        past.append(pd.DataFrame({"unique_id": name, "ds": np.arange(20), "y": scale * rng.normal(3, 1, 20)}))
        for cutoff in (19, 23):
            frame = pd.DataFrame({"unique_id": name, "cutoff": cutoff, "ds": cutoff + 1 + np.arange(HORIZON)})
            frame["y"] = scale * rng.normal(3, 1, HORIZON)
            for model in MODELS:
                quantiles = np.sort(scale * rng.normal(3, 1, (HORIZON, len(LEVELS))), axis=1)
                for column, values in zip(QUANTILES[model], quantiles.T, strict=True):
                    frame[column] = values
            rows.append(frame)
    known = pd.concat(rows, ignore_index=True)
    known.loc[[2, 9], "y"] = np.nan
    known.loc[5, "y"] = 0.0
    training = pd.concat(past, ignore_index=True)
    training.loc[7, "y"] = np.nan
    return known, training


@pytest.fixture(scope="module")
def scored() -> Scores:
    frame, training = forecasts()
    return score(frame, MODELS, SEASON, LEVELS, training)


def by_utilsforecast(metric: str) -> pd.DataFrame:
    frame, training = forecasts()
    known = frame.dropna(subset="y")
    if metric in ("mase", "rmsse"):
        return getattr(losses, metric)(known, MODELS, SEASON, training)
    if metric == "wql":
        return losses.scaled_crps(known, QUANTILES, np.array(LEVELS))
    kind, _, percent = metric.partition("-")
    if percent:
        return getattr(losses, {"winkler": "winkler_score"}.get(kind, kind))(known, MODELS, int(percent))
    return getattr(losses, metric)(known, MODELS)


FACTORS = {"smape": 200.0, "mape": 100.0}
INTERVALS = [f"{kind}-{percent}" for kind in ("coverage", "winkler") for percent in (80, 90)]


@pytest.mark.parametrize("metric", ["mae", "rmse", "smape", "mape", "mase", "rmsse", "wql", *INTERVALS])
def test_origins_equal_utilsforecast(metric: str, scored: Scores) -> None:
    known = by_utilsforecast(metric).set_index(["unique_id", "cutoff"]).sort_index()
    for model in MODELS:
        rows = scored.by_origin.query("model == @model").set_index(["unique_id", "cutoff"])
        np.testing.assert_allclose(rows[metric], FACTORS.get(metric, 1) * known[model], rtol=1e-9)
        if metric != "wql":
            total = scored.total.set_index("model").loc[model, metric]
            assert total == pytest.approx(FACTORS.get(metric, 1) * known[model].mean(), rel=1e-9)
            series = scored.by_series.query("model == @model").set_index("unique_id")[metric]
            np.testing.assert_allclose(series, FACTORS.get(metric, 1) * known[model].groupby("unique_id").mean())


def pinball(frame: pd.DataFrame, model: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pinball losses [rows, levels] and values [rows], by the definition."""
    known = frame.dropna(subset="y")
    actual, quantiles = known["y"].to_numpy()[:, None], known[QUANTILES[model]].to_numpy()
    levels = np.array(LEVELS)
    return np.where(actual > quantiles, levels * (actual - quantiles), (1 - levels) * (quantiles - actual)), actual


def test_quantile_losses_are_weighted_by_all_rows_of_a_group(scored: Scores) -> None:
    frame = forecasts()[0]
    frame["step"] = np.tile(np.arange(1, HORIZON + 1), 6)
    for model in MODELS:
        for table, key in ((scored.total, None), (scored.by_series, "unique_id"), (scored.by_step, "step")):
            for row in table[table["model"] == model].to_dict("records"):
                loss, actual = pinball(frame if key is None else frame[frame[key] == row[key]], model)
                known = 2 * loss.sum(0) / np.abs(actual).sum()
                assert row["wql"] == pytest.approx(known.mean(), rel=1e-9)


def test_interval_widths(scored: Scores) -> None:
    frame = forecasts()[0].dropna(subset="y")
    for model in MODELS:
        widths = frame[f"{model}-hi-80"] - frame[f"{model}-lo-80"]
        known = widths.groupby([frame["unique_id"], frame["cutoff"]]).mean()
        rows = scored.by_origin.query("model == @model")
        np.testing.assert_allclose(rows["width-80"], known, rtol=1e-12)
        assert scored.total.set_index("model").loc[model, "width-80"] == pytest.approx(known.mean())


def test_each_step_of_the_horizon_over_all_origins(scored: Scores) -> None:
    frame, training = forecasts()
    frame["step"] = np.tile(np.arange(1, HORIZON + 1), 6)
    assert scored.by_step["step"].tolist() == np.repeat([1, 2, 3, 4], 2).tolist()
    lag = training.groupby("unique_id")["y"].shift(SEASON)
    scale = (training["y"] - lag).abs().groupby(training["unique_id"]).mean()
    for row in scored.by_step.to_dict("records"):
        part = frame[frame["step"] == row["step"]].dropna(subset="y")
        error = part["y"] - part[row["model"]]
        assert row["mae"] == pytest.approx(error.abs().groupby(part["unique_id"]).mean().mean())
        assert row["rmse"] == pytest.approx(np.sqrt((error**2).groupby(part["unique_id"]).mean()).mean())
        assert row["mase"] == pytest.approx(
            (error.abs() / part["unique_id"].map(scale)).groupby(part["unique_id"]).mean().mean()
        )


def test_skill_relative_to_the_seasonal_naive_forecast(scored: Scores) -> None:
    total = scored.total.set_index("model")
    assert total.loc["seasonal_naive", "skill"] == 0
    assert total.loc["other", "skill"] == pytest.approx(
        1 - total.loc["other", "mase"] / total.loc["seasonal_naive", "mase"]
    )
    for table, key in ((scored.by_series, "unique_id"), (scored.by_step, "step")):
        mase = table.pivot(index=key, columns="model", values="mase")
        skill = table.pivot(index=key, columns="model", values="skill")
        np.testing.assert_allclose(skill["other"], 1 - mase["other"] / mase["seasonal_naive"])


def test_displayed_metrics_with_the_widest_interval(scored: Scores) -> None:
    assert displayed_metrics(scored.total.columns) == ("mase", "skill", "smape", "mae", "rmse", "wql", "coverage-90")
    assert list(scored.total["mase"]) == sorted(scored.total["mase"])


def one_step(**actual: float) -> pd.DataFrame:
    frame = pd.DataFrame({"unique_id": list(actual), "cutoff": 9, "y": list(actual.values()), "naive": 1.0})
    return frame.assign(**{"naive-lo-80": 0.0, "naive-hi-80": 2.0})


def test_metrics_without_a_scale_are_noted() -> None:
    training = pd.DataFrame({"unique_id": [*"aaabbbc"], "ds": [0, 1, 2, 0, 1, 2, 0], "y": [1.0, 2, 4, 5, 5, 5, 1]})
    frame = one_step(a=3.0, b=0.0, c=2.0, d=0.0)
    found = score(frame, ["naive"], 1, (0.1, 0.5, 0.9), training)
    assert found.notes == (
        "MASE and RMSSE leave out 1 of 4 series (b): the seasonal naive forecast has no error in the "
        "history to divide by.",
        "MASE and RMSSE leave out 2 of 4 series (c, d): the history has no two values one season apart.",
        "MAPE (in the files only) leaves out 2 of 4 values, in 2 series: they are 0.",
        "WQL of single series leaves out 2 of 4 series (b, d): all observed values are 0.",
    )
    rows = found.by_series.set_index("unique_id")
    assert rows.loc["a", "mase"] == pytest.approx(2 / 1.5) and rows.loc[["b", "c", "d"], "mase"].isna().all()
    assert rows["mape"].isna().tolist() == [False, True, False, True] == rows["wql"].isna().tolist()
    total = found.total.iloc[0]
    assert total["mase"] == pytest.approx(2 / 1.5) and total["mape"] == pytest.approx((200 / 3 + 50) / 2)
    # Pinball losses of the values 3, 0, 2, 0 against the quantiles 0, 1, 2, over their sum.
    losses_of_levels = [0.3 + 0.2, 1 + 3 * 0.5, 0.9 + 2 * 0.2]
    assert total["wql"] == pytest.approx(np.mean([2 * loss / 5 for loss in losses_of_levels]))
    assert "skill" not in total


def test_no_notes_on_complete_data() -> None:
    training = pd.DataFrame({"unique_id": "a", "ds": range(3), "y": [1.0, 2.0, 4.0]})
    assert score(one_step(a=3.0), ["naive"], 1, (0.1, 0.5, 0.9), training).notes == ()
