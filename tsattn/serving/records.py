"""Bodies of requests as frames: CSV, or JSON records. They are data, and never the name of a file."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pandas as pd

from tsattn.data.place import UNIT
from tsattn.data.read import read_bytes
from tsattn.errors import DataError
from tsattn.serving.errors import TOO_LARGE, UNSUPPORTED, ServingError, bad_request, shown
from tsattn.serving.json_text import read_json

REQUEST = "the request"
"""How messages name the data of a request."""

MOST_BYTES = 64 << 20
"""Longest text that a compressed body may hold."""

MOST_COLUMNS = 10_000
MOST_CELLS = 4_000_000

_JSON = re.compile(r"(application|text)/([\w.-]+\+)?json")
_CSV = ("text/csv", "application/csv", "text/tab-separated-values", "application/vnd.ms-excel")
_GZIP = ("application/gzip", "application/x-gzip")
_ANY = ("", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", *_GZIP)
"""Types that programs send without having looked, curl's among them."""

_KEYS = ("records", "future", "version")


@dataclass(frozen=True)
class Given:
    """What a request holds.

    Args:
        history: the rows of the series.
        future: rows of what is known ahead, where they stand apart.
        version: of the model, where the body names one.
        json: whether it came as JSON.
    """

    history: pd.DataFrame
    future: pd.DataFrame | None = None
    version: int | None = None
    json: bool = False


def read_request(body: bytes, content_type: str, encoding: str) -> Given:
    """Return what a body of CSV or JSON records holds.

    Args:
        body: as it came; also compressed by gzip.
        content_type: the header; where it says nothing the body tells.
        encoding: the header ``Content-Encoding``.

    Raises:
        ServingError: it is neither, or too large.
        DataError: the CSV cannot be read.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not (_JSON.fullmatch(kind) or kind in _CSV or kind in _ANY):
        raise ServingError(
            UNSUPPORTED,
            f"expected text/csv or application/json, got {shown(kind)}: send the CSV or JSON itself as the body",
        )
    body = _unpacked(body, encoding.strip().lower())
    text = body.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise bad_request("expected rows as CSV or JSON records, got an empty body")
    if _JSON.fullmatch(kind) or (kind in _ANY and text.lstrip()[:1] in (b"[", b"{")):
        return _from_json(text)
    return Given(_from_csv(body))


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression."""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ServingError(UNSUPPORTED, f"expected a body as it is or compressed by gzip, got {shown(encoding)}")
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise bad_request("expected a body compressed by gzip, got one that is cut off or damaged") from None
    if len(text) > MOST_BYTES:
        raise ServingError(TOO_LARGE, f"expected at most {MOST_BYTES:,} bytes within a compressed body, got more")
    return text


def _from_csv(body: bytes) -> pd.DataFrame:
    if body.startswith(b"PAR1"):
        raise ServingError(UNSUPPORTED, "expected CSV or JSON records, got Parquet: save it as CSV")
    header = re.match(rb"[^\r\n]*", body.lstrip(b"\r\n"))
    signs = max(header[0].count(sign) for sign in (b",", b";", b"\t", b"|")) if header else 0
    if signs >= MOST_COLUMNS:
        raise DataError(f"{REQUEST}: line 1: expected at most {MOST_COLUMNS:,} columns, got more")
    try:
        frame = read_bytes(body, REQUEST)
    except csv.Error as error:
        raise DataError(f"{REQUEST}: line 1: expected a header with a name for each column: {error}") from None
    _check_size(len(frame), len(frame.columns))
    return frame


def _check_size(rows: int, columns: int) -> None:
    if columns > MOST_COLUMNS or rows * columns > MOST_CELLS:
        raise ServingError(
            TOO_LARGE,
            f"expected at most {MOST_COLUMNS:,} columns and {MOST_CELLS:,} cells, got {columns:,} columns in {rows:,} "
            "rows: send the series in several requests",
        )


def _from_json(text: bytes) -> Given:
    given = read_json(text)
    if isinstance(given, list):
        return Given(_records(given, "records"), json=True)
    if not isinstance(given, dict) or "records" not in given:
        came = f"the keys {', '.join(map(shown, list(given)[:5]))}" if isinstance(given, dict) else shown(given)
        raise bad_request(f'expected a list of records, or {{"records": [...]}}, got {came}')
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise bad_request(f"expected the keys {', '.join(_KEYS)}, got {shown(unknown[0])}")
    version = given.get("version")
    if version is not None and (type(version) is not int or version < 0):
        raise bad_request(f'"version": expected a whole number, got {shown(version)}')
    future = given.get("future")
    ahead = None if future is None else _records(future, "future")
    return Given(_records(given["records"], "records"), ahead, version, json=True)


def _records(records: Any, key: str) -> pd.DataFrame:
    """Return records as a frame whose index counts them from 1; what a record lacks is missing."""
    if not isinstance(records, list) or not records:
        came = "an empty list" if records == [] else shown(records)
        raise bad_request(f'"{key}": expected a list of records such as {{"ds": "2020-12-31", "y": 1.5}}, got {came}')
    names: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if type(record) is not dict:
            raise bad_request(f'"{key}": record {number}: expected an object of names and values, got {shown(record)}')
        names.update(dict.fromkeys(record))
        if len(names) > MOST_COLUMNS:
            break
    if not names:
        raise bad_request(f'"{key}": expected objects of names and values, got empty ones')
    _check_size(len(records), len(names))
    columns = {name: [record.get(name) for record in records] for name in names}
    for name, cells in columns.items():
        _check_cells(name, cells, key)
    frame = pd.DataFrame(columns, index=range(1, len(records) + 1))
    frame.attrs[UNIT] = "record" if key == "records" else f'"{key}" record'
    return frame


def _check_cells(name: str, cells: list[Any], key: str) -> None:
    """Raise where a cell is no text, number, bool or null, or is one that no frame can hold."""
    kinds = set(map(type, cells))
    wrong = kinds - {str, int, float, bool, type(None)}
    if wrong:
        row, cell = next((row, cell) for row, cell in enumerate(cells, start=1) if type(cell) in wrong)
        raise bad_request(f'"{key}": record {row}: {shown(name)}: expected a text or a number, got {shown(cell)}')
    for row, cell in enumerate(cells, start=1) if int in kinds else ():
        if type(cell) is int and abs(cell) >= 2**63:
            raise bad_request(
                f'"{key}": record {row}: {shown(name)}: expected a whole number of up to 64 bits, got {shown(cell)}: '
                "write an id as text"
            )
    try:
        # A half of a surrogate pair can be escaped in JSON, and is no text.
        "".join([name, *(cell for cell in cells if type(cell) is str)]).encode()
    except UnicodeEncodeError:
        raise bad_request(f'"{key}": {shown(name)}: expected text in Unicode, got half a surrogate pair') from None
