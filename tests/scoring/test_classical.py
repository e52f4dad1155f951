"""Classical baselines compared with direct calls of `statsforecast`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tsattn.errors import ConfigError, RunError
from tsattn.scoring.window_forecaster import (
    CLASSICAL,
    ClassicalForecaster,
    FitFailures,
    WindowForecasts,
    check_classical,
)
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import WindowSpec

models = pytest.importorskip("statsforecast.models", reason="statsforecast, from the extra baselines, is not installed")

HORIZON, SEASON, LEVELS = 3, 4, (0.05, 0.25, 0.5, 0.75, 0.95)
SPEC = WindowSpec(12, HORIZON, ("a", "b"), SEASON, LEVELS)


class Zero:
    """Forecasts 0, so that its use is visible."""

    spec = SPEC

    def forecast(self, panel: Panel, series: Any, origin: Any) -> WindowForecasts:
        return WindowForecasts(np.zeros((len(series), HORIZON, 2, len(LEVELS))))


def panel() -> Panel:
    """Two series of two targets; the second is short."""
    steps = np.arange(48)
    wave = 10 + np.sin(steps * 2 * np.pi / SEASON) + np.random.default_rng(0).normal(0, 0.2, 48)
    values = np.stack([wave, 100 - wave], axis=1).astype("float32")
    values = np.concatenate([values, values[:2]])
    return Panel(
        RaggedArray(values, np.array([0, 48, 50])), ("long", "short"), ("a", "b"), np.zeros(2, "int64"), Grid("1", 0)
    )


def quantiles(name: str, history: npt.NDArray[Any], horizon: int = HORIZON) -> npt.NDArray[Any]:
    model = getattr(models, CLASSICAL[name])(season_length=SEASON)
    found = model.forecast(y=history.astype("float64"), h=horizon, level=[50, 90])
    return np.stack([np.asarray(found[column]) for column in ("lo-90", "lo-50", "mean", "hi-50", "hi-90")], axis=1)


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_each_origin_is_forecast_from_the_data_before_it(name: str) -> None:
    known = panel()
    forecaster = ClassicalForecaster(name, SPEC, Zero())
    forecasts = forecaster.forecast(known, np.array([0, 0]), np.array([40, 30]))
    found = forecasts.quantiles
    assert found.shape == (2, HORIZON, 2, len(LEVELS)) and forecasts.failures == FitFailures(0, 4)
    np.testing.assert_allclose(found[0, :, 0], quantiles(name, known.series[0][:40, 0]), rtol=1e-9)
    np.testing.assert_allclose(found[1, :, 1], quantiles(name, known.series[0][:30, 1]), rtol=1e-9)
    known.values[40:48] = 1e9
    again = forecaster.forecast(known, np.array([0, 0]), np.array([40, 30]))
    np.testing.assert_array_equal(again.quantiles, found)


def test_gaps_are_interpolated_and_missing_ends_are_forecast() -> None:
    known = panel()
    expected = known.series[0][:40, 0].copy()
    expected[20] = (expected[19] + expected[21]) / 2
    known.values[20, 0] = known.values[40:42, 0] = known.values[0, 1] = np.nan
    found = ClassicalForecaster("autoets", SPEC, Zero()).forecast(known, np.array([0]), np.array([42])).quantiles
    np.testing.assert_allclose(found[0, :, 0], quantiles("autoets", expected, HORIZON + 2)[2:], rtol=1e-6)
    np.testing.assert_allclose(found[0, :, 1], quantiles("autoets", known.series[0][1:42, 1]), rtol=1e-9)


def test_fallback_for_histories_without_a_fit() -> None:
    forecasts = ClassicalForecaster("autoets", SPEC, Zero()).forecast(panel(), np.array([0, 1]), np.array([40, 2]))
    assert (forecasts.quantiles[1] == 0).all() and (forecasts.quantiles[0] != 0).all()
    assert forecasts.failures.summary("autoets") == (
        "autoets could not be fitted to 2 of 4 histories; the seasonal naive forecast is used instead."
    )


def test_missing_package_and_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"out of autoets, autotheta, autoarima\. Received: ets"):
        check_classical(["ets"])
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(RunError, match=r"pip install 'tsattn\[baselines\]'"):
        check_classical(["autoets"])
    check_classical([])
