"""Any body is answered with a forecast or with an error of one sentence."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.in_process import Client, fit_baseline, make_client, make_forecaster

from tsattn.errors import DataError
from tsattn.serving.request_frames import MAX_DECOMPRESSED_BYTES

STEPS = 60
FRAME = pd.DataFrame(
    {
        "unique_id": np.repeat(["a", "b"], STEPS),
        "ds": [*pd.date_range("2024-01-01", periods=STEPS, freq="D")] * 2,
        "y": np.sin(np.arange(2 * STEPS)).round(3) + 5,
        "heat": np.cos(np.arange(2 * STEPS)).round(3),
        "kind": np.repeat(["x", "z"], STEPS),
    }
)
GOOD = FRAME.to_csv(index=False)
CSV, JSON = {"content-type": "text/csv"}, {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Client:
    """A model with dates, ids and covariates."""
    roles = {"future_covariates": "heat", "static_covariates": "kind", "calendar": "day_of_week"}
    return make_client(make_forecaster(FRAME, **roles))


@pytest.fixture(scope="module")
def plain() -> Client:
    """A model of one series with integer timestamps."""
    return make_client(fit_baseline(pd.DataFrame({"ds": range(100), "y": np.arange(100.0)})))


def refused(client: Client, body: bytes | str, headers: dict[str, str] = CSV, status: int = 400) -> str:
    answer = client.post("/v1/forecast", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    message = answer.json()
    assert list(message) == ["error"] and message["error"] and "\n" not in message["error"]
    return str(message["error"])


def test_messages_name_the_line_or_the_record(client: Client) -> None:
    assert refused(client, GOOD.replace("a,2024-01-05,", "a,2024-01-05,=1+", 1)).startswith(
        "the request: line 6: column 'y': expected a number, got '=1+"
    )
    rows = json.loads(FRAME.to_json(orient="records", date_format="iso"))
    rows[4]["y"] = "many"
    assert refused(client, json.dumps(rows), JSON).startswith(
        "the request: record 5: column 'y': expected a number, got 'many'"
    )
    rows[4]["y"] = None
    rows[7] = rows[6]
    message = refused(client, json.dumps(rows), JSON)
    assert message.endswith("got 2024-01-07T00:00:00.000 in record 7 as well: remove one of the rows")
    message = refused(client, json.dumps({"records": rows[:7], "future": [{"unique_id": "z", "ds": "x"}]}), JSON)
    assert message.startswith('the request: "future"')


BAD_CSV: dict[str, tuple[bytes | str, str]] = {
    "nothing": ("", "empty body"),
    "blanks": (" \n\n ", "empty body"),
    "header alone": ("unique_id,ds,y\n", "no rows"),
    "ids alone": ("unique_id\na\nb\n", "expected a column 'ds'"),
    "no header": ("2024-01-01,1\n2024-01-02,2\n", "expected a header"),
    "a name twice": ("ds,ds,y\n1,2,3\n", "twice"),
    "rows of other lengths": ("unique_id,ds,y\na,2024-01-01,1,2\n", "expected 3 cells"),
    "year 9999999": (GOOD.replace("2024-01-05", "9999999-01-05", 1), "expected a date"),
    "year 9999": (GOOD.replace("2024-01-05", "9999-01-05", 1), "correct the timestamp"),
    "year 1": (GOOD.replace("2024-01-05", "0001-01-05", 1), "the request"),
    "no date": (GOOD.replace("2024-01-05", "yesterday", 1), "expected a date"),
    "between two days": (GOOD.replace("2024-01-05", "2024-01-05 07:00", 1), "is between two of them"),
    "no id": (GOOD.replace("a,2024-01-05", ",2024-01-05", 1), "expected the id"),
    "an endless number": (GOOD.replace("5.0,", "9" * 5000 + ",", 1), "expected a finite number"),
    "infinity": (GOOD.replace("5.0,", "inf,", 1), "expected a finite number"),
    "1e300": (GOOD.replace("5.0,", "1e300,", 1), "expected a number"),
    "two values of a static covariate": (GOOD.replace(",x\n", ",z\n", 1), "expected one value"),
    "hours": ("ds,y,heat,kind\n" + "".join(f"2024-01-01 {i:02d}:00,1,1,x\n" for i in range(9)), "expected steps of"),
    "bytes": (bytes(range(256)), "expected a CSV"),
    "an open quote": ('unique_id,ds,y\n"a,2024-01-01,1\n' * 3, "the request"),
    "a path": ("/etc/passwd", "the request"),
    "a pattern of paths": ("*.csv", "the request"),
    "standard input": ("-", "the request"),
    "an address": ("https://127.0.0.1/data.csv\n", "the request"),
    "too many columns": (",".join(f"c{i}" for i in range(10_001)) + "\n", "10,000 columns"),
    "a long first line": ("x" * 300_000, "the request"),
    "a long cell": ('"' + "x" * 200_000 + '",ds,y\n1,2,3\n', "the request"),
    "half of a gzip file": (gzip.compress(GOOD.encode())[:-20], "truncated"),
    "the head of a gzip file": (b"\x1f\x8b", "truncated"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(client: Client, case: str) -> None:
    body, expected = BAD_CSV[case]
    assert expected in refused(client, body)


ROW = {"unique_id": "a", "ds": "2024-01-01", "y": 1, "heat": 2, "kind": "x"}
BAD_JSON: dict[str, tuple[str, str]] = {
    "half": ("[{", "expected a JSON body"),
    "a number": ("7", "expected a list of records"),
    "a path": ('"/etc/passwd"', "expected a list of records"),
    "records that are a path": ('{"records": "/etc/passwd"}', "expected a list of records"),
    "a future that is a path": (json.dumps({"records": [ROW], "future": "/etc/passwd"}), "expected a list of records"),
    "no records": ("[]", "an empty list"),
    "an empty future": (json.dumps({"records": [ROW], "future": []}), "an empty list"),
    "other keys": (json.dumps({"records": [ROW], "futur": [ROW]}), "'futur'"),
    "without records": ('{"instances": [1]}', "'instances'"),
    "a version in words": (json.dumps({"records": [ROW], "version": "1"}), "expected an integer"),
    "a version that is true": (json.dumps({"records": [ROW], "version": True}), "expected an integer"),
    "no objects": ("[1, 2]", "record 1: expected an object"),
    "some objects": (json.dumps([ROW, None]), "record 2: expected an object"),
    "lists for values": (json.dumps([ROW, {**ROW, "y": [1]}]), "record 2: 'y': expected a string or a number"),
    "objects for values": (json.dumps([{**ROW, "ds": {}}]), "record 1: 'ds': expected a string or a number"),
    "empty objects": ("[{}, {}]", "got empty ones"),
    "huge numbers": (json.dumps([{**ROW, "y": 10**30}]), "up to 64 bits"),
    "more digits than Python reads": ('[{"y": %s}]' % ("1" * 5000), "too many digits"),
    "infinity": ('[{"unique_id": "a", "ds": "2024-01-01", "heat": 1, "y": Infinity}]', "expected a finite number"),
    "nested deeply": ("[" * 100_000, "nested too deeply"),
    "a key twice": ('[{"y": 1, "y": 2}]', "twice"),
    "half a pair": ('[{"unique_id": "\\ud800", "ds": "2024-01-01", "y": 1}]', "surrogate"),
    "half a pair in a name": ('[{"\\ud800": 1}]', "surrogate"),
    "true for a date": (json.dumps([{**ROW, "ds": True}]), "expected a date"),
    "dates of two kinds": (json.dumps([ROW, {**ROW, "ds": 1.5}]), "expected a date"),
    "a date beyond all": (json.dumps([{**ROW, "ds": "9999999-01-01"}]), "expected a date"),
    "a date below all": (json.dumps([{**ROW, "ds": -(2**62)}]), "expected"),
    "another time zone": (json.dumps([{**ROW, "ds": "2024-01-01T00:00:00Z"}]), "expected timestamps with no time zone"),
    "an offset too far": (json.dumps([{**ROW, "ds": "2024-01-01T00:00:00+99:99"}]), "expected"),
    "no text at all": ("\ud7ff", "expected"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json(client: Client, case: str) -> None:
    body, expected = BAD_JSON[case]
    assert expected in refused(client, body, JSON)


def test_unsupported_types(client: Client) -> None:
    for kind in ("image/png", "multipart/form-data; boundary=x", "application/xml", "x"):
        assert "text/csv or application/json" in refused(client, GOOD, {"content-type": kind}, 415)
    assert "gzip" in refused(client, GOOD, {**CSV, "content-encoding": "br"}, 415)
    assert "Parquet" in refused(client, b"PAR1" + b"\0" * 99, CSV, 415)


def test_too_large_requests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"0" * (MAX_DECOMPRESSED_BYTES + 1))
    assert len(bomb) < 100_000 and "in a compressed body" in refused(client, bomb, CSV, 413)
    # Few bytes of records with different names would be a table with many cells.
    names = json.dumps([{f"c{i}": 1} for i in range(4000)])
    assert "cells" in refused(client, names, JSON, 413)
    monkeypatch.setattr("tsattn.serving.forecast_api.MAX_FORECAST_ROWS", 3)
    assert "rows of forecast" in refused(client, GOOD, CSV, 413)


def test_no_path_of_a_request_reaches_the_file_system(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.write_text(GOOD)
    for body in (str(path), f"{tmp_path}/*.csv", str(tmp_path), f"{path}\n{path}\n", "-"):
        for headers in (CSV, JSON, {"content-type": "text/plain"}):
            assert client.post("/v1/forecast", content=body, headers=headers).status_code == 400
    for body in (str(path), {"records": str(path)}, {"records": [str(path)]}, {"records": [ROW], "future": str(path)}):
        assert client.post("/v1/forecast", json=body).status_code == 400
    for name in (
        "../forecast_api.py",
        "%2e%2e/forecast_api.py",
        "..%2fforecast_api.py",
        "index.html",
        "//etc/passwd",
        "page.js/../../forecast_api.py",
    ):
        assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (
            ["correct the timestamp", "set another {freq}", "aggregate with {resample}"],
            "a: b, c: correct the timestamp",
        ),
        (["set {target}"], "a: b, c"),
        (["add a time column", "name it with {time}"], "a: b, c: add a time column"),
        (["correct the timestamp", "drop the row"], "a: b, c: correct the timestamp or drop the row"),
    ],
)
def test_messages_leave_out_hints_that_name_options(
    client: Client, monkeypatch: pytest.MonkeyPatch, hints: list[str], expected: str
) -> None:
    def fail(*_: object) -> None:
        raise DataError("a: b, c", *hints)

    monkeypatch.setattr("tsattn.serving.forecast_api.read_request", fail)
    assert refused(client, GOOD) == expected


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["2024-01-01", "2024-01-02T00:00:00Z", "1", "NaN", "1e400", "=A1", "0x1", "007", "true", "1,5", '"']
    ),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
)
NAMES = st.sampled_from(["unique_id", "ds", "y", "heat", "kind", "V1", "", " y", "file", "month"]) | st.text(max_size=4)
DAYS = st.dates().map(str)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Lines of text similar to CSV."""
    sign = draw(st.sampled_from([",", ";", "\t", "|"]))
    names = draw(st.lists(NAMES, min_size=1, max_size=6))
    rows = draw(st.lists(st.lists(CELLS | DAYS, min_size=len(names), max_size=len(names)), max_size=6))
    lines = [sign.join("" if cell is None else str(cell) for cell in row) for row in [names, *rows]]
    text = draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(lines)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-16", "cp1252"])), "replace")


MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def answered(client: Client, caplog: pytest.LogCaptureFixture, body: bytes, headers: dict[str, str]) -> None:
    """Check that the response is a forecast or an error, and that the error does not hide an unexpected exception."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tsattn.serving"):
        answer = client.post("/v1/forecast", content=body, headers=headers)
    # TensorFlow logs as well.
    assert not [record for record in caplog.records if record.name == "tsattn.serving"], caplog.text
    if answer.status_code == 200:
        assert answer.content
        return
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]


@MANY
@given(body=tables())
def test_any_table(client: Client, plain: Client, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    for one in (client, plain):
        answered(one, caplog, body, CSV)


@MANY
@given(body=st.binary(max_size=200))
def test_any_bytes(client: Client, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    for headers in (CSV, JSON, {}):
        answered(client, caplog, body, headers)


@MANY
@given(
    rows=st.lists(
        st.dictionaries(NAMES, CELLS | DAYS, max_size=5)
        | st.fixed_dictionaries({"ds": DAYS | CELLS, "y": CELLS, "heat": CELLS}, optional={"unique_id": CELLS}),
        max_size=5,
    ),
    ahead=st.none() | st.lists(st.dictionaries(NAMES, CELLS | DAYS, max_size=4), max_size=3),
)
def test_any_records(
    client: Client, plain: Client, caplog: pytest.LogCaptureFixture, rows: list[Any], ahead: list[Any] | None
) -> None:
    body = json.dumps({"records": rows, "future": ahead}).encode()
    for one in (client, plain):
        answered(one, caplog, body, JSON)


@MANY
@given(place=st.integers(0, len(GOOD) - 1), length=st.integers(0, 12), other=st.text(max_size=8))
def test_any_change_of_valid_data(
    client: Client, caplog: pytest.LogCaptureFixture, place: int, length: int, other: str
) -> None:
    answered(client, caplog, (GOOD[:place] + other + GOOD[place + length :]).encode("utf-8", "replace"), CSV)
