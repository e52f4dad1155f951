"""Protocols of the accuracy benchmark, compared with NumPy and with published figures of naive baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from benchmarks.accuracy.configuration import resolve
from benchmarks.accuracy.intervals import IntervalErrors
from benchmarks.accuracy.protocols import classic, ett, m1, run
from benchmarks.accuracy.scores import m4_scores
from benchmarks.accuracy.tasks import COLD_START, TEST, UNCALIBRATED, VALIDATION, Stage, get_task
from tsattn.config import RunConfig

PARTS = (300, 100, 120)

Values = npt.NDArray[np.float64]


def write_ett(path: Path, rows: int, channels: int = 2) -> Values:
    """Write a file in the format of ETT, with a daily season, noise and a trend; return its values."""
    generator = np.random.default_rng(3)
    hour = np.arange(rows)[:, None]
    values = 10 + np.sin(2 * np.pi * hour / 24) * (1 + np.arange(channels)) + generator.normal(size=(rows, channels))
    values += hour / rows
    frame = pd.DataFrame(values, columns=["A", "OT"][:channels])
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M:%S"))
    frame.to_csv(path, index=False)
    return values


def baseline(name: str, horizon: int, validation: int, **data: Any) -> RunConfig:
    """Return the configuration of a baseline for the ETT protocol."""
    settings = {"season": 24, "context": 30, "horizon": horizon, "validation": validation, **data}
    return RunConfig.from_dict({"model": {"name": name}, "data": settings, "training": {"refit": False}})


def expected_errors(values: Values, begin: int, end: int, horizon: int, lag: int) -> Values:
    """Return MSE and MAE of repeating the last ``lag`` values, window by window."""
    train = values[: PARTS[0]]
    scaled = (values - train.mean(axis=0)) / np.sqrt(((train - train.mean(axis=0)) ** 2).mean(axis=0))
    errors = []
    for origin in range(begin, end - horizon + 1):
        forecast = np.stack([scaled[origin - lag + step % lag] for step in range(horizon)])
        errors.append(forecast - scaled[origin : origin + horizon])
    return np.array([np.square(errors).mean(), np.abs(errors).mean()])


@pytest.mark.parametrize(("name", "lag"), [("naive", 1), ("seasonal_naive", 24)])
def test_ett_figures_equal_numpy(name: str, lag: int, tmp_path: Path) -> None:
    values = write_ett(tmp_path / "ett.csv", sum(PARTS) + 50)
    figures = ett(tmp_path / "ett.csv", PARTS, baseline(name, 30, 100), TEST).figures
    for stage, begin, end in ((VALIDATION, 300, 400), (TEST, 400, 520)):
        expected = expected_errors(values, begin, end, 30, lag)
        assert [figures[stage]["mse"], figures[stage]["mae"]] == pytest.approx(expected, rel=1e-5)
        assert figures[stage]["windows"] == end - begin - 30 + 1


def test_ett_of_one_target(tmp_path: Path) -> None:
    values = write_ett(tmp_path / "ett.csv", sum(PARTS))
    figures = ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100, target="OT"), TEST).figures[TEST]
    assert figures["mse"] == pytest.approx(expected_errors(values[:, 1:], 400, 520, 12, 1)[0], rel=1e-5)


def test_the_validation_stage_needs_no_test_part(tmp_path: Path) -> None:
    write_ett(tmp_path / "ett.csv", 400)
    figures = ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100), VALIDATION).figures
    assert figures.keys() == {VALIDATION}
    with pytest.raises(ValueError, match="needs 520 rows, got 400"):
        ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100), TEST)


@pytest.mark.parametrize("horizon", [24, pytest.param(720, marks=pytest.mark.slow)])
def test_no_window_is_dropped(horizon: int, tmp_path: Path) -> None:
    of = get_task(f"etth1-{horizon}")
    write_ett(tmp_path / "ett.csv", sum(of.parts), channels=1)
    figures = ett(tmp_path / "ett.csv", of.parts, baseline("naive", horizon, of.parts[1]), TEST).figures
    assert figures[TEST]["windows"] == figures[VALIDATION]["windows"] == 2880 - horizon + 1


def test_ettm1_has_four_steps_an_hour() -> None:
    assert get_task("ettm1-96").parts == (34560, 11520, 11520)
    assert get_task("ettm1-ot-96").settings()["data.validation"] == "11520"


def test_m4_scores_by_hand() -> None:
    history = [np.tile([1.0, 3.0], 24), np.arange(48.0)]
    actual, forecast = np.array([[10.0, 20.0], [50.0, 50.0]]), np.array([[30.0, 20.0], [50.0, 26.0]])
    history[0][24:] += 2.0
    scores = m4_scores(history, actual, forecast)
    # Scales 2 and 24; errors 20, 0 and 0, 24.
    assert scores["mase"] == pytest.approx((10 / 2 + 12 / 24) / 2)
    assert scores["smape"] == pytest.approx((100 + 0 + 0 + 200 * 24 / 76) / 4)
    assert scores["owa"] == pytest.approx((scores["smape"] / 18.383 + scores["mase"] / 2.395) / 2)


def test_m4_seasonal_naive_is_the_published_one(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(get_task("m4-hourly"), ["model.name=seasonal_naive"]))
    scores = run(get_task("m4-hourly"), config, TEST, data_dir).figures[TEST]
    assert scores[f"{COLD_START}1"] == pytest.approx(scores["mase"], rel=1e-5), "the baseline uses the last day only"
    assert scores["series"] == 414
    assert scores["smape"] == pytest.approx(13.912, abs=5e-4)
    assert scores["mase"] == pytest.approx(1.193, abs=5e-4)
    assert scores["owa"] == pytest.approx(0.627, abs=1e-3)


def test_m4_validation_forecasts_the_last_steps_of_the_training_file(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(get_task("m4-hourly"), ["model.name=naive"]))
    scores = run(get_task("m4-hourly"), config, VALIDATION, data_dir).figures[VALIDATION]
    rows = pd.read_csv(data_dir / "M4" / "Hourly-train.csv").iloc[:, 1:].to_numpy(float)
    errors = []
    for row in rows:
        values = row[np.isfinite(row)]
        known, actual = values[:-48], values[-48:]
        errors.append(np.abs(actual - known[-1]).mean() / np.abs(known[24:] - known[:-24]).mean())
    assert scores["mase"] == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.slow
def test_naive_baseline_of_los_loop_is_the_published_one(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(get_task("los-loop"), ["model.name=naive"]))
    figures = run(get_task("los-loop"), config, TEST, data_dir).figures[TEST]
    known = {3: (5.543, 3.156), 6: (6.699, 3.632), 9: (7.628, 4.042), 12: (8.456, 4.433)}
    for steps, expected in known.items():
        assert [figures[f"rmse_{steps}"], figures[f"mae_{steps}"]] == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.slow
def test_validation_of_los_loop_is_the_last_eighth_of_the_training_part(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(get_task("los-loop"), ["model.name=naive"]))
    figures = run(get_task("los-loop"), config, VALIDATION, data_dir).figures[VALIDATION]
    speeds = pd.read_csv(data_dir / "los_loop" / "los_speed.csv").to_numpy(float)[1410:1612]
    first = np.arange(12, len(speeds) - 3)
    errors = np.stack([speeds[i : i + 3] - speeds[i - 1] for i in first])
    assert figures["windows"] == len(first)
    assert figures["rmse_3"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "mse", "mae"), [(24, 0.424, 0.389), (336, 0.650, 0.501)])
def test_etth1_seasonal_naive_is_the_published_one(horizon: int, mse: float, mae: float, data_dir: Path) -> None:
    of = get_task(f"etth1-{horizon}")
    config = RunConfig.from_dict(resolve(of, ["model.name=seasonal_naive", "data.season=24", "data.context=48"]))
    figures = run(of, config, TEST, data_dir).figures[TEST]
    assert [figures["mse"], figures["mae"]] == pytest.approx([mse, mae], abs=5.1e-4)


@pytest.mark.parametrize("stage", [TEST, VALIDATION])
def test_a_classic_file_is_compared_with_the_best_baseline(stage: Stage, tmp_path: Path) -> None:
    month = np.arange(144)
    frame = pd.DataFrame({"month": pd.date_range("2001-01-01", periods=144, freq="MS"), "y": month % 12 + month / 12})
    frame.to_csv(tmp_path / "file.csv", index=False)
    config = RunConfig.from_dict({"model": {"name": "naive"}, "data": {"horizon": 12}})
    figures = classic(tmp_path / "file.csv", config, stage).figures[stage]
    assert figures["best_naive"] == "seasonal_naive"
    assert figures["relative_mase"] == pytest.approx(figures["mase"] / figures["best_naive_mase"])


def test_interval_figures_are_those_of_utilsforecast() -> None:
    from utilsforecast import losses

    generator = np.random.default_rng(2)
    quantiles = np.sort(generator.normal(size=(40, 6, 3)), axis=-1)
    actual = generator.normal(size=(40, 6))
    errors = IntervalErrors((0.1, 0.5, 0.9))
    errors.add(quantiles[:25], actual[:25])
    errors.add(quantiles[25:], actual[25:])
    bounds = {
        "m-lo-80": quantiles[..., 0].ravel(),
        "m": quantiles[..., 1].ravel(),
        "m-hi-80": quantiles[..., 2].ravel(),
    }
    frame = pd.DataFrame({"unique_id": "all", "y": actual.ravel(), **bounds})
    found = errors.figures("x_")
    assert found["x_coverage"] == pytest.approx(losses.coverage(frame, ["m"], 80)["m"][0])
    assert found["x_winkler"] == pytest.approx(losses.winkler_score(frame, ["m"], 80)["m"][0])
    loss = losses.scaled_crps(frame, {"m": ["m-lo-80", "m", "m-hi-80"]}, np.array([0.1, 0.5, 0.9]))["m"][0]
    assert found["x_wql"] == pytest.approx(loss)
    scaled = IntervalErrors((0.1, 0.5, 0.9))
    scaled.add(quantiles, actual, np.full((40, 1), 4.0))
    assert scaled.figures()["winkler"] == pytest.approx(found["x_winkler"] / 4)


def test_the_calibration_is_disabled_and_restored(tmp_path: Path) -> None:
    write_ett(tmp_path / "ett.csv", sum(PARTS))
    figures = ett(tmp_path / "ett.csv", PARTS, baseline("naive", 3, 100), TEST).figures[TEST]
    names = ("coverage", "winkler", "wql")
    assert all(np.isfinite(figures[f"{prefix}{name}"]) for name in names for prefix in ("", UNCALIBRATED))
    assert figures["winkler"] != figures[f"{UNCALIBRATED}winkler"], "a hundred steps calibrate a horizon of three"


def test_a_cold_start_uses_the_last_seasons_only(tmp_path: Path) -> None:
    values = write_ett(tmp_path / "ett.csv", sum(PARTS))
    known = values[: PARTS[0]]
    scaled = (values - known.mean(axis=0)) / known.std(axis=0)
    found = {
        name: ett(tmp_path / "ett.csv", PARTS, baseline(name, 24, 100, context=96), TEST).figures[TEST]
        for name in ("seasonal_naive", "seasonal_mean")
    }
    for seasons in (1, 2, 4):
        days = [
            np.stack([scaled[origin - 24 * (day + 1) : origin - 24 * day] for day in range(seasons)])
            for origin in range(400, 520 - 24 + 1)
        ]
        errors = [
            day.mean(axis=0) - scaled[origin : origin + 24] for day, origin in zip(days, range(400, 497), strict=True)
        ]
        assert found["seasonal_mean"][f"{COLD_START}{seasons}"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert found["seasonal_naive"][f"{COLD_START}1"] == pytest.approx(
        found["seasonal_mean"][f"{COLD_START}1"], rel=1e-5
    )
    assert found["seasonal_naive"][f"{COLD_START}16"] == pytest.approx(found["seasonal_naive"]["mae"], rel=1e-5)


@pytest.mark.parametrize("stage", [TEST, VALIDATION])
@pytest.mark.parametrize("single", ["", "-single"])
def test_m1_figures_equal_numpy(stage: Stage, single: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = {f"Q{number}": 50 + rng.normal(size=length).cumsum() for number, length in enumerate((40, 60))}
    parts = []
    for name, values in series.items():
        quarters = pd.date_range("1990-01-01", periods=len(values), freq="QS")
        part = ["train"] * (len(values) - 8) + ["test"] * 8
        parts.append(pd.DataFrame({"unique_id": name, "group": "quarterly", "part": part, "ds": quarters, "y": values}))
    pd.concat(parts).to_csv(tmp_path / "M1.csv", index=False)
    config = RunConfig.from_dict({"model": {"name": "naive"}, "data": {"horizon": 8}})
    figures = m1(tmp_path / "M1.csv", get_task(f"m1-quarterly{single}"), config, stage).figures[stage]
    errors = []
    for values in series.values():
        known = values if stage == TEST else values[:-8]
        history, future = known[:-8], known[-8:]
        errors.append(np.abs(future - history[-1]).mean() / np.abs(history[4:] - history[:-4]).mean())
    assert figures["mase"] == pytest.approx(np.mean(errors), rel=1e-5) and figures["series"] == 2
    assert 0 <= figures["coverage"] <= 1
