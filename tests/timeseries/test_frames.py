"""Long frames of forecasts and histories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn.data.loader import load
from tsattn.timeseries.frames import forecast_frame, history_frame, quantile_columns, series_names


def long_frame() -> pd.DataFrame:
    a = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=30), "y": np.arange(30.0)})
    b = pd.DataFrame({"unique_id": "b", "ds": pd.date_range("2020-01-11", periods=25), "y": -np.arange(25.0)})
    return pd.concat([a, b], ignore_index=True)


def test_names_of_long_data_with_several_targets() -> None:
    frame = long_frame().rename(columns={"y": "p"}).assign(q=np.tile([1.0, 2.0, 4.0, 3.0, 5.0], 11))
    panel, _ = load(frame)
    assert series_names(panel) == ("a/p", "a/q", "b/p", "b/q")


def test_history_frame_gives_the_frame_back() -> None:
    frame = long_frame()
    panel, _ = load(frame)
    again = history_frame(panel)
    pd.testing.assert_frame_equal(again, frame.astype({"y": "float32", "ds": "datetime64[us]", "unique_id": "str"}))
    last = frame.groupby("unique_id").tail(4).reset_index(drop=True)
    assert history_frame(panel, last=4)["y"].tolist() == last["y"].tolist()


def test_forecast_frame_of_long_data_follows_each_series() -> None:
    panel, _ = load(long_frame())
    quantiles = np.arange(2 * 3 * 1 * 3, dtype=np.float64).reshape(2, 3, 1, 3)
    frame = forecast_frame(panel, quantiles, (0.1, 0.5, 0.9))
    assert list(frame.columns) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
    assert frame["unique_id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert frame["ds"].tolist() == [*pd.date_range("2020-01-31", periods=3), *pd.date_range("2020-02-05", periods=3)]
    np.testing.assert_array_equal(frame[["y-lo-80", "y", "y-hi-80"]].to_numpy(), quantiles[:, :, 0].reshape(6, 3))


def test_forecast_frame_of_wide_data_names_the_channels_and_keeps_integers() -> None:
    panel, _ = load(pd.DataFrame({"year": np.arange(1700, 1740), "a": 1.0, "b": 2.0}))
    quantiles = np.random.default_rng(0).normal(size=(1, 2, 2, 1))
    frame = forecast_frame(panel, quantiles, (0.5,))
    assert frame["unique_id"].tolist() == ["a", "a", "b", "b"]
    assert frame["ds"].tolist() == [1740, 1741, 1740, 1741] and frame["ds"].dtype == np.int64
    np.testing.assert_array_equal(frame["y"], quantiles[0, :, :, 0].T.ravel())


def test_forecast_frame_keeps_the_time_zone() -> None:
    timestamps = pd.date_range("2021-03-27", periods=24, freq="h", tz="Europe/London")
    panel, _ = load(pd.DataFrame({"ds": timestamps, "y": 1.0}))
    frame = forecast_frame(panel, np.zeros((1, 3, 1, 1)), (0.5,))
    assert [str(timestamp) for timestamp in frame["ds"][:3]][1:] == [
        "2021-03-28 02:00:00+01:00",
        "2021-03-28 03:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("levels", "columns"),
    [
        ((0.1, 0.5, 0.9), ["y", "y-lo-80", "y-hi-80"]),
        ((0.025, 0.25, 0.5, 0.75, 0.975), ["y", "y-lo-50", "y-hi-50", "y-lo-95", "y-hi-95"]),
        ((0.3, 0.5, 0.9), ["y", "y-q-0.3", "y-q-0.9"]),
    ],
)
def test_quantile_columns(levels: tuple[float, ...], columns: list[str]) -> None:
    assert list(quantile_columns(levels)) == columns
