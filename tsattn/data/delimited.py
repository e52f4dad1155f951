"""Delimited text, such as CSV, in several encodings; pyarrow reads it.

The messages of errors do not name the file, which `tsattn.data.files` adds.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tsattn.data.columns import find_duplicate
from tsattn.data.table import find_line
from tsattn.errors import DataError

SAMPLE_BYTES = 1 << 20
"""Size of the sample in which delimiter, encoding and ids with leading zeros are detected."""

CHUNK_BYTES = 8 << 20
"""Size of the chunks in which a file is read."""

MAX_CHUNK_BYTES = 8 * CHUNK_BYTES
"""Size up to which a chunk grows to find the end of a row."""

FALLBACK = "Windows-1252"
"""Encoding of text that is not UTF-8; spreadsheets in Western Europe and America write it."""

Source = Path | bytes
"""A file, or the content of one."""


@dataclass(frozen=True)
class _Dialect:
    """Format of a delimited file.

    Args:
        names: Names of the columns.
        delimiter: Sign between cells.
        decimal: Decimal sign.
        padded: Columns with whole numbers that begin with 0 or 0x. They are identifiers and stay text.
        repeated: Columns with repeated text.
    """

    names: list[str]
    delimiter: str
    decimal: str
    padded: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def types(self, *, dictionaries: bool) -> dict[str, Any]:
        """Return the Arrow types of columns that are not inferred, with repeated text as dictionaries or not."""
        types = dict.fromkeys(self.padded, pa.string())
        if dictionaries:
            types |= dict.fromkeys(self.repeated, pa.dictionary(pa.int32(), pa.string()))
        return types


def read_delimited(source: Source) -> tuple[Any, str]:
    """Return the Arrow table of a file and its encoding.

    Raises:
        DataError: The file has no header, or its rows differ in length.
        pyarrow.ArrowException: The file cannot be read.
    """
    sample, encoding = _sample(source)
    dialect = _detect_dialect(sample)
    if encoding == "UTF-8":
        table = _read_chunks(source, dialect)
        if table is None:
            table = _read_whole(source, dialect, encoding)
        if not any(pa.types.is_binary(column.type) for column in table.columns):
            return table, encoding
        # The first bytes that are not UTF-8 follow after the sample.
        encoding = FALLBACK
    return _read_whole(source, dialect, encoding), encoding


def _open(source: Source) -> Any:
    """Return a stream of the decompressed file, or of bytes as they are."""
    return pa.BufferReader(source) if isinstance(source, bytes) else pa.input_stream(source)


def _read_csv(
    stream: Any, dialect: _Dialect, types: dict[str, Any] | None, on_bad_row: Any = None, **options: Any
) -> Any:
    """Return the Arrow table of a stream; ``options`` are those of `pyarrow.csv.ReadOptions`."""
    return pa_csv.read_csv(
        stream,
        read_options=pa_csv.ReadOptions(**options),
        parse_options=pa_csv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=on_bad_row),
        convert_options=pa_csv.ConvertOptions(column_types=types, decimal_point=dialect.decimal),
    )


def _detect_dialect(sample: str) -> _Dialect:
    header = _head(sample)[0] if sample.strip() else ""
    if not header:
        raise DataError("the file is empty; expected a header line and rows of data")
    if len(header) >= SAMPLE_BYTES // 4 and len(header) >= len(sample.strip()):
        raise DataError(f"line 1: expected a header, got no end of the line in {len(header):,} characters")
    delimiter = _delimiter(header, sample)
    try:
        names = next(csv.reader([header], delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"line 1: expected a header with column names: {error}") from None
    _check_header(sample, names, delimiter)
    if (name := find_duplicate(names)) is not None:
        raise DataError(f"line 1: expected a header with unique column names, got '{name}' twice")
    decimal = "," if delimiter in ";\t" and re.search(r"\d,\d", sample) else "."
    dialect = _Dialect(names, delimiter, decimal)
    table = _sample_table(sample, dialect)
    if table is None:
        return dialect
    padded = _padded(sample, dialect)
    repeated = [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name in padded or pa.types.is_string(column.type)
        if 2 * pc.count_distinct(column).as_py() <= len(column)
    ]
    return replace(dialect, padded=padded, repeated=repeated)


def _head(sample: str) -> list[str]:
    """Return the first line and the second if not empty, split at the line ends of pyarrow, not of Unicode."""
    return [line for line in re.split(r"\r\n|\r|\n", sample.lstrip("\r\n"), maxsplit=2)[:2] if line] or [""]


def _delimiter(header: str, sample: str) -> str:
    """Return the sign that occurs equally often in header and next line, and most often; a comma among equals."""
    following = [*_head(sample), header][1]
    return max(",;\t|", key=lambda sign: (0 < header.count(sign) == following.count(sign), header.count(sign)))


def _sample_table(sample: str, dialect: _Dialect, types: dict[str, Any] | None = None) -> Any | None:
    """Return the sample as an Arrow table without rows of other lengths, or None if it cannot be read."""
    try:
        return _read_csv(pa.BufferReader(sample.encode()), dialect, types, lambda row: "skip")
    except pa.ArrowInvalid:
        return None


def _padded(sample: str, dialect: _Dialect) -> list[str]:
    """Return the columns of the sample that have whole numbers with a leading 0 or 0x."""
    if not re.search(r"(?:^|[^\d.:+-])0[\dxX]", sample, re.MULTILINE):
        return []
    table = _sample_table(sample, dialect, dict.fromkeys(dialect.names, pa.string()))
    if table is None:
        return []
    pattern = r"^0(\d+|[xX][0-9a-fA-F]+)$"
    pairs = zip(table.column_names, table.columns, strict=True)
    return [name for name, column in pairs if pc.any(pc.match_substring_regex(column, pattern)).as_py()]


def _read_chunks(source: Source, dialect: _Dialect, *, exact: bool = False) -> Any | None:
    """Return the Arrow table of a file that is read in chunks, on all cores, or None if that fails.

    This takes the memory of the table and a few chunks, while pyarrow alone holds the whole text. It fails if a chunk
    cannot be read or the column types of chunks are incompatible; the file is then read at once. If a chunk ends within
    quotes, reading starts again with an exact search for the ends of rows.
    """
    tables: list[Any] = []
    waiting: deque[Future[Any]] = deque()
    workers = max(pa.cpu_count(), 1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for number, chunk in enumerate(_chunks(source, exact=exact)):
                waiting.append(pool.submit(_read_chunk, chunk, dialect, number == 0))
                if len(waiting) > workers:
                    tables.append(waiting.popleft().result())
            tables += [task.result() for task in waiting]
        table = pa.concat_tables(tables, promote_options="permissive")
    except _OpenQuote:
        return None if exact else _read_chunks(source, dialect, exact=True)
    except (pa.ArrowException, _NoRowEnd):
        return None
    return table.unify_dictionaries()


def _read_chunk(chunk: memoryview, dialect: _Dialect, first: bool) -> Any:
    if _count_quotes(chunk) % 2:
        raise _OpenQuote
    # One thread each: the chunks are read in parallel.
    names = {} if first else {"column_names": dialect.names}
    types = dialect.types(dictionaries=True)
    table = _read_csv(pa.BufferReader(pa.py_buffer(chunk)), dialect, types, use_threads=False, **names)
    for number, name in enumerate(table.column_names):
        dtype = table[number].type
        if pa.types.is_timestamp(dtype):
            # The unit of this package.
            table = table.set_column(number, name, table[number].cast(pa.timestamp("us", dtype.tz)))
    return table


class _NoRowEnd(Exception):
    """No row ends within `MAX_CHUNK_BYTES`."""


class _OpenQuote(Exception):
    """A chunk has an odd number of quotes and thus ends within a cell."""


def _count_quotes(chunk: memoryview) -> int:
    return int(np.count_nonzero(np.frombuffer(chunk, dtype=np.uint8) == ord('"')))


def _chunks(source: Source, *, exact: bool) -> Iterator[memoryview]:
    """Yield the bytes of a file in chunks that end with a line; with ``exact``, outside of quotes."""
    with _open(source) as stream:
        rest = b""
        while read := stream.read(CHUNK_BYTES):
            data = rest + read if rest else read
            end = data.rfind(b"\n") + 1
            while exact and end and _count_quotes(memoryview(data)[:end]) % 2:
                end = data.rfind(b"\n", 0, end - 1) + 1
            if not end and len(data) >= MAX_CHUNK_BYTES:
                raise _NoRowEnd
            rest = data[end:]
            if end:
                yield memoryview(data)[:end]
        if rest:
            yield memoryview(rest)


def _read_whole(source: Source, dialect: _Dialect, encoding: str) -> Any:
    try:
        return _read_csv(_open(source), dialect, dialect.types(dictionaries=False), encoding=encoding)
    except pa.ArrowInvalid as error:
        raise _bad_row(source, dialect, encoding) or error from None
    except UnicodeError:
        raise DataError(f"expected text, got bytes that are invalid in {encoding}", "save the file in UTF-8") from None


def _check_header(sample: str, names: list[str], delimiter: str) -> None:
    """Raise a DataError if the first line is the note of a program or data instead of a header."""
    if names[0].lower().startswith("sep=") and len(names) <= 2:
        note = delimiter.join(names)
        raise DataError(f"line 1: expected a header, got the note '{note}' of a spreadsheet", "delete that line")
    second = next(csv.reader(_head(sample)[1:], delimiter=delimiter), [])
    if second and all(re.match(r"\d{4}-\d\d-\d\d(\D|$)", cell) for cell in (names[0], second[0])):
        raise DataError(
            f"line 1: expected a header with column names, got the date {names[0]} as in line 2",
            "write a header, such as ds,y",
        )


def _sample(source: Source) -> tuple[str, str]:
    """Return the first complete lines of a text file, and its encoding."""
    with _open(source) as stream:
        data = stream.read(SAMPLE_BYTES)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return str(data[: len(data) // 2 * 2], "utf-16", errors="ignore"), "UTF-16"
    if b"\0" in data:
        raise DataError("expected a CSV or Parquet file, got another format", "save it as CSV")
    if len(data) == SAMPLE_BYTES:
        data = data[: data.rfind(b"\n") + 1] or data
    try:
        return str(data, "utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return str(data, FALLBACK, errors="replace"), FALLBACK


def _bad_row(source: Source, dialect: _Dialect, encoding: str) -> DataError | None:
    """Return the error of the first row with too many or too few cells, if there is one."""
    bad: list[Any] = []

    def stop(row: Any) -> str:
        # One is enough: there may be millions.
        bad.append(row)
        return "error"

    with contextlib.suppress(pa.ArrowInvalid, UnicodeError):
        _read_csv(_open(source), dialect, None, stop, use_threads=False, encoding=encoding)
    if not bad:
        return None
    row = bad[0]
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as lines:
        line = find_line(lines, (row.number or 2) - 2)
    return DataError(
        f"line {line}: expected {row.expected_columns} cells as in the header, got {row.actual_columns}",
        "quote text that contains the delimiter",
    )
