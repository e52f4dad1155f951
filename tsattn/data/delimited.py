"""Tables of delimited text: CSV and its kin, in any encoding; pyarrow does the reading."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tsattn.data.locations import Bytes, Source, line_of
from tsattn.errors import DataError

SAMPLE_BYTES = 1 << 20
"""How much of a file is looked at to find its delimiter, its text and its ids with leading zeros."""

PART_BYTES = 8 << 20
"""How much of a file is read at a time."""

LONGEST_PART = 8 * PART_BYTES
"""How far the end of a row is looked for."""

FALLBACK = "Windows-1252"
"""How text is read that is not UTF-8: what spreadsheets in Western Europe and America write."""


@dataclass(frozen=True)
class _Form:
    """How a file is written.

    Args:
        names: its columns.
        parse: options of pyarrow about rows and cells.
        decimal: the decimal sign.
        padded: columns with whole numbers that begin with 0 or 0x: identifiers, which lose it as numbers.
        repeated: columns with text that comes again and again.
    """

    names: list[str]
    parse: dict[str, Any]
    decimal: str
    padded: list[str]
    repeated: list[str]

    def convert(self, *, coded: bool) -> Any:
        """Return the options of pyarrow about the types of cells, ``coded`` with repeated text as a dictionary."""
        types = dict.fromkeys(self.padded, pa.string())
        if coded:
            types |= dict.fromkeys(self.repeated, pa.dictionary(pa.int32(), pa.string()))
        return pa_csv.ConvertOptions(column_types=types, decimal_point=self.decimal)


def read_delimited(path: Source) -> tuple[Any, str]:
    """Return the table of a file, and its encoding.

    Raises:
        DataError: the file has no header, or its rows differ in length.
        pyarrow.ArrowException: it cannot be read.
    """
    sample, encoding = _sample(path)
    form = _form(path, sample)
    if encoding == "UTF-8":
        table = _read_parts(path, form)
        if table is None:
            table = _read_whole(path, form, encoding)
        if not any(pa.types.is_binary(field.type) for field in table.schema):
            return table, encoding
        # What is no UTF-8 stands behind the sample.
        encoding = FALLBACK
    return _read_whole(path, form, encoding), encoding


def _opened(source: Source) -> Any:
    """Return a stream of what a file holds, without its compression, or of what is in memory, as it is."""
    return pa.BufferReader(source.data) if isinstance(source, Bytes) else pa.input_stream(source)


def _form(path: Source, sample: str) -> _Form:
    header = _head(sample)[0] if sample.strip() else ""
    if not header:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    if len(header) >= SAMPLE_BYTES // 4 and len(header) >= len(sample.strip()):
        raise DataError(f"{path}: line 1: expected a header, but there is no end of a line in {len(header):,} letters")
    delimiter = _delimiter(header, sample)
    names = next(csv.reader([header], delimiter=delimiter))
    _check_header(path, sample, names, delimiter)
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise DataError(
            f"{path}: line 1: expected a header with a name for each column, but '{twice}' stands there twice"
        )
    decimal = "," if delimiter in ";\t" and re.search(r"\d,\d", sample) else "."
    form = _Form(names, {"delimiter": delimiter}, decimal, [], [])
    table = _sample_table(sample, form)
    if table is None:
        return form
    padded = _padded(sample, form)
    repeated = [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name in padded or pa.types.is_string(column.type)
        if 2 * pc.count_distinct(column).as_py() <= len(column)
    ]
    return _Form(names, form.parse, decimal, padded, repeated)


def _head(sample: str) -> list[str]:
    """Return the first line and, where it is not empty, the second; they end as pyarrow ends them, not Unicode."""
    return [line for line in re.split(r"\r\n|\r|\n", sample.lstrip("\r\n"), maxsplit=2)[:2] if line] or [""]


def _delimiter(header: str, sample: str) -> str:
    """Return what separates the cells: what stands as often in the next line, and most often; a comma among equals."""
    following = [*_head(sample), header][1]
    return max(",;\t|", key=lambda sign: (0 < header.count(sign) == following.count(sign), header.count(sign)))


def _sample_table(sample: str, form: _Form, types: dict[str, Any] | None = None) -> Any | None:
    """Return the sample as a table, without rows of another length; None where it is none."""
    try:
        return pa_csv.read_csv(
            pa.BufferReader(sample.encode()),
            parse_options=pa_csv.ParseOptions(**form.parse, invalid_row_handler=lambda row: "skip"),
            convert_options=pa_csv.ConvertOptions(column_types=types, decimal_point=form.decimal),
        )
    except pa.ArrowInvalid:
        return None


def _padded(sample: str, form: _Form) -> list[str]:
    """Return the columns of the sample with whole numbers that begin with 0 or 0x."""
    if not re.search(r"(?:^|[^\d.:+-])0[\dxX]", sample, re.MULTILINE):
        return []
    table = _sample_table(sample, form, dict.fromkeys(form.names, pa.string()))
    if table is None:
        return []
    pattern = r"^0(\d+|[xX][0-9a-fA-F]+)$"
    pairs = zip(table.column_names, table.columns, strict=True)
    return [name for name, column in pairs if pc.any(pc.match_substring_regex(column, pattern)).as_py()]


def _read_parts(path: Source, form: _Form, *, exact: bool = False) -> Any | None:
    """Return the table of a file that is read a part at a time, on all cores; None where that does not do.

    The memory is that of the table and of a few parts, while pyarrow alone holds the whole text. It does not do where
    a part cannot be read, or the parts have columns of kinds that no one kind can hold; then the file is read whole.
    Where a part is found to end within quotes, it begins again and looks for the ends of rows more carefully.
    """
    tables: list[Any] = []
    waiting: deque[Future[Any]] = deque()
    workers = max(pa.cpu_count(), 1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for number, part in enumerate(_parts(path, exact=exact)):
                waiting.append(pool.submit(_read_part, part, form, number == 0))
                if len(waiting) > workers:
                    tables.append(waiting.popleft().result())
            tables += [task.result() for task in waiting]
        table = pa.concat_tables(tables, promote_options="permissive")
    except _WithinQuotes:
        return None if exact else _read_parts(path, form, exact=True)
    except (pa.ArrowException, _NoEnd):
        return None
    return table.unify_dictionaries()


def _read_part(part: memoryview, form: _Form, first: bool) -> Any:
    if _quotes(part) % 2:
        raise _WithinQuotes
    # One thread each: the parts are read beside one another.
    names = {} if first else {"column_names": form.names}
    table = pa_csv.read_csv(
        pa.BufferReader(pa.py_buffer(part)),
        read_options=pa_csv.ReadOptions(use_threads=False, **names),
        parse_options=pa_csv.ParseOptions(**form.parse),
        convert_options=form.convert(coded=True),
    )
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            # As this package counts.
            table = table.set_column(number, field.name, table[number].cast(pa.timestamp("us", field.type.tz)))
    return table


class _NoEnd(Exception):
    """There is no end of a row far and wide."""


class _WithinQuotes(Exception):
    """A part has an odd number of quotes, so that it ends within a cell."""


def _quotes(part: memoryview) -> int:
    """Return how many quotes a part holds."""
    return int(np.count_nonzero(np.frombuffer(part, dtype=np.uint8) == ord('"')))


def _parts(path: Source, *, exact: bool) -> Iterator[memoryview]:
    """Yield the bytes of a file in parts that end with a line; with ``exact``, with one where no quote is open."""
    with _opened(path) as stream:
        rest = b""
        while read := stream.read(PART_BYTES):
            data = rest + read if rest else read
            end = data.rfind(b"\n") + 1
            while exact and end and _quotes(memoryview(data)[:end]) % 2:
                end = data.rfind(b"\n", 0, end - 1) + 1
            if not end and len(data) >= LONGEST_PART:
                raise _NoEnd
            rest = data[end:]
            if end:
                yield memoryview(data)[:end]
        if rest:
            yield memoryview(rest)


def _read_whole(path: Source, form: _Form, encoding: str) -> Any:
    try:
        return pa_csv.read_csv(
            _opened(path),
            read_options=pa_csv.ReadOptions(encoding=encoding),
            parse_options=pa_csv.ParseOptions(**form.parse),
            convert_options=form.convert(coded=False),
        )
    except pa.ArrowInvalid as error:
        raise _bad_row(path, form.parse, encoding) or error from None
    except UnicodeError:
        raise DataError(
            f"{path}: expected text, but some of its bytes are none in {encoding}: save the file in UTF-8"
        ) from None


def _check_header(path: Source, sample: str, names: list[str], delimiter: str) -> None:
    """Raise a DataError where the first line is no header, but a program's note, or data."""
    if names[0].lower().startswith("sep=") and len(names) <= 2:
        note = delimiter.join(names)
        raise DataError(f"{path}: line 1: expected a header, got the note '{note}' of a spreadsheet: delete that line")
    second = next(csv.reader(_head(sample)[1:], delimiter=delimiter), [])
    if second and all(re.match(r"\d{4}-\d\d-\d\d(\D|$)", cell) for cell in (names[0], second[0])):
        raise DataError(
            f"{path}: line 1: expected a header with a name for each column, got the date {names[0]} as in line 2: "
            "write one, such as ds,y"
        )


