"""Stamps in several columns, in unusual units, and columns that only look like stamps or ids."""

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


def written(path: Path, header: str, row: Callable[[int, pd.Timestamp], str], stamps: pd.DatetimeIndex = HOURS) -> Path:
    path.write_text("\n".join([header, *(row(i, stamp) for i, stamp in enumerate(stamps))]) + "\n")
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
def test_a_date_and_a_time_of_day_are_one_stamp(case: str, tmp_path: Path) -> None:
    header, form = TIMES_OF_DAY[case]
    sign = ";" if ";" in header else ","
    path = written(tmp_path / "a.csv", header, lambda i, stamp: f"{stamp.strftime(form)}{sign}{i}")
    panel, schema = load(path)
    assert (schema.id, schema.freq, schema.targets) == ((), "h", ("y",))
    assert list(panel.stamps(0)) == list(HOURS)
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(72))
    newer, _ = load(path, schema=schema)
    assert list(newer.future(0, 1)) == [HOURS[-1] + pd.Timedelta("1h")]
    assert load(path, DataConfig(time=",".join(schema.time)))[1].time == schema.time


def test_a_date_and_a_time_of_day_in_several_series(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = (f"{station},{stamp:%d.%m.%Y},{stamp:%H:%M},{i}" for station in "ab" for i, stamp in enumerate(HOURS))
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
    frame = pd.DataFrame({"date": HOURS.date, "time": [time(stamp.hour) for stamp in HOURS], "y": np.arange(72.0)})
    assert list(load(frame)[0].stamps(0)) == list(HOURS)


def test_a_time_of_day_that_is_not_of_the_stamp(tmp_path: Path) -> None:
    days = pd.date_range("2021-01-01", periods=20)
    path = tmp_path / "a.csv"
    opening = {"x": "08:00", "z": "09:00"}
    rows = (f"{day:%Y-%m-%d},{shop},{opening[shop]},{i}" for i, day in enumerate(days) for shop in opening)
    path.write_text("\n".join(["date,shop,opening_time,sales", *rows]))
    panel, schema = load(path)
    assert (panel.ids, schema.freq, schema.time) == (("x", "z"), "D", ("date",))


def test_padded_calendar_parts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "year,month,sales", lambda i, stamp: f"{stamp:%Y,%m},{i}", MONTHS)
    panel, schema = load(path)
    assert (schema.id, schema.freq) == ((), "MS") and list(panel.stamps(0)) == list(MONTHS)
    path = written(tmp_path / "b.csv", "year,month,day,sales", lambda i, stamp: f"{stamp:%Y,%m,%d},{i}", HOURS[::24])
    assert load(path)[1].freq == "D"
    rows = (f"{stamp:%Y,%m},{store},{i}" for store in "AB" for i, stamp in enumerate(MONTHS))
    (tmp_path / "c.csv").write_text("\n".join(["year,month,store,sales", *rows]))
    assert load(tmp_path / "c.csv")[0].ids == ("A", "B")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_counts_from_1970(unit: str, tmp_path: Path) -> None:
    scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    path = written(tmp_path / "a.csv", "timestamp,y", lambda i, stamp: f"{stamp.value // scale},{i}")
    panel, schema = load(path)
    assert (schema.freq, schema.targets) == ("h", ("y",)) and list(panel.stamps(0)) == list(HOURS)
    assert list(load(path, schema=schema)[0].stamps(0)) == list(HOURS)


def test_the_number_of_a_row_is_no_target(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": HOURS, "sales": np.arange(72.0)})
    frame.drop(index=[2, 40]).to_csv(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv")[1].targets == ("sales",)
    assert load(frame.drop(index=[2, 40]).rename_axis("obs"))[1].targets == ("sales",)


def test_a_time_axis_of_fractions_is_no_target_and_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "time,v", lambda i, stamp: f"{i / 10},{i % 7}")
    schema = load(path)[1]
    assert schema.targets == ("v",)
    reason = next(decision.reason for decision in schema.decisions if decision.field == "time")
    assert reason == "'time' holds neither dates nor whole numbers, so the rows are steps 0, 1, 2, ..."


def test_a_stamp_that_stands_there_twice_is_not_hidden_by_a_text_that_changes(tmp_path: Path) -> None:
    weather = ["rain", "fog", "sunny"]
    path = written(tmp_path / "a.csv", "date,weather,traffic", lambda i, stamp: f"{stamp},{weather[i % 3]},{i}")
    with path.open("a") as file:
        file.write(f"{HOURS[-1]},rain,3\n")
    with pytest.raises(DataError, match=r"line 74: column 'date': expected each stamp once.*line 73.*--id"):
        load(path)


def test_numbers_of_four_digits_are_no_years(tmp_path: Path) -> None:
    rows = (f"{stamp},{store},{i}" for store in ("0001", "0002", "0017") for i, stamp in enumerate(HOURS))
    (tmp_path / "a.csv").write_text("\n".join(["date,store,sales", *rows]))
    assert load(tmp_path / "a.csv")[0].ids == ("0001", "0002", "0017")
    path = written(tmp_path / "b.csv", "date,sales", lambda i, stamp: f"{stamp},{'-' if i == 9 else 1000 + 37 * i}")
    with pytest.raises(DataError, match=r"line 11: column 'sales': expected a number, got '-'"):
        load(path)


def test_stamps_with_an_offset_and_one_without(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "ds,y", lambda i, stamp: f"{stamp}{'+00:00' if i > 60 else ''},{i}")
    with pytest.raises(DataError, match=r"line 63: column 'ds': expected a date.*2021-03-17 13:00:00\+00:00"):
        load(path)


def test_offsets_of_hours_alone_and_across_a_time_shift() -> None:
    stamps = pd.date_range("2020-03-28", periods=48, freq="h", tz="Europe/Berlin")
    texts = [stamp.strftime("%Y-%m-%d %H:%M:%S%z")[:-2] for stamp in stamps]
    panel, schema = load(pd.DataFrame({"ds": texts, "y": np.arange(48.0)}))
    assert schema.freq == "h" and list(panel.stamps(0)) == list(stamps.tz_convert("UTC"))


@pytest.mark.parametrize("zone", [tz.tzutc(), tz.gettz("Asia/Tokyo")])
def test_time_zones_of_dateutil(zone: tzinfo) -> None:
    stamps = pd.date_range("2020-01-01", periods=48, freq="h", tz=zone)
    panel, schema = load(pd.DataFrame({"ds": stamps, "y": np.arange(48.0)}))
    assert schema.freq == "h" and list(panel.stamps(0)) == list(stamps)
