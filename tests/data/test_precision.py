"""Numbers that float32 holds, and those that are refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy_reference import Array

from tsattn import forecast
from tsattn.errors import DataError

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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1e8 + STEP % 12, "changes by less than the resolution of float32"),
        (2.0**24 + STEP, "changes by less than the resolution of float32"),
        (2.0**53 + 2 * STEP, "changes by less than the resolution of float32"),
        (-1e8 + SEASON, "changes by less than the resolution of float32"),
        (1e-40 * SEASON, "values below 1e-30 only"),
        (1e-300 * SEASON, "values below 1e-30 only"),
        (1e300 * SEASON, "expected a number"),
        (np.where(STEP == 5, np.inf, SEASON), "expected a number"),
    ],
)
def test_what_float32_cannot_hold_is_refused_with_the_column(values: Array, message: str) -> None:
    with pytest.raises(DataError, match=f"column 'y'.*{message}"):
        forecast(table(values), horizon=12)


def test_counters_with_large_steps_are_read() -> None:
    result = forecast(table(2.0**36 + 1e6 * STEP), horizon=2)
    np.testing.assert_allclose(result["y"], 2.0**36 + 1e6 * np.array([60, 61]), rtol=1e-6)


def test_the_series_is_named_among_others_in_any_order() -> None:
    frame = pd.concat([table(SEASON).assign(unique_id="a"), table(1e9 + STEP).assign(unique_id="counter")])
    with pytest.raises(DataError, match=r"series 'counter'.*subtract a constant"):
        forecast(frame.sample(frac=1, random_state=0), horizon=12)
