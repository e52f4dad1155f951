"""Calibration: the conformal quantile by hand, and the coverage of later windows."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from numpy_reference import Array

from tsattn import Forecaster
from tsattn.scoring.calibration import calibrate, conformal_factor
from tsattn.scoring.comparison import ValidationForecasts, predict_windows

HORIZON = 6


def test_the_rank_of_a_conformal_quantile_by_hand() -> None:
    nine = np.array([5.0, -2, 7, 1, 9, 3, -4, 8, 2])
    two = np.full(9, 2.0)
    assert conformal_factor(nine, two, 0.9) == 9 / 2  # the ninth of nine: ceil(10 * .9)
    assert conformal_factor(nine, two, 0.8) == 8 / 2
    assert conformal_factor(nine, -two, 0.1) == 4 / 2
    assert conformal_factor(nine, -two, 0.2) == 2 / 2
    # Not beyond the median: if all errors are above it, the factor of a lower level is 0.
    assert conformal_factor(np.abs(nine), -two, 0.1) == 0
    # One of eight is beyond the 0.9 quantile as often as not.
    assert conformal_factor(nine[:8], two[:8], 0.9) == 1 == conformal_factor(nine[:8], -two[:8], 0.1)
    missing = np.stack([nine, np.where(np.arange(9) < 8, nine, np.nan)], axis=1)
    assert conformal_factor(missing, np.stack([two, two], axis=1), 0.9).tolist() == [4.5, 1]
    assert conformal_factor(np.full((3, 1), np.nan), np.ones((3, 1)), 0.9).tolist() == [1]
    assert conformal_factor(nine, np.where(np.arange(9) < 8, two, 0), 0.9) == 1  # windows without width are ignored


def noise(series: int, steps: int, seed: int = 0) -> pd.DataFrame:
    """White noise around a level. A naive forecast assumes a random walk, so its intervals are too wide."""
    values = 100 + np.random.default_rng(seed).standard_t(4, (series, steps))
    days = pd.date_range("2024-01-01", periods=steps)
    return pd.concat([pd.DataFrame({"unique_id": f"s{i}", "ds": days, "y": row}) for i, row in enumerate(values)])


def later(forecaster: Forecaster, data: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Quantiles without and with calibration, and the observed values, of the last horizon of each series."""
    from tsattn.data.loader import load

    panel = load(data)[0]
    series = np.arange(len(panel))
    origin = panel.lengths - HORIZON
    actual = np.stack([panel.series[i][-HORIZON:, 0] for i in series])
    model = forecaster.model_
    before = keras.Model(model.input, {"quantiles": model.get_layer("calibrated_quantiles").input})
    made = (predict_windows(each, forecaster.spec_, panel, series, origin)[:, :, 0] for each in (before, model))
    return *made, actual


def test_coverage_of_later_windows() -> None:
    data = noise(400, 60)
    known = data[data["ds"] < data["ds"].max() - pd.Timedelta(days=HORIZON - 1)]
    forecaster = Forecaster("naive", HORIZON, season=1).fit(known)
    before, after, actual = later(forecaster, data)
    inside = [((actual >= made[..., 0]) & (actual <= made[..., 2])).mean(axis=0) for made in (before, after)]
    assert inside[0][-1] > 0.95, "the last step of a random walk's interval is far too wide here"
    # 400 series per step: a standard deviation of .02, and the same from the calibration.
    np.testing.assert_allclose(inside[1], 0.8, atol=0.09)
    assert inside[1].mean() == pytest.approx(0.8, abs=0.03)
    np.testing.assert_array_equal(after[..., 1], before[..., 1])
    assert (np.diff(after) >= 0).all()
    found = forecaster.calibration_
    assert (found.levels, found.uncalibrated, found.distinct) == ((0.1, 0.9), (), 400)


def test_levels_with_too_few_windows_are_uncalibrated() -> None:
    forecaster = Forecaster("naive", HORIZON, season=1, levels=(0.1, 0.4, 0.5, 0.9)).fit(noise(3, 60))
    found = forecaster.calibration_
    assert (found.levels, found.uncalibrated, found.distinct) == ((0.4,), (0.1, 0.9), 3)
    factors = np.asarray(forecaster.model_.get_layer("calibrated_quantiles").factors)
    assert (factors[..., [0, 2, 3]] == 1).all() and (factors[..., 1] != 1).any()


def test_the_ends_of_an_interval_need_the_same_number_of_windows() -> None:
    """1 - 0.9 is less than 0.1 in floating point."""
    for series in (8, 9):
        found = Forecaster("naive", HORIZON, season=1).fit(noise(series, 60)).calibration_
        assert found.distinct == series
        assert found.levels == ((0.1, 0.9) if series == 9 else ())
    levels = Forecaster("naive", HORIZON, season=1, levels=(0.1, 0.4, 0.5, 0.9)).fit(noise(3, 60)).calibration_
    assert levels.summary().endswith("windows of the validation part, but for the quantiles 0.1, 0.9: too few windows.")


@pytest.mark.usefixtures("without_export")
def test_factors_are_saved_with_the_model(tmp_path: Path) -> None:
    forecaster = Forecaster("naive", HORIZON, season=1).fit(noise(40, 60))
    forecaster.save(tmp_path / "run")
    again = Forecaster.load(tmp_path / "run")
    assert again.calibration_ == forecaster.calibration_
    pd.testing.assert_frame_equal(again.predict(), forecaster.predict())
    assert (np.asarray(again.model_.get_layer("calibrated_quantiles").factors) != 1).any()


def test_no_calibration_without_windows() -> None:
    forecaster = Forecaster("naive", HORIZON, season=1).fit(noise(1, 40))
    model, spec, panel = forecaster.model_, forecaster.spec_, forecaster.panel_
    forecasts = ValidationForecasts.of(model, spec, panel.drop_last(len(panel.values)), HORIZON)
    found = calibrate(model, forecasts)
    assert (found.windows, found.levels) == (0, ())
