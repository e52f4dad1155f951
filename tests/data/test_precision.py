"""Numbers that float32 holds, those that are held relative to a level, and those that are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy_reference import Array

from tsattn import Forecaster, forecast
from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError
from tsattn.forecasting.fitted import write_fitted, write_manifest
from tsattn.timeseries.frames import history_frame

STEP = np.arange(60)
SEASON = 2 + np.sin(STEP * np.pi / 6)


def table(values: Array) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=60, freq="MS"), "y": values})


@pytest.mark.parametrize("factor", [1e-25, 1e-10, 1.0, 1e20, 1e37])
def test_the_forecast_commutes_with_the_unit(factor: float) -> None:
    known = forecast(table(SEASON), horizon=12)["y"].to_numpy(float)
    result = forecast(table(SEASON * factor), horizon=12)["y"].to_numpy(float)
    np.testing.assert_allclose(result / factor, known, rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.0, 1e-10, 1e8, 2.0**53, -1e30])
def test_a_constant_is_forecast_as_itself(value: float) -> None:
    result = forecast(table(np.full(60, value)), horizon=3)
    np.testing.assert_allclose(result[["y", "y-lo-80", "y-hi-80"]], np.full((3, 3), value), rtol=1e-6)


def test_intervals_end_at_the_largest_number_of_float32() -> None:
    result = forecast(table(np.where(STEP % 2, 3.4e38, -3.4e38)), horizon=3)
    assert np.isfinite(result[["y", "y-lo-80", "y-hi-80"]]).all(axis=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1e-40 * SEASON, "values below 1e-30 only"),
        (1e-300 * SEASON, "values below 1e-30 only"),
        (1e300 * SEASON, r"expected a number up to 3.4e\+38, .*divide the column"),
        (np.where(STEP == 5, np.inf, SEASON), "expected a finite number, got 'inf'"),
    ],
)
def test_what_float32_cannot_hold_is_refused_with_the_column(values: Array, message: str) -> None:
    with pytest.raises(DataError, match=f"column 'y'.*{message}"):
        forecast(table(values), horizon=12)


@pytest.mark.parametrize("level", [1e8, 2.0**24, -1e8, 48_123_457.25, 1e12])
def test_the_forecast_commutes_with_a_level_beyond_float32(level: float) -> None:
    known = forecast(table(SEASON), horizon=12)
    result = forecast(table(level + SEASON), horizon=12)
    columns = ["y", "y-lo-80", "y-hi-80"]
    np.testing.assert_allclose(result[columns] - level, known[columns], atol=0.02)


@pytest.mark.parametrize(
    ("level", "step"), [(48_123_457.25, 0.25), (1_234_567_000, 40), (2.0**53 - 1000, 2), (2.0**36, 1e6)]
)
def test_counters_are_continued_by_their_steps(level: float, step: float) -> None:
    result = forecast(table(level + step * STEP), horizon=3)
    np.testing.assert_allclose(result["y"] - level, step * np.array([60, 61, 62]), atol=0.05 * step)


def counters(layout: str, path: Path) -> tuple[Path, Array]:
    """Return a file of two counters beyond float32 and a small series, and their values, [series, steps]."""
    values = np.stack([48_123_457.25 + STEP / 4, 1_234_567_000.0 + 40 * STEP, 5 + SEASON])
    days = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    names = ["a", "b", "c"]
    frame = pd.DataFrame(values.T, columns=names)
    if layout == "wide":
        frame.insert(0, "ds", days)
    elif layout == "rows":
        frame = pd.DataFrame(values, columns=[f"V{i}" for i in range(60)])
        frame.insert(0, "id", names)
    elif layout == "columns":
        frame = pd.DataFrame(values, columns=days)
        frame.insert(0, "id", names)
    else:
        frame = frame.assign(ds=days).melt("ds", var_name="id", value_name="y").sample(frac=1, random_state=0)
    frame.to_csv(path, index=False)
    return path, values


@pytest.mark.parametrize("layout", ["long", "wide", "rows", "columns"])
def test_values_of_all_layouts_are_restored(layout: str, tmp_path: Path) -> None:
    path, values = counters(layout, tmp_path / "a.csv")
    panel, schema = load(path)
    history = history_frame(panel)
    for name, expected in zip("abc", values, strict=True):
        got = history[history["unique_id"] == name]["y"].to_numpy()
        np.testing.assert_array_equal(got[:2], expected[:2] if name != "c" else np.float32(expected[:2]))
        np.testing.assert_allclose(got, expected, rtol=1e-7)
    (level,) = [setting for setting in schema.inferred_settings if setting.field == "level"]
    assert level.value.endswith(" and 1 more")
    assert panel.levels is not None
    pd.testing.assert_frame_equal(history_frame(panel.relative_to(panel.levels + 16)), history)


def test_gaps_and_means_of_counters() -> None:
    frame = table(1e9 + STEP).drop(index=30)
    with pytest.raises(DataError, match="filled gaps"):
        load(frame, DataConfig(fill_missing=0))
    twice = pd.concat([frame, frame.assign(y=frame["y"] + 1)])
    panel, _ = load(twice, DataConfig(on_duplicate="mean"))
    assert history_frame(panel)["y"].tolist()[:2] == [1e9 + 0.5, 1e9 + 1.5]
    with pytest.raises(DataError, match="sums and filled"):
        load(twice, DataConfig(on_duplicate="sum"))


def test_an_outlier_does_not_hide_that_steps_are_lost() -> None:
    panel, _ = load(table(np.where(STEP == 20, 0, 1e9 + STEP)))
    np.testing.assert_array_equal(history_frame(panel)["y"].iloc[30:], 1e9 + STEP[30:])


def test_a_run_forecasts_and_scores_counters_in_their_units(tmp_path: Path) -> None:
    data = table(1_234_567_000.0 + 40 * STEP)
    forecaster = Forecaster(model="drift", horizon=2).fit(data.iloc[:50])
    write_fitted(forecaster.fitted_, tmp_path)
    write_manifest(forecaster.fitted_, tmp_path, {})
    forecaster = Forecaster.load(tmp_path, verify=False)
    np.testing.assert_allclose(forecaster.predict()["y"], data["y"].iloc[50:52], atol=2)
    np.testing.assert_allclose(forecaster.predict(data)["y"], [1_234_569_400, 1_234_569_440], atol=2)
    evaluation = forecaster.evaluate(data.iloc[50:])
    np.testing.assert_array_equal(evaluation.forecasts["y"], data["y"].iloc[50:])
    assert evaluation.scores.set_index("model").loc["drift", "mae"] < 2
    with pytest.raises(DataError, match=r"support=positive.*1234567000"):
        Forecaster(model="drift", horizon=2, support="positive").fit(data.iloc[:50])


@pytest.mark.parametrize("change", [20, 50, 80, 120, 300, 1000])
def test_a_random_walk_at_a_high_level_is_read(change: float) -> None:
    """Some of its steps are below the resolution of float32, which is 1 here, at every size of the typical step."""
    values = 1e7 + change * np.random.default_rng(1).normal(size=len(STEP)).cumsum()
    panel, _ = load(table(values))
    found = history_frame(panel)["y"].to_numpy()
    assert np.abs(found - values).max() < 0.01 * change
