"""Scores of a comparison compared with formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tsattn.models import get_model
from tsattn.models.forecast_model import build_untrained
from tsattn.scoring.comparison import ValidationForecasts, compare
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import WIDE_ID, Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import WindowSpec


@pytest.mark.parametrize(
    ("levels", "ends"), [((0.1, 0.5, 0.9), (0, 2)), ((0.05, 0.1, 0.5, 0.9), (1, 3)), ((0.1, 0.5), None), ((0.5,), None)]
)
def test_seasonal_naive_of_two_channels(levels: tuple[float, ...], ends: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(1)
    season, horizon, steps = 4, 3, 10
    values = rng.normal(size=(60, 2)).astype("float32") * np.array([1, 100], "float32")
    values[55, 0] = np.nan
    panel = Panel(
        RaggedArray.from_lengths(values, np.array([60])), (WIDE_ID,), ("a", "b"), np.zeros(1, "int64"), Grid("1", 0)
    )
    spec = WindowSpec(20, horizon, ("a", "b"), season, levels)
    model = build_untrained(get_model("seasonal_naive"), spec)
    scores = compare("seasonal_naive", ValidationForecasts.of(model, spec, panel, steps))[0]
    scores = scores.total.set_index("model").loc["seasonal_naive"]

    errors: list[list[float]] = [[], []]
    for origin in range(50, 58):
        for channel in range(2):
            for ahead in range(horizon):
                past = values[:origin, channel]
                same = past[origin - season + ahead % season :: -season]
                guess = same[np.isfinite(same)][0]
                actual = values[origin + ahead, channel]
                if np.isfinite(actual):
                    errors[channel].append(abs(actual - guess))
    scale = [np.nanmean(np.abs(values[4:50, channel] - values[:46, channel])) for channel in range(2)]
    assert scores["mae"] == pytest.approx(np.mean([np.mean(each) for each in errors]), rel=1e-4)
    known = np.mean([np.mean(each) / one for each, one in zip(errors, scale, strict=True)])
    assert scores["mase"] == pytest.approx(known, rel=1e-4)
    assert any(name.startswith("coverage-") for name in scores.index) == (ends is not None)
