"""Files that are read in chunks: as if they were read at once, wherever a chunk ends."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data import delimited
from tsattn.data.files import read_file
from tsattn.data.loader import load
from tsattn.errors import DataError

ROWS = 400


def rows(**columns: list[object]) -> str:
    return pd.DataFrame(columns).to_csv(index=False)


TIMESTAMPS: list[object] = [f"2024-01-01T{n // 60:02d}:{n % 60:02d}:00" for n in range(ROWS)]
NUMBERS: list[object] = [n / 8 for n in range(ROWS)]
FILES = {
    "plain": rows(ds=TIMESTAMPS, y=NUMBERS),
    "no line end after the last row": rows(ds=TIMESTAMPS, y=NUMBERS).rstrip("\n"),
    "carriage returns": rows(ds=TIMESTAMPS, y=NUMBERS).replace("\n", "\r\n"),
    "old line ends": rows(ds=TIMESTAMPS, y=NUMBERS).replace("\n", "\r"),
    "a mark": "\ufeff" + rows(ds=TIMESTAMPS, y=NUMBERS),
    "empty lines": rows(ds=TIMESTAMPS, y=NUMBERS).replace("5\n", "5\n\n"),
    "line ends within quotes": rows(ds=TIMESTAMPS, note=['a "b",\n,c\nd'] * ROWS, y=NUMBERS),
    "a quote within a word": rows(ds=TIMESTAMPS, note=["pipe"] * ROWS, y=NUMBERS).replace("pipe", '5" pipe', 1),
    "whole numbers, then others": rows(ds=TIMESTAMPS, y=[*range(300), *NUMBERS[300:]]),
    "numbers, then text": rows(ds=TIMESTAMPS, y=[*NUMBERS[:300], *["closed"] * 100]),
    "empty, then numbers": rows(ds=TIMESTAMPS, y=[*[None] * 300, *NUMBERS[300:]]),
    "dates, then times": rows(ds=[*["2024-01-01"] * 300, *TIMESTAMPS[300:]], y=NUMBERS),
    "seconds, then fractions": rows(
        ds=[*TIMESTAMPS[:300], *[f"{timestamp}.25" for timestamp in TIMESTAMPS[300:]]], y=NUMBERS
    ),
    "ids": rows(unique_id=[f"S{n // 40}" for n in range(ROWS)], ds=TIMESTAMPS, y=NUMBERS),
    "ids with zeros": rows(unique_id=[f"{n // 40:03d}" for n in range(ROWS)], ds=TIMESTAMPS, y=NUMBERS),
    "new ids at the end": rows(unique_id=["a"] * 300 + [f"b{n}" for n in range(100)], ds=TIMESTAMPS, y=NUMBERS),
    "missing ids": rows(unique_id=["a", None] * 200, ds=TIMESTAMPS, y=NUMBERS),
    "no UTF-8 at the end": rows(unique_id=["a"] * 399 + ["Zürich"], ds=TIMESTAMPS, y=NUMBERS),
}


@pytest.mark.parametrize(
    ("name", "packed"),
    [*((name, False) for name in FILES), *((name, True) for name in ("plain", "ids", "no UTF-8 at the end"))],
)
def test_chunks_are_read_as_the_whole(name: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = "cp1252" if name.startswith("no UTF-8") else "utf-8"
    data = FILES[name].encode(encoding)
    path = tmp_path / ("data.csv.gz" if packed else "data.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    whole = read_file(path)
    assert len(whole) == ROWS
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 500)
    for size in (97, 1000):
        monkeypatch.setattr(delimited, "CHUNK_BYTES", size)
        monkeypatch.setattr(delimited, "MAX_CHUNK_BYTES", 8 * size)
        chunks = read_file(path)
        assert chunks.origin == whole.origin
        pd.testing.assert_frame_equal(plain(chunks.frame), plain(whole.frame))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as text and dates in one unit, whatever their dtype."""
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype("str")
        elif pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
            frame[name] = frame[name].dt.as_unit("us")
    return frame


def test_a_row_of_another_length_is_named_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FILES["plain"].splitlines()
    lines[377] += ",1"
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 1000)
    with pytest.raises(Exception, match=r"bad.csv: line 378: expected 2 cells as in the header, got 3"):
        read_file(tmp_path / "bad.csv")


def test_repeated_text_is_categorical_and_numbers_stay(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(FILES["ids"])
    frame = read_file(tmp_path / "ids.csv").frame
    assert isinstance(frame["unique_id"].dtype, pd.CategoricalDtype) and frame["y"].dtype == np.float64
    assert frame["unique_id"].tolist() == [f"S{n // 40}" for n in range(ROWS)]


def test_given_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("".join(["Gün,y\n", *(f"2022-01-{day:02d},{day}\n" for day in range(1, 20))]).encode("cp1254"))
    panel, schema = load(path, DataConfig(encoding="cp1254"))
    assert schema.time == ("Gün",) and not schema.notes and len(panel.values) == 19
    assert "it was given" in "".join(
        setting.reason for setting in schema.inferred_settings if setting.field == "encoding"
    )
    with pytest.raises(DataError, match="bytes that are invalid in utf-8: correct encoding="):
        load(path, DataConfig(encoding="utf-8"))
    for name in ("nope", "base64"):
        with pytest.raises(ValueError, match="name of an encoding"):
            DataConfig(encoding=name)
