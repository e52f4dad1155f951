"""Panels from tables, and the DataFrames of forecasts and histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.data.files import read_file
from tsattn.data.loader import load
from tsattn.timeseries.frames import forecast_frame, history_frame, quantile_columns, series_names


def long_frame() -> pd.DataFrame:
    a = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=30), "y": np.arange(30.0)})
    b = pd.DataFrame({"unique_id": "b", "ds": pd.date_range("2020-01-11", periods=25), "y": -np.arange(25.0)})
    return pd.concat([a, b], ignore_index=True)


def test_order_does_not_matter_and_missing_rows_become_nan() -> None:
    frame = long_frame().drop([3, 4, 40])
    shuffled = frame.sample(frac=1, random_state=0)
    panel, _ = load(shuffled)
    assert panel.values.dtype == np.float32 and panel.values.shape == (55, 1)
    for index, id in enumerate(panel.ids):
        rows = frame[frame["unique_id"] == id].set_index("ds")["y"].asfreq("D")
        np.testing.assert_array_equal(panel.series[index][:, 0], rows.to_numpy())
        assert list(panel.times(index)) == list(rows.index)


def test_wide_data_are_one_series_of_channels() -> None:
    frame = pd.DataFrame({"date": pd.date_range("2020", periods=20, freq="h"), "a": np.arange(20), "b": 1.5})
    panel, _ = load(frame)
    assert (len(panel), panel.targets, panel.values.shape) == (1, ("a", "b"), (20, 2))
    assert series_names(panel) == ("a", "b")


def test_rows_lose_their_trailing_empty_cells_only(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('"V1","V2","V3","V4"\n"H1","1","","3"\n"H2","4",,\n')
    panel, _ = load(path)
    assert panel.ids == ("H1", "H2") and panel.lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(panel.values[:, 0], np.array([1, np.nan, 3, 4], np.float32))


def test_new_data_may_be_shorter_and_hold_other_series() -> None:
    panel, schema = load(long_frame())
    new = pd.DataFrame({"ds": ["2019-12-30", "2019-12-31"], "y": [1, 2], "unique_id": "c", "more": "x"})
    fresh, same = load(new, schema=schema)
    assert same == schema and fresh.grid == panel.grid and fresh.ids == ("c",)
    assert [str(timestamp.date()) for timestamp in fresh.future_times(0, 2)] == ["2020-01-01", "2020-01-02"]


def test_long_with_several_targets() -> None:
    frame = long_frame().rename(columns={"y": "p"}).assign(q=1.0)
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
def test_level_columns(levels: tuple[float, ...], columns: list[str]) -> None:
    assert list(quantile_columns(levels)) == columns


def test_numbers_and_ids_of_csv_files(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        '\ufeff"shop","date","sold","note"\n"007",19580329,"1.5",NA\n"012",19580405,"",b\n', encoding="utf-8"
    )
    frame = read_file(path).frame
    assert frame["shop"].tolist() == ["007", "012"] and frame["date"].tolist() == [19580329, 19580405]
    assert frame["sold"].iloc[0] == 1.5 and np.isnan(frame["sold"].iloc[1]) and frame["note"].tolist() == ["NA", "b"]


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    frame = long_frame()
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.astype({"unique_id": "category"}).to_parquet(tmp_path / "d.parquet")
    frame.to_csv(tmp_path / "d.csv.gz", index=False)
    panels = [load(tmp_path / name)[0] for name in ("d.csv", "d.parquet", "d.csv.gz")]
    for panel in panels:
        assert panel.ids == ("a", "b") and panel.grid == panels[0].grid
        np.testing.assert_array_equal(panel.values, panels[0].values)
