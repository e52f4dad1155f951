"""Panels from tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tsattn.data.files import read_file
from tsattn.data.loader import load
from tsattn.timeseries.frames import series_names


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
    frame = pd.DataFrame(
        {"date": pd.date_range("2020", periods=20, freq="h"), "a": np.arange(20) ** 2, "b": np.sqrt(np.arange(20))}
    )
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
