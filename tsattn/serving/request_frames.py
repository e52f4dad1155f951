"""Frames of requests, which may name their columns ``unique_id, ds, y``, read by the schema of a model."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import quote_list
from tsattn.data.columns import is_date, is_number, is_whole
from tsattn.data.files import read_bytes
from tsattn.data.loader import load_table
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import FILE, Origin, Table, unpivot_months
from tsattn.data.timestamps import detect_number_format, is_joint, parse
from tsattn.errors import DataError
from tsattn.export.metadata import ModelMetadata
from tsattn.serving.errors import TOO_LARGE, UNSUPPORTED, ServingError, bad_request, quote_value
from tsattn.serving.http import read_json
from tsattn.timeseries.panel import Panel, missing_future_covariates
from tsattn.timeseries.schema import Schema

ID, TIME, VALUE = "unique_id", "ds", "y"
"""What columns may be called whatever they are called in the schema, as answers call them."""

Updates = dict[str, Any]


@dataclass(frozen=True)
class RequestPanel:
    """The series of a request.

    Args:
        panel: the series, with what is known ahead behind them.
        notes: what is missing, and what stands in for it, a sentence each.
    """

    panel: Panel
    notes: tuple[str, ...]


def uses_covariates(description: ModelMetadata) -> bool:
    """Tell whether a model takes covariates; a baseline that was kept has no use for those of its schema."""
    return bool(description.past_covariates or description.static or description.needs_last_time)


def read_series(given: ParsedRequest, description: ModelMetadata) -> RequestPanel:
    """Return the series of a request as `tsattn.Forecaster.predict` would read them.

    Raises:
        DataError: the data do not have the form that was fitted.
    """
    schema, needed = description.data_schema, uses_covariates(description)
    table, schema, notes = match_columns(given.history, schema)
    if needed:
        frame, unknown = _with_static(table.frame, schema)
        table = table.with_frame(frame)
        notes += unknown
    panel, _ = load_table(table, schema, covariates=needed)
    if given.future is not None:
        if needed or not schema.future_covariates:
            ahead, alike, _ = match_columns(given.future, description.data_schema.model_copy(update={"targets": ()}))
            panel = add_future_covariates(panel, ahead, alike)
        else:
            notes.append('"future" is not used: the model that was kept is a baseline without covariates')
    missing = needed and missing_future_covariates(panel, description.future_covariates, description.horizon)
    return RequestPanel(panel, tuple([*notes, f"{missing}; means of the training data replace them"] if missing else notes))


def match_columns(table: Table, schema: Schema) -> tuple[Table, Schema, list[str]]:
    """Return a table and the schema that fit each other, and notes on what is not used.

    Where columns of the schema are missing, `ID`, `TIME` and `VALUE` take the part of its ids, its stamps and its one
    target. Data without an id are one series. Stamps may be ISO dates though those of the schema were not.
    """
    frame, origin = table.frame, table.origin
    notes: list[str] = []
    schema = schema.model_copy(update=_layout(table, schema))
    schema = schema.model_copy(update=_time(frame, schema, notes))
    if _is_melted(frame, schema):
        frame, origin = _channels_apart(frame, schema), Origin(REQUEST)
    schema = schema.model_copy(update=_id(frame, schema))
    if len(schema.targets) == 1 and _stands_in(VALUE, schema.targets, frame, schema):
        frame = frame.rename(columns={VALUE: schema.targets[0]})
    return Table(_in_zone(frame, schema), origin), schema, notes


def _stands_in(plain: str, wanted: Iterable[str], frame: pd.DataFrame, schema: Schema) -> bool:
    """Tell whether a plain name is there for columns that are not, and is none of the schema itself."""
    used = (*schema.time, *schema.id, *schema.targets, *schema.covariates, *schema.static_covariates)
    return plain in frame.columns and plain not in used and not any(name in frame.columns for name in wanted)


def _layout(table: Table, schema: Schema) -> Updates:
    """Return changes that read a row a stamp where the schema has a row a series or a year."""
    if schema.layout == "rows" and VALUE in table:
        return {"layout": "long"}
    if schema.layout == "months" and VALUE in table and unpivot_months(table) is None:
        return {"layout": "long"}
    return {}


def _time(frame: pd.DataFrame, schema: Schema, notes: list[str]) -> Updates:
    """Return changes to where the stamps stand and to their form."""
    if schema.layout in ("rows", "months"):
        return {}
    if not schema.time:
        if not _stands_in(TIME, (), frame, schema):
            return {}
        if is_whole(frame[TIME]) and frame[TIME].notna().all():
            return {"time": (TIME,), "time_format": "integer"}
        notes.append(f"'{TIME}' is not used: the model knows steps and no stamps, and rows are taken in their order")
        return {}
    if _stands_in(TIME, schema.time, frame, schema):
        return {"time": (TIME,), "time_format": _form(frame[TIME], schema)}
    if len(schema.time) == 1 and schema.time[0] in frame.columns:
        return {"time_format": _form(frame[schema.time[0]], schema)}
    return {}


def _form(column: pd.Series[Any], schema: Schema) -> str:
    """Return the form of stamps: that of the schema, or where they do not have it and are ISO dates, that."""
    form = "integer" if not schema.grid.has_dates else schema.time_format
    if form in ("integer", "date") or not len(column):
        return form
    if is_date(column):
        return "date"
    if is_joint(form):
        number = detect_number_format(column) if is_number(column) else "date"
        return "%Y" if number == "integer" else number
    if not is_number(column) and parse(column, form)[1].all() and not parse(column, "date")[1].any():
        return "date"
    return form


def _id(frame: pd.DataFrame, schema: Schema) -> Updates:
    """Return changes to where the ids stand."""
    ids = tuple(name for name in schema.id if name != FILE or name in frame.columns)
    if any(name in frame.columns for name in ids):
        return {"id": ids}
    if _stands_in(ID, ids, frame, schema):
        return {"id": (ID,)}
    # Rows without an id cannot be told apart, so that there has to be one alone.
    return {} if schema.layout == "rows" and len(frame) > 1 else {"id": ()}


def _is_melted(frame: pd.DataFrame, schema: Schema) -> bool:
    """Tell whether the channels of wide data stand below one another, as answers have them."""
    return (
        schema.layout == "wide"
        and len(schema.targets) > 1
        and not schema.covariates
        and len(schema.time) == 1
        and schema.time[0] in frame.columns
        and all(_stands_in(name, schema.targets, frame, schema) for name in (ID, VALUE))
    )


def _channels_apart(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a row a stamp with a column a channel."""
    names = frame[ID].astype("str")
    found = list(names.dropna().unique())
    if sorted(found) != sorted(schema.targets):
        raise DataError(
            f"{REQUEST}: column '{ID}': expected the channels {quote_list(schema.targets)}, which the model forecasts "
            f"together, got {quote_list(found)}"
        )
    twice = pd.DataFrame({ID: names, TIME: frame[schema.time[0]].astype("str")}).duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(
            f"{REQUEST}: column '{schema.time[0]}': expected each stamp of channel '{names.iloc[row]}' once, but "
            f"{frame[schema.time[0]].iloc[row]} stands there twice: keep one of them"
        )
    wide = frame.assign(**{ID: names}).pivot(index=schema.time[0], columns=ID, values=VALUE).reset_index()
    return wide.rename_axis(columns=None)


