"""Parsing of forecast requests: CSV or JSON records to tables, and tables to series by the schema of a model."""

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
from tsattn.data.columns import is_whole, kind_of
from tsattn.data.files import read_bytes
from tsattn.data.loader import load_table
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import FILE, Origin, Table
from tsattn.data.time_numbers import detect_number_format
from tsattn.data.timestamps import is_joint, parse
from tsattn.data.unpivot import unpivot
from tsattn.errors import DataError
from tsattn.export.metadata import ModelMetadata
from tsattn.serving.errors import TOO_LARGE, UNSUPPORTED, ServingError, bad_request, quote_value
from tsattn.serving.http import read_json
from tsattn.timeseries.panel import Panel, missing_future_covariates
from tsattn.timeseries.schema import Schema

ID, TIME, VALUE = "unique_id", "ds", "y"
"""Standard column names, which requests may use instead of those of the schema, and responses always use."""

Updates = dict[str, Any]


@dataclass(frozen=True)
class RequestPanel:
    """The series of a request.

    Args:
        panel: The series with their future covariates.
        notes: One sentence for each column that is missing or not used.
    """

    panel: Panel
    notes: tuple[str, ...]


def uses_covariates(metadata: ModelMetadata) -> bool:
    """Return whether a model uses covariates; a baseline ignores those of its schema."""
    return bool(metadata.past_covariates or metadata.static or metadata.needs_last_time)


def read_series(request: ParsedRequest, metadata: ModelMetadata) -> RequestPanel:
    """Return the series of a request as `tsattn.Forecaster.predict` reads them.

    Raises:
        DataError: The data do not match the schema of the model.
    """
    schema, needs_covariates = metadata.data_schema, uses_covariates(metadata)
    table, schema, notes = match_columns(request.history, schema)
    if needs_covariates:
        frame, missing_static = _add_missing_static(table.frame, schema)
        table = table.with_frame(frame)
        notes += missing_static
    panel, _ = load_table(table, schema, covariates=needs_covariates)
    notes += [str(note.to_warning()) for note in table.origin.notes]
    if request.future is not None:
        if needs_covariates or not schema.future_covariates:
            no_targets = metadata.data_schema.model_copy(update={"targets": ()})
            future, future_schema, _ = match_columns(request.future, no_targets)
            panel = add_future_covariates(panel, future, future_schema)
        else:
            notes.append('"future" is not used: the model is a baseline without covariates')
    missing = needs_covariates and missing_future_covariates(
        panel, metadata.data_schema, metadata.future_covariates, metadata.horizon
    )
    return RequestPanel(
        panel, tuple([*notes, f"{missing}; means of the training data replace them"] if missing else notes)
    )


def match_columns(table: Table, schema: Schema) -> tuple[Table, Schema, list[str]]:
    """Return a table and a schema that match each other, and notes on columns that are not used.

    If columns of the schema are missing, `ID`, `TIME` and `VALUE` replace its ids, its timestamps and its single
    target. Data without an id are one series. Timestamps may be ISO dates instead of the format of the schema.
    """
    frame, origin = table.frame, table.origin
    notes: list[str] = []
    schema = schema.model_copy(update=_match_layout(table, schema))
    schema = schema.model_copy(update=_match_time(frame, schema, notes))
    if _is_melted(frame, schema):
        frame, origin = _pivot_channels(frame, schema), Origin(REQUEST)
    schema = schema.model_copy(update=_match_id(frame, schema))
    if len(schema.targets) == 1 and _replaces(VALUE, schema.targets, frame, schema):
        frame = frame.rename(columns={VALUE: schema.targets[0]})
    return Table(_convert_timezone(frame, schema), origin), schema, notes


def _replaces(standard_name: str, names: Iterable[str], frame: pd.DataFrame, schema: Schema) -> bool:
    """Return whether a standard name is present instead of columns of the schema, and not used by the schema itself."""
    used = (*schema.time, *schema.id, *schema.targets, *schema.covariates, *schema.static_covariates)
    columns = frame.columns
    return standard_name in columns and standard_name not in used and not any(name in columns for name in names)


def _match_layout(table: Table, schema: Schema) -> Updates:
    """Return the layout "long" for one row per timestamp where the schema has one row per series or year."""
    if schema.layout == "rows" and VALUE in table:
        return {"layout": "long"}
    if schema.layout in ("months", "columns") and VALUE in table and unpivot(table) is None:
        return {"layout": "long"}
    return {}


def _match_time(frame: pd.DataFrame, schema: Schema, notes: list[str]) -> Updates:
    """Return the time columns and their format if they differ from those of the schema."""
    if schema.layout in ("rows", "months", "columns"):
        return {}
    if not schema.time:
        if not _replaces(TIME, (), frame, schema):
            return {}
        if is_whole(frame[TIME]) and frame[TIME].notna().all():
            return {"time": (TIME,), "time_format": "integer"}
        notes.append(f"'{TIME}' is not used: the model was fitted without timestamps, so rows keep their order")
        return {}
    if _replaces(TIME, schema.time, frame, schema):
        return {"time": (TIME,), "time_format": _match_time_format(frame[TIME], schema)}
    if len(schema.time) == 1 and schema.time[0] in frame.columns:
        return {"time_format": _match_time_format(frame[schema.time[0]], schema)}
    return {}


