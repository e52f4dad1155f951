"""Series that are written to files in any format are read unchanged."""

from __future__ import annotations

import bz2
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.timeseries.frames import history_frame

FREQS = ["ms", "10s", "15min", "h", "D", "B", "W-SAT", "MS", "ME", "QS", "YS", "3D", "2h"]
WRITERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}


@st.composite
def series(draw: st.DrawFn) -> tuple[str, dict[str, pd.Series[float]]]:
    """A frequency, and series on it by id: of 3 to 12 steps, with gaps; the first and last step are observed."""
    freq = draw(st.sampled_from(FREQS))
    zone = draw(st.sampled_from([None, None, "UTC", "Europe/Berlin"])) if freq in ("15min", "h", "2h", "10s") else None
    ids = draw(st.lists(st.text("abcXYZ0123_- ü", min_size=1, max_size=4), min_size=1, max_size=4, unique_by=str.strip))
    # Whole numbers are ids too, but written as numbers are.
    ids = [id.strip() for id in ids if id.strip() and not re.fullmatch(r"-?\d+", id.strip())] or ["a"]
    start = draw(st.datetimes(pd.Timestamp(1971, 1, 1), pd.Timestamp(2060, 1, 1)))
    grid = pd.date_range(pd.Timestamp(start).floor("s"), periods=40, freq=freq, tz=zone)
    found = {}
    for id in ids:
        first, length = draw(st.integers(0, 12)), draw(st.integers(3, 12))
        numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.integers(-1000, 1000).map(float))
        values = draw(st.lists(numbers, min_size=length, max_size=length))
        values[0], values[-1] = 0.125, 7.5
        found[id] = pd.Series(values, index=grid[first : first + length], dtype="float64")
    return freq, found


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_series=series(),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    ending=st.sampled_from(list(WRITERS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    comma=st.booleans(),
    gaps_as_rows=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_long_files(
    given_series: tuple[str, dict[str, pd.Series[float]]],
    delimiter: str,
    ending: str,
    encoding: str,
    newline: str,
    comma: bool,
    gaps_as_rows: bool,
    random: Any,
    tmp_path: Path,
) -> None:
    freq, known = given_series
    rows = [(id, timestamp, value) for id, one in known.items() for timestamp, value in one.items()]
    if not gaps_as_rows:
        rows = [row for row in rows if not np.isnan(row[2])]
    random.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    decimal = "," if comma and delimiter in ";\t" else "."
    if ending and encoding == "utf-16":
        encoding = "utf-8"
    text = frame.to_csv(index=False, sep=delimiter, decimal=decimal, lineterminator=newline)
    path = tmp_path / f"data.csv{ending}"
    path.write_bytes(WRITERS[ending](text.encode(encoding)))
    check(path, frame, known, freq)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_series=series(), random=st.randoms(use_true_random=False), index=st.booleans())
def test_parquet(
    given_series: tuple[str, dict[str, pd.Series[float]]], random: Any, index: bool, tmp_path: Path
) -> None:
    freq, known = given_series
    rows = [(id, timestamp, value) for id, one in known.items() for timestamp, value in one.items()]
    random.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    (frame.set_index("ds") if index else frame).to_parquet(tmp_path / "data.parquet")
    check(tmp_path / "data.parquet", frame, known, freq)


def check(path: Path, frame: pd.DataFrame, known: dict[str, pd.Series[float]], freq: str) -> None:
    panel, schema = load(path, DataConfig(freq=freq))
    assert panel.ids == tuple(dict.fromkeys(frame["unique_id"]))
    for number, id in enumerate(panel.ids):
        expected = known[id].asfreq(freq)
        np.testing.assert_array_equal(panel.series[number][:, 0], expected.to_numpy(np.float32))
        timestamps = pd.DatetimeIndex(panel.times(number))
        assert (
            timestamps == (expected.index if timestamps.tz is None else expected.index.tz_convert(timestamps.tz))
        ).all()
    again, _ = load(history_frame(panel), schema=schema.model_copy(update={"time": ("ds",), "time_format": "date"}))
    np.testing.assert_array_equal(again.values, panel.values)
    np.testing.assert_array_equal(again.starts, panel.starts)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_series=series(), delimiter=st.sampled_from([",", ";"]))
def test_wide_files(given_series: tuple[str, dict[str, pd.Series[float]]], delimiter: str, tmp_path: Path) -> None:
    freq, known = given_series
    frame = pd.DataFrame(known).sort_index()
    frame.rename_axis("date").to_csv(tmp_path / "wide.csv", sep=delimiter)
    panel, schema = load(tmp_path / "wide.csv", DataConfig(freq=freq))
    assert schema.layout == "wide" and panel.targets == tuple(known)
    np.testing.assert_array_equal(panel.series[0], frame.asfreq(freq).to_numpy(np.float32))


@pytest.mark.parametrize("freq", FREQS)
def test_the_frequency_is_found_again(freq: str, tmp_path: Path) -> None:
    timestamps = pd.date_range("2024-01-06 00:00", periods=40, freq=freq)
    frame = pd.DataFrame({"ds": timestamps, "y": np.arange(40.0)}).drop(index=[5, 6, 20])
    frame.to_csv(tmp_path / "data.csv", index=False)
    panel, schema = load(tmp_path / "data.csv")
    assert schema.freq == freq and len(panel.values) == 40 and np.isnan(panel.values).sum() == 3