def _sample(path: Source) -> tuple[str, str]:
    """Return the whole lines at the head of a text file, and its encoding."""
    with _opened(path) as stream:
        data = stream.read(SAMPLE_BYTES)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return str(data[: len(data) // 2 * 2], "utf-16", errors="ignore"), "UTF-16"
    if b"\0" in data:
        raise DataError(f"{path}: expected a CSV or Parquet file, but this is neither: save it as CSV")
    if len(data) == SAMPLE_BYTES:
        data = data[: data.rfind(b"\n") + 1] or data
    try:
        return str(data, "utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return str(data, FALLBACK, errors="replace"), FALLBACK


def _bad_row(path: Source, parse: dict[str, Any], encoding: str) -> DataError | None:
    """Return the complaint about the first row that has too many or too few cells, if there is one."""
    bad: list[Any] = []

    def keep(row: Any) -> str:
        # One is enough: there may be millions of them.
        bad.append(row)
        return "error"

    with contextlib.suppress(pa.ArrowInvalid, UnicodeError):
        pa_csv.read_csv(
            _opened(path),
            read_options=pa_csv.ReadOptions(use_threads=False, encoding=encoding),
            parse_options=pa_csv.ParseOptions(**parse, invalid_row_handler=keep),
        )
    if not bad:
        return None
    row = bad[0]
    line = line_of(path, (row.number or 2) - 2)
    return DataError(
        f"{path}: line {line}: expected {row.expected_columns} cells as in the header, got "
        f"{row.actual_columns}: put text that holds the delimiter in quotes"
    )
