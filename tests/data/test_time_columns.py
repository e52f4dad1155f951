"""Timestamps in several columns or unusual units, and columns that only look like timestamps or ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, tzinfo
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dateutil import tz

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError

HOURS = pd.date_range("2021-03-15", periods=72, freq="h")
MONTHS = pd.date_range("2000-01-01", periods=48, freq="MS")


def written(
    path: Path, header: str, row: Callable[[int, pd.Timestamp], str], timestamps: pd.DatetimeIndex = HOURS
) -> Path:
    path.write_text("\n".join([header, *(row(i, timestamp) for i, timestamp in enumerate(timestamps))]) + "\n")
    return path


TIMES_OF_DAY: dict[str, tuple[str, str]] = {
    "ISO": ("Date,Time,y", "%Y-%m-%d,%H:%M:%S"),
    "without seconds": ("date,time,y", "%Y-%m-%d,%H:%M"),
    "day first, semicolons": ("Date;Time;y", "%d/%m/%Y;%H:%M:%S"),
    "points": ("Date;Time;y", "%d/%m/%Y;%H.%M.%S"),
    "halves of the day": ("Date,Time,y", "%Y-%m-%d,%I:%M %p"),
    "the usual name": ("ds,local time,y", "%Y-%m-%d,%H:%M"),
    "hours": ("date,hour,y", "%Y-%m-%d,%-H"),
    "hours of two digits": ("date,hr,y", "%Y-%m-%d,%H"),
    "the time first": ("time,date,y", "%H:%M,%Y-%m-%d"),
}


@pytest.mark.parametrize("case", TIMES_OF_DAY)
def test_a_date_and_a_time_of_day_form_the_timestamp(case: str, tmp_path: Path) -> None:
    header, form = TIMES_OF_DAY[case]
    sign = ";" if ";" in header else ","
    path = written(tmp_path / "a.csv", header, lambda i, timestamp: f"{timestamp.strftime(form)}{sign}{i}")
    panel, schema = load(path)
    assert (schema.id, schema.freq, schema.targets) == ((), "h", ("y",))
    assert list(panel.times(0)) == list(HOURS)
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(72))
    newer, _ = load(path, schema=schema)
    assert list(newer.future_times(0, 1)) == [HOURS[-1] + pd.Timedelta("1h")]
    assert load(path, DataConfig(time=",".join(schema.time)))[1].time == schema.time


def test_a_date_and_a_time_of_day_in_several_series(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = (
        f"{station},{timestamp:%d.%m.%Y},{timestamp:%H:%M},{i}" for station in "ab" for i, timestamp in enumerate(HOURS)
    )
    path.write_text("\n".join(["station,date,time,y", *rows]))
    panel, schema = load(path)
    assert panel.ids == ("a", "b") and schema.freq == "h" and panel.lengths.tolist() == [72, 72]
    text = path.read_text()
    path.write_text(text.replace(",07:00,31", ",07:00.567,31"))
    with pytest.raises(DataError, match=r"line 33: column 'date\+time'"):
        load(path, schema=schema)
    path.write_text(text.replace(",07:00,31", ",soon,31"))
    with pytest.raises(DataError, match=r"line 33: column 'date\+time'.*'16\.03\.2021 soon'"):
        load(path, schema=schema)


def test_times_of_day_of_python() -> None:
    frame = pd.DataFrame(
        {"date": HOURS.date, "time": [time(timestamp.hour) for timestamp in HOURS], "y": np.arange(72.0)}
    )
    assert list(load(frame)[0].times(0)) == list(HOURS)


def test_a_time_of_day_that_is_not_part_of_the_timestamp(tmp_path: Path) -> None:
    days = pd.date_range("2021-01-01", periods=20)
    path = tmp_path / "a.csv"
    opening = {"x": "08:00", "z": "09:00"}
    rows = (f"{day:%Y-%m-%d},{shop},{opening[shop]},{i}" for i, day in enumerate(days) for shop in opening)
    path.write_text("\n".join(["date,shop,opening_time,sales", *rows]))
    panel, schema = load(path)
    assert (panel.ids, schema.freq, schema.time) == (("x", "z"), "D", ("date",))


def test_padded_calendar_parts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "year,month,sales", lambda i, timestamp: f"{timestamp:%Y,%m},{i}", MONTHS)
    panel, schema = load(path)
    assert (schema.id, schema.freq) == ((), "MS") and list(panel.times(0)) == list(MONTHS)
    path = written(
        tmp_path / "b.csv", "year,month,day,sales", lambda i, timestamp: f"{timestamp:%Y,%m,%d},{i}", HOURS[::24]
    )
    assert load(path)[1].freq == "D"
    rows = (f"{timestamp:%Y,%m},{store},{i}" for store in "AB" for i, timestamp in enumerate(MONTHS))
    (tmp_path / "c.csv").write_text("\n".join(["year,month,store,sales", *rows]))
    assert load(tmp_path / "c.csv")[0].ids == ("A", "B")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_counts_from_1970(unit: str, tmp_path: Path) -> None:
    scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    path = written(tmp_path / "a.csv", "timestamp,y", lambda i, timestamp: f"{timestamp.value // scale},{i}")
    panel, schema = load(path)
    assert (schema.freq, schema.targets) == ("h", ("y",)) and list(panel.times(0)) == list(HOURS)
    assert list(load(path, schema=schema)[0].times(0)) == list(HOURS)


def test_the_number_of_a_row_is_no_target(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": HOURS, "sales": np.arange(72.0)})
    frame.drop(index=[2, 40]).to_csv(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv")[1].targets == ("sales",)
    assert load(frame.drop(index=[2, 40]).rename_axis("obs"))[1].targets == ("sales",)


def test_a_time_axis_of_fractions_is_no_target_and_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "time,v", lambda i, timestamp: f"{i / 10},{i % 7}")
    schema = load(path)[1]
    assert schema.targets == ("v",)
    reason = next(setting.reason for setting in schema.inferred_settings if setting.field == "time")
    assert reason == "'time' holds neither dates nor whole numbers, so the rows are steps 0, 1, 2, ..."


def test_a_repeated_timestamp_is_not_hidden_by_a_text_column(tmp_path: Path) -> None:
    weather = ["rain", "fog", "sunny"]
    path = written(tmp_path / "a.csv", "date,weather,traffic", lambda i, timestamp: f"{timestamp},{weather[i % 3]},{i}")
    with path.open("a") as file:
        file.write(f"{HOURS[-1]},rain,3\n")
    with pytest.raises(DataError, match=r"line 74: column 'date': expected each timestamp once.*line 73.*id="):
        load(path)


def test_numbers_of_four_digits_are_no_years(tmp_path: Path) -> None:
    rows = (f"{timestamp},{store},{i}" for store in ("0001", "0002", "0017") for i, timestamp in enumerate(HOURS))
    (tmp_path / "a.csv").write_text("\n".join(["date,store,sales", *rows]))
    assert load(tmp_path / "a.csv")[0].ids == ("0001", "0002", "0017")
    path = written(
        tmp_path / "b.csv", "date,sales", lambda i, timestamp: f"{timestamp},{'x' if i == 9 else 1000 + 37 * i}"
    )
    with pytest.raises(DataError, match=r"line 11: column 'sales': expected a number, got 'x'"):
        load(path)


def test_timestamps_with_and_without_an_offset(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "ds,y", lambda i, timestamp: f"{timestamp}{'+00:00' if i > 60 else ''},{i}")
    with pytest.raises(DataError, match=r"line 63: column 'ds': expected a date.*2021-03-17 13:00:00\+00:00"):
        load(path)


def test_offsets_of_hours_alone_and_across_a_time_shift() -> None:
    timestamps = pd.date_range("2020-03-28", periods=48, freq="h", tz="Europe/Berlin")
    texts = [timestamp.strftime("%Y-%m-%d %H:%M:%S%z")[:-2] for timestamp in timestamps]
    panel, schema = load(pd.DataFrame({"ds": texts, "y": np.arange(48.0)}))
    assert schema.freq == "h" and list(panel.times(0)) == list(timestamps.tz_convert("UTC"))


@pytest.mark.parametrize("zone", [tz.tzutc(), tz.gettz("Asia/Tokyo")])
def test_time_zones_of_dateutil(zone: tzinfo) -> None:
    timestamps = pd.date_range("2020-01-01", periods=48, freq="h", tz=zone)
    panel, schema = load(pd.DataFrame({"ds": timestamps, "y": np.arange(48.0)}))
    assert schema.freq == "h" and list(panel.times(0)) == list(timestamps)
