"""Files that are read a part at a time: as if they were read whole, whatever stands where a part ends."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.data import delimited
from tsattn.data.files import read_frame

ROWS = 400


def rows(**columns: list[object]) -> str:
    return pd.DataFrame(columns).to_csv(index=False)


STAMPS: list[object] = [f"2024-01-01T{n // 60:02d}:{n % 60:02d}:00" for n in range(ROWS)]
NUMBERS: list[object] = [n / 8 for n in range(ROWS)]
FILES = {
    "plain": rows(ds=STAMPS, y=NUMBERS),
    "no line end behind the last row": rows(ds=STAMPS, y=NUMBERS).rstrip("\n"),
    "carriage returns": rows(ds=STAMPS, y=NUMBERS).replace("\n", "\r\n"),
    "old line ends": rows(ds=STAMPS, y=NUMBERS).replace("\n", "\r"),
    "a mark": "\ufeff" + rows(ds=STAMPS, y=NUMBERS),
    "empty lines": rows(ds=STAMPS, y=NUMBERS).replace("5\n", "5\n\n"),
    "line ends within quotes": rows(ds=STAMPS, note=['a "b",\n,c\nd'] * ROWS, y=NUMBERS),
    "a quote within a word": rows(ds=STAMPS, note=["pipe"] * ROWS, y=NUMBERS).replace("pipe", '5" pipe', 1),
    "whole numbers, then others": rows(ds=STAMPS, y=[*range(300), *NUMBERS[300:]]),
    "numbers, then text": rows(ds=STAMPS, y=[*NUMBERS[:300], *["closed"] * 100]),
    "empty, then numbers": rows(ds=STAMPS, y=[*[None] * 300, *NUMBERS[300:]]),
    "dates, then times": rows(ds=[*["2024-01-01"] * 300, *STAMPS[300:]], y=NUMBERS),
    "seconds, then fractions": rows(ds=[*STAMPS[:300], *[f"{stamp}.25" for stamp in STAMPS[300:]]], y=NUMBERS),
    "ids": rows(unique_id=[f"S{n // 40}" for n in range(ROWS)], ds=STAMPS, y=NUMBERS),
    "ids with zeros": rows(unique_id=[f"{n // 40:03d}" for n in range(ROWS)], ds=STAMPS, y=NUMBERS),
    "new ids at the end": rows(unique_id=["a"] * 300 + [f"b{n}" for n in range(100)], ds=STAMPS, y=NUMBERS),
    "missing ids": rows(unique_id=["a", None] * 200, ds=STAMPS, y=NUMBERS),
    "no UTF-8 at the end": rows(unique_id=["a"] * 399 + ["Zürich"], ds=STAMPS, y=NUMBERS),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_parts_are_read_as_the_whole(name: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = "cp1252" if name.startswith("no UTF-8") else "utf-8"
    data = FILES[name].encode(encoding)
    path = tmp_path / ("data.csv.gz" if packed else "data.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    whole = read_frame(path)
    assert len(whole) == ROWS
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 500)
    for size in (97, 1000):
        monkeypatch.setattr(delimited, "PART_BYTES", size)
        monkeypatch.setattr(delimited, "LONGEST_PART", 8 * size)
        parts = read_frame(path)
        assert parts.attrs == whole.attrs
        pd.testing.assert_frame_equal(plain(parts), plain(whole))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as text and dates in one unit, however they are coded."""
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype("str")
        elif pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
            frame[name] = frame[name].dt.as_unit("us")
    return frame


def test_a_row_of_another_length_is_named_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FILES["plain"].splitlines()
    lines[377] += ",1"
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    monkeypatch.setattr(delimited, "PART_BYTES", 1000)
    with pytest.raises(Exception, match=r"bad.csv: line 378: expected 2 cells as in the header, got 3"):
        read_frame(tmp_path / "bad.csv")


def test_text_that_repeats_is_coded_and_numbers_stay(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(FILES["ids"])
    frame = read_frame(tmp_path / "ids.csv")
    assert isinstance(frame["unique_id"].dtype, pd.CategoricalDtype) and frame["y"].dtype == np.float64
    assert frame["unique_id"].tolist() == [f"S{n // 40}" for n in range(ROWS)]
