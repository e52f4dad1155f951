"""The calendar inside a graph against that of the data room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load
from tsattn.export.signatures import CalendarFeatures, ServingPreprocessor
from tsattn.timeseries.calendar import CYCLES
from tsattn.timeseries.windows import WindowSpec, gather

FREQS = ["30s", "15min", "h", "6h", "D", "2D", "B", "W-SAT", "MS", "2MS", "ME", "QS", "QE", "YS"]


def made(freq: str, **given: Any) -> Any:
    times = pd.date_range("2023-11-30 06:30", periods=130, freq=freq)
    return load(pd.DataFrame({"ds": times, "y": 1.0}), DataConfig(horizon=9, freq=freq, **given))


@pytest.mark.parametrize("freq", FREQS)
def test_features_are_those_of_numpy(freq: str) -> None:
    import tensorflow as tf

    panel, schema = made(freq, calendar=tuple(CYCLES), holidays="DE-BY")
    assert panel.covariates is not None and CalendarFeatures.is_supported(schema)
    features = CalendarFeatures(schema)
    assert features.names == panel.covariates.names
    last = np.array([129, 40, 77])
    seconds = np.array([panel.times(0)[number].timestamp() for number in last], np.int64)
    steps = np.stack([np.arange(-30, 10)] * 3)
    found = features(tf.constant(seconds), tf.constant(steps))
    np.testing.assert_allclose(found, panel.covariates.series.values[last[:, None] + steps], atol=1e-6)


@pytest.mark.parametrize(("freq", "given"), [("h", {}), ("BMS", {"calendar": ("month_of_year",)})])
def test_no_calendar_or_one_that_a_graph_cannot_follow(freq: str, given: dict[str, Any]) -> None:
    assert not CalendarFeatures.is_supported(made(freq, **given)[1])


def test_a_served_window_is_that_of_training() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame(
        {"ds": times, "y": rng.normal(size=60), "heat": rng.normal(size=60), "rain": rng.normal(size=60)}
    )
    frame.loc[55:, ["y", "rain"]] = np.nan
    config = DataConfig(horizon=5, calendar=("day_of_week",), past_covariates=("rain",), holidays="DE")
    panel, schema = load(frame, config)
    spec = WindowSpec.from_schema(schema, RunConfig(), 20)
    assert spec.past_covariates[0] == "heat" and spec.past_covariates[-2:] == ("holiday", "rain")
    origin = np.array([55, 12])
    expected = gather(panel, spec, np.zeros(2, np.int64), origin, target=False)
    history = np.full((2, 55, 3), np.nan, np.float32)
    for row, steps in enumerate(origin):
        history[row, :steps] = frame[["y", "heat", "rain"]].to_numpy()[:steps]
    ahead = np.stack([frame[["heat"]].to_numpy(np.float32)[steps : steps + 5] for steps in origin])
    given = {
        "past": history[:, :, :1],
        "length": origin.astype("int32"),
        "past_covariates": history[:, :, 1:],
        "future_covariates": ahead,
        "last_time": np.array([int(times[steps - 1].timestamp()) for steps in origin]),
    }
    preprocessor = ServingPreprocessor(spec, CalendarFeatures(schema))
    window, _ = preprocessor(*(tf.constant(given[part.name]) for part in preprocessor.signature()))
    assert window.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(window[name], expected[name], atol=1e-6, err_msg=name)
