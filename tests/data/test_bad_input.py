"""Invalid input: messages name the place and a fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.schema import Schema


def lines(header: str, row: Callable[[int], str], n: int = 10) -> str:
    return "\n".join([header, *(row(i) for i in range(n))]) + "\n"


def day(i: int) -> str:
    return f"2020-01-{i + 1:02d}"


FILES: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "no bytes": ("", {}, ["file is empty", "header"]),
    "empty lines": ("\n\n", {}, ["file is empty"]),
    "header only": ("ds,y\n", {}, ["header but no rows"]),
    "name twice": ("ds,y,y\n2020-01-01,1,2\n", {}, ["line 1", "'y'", "twice"]),
    "too many cells": (
        lines("ds,y", lambda i: f"{day(i)},{i}" + (",5" if i == 6 else "")),
        {},
        ["line 8", "expected 2 cells", "got 3"],
    ),
    "too few cells": (lines("ds,a,y", lambda i: f"{day(i)},1,{i}" if i != 3 else day(i)), {}, ["line 5", "got 1"]),
    "too few cells before dates in the last column": (
        "date,y,end\n5,6\n" + "".join(f"{day(i)},{i},{day(i + 1)}\n" for i in range(9)),
        {},
        ["line 2", "expected 3 cells", "got 2"],
    ),
    "a letter instead of a timestamp, not in UTF-8": (
        lines("ds,y", lambda i: f"{day(i)},{i}").encode() + b"\xe4,1\n",
        {},
        ["line 12", "'ds'", "'ä'"],
    ),
    "no header": (lines("2020-01-01,0", lambda i: f"2020-02-{i + 1:02d},{i}"), {}, ["line 1", "2020-01-01", "ds,y"]),
    "a line without an end": ("ds,y" + 2_000_000 * "a", {}, ["line 1", "no end of the line"]),
    "a cell without an end": (
        lines("ds,y", lambda i: f'{day(i)},"{i}' if i == 3 else f"{day(i)},{i}"),
        {},
        ["line 5", "'y'", "'3' ..."],
    ),
    "NUL bytes": (lines("ds,y", lambda i: f"{day(i)},{i}").encode() + b"\0\0", {}, ["save it as CSV"]),
    "year 0": (lines("ds,y", lambda i: f"{'0000-01-01' if i == 0 else day(i)},{i}"), {}, ["'ds'", "0000-01-01"]),
    "a long text instead of a timestamp": (
        lines("ds,y", lambda i: f"{'a' * 3000 if i == 5 else day(i)},{i}"),
        {},
        ["line 7", f"'{'a' * 40}' ..."],
    ),
    "30th of February": (
        lines("ds,y", lambda i: f"2020-02-{24 + i},{i}", 7),
        {},
        ["line 8", "'ds'", "'2020-02-30'"],
    ),
    "an hour too many": (lines("ds,y", lambda i: f"2020-01-01 {16 + i}:00,{i}"), {}, ["line 11", "'2020-01-01 25:00'"]),
    "one timestamp for all": (lines("ds,y", lambda i: f"{day(0)},{i}"), {}, ["line 3", "line 2", "on_duplicate="]),
    "a page of the web": ("<html><body>404</body></html>\n", {}, ["got HTML or XML"]),
    "a spreadsheet": (b"PK\x03\x04\0\0", {}, ["expected a CSV or Parquet file", "save it as CSV"]),
    "two time columns": (
        lines("date,updated,y", lambda i: f"{day(i)},{day(i + 1)},{i}"),
        {},
        ["'date'", "'updated'", "time="],
    ),
    "long without time": (lines("store,sales", lambda i: f"{'ab'[i % 2]},{i}"), {}, ["line 4", "'store'", "time="]),
    "long without time, numeric ids": (
        lines("unique_id,y", lambda i: f"{i % 2},{i}"),
        {},
        ["line 4", "'unique_id'", "time="],
    ),
    "text in a number column": (
        lines("ds,y", lambda i: f"{day(i)},{'abc' if i == 3 else i}"),
        {},
        ["line 5", "'y'", "'abc'", "number"],
    ),
    "the same after empty lines": (
        lines("ds,y", lambda i: f"{day(i)},{'abc' if i == 3 else i}" + "\n" * (i < 2)),
        {},
        ["line 7", "'y'", "'abc'"],
    ),
    "text in one row per series": (
        lines("name,a,b,c", lambda i: f"n{i},1,2,{'x' if i == 4 else 3}"),
        {},
        ["line 6", "'c'", "'x'"],
    ),
    "infinity": (lines("ds,y", lambda i: f"{day(i)},{'inf' if i == 2 else i}"), {}, ["line 4", "'y'", "'inf'"]),
    "too large": (lines("ds,y", lambda i: f"{day(i)},{'1e300' if i == 2 else i}"), {}, ["line 4", "'1e+300'"]),
    "ids alone": (lines("name", lambda i: f"n{i}"), {"id": "name"}, ["values of each series", "'name'"]),
    "timestamp twice": (
        lines("ds,y", lambda i: f"{day(2 if i == 5 else i)},{i}"),
        {},
        ["line 7", "'ds'", "2020-01-03", "line 4", "id="],
    ),
    "timestamp twice in a series": (
        lines("unique_id,ds,y", lambda i: f"{'ab'[i % 2]},{day(1 if i == 5 else i // 2)},{i}"),
        {},
        ["line 7", "series 'b'", "2020-01-02", "line 5"],
    ),
    "no such date": (
        lines("ds,y", lambda i: f"{'2020-13-45' if i == 4 else day(i)},{i}"),
        {},
        ["line 6", "'ds'", "'2020-13-45'"],
    ),
    "no such date as number": (
        lines("date,y", lambda i: f"{20200199 if i == 4 else 20200101 + i},{i}"),
        {},
        ["line 6", "'date'", "'20200199'", "%Y%m%d"],
    ),
    "missing timestamp": (
        lines("ds,y", lambda i: f"{'' if i == 4 else day(i)},{i}"),
        {},
        ["line 6", "'ds'", "an empty cell"],
    ),
    "missing id": (lines("unique_id,ds,y", lambda i: f"{'' if i == 3 else 'a'},{day(i)},{i}"), {}, ["line 5", "id"]),
    "timestamp between two steps": (
        lines("ds,y", lambda i: f"{day(i)} {'12:00' if i == 4 else '00:00'},{i}"),
        {},
        ["line 6", "'ds'", "'D'", "2020-01-05 12:00", "freq="],
    ),
    "weeks that slip": (
        lines("ds,y", lambda i: f"2020-01-{[4, 11, 18, 26][i]:02d},{i}", 4),
        {},
        ["line 5", "'W-SAT'", "2020-01-26"],
    ),
    "mistyped century": (
        lines("ds,y", lambda i: f"{'9020-01-01' if i == 9 else day(i)},{i}"),
        {},
        ["'ds'", "9020-01-01", "correct the timestamps"],
    ),
    "day or month first": (
        lines("date,y", lambda i: f"01/{i + 1:02d}/2020,{i}"),
        {},
        ["'date'", "01/01/2020", "2020-12-31"],
    ),
    "no date at all": (lines("ds,y", lambda i: f"x{i},{i}"), {}, ["line 2", "'ds'", "'x0'", "time="]),
    "one row": ("ds,y\n2020-01-01,3\n", {}, ["'ds'", "two timestamps", "freq="]),
    "empty target": (
        lines("ds,a,b", lambda i: f"{day(i)},{i},"),
        {"target": "b"},
        ["'b'", "empty cells only", "target="],
    ),
    "empty series": (lines("name,a,b", lambda i: f"n{i},1,2" if i != 4 else "n4,,"), {}, ["line 6", "'n4'"]),
    "no numbers": (lines("ds,a", lambda i: f"{day(i)},b"), {}, ["numbers to forecast", "'a'"]),
    "unknown time": (lines("ds,y", lambda i: f"{day(i)},{i}"), {"time": "when"}, ["time=", "'when'", "'ds', 'y'"]),
    "unknown id": (lines("ds,y", lambda i: f"{day(i)},{i}"), {"id": "shop"}, ["id=", "'shop'", "'ds', 'y'"]),
    "unknown target": (lines("ds,y", lambda i: f"{day(i)},{i}"), {"target": "y,z"}, ["target=", "'z'", "'ds', 'y'"]),
    "target of text": (lines("ds,y,c", lambda i: f"{day(i)},{i},abc"), {"target": "c"}, ["line 2", "'c'", "'abc'"]),
    "time of fractions": (lines("a,y", lambda i: f"{i + 0.5},{i}"), {"time": "a"}, ["line 2", "'a'", "'0.5'"]),
    "long data without timestamps": ("y,store\n1,A\n2,A\n1,B\n2,B\n", {}, ["store", "time="]),
    "long data without timestamps, whole ids first": ("shop,sales\n1,5\n1,6\n2,7\n2,8\n", {}, ["shop", "time="]),
    "unknown frequency": (
        lines("ds,y", lambda i: f"{day(i)},{i}"),
        {"freq": "monthly"},
        ["use a frequency such as h", "'monthly'"],
    ),
    "frequency of old": (
        lines("ds,y", lambda i: f"{day(i)},{i}"),
        {"freq": "M"},
        ["use a frequency such as h", "MS or ME"],
    ),
    "no regular grid": (
        lines("ds,y", lambda i: f"{day(i)},{i}"),
        {"freq": "bh"},
        ["use a frequency such as h", "'bh'", "regular"],
    ),
    "steps for dates": (
        lines("ds,y", lambda i: f"{day(i)},{i}"),
        {"freq": "1"},
        ["set freq=", "frequency 1", "'ds'", "got dates"],
    ),
    "hours for steps": (
        lines("ds,y", lambda i: f"{i},{i}"),
        {"freq": "h"},
        ["set freq=", "frequency h", "'ds'", "whole numbers"],
    ),
    "wrong frequency": (lines("ds,y", lambda i: f"{day(i)},{i}"), {"freq": "MS"}, ["line 3", "'MS'", "2020-01-02"]),
}


@pytest.mark.parametrize("case", FILES)
def test_message_of_a_bad_file_is_one_line(case: str, tmp_path: Path) -> None:
    content, given, parts = FILES[case]
    path = tmp_path / "sales.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    # A frequency that is none is a wrong option, whatever the data.
    kind = ConfigError if case in ("unknown frequency", "frequency of old", "no regular grid") else DataError
    with pytest.raises(kind) as caught:
        load(path, DataConfig(**given))
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert [part for part in parts if part not in message] == [], message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        load(tmp_path / "none.csv")
    with pytest.raises(DataError, match="files in this folder, got none"):
        load(tmp_path)


def test_rows_of_a_frame_are_named_by_their_labels() -> None:
    frame = pd.DataFrame({"ds": [day(0), day(1), day(1)], "y": [1, 2, 3]}, index=["a", "b", "c"])
    with pytest.raises(DataError, match=r"the frame: row c: column 'ds'.*row b"):
        load(frame)
    with pytest.raises(DataError, match="got 'y' twice"):
        load(pd.DataFrame([[1, 2]], columns=["y", "y"]))
    with pytest.raises(DataError, match="the frame: expected rows"):
        load(pd.DataFrame({"ds": [], "y": []}))


def test_rows_of_parquet_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "sales.parquet"
    pd.DataFrame({"ds": pd.date_range("2020", periods=4), "y": [1.0, 2.0, np.inf, 4.0]}).to_parquet(path)
    with pytest.raises(DataError, match=r"sales\.parquet: row 3: column 'y'"):
        load(path)


def test_a_column_name_of_parquet_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sales.parquet"
    pa_parquet.write_table(pa.table({"sales": [1.0, 2.0]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"sales", b"s\xeales"))
    with pytest.raises(DataError, match=r"sales\.parquet: expected a CSV or Parquet file: .*can't decode byte"):
        load(path)


def test_damaged_metadata_of_pandas_are_not_used(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(daily()).replace_schema_metadata({"pandas": b'{"columns": [\xff'})
    pa_parquet.write_table(table, tmp_path / "sales.parquet")
    assert load(tmp_path / "sales.parquet")[0].values.size == 30


def daily(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=30), "y": np.arange(30.0), **columns})


@pytest.mark.parametrize(
    ("new", "parts"),
    [
        (daily().rename(columns={"y": "sales"}), ["column 'y'", "'ds', 'sales'"]),
        (daily().rename(columns={"ds": "when"}), ["column 'ds'", "'when', 'y'"]),
        (daily().assign(ds=pd.date_range("2020", periods=30, freq="h")), ["'ds'", "expected steps of 'D'", "'h'"]),
        (daily().assign(ds=pd.date_range("2020", periods=30, freq="MS")), ["expected steps of 'D'", "got 'MS'"]),
        (daily().iloc[:2].assign(ds=["2020-01-01", "2020-01-01 06:00"]), ["row 1", "2020-01-01 06:00:00"]),
        (daily().assign(ds=daily()["ds"].dt.tz_localize("UTC")), ["no time zone", "UTC"]),
        (daily().assign(ds=np.arange(30)), ["row 0", "'ds'"]),
        (daily().assign(y="abc"), ["row 0", "'y'", "'abc'"]),
    ],
)
def test_new_data_that_do_not_fit_the_schema(new: pd.DataFrame, parts: list[str]) -> None:
    _, schema = load(daily())
    with pytest.raises(DataError) as caught:
        load(new, schema=schema)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


def test_a_schema_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"schema\.json: expected a schema"):
        Schema.read(tmp_path / "schema.json")
    with pytest.raises(DataError, match="season"):
        Schema.from_json('{"layout": "wide", "targets": ["y"], "freq": "1", "origin": 0, "horizon": 1}')


@pytest.mark.parametrize(("field", "value"), [("freq", "x"), ("origin", "x"), ("origin", "99999-01-01"), ("tz", "x")])
def test_a_grid_of_a_schema_that_is_none(field: str, value: str) -> None:
    _, schema = load(daily())
    with pytest.raises(DataError, match=f"^schema.json: expected a schema written by tsattn.*{value}"):
        Schema.from_json(schema.model_copy(update={"tz": "UTC", field: value}).to_json())
