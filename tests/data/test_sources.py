"""Sources of data: encodings, compressions, folders, patterns, standard input, polars."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError

TIMESTAMPS = pd.date_range("2020-01-01", periods=12, freq="D")


def table(ids: str = "Köln", start: float = 0.0) -> str:
    rows = (
        f"{id},{timestamp:%Y-%m-%d},{start + step}" for id in ids.split() for step, timestamp in enumerate(TIMESTAMPS)
    )
    return "\n".join(["unique_id,ds,y", *rows]) + "\n"


@pytest.mark.parametrize(
    ("encoding", "reported"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "UTF-16"),
        ("cp1252", "Windows-1252"),
        ("latin-1", "Windows-1252"),
    ],
)
def test_letters_are_decoded(encoding: str, reported: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table().encode(encoding))
    panel, schema = load(path)
    assert panel.ids == ("Köln",)
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(12))
    assert next((d.value for d in schema.inferred_settings if d.field == "encoding"), None) == reported


def test_a_letter_far_after_the_start_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((table("a" * 50_000 + " Köln")).encode("cp1252"))
    assert load(path)[0].ids == ("a" * 50_000, "Köln")


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)])
def test_compressed(ending: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / f"a.csv.{ending}"
    path.write_bytes(pack(table().encode()))
    assert load(path)[0].ids == ("Köln",)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(table().encode())[:-20])
    with pytest.raises(DataError, match=r"a\.csv\.gz: "):
        load(path)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_decimal_commas(sign: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "\n".join([f"ds{sign}y", *(f"{timestamp:%Y-%m-%d}{sign}{step},5" for step, timestamp in enumerate(TIMESTAMPS))])
    )
    np.testing.assert_array_equal(load(path)[0].values[:, 0], np.arange(12) + 0.5)


def wide(start: int) -> str:
    return (
        "\n".join(["ds,y", *(f"{timestamp:%Y-%m-%d},{start + step}" for step, timestamp in enumerate(TIMESTAMPS))])
        + "\n"
    )


def test_a_folder_of_series(tmp_path: Path) -> None:
    (tmp_path / "north.csv").write_text(wide(0))
    (tmp_path / "south.csv.gz").write_bytes(gzip.compress(wide(100).encode()))
    (tmp_path / "notes.md").write_text("not data")
    for source in (tmp_path, str(tmp_path / "*.csv*")):
        panel, schema = load(source)
        assert panel.ids == ("north", "south") and schema.id == ("file",)
        np.testing.assert_array_equal(panel.series[1][:, 0], np.arange(12) + 100)
    alone, _ = load(tmp_path / "north.csv", schema=schema)
    assert alone.ids == ("north",)


def test_a_folder_of_months(tmp_path: Path) -> None:
    rows = table("a b").splitlines()
    (tmp_path / "2.csv").write_text("\n".join([rows[0], *rows[7:13], *rows[19:]]))
    (tmp_path / "1.csv").write_text("\n".join([rows[0], *rows[1:7], *rows[13:19]]))
    panel, schema = load(tmp_path)
    assert panel.ids == ("a", "b") and schema.id == ("unique_id",) and panel.lengths.tolist() == [12, 12]


def test_the_names_of_files_are_neither_timestamps_nor_targets(tmp_path: Path) -> None:
    lines = wide(0).splitlines()
    for name, rows in (("2020", lines[1:7]), ("2021", lines[7:])):
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0].replace("ds", "date"), *rows]))
    panel, schema = load(tmp_path)
    assert (schema.time, schema.id, schema.targets) == (("date",), (), ("y",)) and panel.lengths.tolist() == [12]


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (["1.csv", "2.csv", "3.csv"], ("1", "2", "3")),
        (["store.1.csv", "store.2.csv.gz"], ("store.1", "store.2")),
        (["a/values.csv", "b/values.csv"], ("a/values", "b/values")),
    ],
)
def test_the_names_of_files_are_ids_whatever_they_are(files: list[str], ids: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(files):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = wide(100 * number).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    panel, schema = load(str(tmp_path / "**/*.csv*"))
    assert panel.ids == ids and schema.id == ("file",) and schema.targets == ("y",)
    np.testing.assert_array_equal(panel.series[1][:, 0], np.arange(12) + 100)


def test_errors_in_a_folder_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(wide(0))
    (tmp_path / "b.csv").write_text(wide(0).replace(",5", ",x"))
    with pytest.raises(DataError, match=r"b\.csv: line 7: column 'y': expected a number, got 'x'"):
        load(tmp_path)
    (tmp_path / "b.csv").write_text(wide(0).replace("y", "z", 1))
    with pytest.raises(DataError, match=r"b\.csv: expected the columns of .*a\.csv, 'ds', 'y'"):
        load(tmp_path)
    with pytest.raises(DataError, match="there are no such files"):
        load(tmp_path / "*.parquet")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(text: str) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    piped(wide(3))
    np.testing.assert_array_equal(load("-")[0].values[:, 0], np.arange(12) + 3)
    piped(wide(0).replace(",5", ",x"))
    with pytest.raises(DataError, match=r"^standard input: line 7: column 'y'"):
        load("-")
    piped("")
    with pytest.raises(DataError, match=r"^standard input: the file is empty"):
        load("-")


def test_frames_of_polars() -> None:
    frame = polars.DataFrame({"ds": TIMESTAMPS.to_numpy(), "y": np.arange(12.0)}).with_columns(
        polars.col("ds").cast(polars.Date)
    )
    panel, schema = load(frame)
    assert schema.freq == "D" and panel.times(0)[-1] == TIMESTAMPS[-1]
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(12))


@pytest.mark.parametrize("name", ["when", None])
def test_timestamps_from_a_pandas_index(name: str | None, tmp_path: Path) -> None:
    pd.DataFrame({"y": np.arange(12.0)}, index=TIMESTAMPS.rename(name)).to_parquet(tmp_path / "a.parquet")
    panel, schema = load(tmp_path / "a.parquet")
    assert schema.freq == "D" and panel.targets == ("y",) and panel.times(0)[0] == TIMESTAMPS[0]


def test_rows_of_a_parquet_file_are_named_by_number(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": TIMESTAMPS.astype(str), "y": 1.0}, index=list("abcdefghijkl"))
    frame.loc["d", "ds"] = "soon"
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: row 4: column 'ds'"):
        load(tmp_path / "a.parquet")


MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"


def years(first: int, last: int) -> list[str]:
    return [f"{year}," + ",".join(str(100 * year + month) for month in range(1, 13)) for year in range(first, last)]


LONG = "January,February,March,April,May,June,July,August,September,October,November,December"


@pytest.mark.parametrize("header", [MONTHS, MONTHS.upper(), LONG])
def test_one_column_per_month(header: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = years(1990, 2000)
    rows[-1] = rows[-1].rsplit(",", 3)[0] + ",,,"  # the last months are still to come
    path.write_text("\n".join([f"YEAR,{header}", *rows]))
    panel, schema = load(path)
    assert (schema.layout, schema.freq, schema.season, schema.targets) == ("months", "MS", 12, ("y",))
    expected = [100 * year + month for year in range(1990, 2000) for month in range(1, 13)][:-3]
    np.testing.assert_array_equal(panel.values[:, 0], expected)
    assert panel.times(0)[0] == pd.Timestamp("1990-01-01")
    path.write_text("\n".join([f"YEAR,{header}", *years(2000, 2003)]))
    assert load(path, schema=schema)[0].future_times(0, 1)[0] == pd.Timestamp("2003-01-01")
    path.write_text("\n".join([f"YEAR,{header}", *years(2000, 2003)]).replace("200105", "x"))
    with pytest.raises(DataError, match=r"a\.csv: line 3: column 'y': expected a number, got 'x'"):
        load(path)


def test_months_of_several_stations(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{station},{row}" for station in ("x", "y") for row in years(2000, 2004)]
    path.write_text("\n".join([f"station,year,{MONTHS}", *rows]))
    panel, schema = load(path)
    assert panel.ids == ("x", "y") and schema.layout == "months" and panel.lengths.tolist() == [48, 48]
    yearly, _ = load(path, DataConfig(target=("Jan",)))
    assert yearly.lengths.tolist() == [4, 4], "a month alone, where it was asked for"
