"""Schemas that are inferred from the benchmark files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.data.loader import load

EXPECTED: dict[str, dict[str, Any]] = {
    "classic/Airline.csv": {"freq": "MS", "season": 12, "horizon": 12, "targets": ("Passengers",)},
    "classic/co2.csv": {"freq": "W-SAT", "season": 52, "horizon": 13, "time_format": "%Y%m%d"},
    "classic/sunspots.csv": {"freq": "1", "origin": 1700, "season": 11, "horizon": 22},
    "classic/nile.csv": {"freq": "1", "origin": 1871, "season": 1, "horizon": 10},
    "classic/solar.csv": {"freq": "30min", "tz": "UTC", "season": 48, "horizon": 48},
    "classic/macrodata.csv": {"freq": "QS", "time": ("year", "quarter"), "season": 4, "horizon": 8},
    "classic/elnino.csv": {"layout": "months", "freq": "MS", "origin": "1950-01-01T00:00:00", "season": 12},
    "ETT/ETTh1.csv": {"freq": "h", "season": 24, "horizon": 48, "layout": "wide"},
    "ETT/ETTm1.csv": {"freq": "15min", "season": 96, "horizon": 96},
    "M4/Hourly-train.csv": {"layout": "rows", "id": ("V1",), "season": 24, "horizon": 48},
    "los_loop/los_speed.csv": {"layout": "wide", "time": (), "season": 288},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_inferred(name: str, data_dir: Path) -> None:
    schema = load(data_dir / name)[1]
    assert {field: getattr(schema, field) for field in EXPECTED[name]} == EXPECTED[name]


def test_values_are_those_of_the_file(data_dir: Path) -> None:
    panel, _ = load(data_dir / "ETT/ETTh1.csv")
    frame = pd.read_csv(data_dir / "ETT/ETTh1.csv", parse_dates=["date"])
    np.testing.assert_array_equal(panel.series[0], frame.iloc[:, 1:].to_numpy(np.float32))
    assert list(panel.times(0)) == frame["date"].tolist()


def test_m4_series_end_where_their_values_end(data_dir: Path) -> None:
    panel, _ = load(data_dir / "M4/Hourly-train.csv")
    frame = pd.read_csv(data_dir / "M4/Hourly-train.csv", index_col=0)
    assert panel.ids == tuple(frame.index) and (panel.lengths == frame.notna().sum(axis=1)).all()
    np.testing.assert_array_equal(panel.series[413][:, 0], frame.iloc[413].dropna().to_numpy(np.float32))


@pytest.mark.parametrize(("name", "first"), [("Airline", "1961-01-01"), ("co2", "2002-01-05")])
def test_first_timestamp_of_a_forecast(name: str, first: str, data_dir: Path) -> None:
    panel, _ = load(data_dir / "classic" / f"{name}.csv")
    assert panel.future_times(0, 1)[0] == pd.Timestamp(first)


def test_co2_keeps_its_gaps(data_dir: Path) -> None:
    panel, _ = load(data_dir / "classic/co2.csv")
    assert np.isnan(panel.values).sum() == pd.read_csv(data_dir / "classic/co2.csv")["co2"].isna().sum() > 0
