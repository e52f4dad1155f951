"""Schemas that are inferred from files of every shape, and the reasons in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError
from tsattn.timeseries.schema import Schema

OTHERS = ("left out", "decimal", "support")
"""Settings that only some data have."""


def lines(header: str, row: Callable[[int], str], n: int = 10) -> str:
    return "\n".join([header, *(row(i) for i in range(n))]) + "\n"


def day(i: int) -> str:
    return f"2020-01-{i + 1:02d}"


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "one series": (
        lines("date,sales", lambda i: f"{day(i)},{i}"),
        {"layout": "wide", "time": ("date",), "targets": ("sales",), "freq": "D", "id": ()},
    ),
    "channels": (
        lines("when,a,note,b", lambda i: f"{day(i)} 00:00,{i},hm,{i}"),
        {"layout": "wide", "time": ("when",), "targets": ("a", "b"), "freq": "D"},
    ),
    "long": (
        lines("unique_id,ds,y,price", lambda i: f"{'ab'[i % 2]},{day(i // 2)},{i},3"),
        {"layout": "long", "id": ("unique_id",), "targets": ("y",), "time": ("ds",)},
    ),
    "long by content": (
        lines("day,shop,sold", lambda i: f"{day(i // 2)},{'ab'[i % 2]},{i}"),
        {"layout": "long", "id": ("shop",), "time": ("day",), "targets": ("sold",)},
    ),
    "two id columns": (
        lines("store,dept,date,sales", lambda i: f"{i % 2},{i // 2 % 2},{day(i // 4)},{i}", 40),
        {"layout": "long", "id": ("store", "dept"), "targets": ("sales",)},
    ),
    "long integers": (
        lines("unique_id,ds,y", lambda i: f"{'ab'[i % 2]},{i // 2 + 1},{i}"),
        {"layout": "long", "time_format": "integer", "freq": "1", "origin": 1},
    ),
    "rows": (
        lines("name,s1,s2,s3", lambda i: f"n{i},1,2,{i}"),
        {"layout": "rows", "id": ("name",), "targets": ("y",), "time": (), "freq": "1"},
    ),
    "numbers only": (
        lines("a,b", lambda i: f"{i},{i * i}"),
        {"layout": "wide", "time": (), "time_format": "step", "targets": ("a", "b"), "origin": 0},
    ),
    "row numbers are no target": (lines(",a,b", lambda i: f"{i},{i * i},{i % 3}"), {"targets": ("a", "b")}),
    "repeated calendar": (
        lines("date,year,month,sales", lambda i: f"{day(i)},2020,1,{i}"),
        {"time": ("date",), "targets": ("sales",)},
    ),
    "months": (lines("m,y", lambda i: f"1949-{i + 1:02d},{i}"), {"freq": "MS", "season": 1}),
    "numbers as dates": (lines("date,y", lambda i: f"{19580329 + i},{i}", 3), {"time_format": "%Y%m%d", "freq": "D"}),
    "months as numbers": (lines("month,y", lambda i: f"{202001 + i},{i}"), {"time_format": "%Y%m", "freq": "MS"}),
    "years": (lines("Year,y", lambda i: f"{1700 + i},{i}"), {"time_format": "integer", "origin": 1700}),
    "quarters": (lines("q,y", lambda i: f"{1990 + i // 4}Q{i % 4 + 1},{i}"), {"freq": "QS", "season": 4}),
    "calendar parts": (
        lines("year,month,day,hour,pm", lambda i: f"2010,1,{i // 24 + 1},{i % 24},{i}", 72),
        {"time": ("year", "month", "day", "hour"), "freq": "h", "season": 24, "targets": ("pm",)},
    ),
    "day first": (lines("date,y", lambda i: f"{i + 10}/01/2020,{i}"), {"time_format": "%d/%m/%Y", "freq": "D"}),
    "month first": (lines("date,y", lambda i: f"01/{i + 10}/2020,{i}"), {"time_format": "%m/%d/%Y", "freq": "D"}),
    "seconds": (
        lines("timestamp,y", lambda i: f"{1_600_000_000 + 3600 * i},{i}", 60),
        {"time_format": "seconds", "freq": "h"},
    ),
    "offsets from UTC": (
        lines("ds,y", lambda i: f"2020-01-01T{i:02d}:00:00+02:00,{i}"),
        {"freq": "h", "tz": "UTC", "origin": "2019-12-31T22:00:00+00:00"},
    ),
    "semicolons": (lines("date;y", lambda i: f"{day(i)};{i},5"), {"targets": ("y",), "freq": "D"}),
}


@pytest.mark.parametrize("case", CASES)
def test_inferred(case: str, tmp_path: Path) -> None:
    content, expected = CASES[case]
    path = tmp_path / "data.csv"
    path.write_text(content)
    schema = load(path)[1]
    assert {name: getattr(schema, name) for name in expected} == expected
    assert [setting.field for setting in schema.inferred_settings if setting.field not in OTHERS] == [
        "layout", "time", "id", "targets", "freq", "season", "horizon"
    ]  # fmt: skip
    assert all(setting.reason and not setting.given for setting in schema.inferred_settings)
    assert Schema.from_json(schema.to_json()) == schema


def test_given_options_are_used_and_marked() -> None:
    frame = pd.DataFrame({"a": pd.date_range("2020", periods=40), "b": 1.0, "c": 2.0})
    given = DataConfig(time="a", target="c", freq="D", season=3, horizon=5)
    schema = load(frame, given)[1]
    assert (schema.targets, schema.season, schema.horizon) == (("c",), 3, 5)
    marked = {setting.field for setting in schema.inferred_settings if setting.given}
    assert marked == {"time", "targets", "freq", "season", "horizon"}


def test_a_missing_time_column_is_reported() -> None:
    schema = load(pd.DataFrame({"a": [1.0, 2.0, 4.0]}))[1]
    said = {setting.field: setting.reason for setting in schema.inferred_settings}
    assert "the rows are steps 0, 1, 2" in said["time"]


def test_gaps_are_reported() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2020", periods=30).delete([4, 9]), "y": 1.0})
    said = {setting.field: setting.reason for setting in load(frame)[1].inferred_settings}
    assert "2 of 30 steps have no row" in said["freq"]


def test_the_usual_season_needs_to_fit_twice() -> None:
    for months, season in ((24, 12), (23, 1)):
        frame = pd.DataFrame({"ds": pd.date_range("2020", periods=months, freq="MS"), "y": 1.0})
        assert load(frame)[1].season == season


def test_a_bare_week_is_the_week_of_the_data() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-04", periods=9, freq="7D"), "y": 1.0})
    assert load(frame, DataConfig(freq="W"))[1].freq == "W-SAT"


def test_years_become_dates_when_asked() -> None:
    frame = pd.DataFrame({"year": np.arange(1950, 1980), "y": 1.0})
    panel, schema = load(frame, DataConfig(freq="YS"))
    assert schema.freq == "YS" and str(panel.future_times(0, 1)[0].date()) == "1980-01-01"


def test_a_frequency_without_timestamps_decides_the_season() -> None:
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=480)})
    schema = load(frame, DataConfig(freq="h"))[1]
    assert (schema.freq, schema.season, schema.horizon) == ("1", 24, 48)


def test_frames_may_have_their_timestamps_in_the_index() -> None:
    values = pd.Series(np.arange(24.0), index=pd.date_range("2020", periods=24, freq="h", tz="Asia/Tokyo"), name="y")
    schema = load(values.to_frame())[1]
    assert (schema.time, schema.tz, schema.freq) == (("ds",), "Asia/Tokyo", "h")
    periods = values.to_frame().set_index(pd.period_range("2020-01", periods=24, freq="M"))
    assert load(periods)[1].freq == "MS"


@pytest.mark.parametrize(
    ("freq", "timestamps"),
    [
        ("B", pd.bdate_range("2024-06-03", periods=5)),
        ("BME", pd.date_range("2024-01-31", periods=3, freq="BME")),
        ("h", pd.DatetimeIndex(["2024-06-03 00:00", "2024-06-03 02:00", "2024-06-03 04:00", "2024-06-03 05:00"])),
    ],
)
def test_short_or_gappy_history_on_the_grid_is_read(freq: str, timestamps: pd.DatetimeIndex) -> None:
    known = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=100, freq=freq), "y": np.arange(100.0)})
    _, schema = load(known)
    panel, _ = load(pd.DataFrame({"ds": timestamps, "y": 1.0}), schema=schema)
    assert list(panel.times(0)[[0, -1]]) == [timestamps[0], timestamps[-1]]


def test_daily_data_are_no_hourly_ones_with_gaps() -> None:
    known = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=100, freq="h"), "y": np.arange(100.0)})
    _, schema = load(known)
    with pytest.raises(DataError, match="expected steps of 'h'"):
        load(pd.DataFrame({"ds": pd.date_range("2024-06-01", periods=30), "y": 1.0}), schema=schema)
