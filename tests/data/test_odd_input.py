"""Unusual input that can be read in one way only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load

DAYS = [f"2020-01-{day:02d}" for day in range(1, 11)]


def lines(header: str, form: str, end: str = "\n") -> str:
    return end.join([header, *(form.format(day=day, i=i) for i, day in enumerate(DAYS))]) + end


ODD = {
    "byte order mark": "\ufeff" + lines("ds,y", "{day},{i}"),
    "ends of lines of two kinds": lines("ds,y", "{day},{i}").replace("\n", "\r\n", 4),
    "ends of lines of old": lines("ds,y", "{day},{i}", end="\r"),
    "no end of the last line": lines("ds,y", "{day},{i}").rstrip(),
    "empty lines": lines("ds,y", "{day},{i}\n"),
    "spaces": lines(" ds , y ", "{day}, {i}"),
    "a delimiter at the end of each line": lines("ds,y,", "{day},{i},"),
    "a column without a name": lines("ds,,y", "{day},a,{i}"),
    "the row number": lines(",ds,y", "{i},{day},{i}"),
    "semicolons": lines("ds;y", "{day};{i}"),
    "the note of a spreadsheet": "sep=;\n" + lines("ds;y", "{day};{i}"),
    "per cent": lines("ds,y", "{day},{i}%"),
    "bars": lines("ds|y", "{day}|{i}"),
    "tabs": lines("ds\ty", "{day}\t{i}"),
    "all in quotes": lines('"ds","y"', '"{day}","{i}"'),
    "powers of ten": lines("ds,y", "{day},{i}00e-2"),
    "midnights": lines("ds,y", "{day} 00:00:00,{i}"),
    "Greenwich": lines("ds,y", "{day}T00:00:00Z,{i}"),
    "numbers for dates": lines("date,y", "{day},{i}").replace("-", ""),
    "seconds": "ts,y\n" + "".join(f"{1577836800 + 86400 * i},{i}\n" for i in range(10)),
    "the last day first": "\n".join(["ds,y", *lines("ds,y", "{day},{i}").splitlines()[:0:-1]]),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_files_are_read(case: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(ODD[case].encode())
    schema_time = {"seconds": "ts"}.get(case)
    panel, schema = load(path, DataConfig(time=schema_time, target=("y",)))
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(10))
    timestamps = pd.DatetimeIndex(panel.times(0)).tz_localize(None)
    assert list(timestamps) == list(pd.to_datetime(DAYS)) and schema.freq == "D"


def test_ids_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(["unique_id,ds,y\n", *(f"{id},{day},1\n" for id in ("007", "7", "0x1F") for day in DAYS)]))
    assert load(path)[0].ids == ("007", "7", "0x1F")


@pytest.mark.slow
def test_ten_thousand_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    names = [f"c{i}" for i in range(10_000)]
    path.write_text("\n".join([",".join(["ds", *names]), *(",".join([day, *["1"] * 10_000]) for day in DAYS)]))
    panel, _ = load(path)
    assert panel.targets == tuple(names) and panel.values.shape == (10, 10_000)


def test_hours_of_a_time_shift_are_all_there(tmp_path: Path) -> None:
    timestamps = pd.date_range("2024-10-26", periods=72, freq="h", tz="Europe/Berlin")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["ds,y", *(f"{timestamp.isoformat()},{i}" for i, timestamp in enumerate(timestamps))]))
    panel, schema = load(path)
    assert schema.freq == "h" and not np.isnan(panel.values).any() and len(panel.values) == 72
    assert list(panel.times(0)) == list(timestamps.tz_convert("UTC"))