def _in_zone(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a frame whose stamps are in the time zone of the schema; text holds offsets from UTC at most."""
    if schema.tz is None or len(schema.time) != 1 or schema.time[0] not in frame.columns:
        return frame
    stamps, bad = parse(frame[schema.time[0]], schema.time_format)
    if bad.any() or not isinstance(stamps, pd.DatetimeIndex) or stamps.tz is None:
        return frame
    return frame.assign(**{schema.time[0]: pd.Series(stamps.tz_convert(schema.tz), index=frame.index)})


def _with_static(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with the static covariates that it lacks, all unknown, and a note on them."""
    absent = [name for name in schema.static_covariates if name not in frame.columns]
    if not absent:
        return frame, []
    unknown = {
        name: pd.Series(None, index=frame.index, dtype="str" if name in schema.categories else "float64")
        for name in absent
    }
    return frame.assign(**unknown), [f"{quote_list(absent)}: not given, and taken as unknown"]


REQUEST = "the request"
"""How messages name the data of a request."""

MAX_DECOMPRESSED_BYTES = 64 << 20
"""Longest text that a compressed body may hold."""

MAX_COLUMNS = 10_000
MAX_CELLS = 4_000_000

_JSON = re.compile(r"(application|text)/([\w.-]+\+)?json")
_CSV = ("text/csv", "application/csv", "text/tab-separated-values", "application/vnd.ms-excel")
_GZIP = ("application/gzip", "application/x-gzip")
_ANY = ("", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", *_GZIP)
"""Types that programs send without having looked, curl's among them."""

_KEYS = ("records", "future", "version")


@dataclass(frozen=True)
class ParsedRequest:
    """What a request holds.

    Args:
        history: the rows of the series.
        future: rows of what is known ahead, where they stand apart.
        version: of the model, where the body names one.
        json: whether it came as JSON.
    """

    history: Table
    future: Table | None = None
    version: int | None = None
    json: bool = False


def read_request(body: bytes, content_type: str, encoding: str) -> ParsedRequest:
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
            f"expected text/csv or application/json, got {quote_value(kind)}: send the CSV or JSON itself as the body",
        )
    body = _unpacked(body, encoding.strip().lower())
    text = body.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise bad_request("expected rows as CSV or JSON records, got an empty body")
    if _JSON.fullmatch(kind) or (kind in _ANY and text.lstrip()[:1] in (b"[", b"{")):
        return _from_json(text)
    return ParsedRequest(_from_csv(body))


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression."""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ServingError(UNSUPPORTED, f"expected a body as it is or compressed by gzip, got {quote_value(encoding)}")
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            text = file.read(MAX_DECOMPRESSED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise bad_request("expected a body compressed by gzip, got one that is cut off or damaged") from None
    if len(text) > MAX_DECOMPRESSED_BYTES:
        raise ServingError(TOO_LARGE, f"expected at most {MAX_DECOMPRESSED_BYTES:,} bytes within a compressed body, got more")
    return text


def _from_csv(body: bytes) -> Table:
    if body.startswith(b"PAR1"):
        raise ServingError(UNSUPPORTED, "expected CSV or JSON records, got Parquet: save it as CSV")
    header = re.match(rb"[^\r\n]*", body.lstrip(b"\r\n"))
    signs = max(header[0].count(sign) for sign in (b",", b";", b"\t", b"|")) if header else 0
    if signs >= MAX_COLUMNS:
        raise DataError(f"{REQUEST}: line 1: expected at most {MAX_COLUMNS:,} columns, got more")
    table = read_bytes(body, REQUEST)
    _check_size(len(table), len(table.columns))
    return table


def _check_size(rows: int, columns: int) -> None:
    if columns > MAX_COLUMNS or rows * columns > MAX_CELLS:
        raise ServingError(
            TOO_LARGE,
            f"expected at most {MAX_COLUMNS:,} columns and {MAX_CELLS:,} cells, got {columns:,} columns in {rows:,} "
            "rows: send the series in several requests",
        )


def _from_json(text: bytes) -> ParsedRequest:
    given = read_json(text)
    if isinstance(given, list):
        return ParsedRequest(_records(given, "records"), json=True)
    if not isinstance(given, dict) or "records" not in given:
        came = f"the keys {', '.join(map(quote_value, list(given)[:5]))}" if isinstance(given, dict) else quote_value(given)
        raise bad_request(f'expected a list of records, or {{"records": [...]}}, got {came}')
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise bad_request(f"expected the keys {', '.join(_KEYS)}, got {quote_value(unknown[0])}")
    version = given.get("version")
    if version is not None and (type(version) is not int or version < 0):
        raise bad_request(f'"version": expected a whole number, got {quote_value(version)}')
    future = given.get("future")
    ahead = None if future is None else _records(future, "future")
    return ParsedRequest(_records(given["records"], "records"), ahead, version, json=True)


def _records(records: Any, key: str) -> Table:
    """Return records as a table whose index counts them from 1; what a record lacks is missing."""
    if not isinstance(records, list) or not records:
        came = "an empty list" if records == [] else quote_value(records)
        raise bad_request(f'"{key}": expected a list of records such as {{"ds": "2020-12-31", "y": 1.5}}, got {came}')
    names: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if type(record) is not dict:
            raise bad_request(f'"{key}": record {number}: expected an object of names and values, got {quote_value(record)}')
        names.update(dict.fromkeys(record))
        if len(names) > MAX_COLUMNS:
            break
    if not names:
        raise bad_request(f'"{key}": expected objects of names and values, got empty ones')
    _check_size(len(records), len(names))
    columns = {name: [record.get(name) for record in records] for name in names}
    for name, cells in columns.items():
        _check_cells(name, cells, key)
    frame = pd.DataFrame(columns, index=range(1, len(records) + 1))
    origin = Origin(REQUEST, "record") if key == "records" else Origin(f'{REQUEST}: "{key}"', f'"{key}" record')
    return Table(frame, origin)


def _check_cells(name: str, cells: list[Any], key: str) -> None:
    """Raise where a cell is no text, number, bool or null, or is one that no frame can hold."""
    kinds = set(map(type, cells))
    wrong = kinds - {str, int, float, bool, type(None)}
    if wrong:
        row, cell = next((row, cell) for row, cell in enumerate(cells, start=1) if type(cell) in wrong)
        raise bad_request(f'"{key}": record {row}: {quote_value(name)}: expected a text or a number, got {quote_value(cell)}')
    for row, cell in enumerate(cells, start=1) if int in kinds else ():
        if type(cell) is int and abs(cell) >= 2**63:
            raise bad_request(
                f'"{key}": record {row}: {quote_value(name)}: expected a whole number of up to 64 bits, got {quote_value(cell)}: '
                "write an id as text"
            )
    try:
        # A half of a surrogate pair can be escaped in JSON, and is no text.
        "".join([name, *(cell for cell in cells if type(cell) is str)]).encode()
    except UnicodeEncodeError:
        raise bad_request(f'"{key}": {quote_value(name)}: expected text in Unicode, got half a surrogate pair') from None