def _match_time_format(column: pd.Series[Any], schema: Schema) -> str:
    """Return the time format of the schema, or "date" if the values are ISO dates instead."""
    time_format = "integer" if not schema.grid.has_dates else schema.time_format
    if time_format in ("integer", "date") or not len(column):
        return time_format
    if kind_of(column) == "date":
        return "date"
    if is_joint(time_format):
        number = detect_number_format(column) if kind_of(column) == "number" else "date"
        return "%Y" if number == "integer" else number
    if kind_of(column) != "number" and parse(column, time_format)[1].all() and not parse(column, "date")[1].any():
        return "date"
    return time_format


def _match_id(frame: pd.DataFrame, schema: Schema) -> Updates:
    """Return the id columns."""
    ids = tuple(name for name in schema.id if name != FILE or name in frame.columns)
    if any(name in frame.columns for name in ids):
        return {"id": ids}
    if _replaces(ID, ids, frame, schema):
        return {"id": (ID,)}
    # One row per series without an id is valid only for a single series.
    return {} if schema.layout == "rows" and len(frame) > 1 else {"id": ()}


def _is_melted(frame: pd.DataFrame, schema: Schema) -> bool:
    """Return whether the channels of wide data are in long format, as in responses."""
    return (
        schema.layout == "wide"
        and len(schema.targets) > 1
        and not schema.covariates
        and len(schema.time) == 1
        and schema.time[0] in frame.columns
        and all(_replaces(name, schema.targets, frame, schema) for name in (ID, VALUE))
    )


def _pivot_channels(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return one row per timestamp with one column per channel."""
    names = frame[ID].astype("str")
    found = list(names.dropna().unique())
    if sorted(found) != sorted(schema.targets):
        raise DataError(
            f"{REQUEST}: column '{ID}': expected the channels {quote_list(schema.targets)}, which the model forecasts "
            f"together, got {quote_list(found)}"
        )
    duplicated = pd.DataFrame({ID: names, TIME: frame[schema.time[0]].astype("str")}).duplicated()
    if duplicated.any():
        row = int(np.argmax(duplicated))
        raise DataError(
            f"{REQUEST}: column '{schema.time[0]}': expected unique timestamps in channel '{names.iloc[row]}', got "
            f"{frame[schema.time[0]].iloc[row]} twice",
            "remove one of the rows",
        )
    wide = frame.assign(**{ID: names}).pivot(index=schema.time[0], columns=ID, values=VALUE).reset_index()
    return wide.rename_axis(columns=None)


def _convert_timezone(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a frame with timestamps in the time zone of the schema; text holds at most offsets from UTC."""
    if schema.tz is None or len(schema.time) != 1 or schema.time[0] not in frame.columns:
        return frame
    times, invalid = parse(frame[schema.time[0]], schema.time_format)
    if invalid.any() or not isinstance(times, pd.DatetimeIndex) or times.tz is None:
        return frame
    return frame.assign(**{schema.time[0]: pd.Series(times.tz_convert(schema.tz), index=frame.index)})


def _add_missing_static(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with missing static covariates as unknown, and a note on them."""
    absent = [name for name in schema.static_covariates if name not in frame.columns]
    if not absent:
        return frame, []
    unknown = {
        name: pd.Series(None, index=frame.index, dtype="str" if name in schema.categories else "float64")
        for name in absent
    }
    return frame.assign(**unknown), [f"{quote_list(absent)}: missing, treated as unknown"]


REQUEST = "the request"
"""Name of the data in messages."""

MAX_DECOMPRESSED_BYTES = 64 << 20
"""Maximum size of a decompressed body."""

MAX_COLUMNS = 10_000
MAX_CELLS = 4_000_000

_JSON = re.compile(r"(application|text)/([\w.-]+\+)?json")
_CSV = ("text/csv", "application/csv", "text/tab-separated-values", "application/vnd.ms-excel")
_GZIP = ("application/gzip", "application/x-gzip")
_ANY = ("", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", *_GZIP)
"""Default types of clients such as curl, which say nothing about the content."""

_KEYS = ("records", "future", "version")


@dataclass(frozen=True)
class ParsedRequest:
    """The content of a request.

    Args:
        history: Rows of the series.
        future: Separate rows of future covariates.
        version: Version of the model in the body.
        json: Whether the body is JSON.
    """

    history: Table
    future: Table | None = None
    version: int | None = None
    json: bool = False


def read_request(body: bytes, content_type: str, encoding: str) -> ParsedRequest:
    """Parse a body of CSV or JSON records.

    Args:
        body: The body, also compressed with gzip.
        content_type: The header ``Content-Type``. If it is generic, the body decides.
        encoding: The header ``Content-Encoding``.

    Raises:
        ServingError: It is neither CSV nor JSON records, or too large.
        DataError: The CSV is not valid.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not (_JSON.fullmatch(kind) or kind in _CSV or kind in _ANY):
        raise ServingError(
            UNSUPPORTED,
            f"expected text/csv or application/json, got {quote_value(kind)}: send the CSV or JSON itself as the body",
        )
    body = _decompress(body, encoding.strip().lower())
    text = body.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise bad_request("expected rows as CSV or JSON records, got an empty body")
    if _JSON.fullmatch(kind) or (kind in _ANY and text.lstrip()[:1] in (b"[", b"{")):
        return _from_json(text)
    return ParsedRequest(_from_csv(body))


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ServingError(
            UNSUPPORTED, f"expected an uncompressed body or one compressed with gzip, got {quote_value(encoding)}"
        )
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            text = file.read(MAX_DECOMPRESSED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise bad_request("expected a body compressed with gzip, got one that is truncated or damaged") from None
    if len(text) > MAX_DECOMPRESSED_BYTES:
        raise ServingError(
            TOO_LARGE, f"expected at most {MAX_DECOMPRESSED_BYTES:,} bytes in a compressed body, got more"
        )
    return text


def _from_csv(body: bytes) -> Table:
    if body.startswith(b"PAR1"):
        raise ServingError(UNSUPPORTED, "expected CSV or JSON records, got Parquet: save it as CSV")
    header = re.match(rb"[^\r\n]*", body.lstrip(b"\r\n"))
    separators = max(header[0].count(separator) for separator in (b",", b";", b"\t", b"|")) if header else 0
    if separators >= MAX_COLUMNS:
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
    body = read_json(text)
    if isinstance(body, list):
        return ParsedRequest(_records_to_table(body, "records"), json=True)
    if not isinstance(body, dict) or "records" not in body:
        keys = (
            f"the keys {', '.join(map(quote_value, list(body)[:5]))}" if isinstance(body, dict) else quote_value(body)
        )
        raise bad_request(f'expected a list of records, or {{"records": [...]}}, got {keys}')
    unknown = [key for key in body if key not in _KEYS]
    if unknown:
        raise bad_request(f"expected the keys {', '.join(_KEYS)}, got {quote_value(unknown[0])}")
    version = body.get("version")
    if version is not None and (type(version) is not int or version < 0):
        raise bad_request(f'"version": expected an integer of at least 0, got {quote_value(version)}')
    future = None if body.get("future") is None else _records_to_table(body["future"], "future")
    return ParsedRequest(_records_to_table(body["records"], "records"), future, version, json=True)


def _records_to_table(records: Any, key: str) -> Table:
    """Return records as a table with an index from 1, where absent keys are missing values."""
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else quote_value(records)
        raise bad_request(f'"{key}": expected a list of records such as {{"ds": "2020-12-31", "y": 1.5}}, got {found}')
    names: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if type(record) is not dict:
            raise bad_request(f'"{key}": record {number}: expected an object, got {quote_value(record)}')
        names.update(dict.fromkeys(record))
        if len(names) > MAX_COLUMNS:
            break
    if not names:
        raise bad_request(f'"{key}": expected objects with names and values, got empty ones')
    _check_size(len(records), len(names))
    columns = {name: [record.get(name) for record in records] for name in names}
    for name, cells in columns.items():
        _check_cells(name, cells, key)
    frame = pd.DataFrame(columns, index=range(1, len(records) + 1))
    origin = Origin(REQUEST, "record") if key == "records" else Origin(f'{REQUEST}: "{key}"', f'"{key}" record')
    return Table(frame, origin)


def _check_cells(name: str, cells: list[Any], key: str) -> None:
    """Raise a ServingError for values other than strings, numbers, bools and null, and for those out of range."""
    kinds = set(map(type, cells))
    wrong = kinds - {str, int, float, bool, type(None)}
    if wrong:
        row, cell = next((row, cell) for row, cell in enumerate(cells, start=1) if type(cell) in wrong)
        raise bad_request(
            f'"{key}": record {row}: {quote_value(name)}: expected a string or a number, got {quote_value(cell)}'
        )
    for row, cell in enumerate(cells, start=1) if int in kinds else ():
        if type(cell) is int and abs(cell) >= 2**63:
            raise bad_request(
                f'"{key}": record {row}: {quote_value(name)}: expected an integer of up to 64 bits, got '
                f"{quote_value(cell)}: write ids as strings"
            )
    try:
        # JSON escapes can hold unpaired surrogates, which are not valid Unicode.
        "".join([name, *(cell for cell in cells if type(cell) is str)]).encode()
    except UnicodeEncodeError:
        raise bad_request(f'"{key}": {quote_value(name)}: expected valid Unicode, got an unpaired surrogate') from None
