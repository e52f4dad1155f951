"""Delimited text, such as CSV, in several encodings; pyarrow reads it.

The messages of errors do not name the file, which `tsattn.data.files` adds.
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_text
from tsattn.config import ReadOptions
from tsattn.data.cells import cell_kind
from tsattn.data.columns import ID_NAMES
from tsattn.data.conversion import convert_texts, distinct_texts, is_text
from tsattn.data.decimal_sign import check_decimal, check_thousands
from tsattn.data.dialect import Dialect, detect_dialect, holds_identifiers, holds_written_ids, matches, read_csv
from tsattn.data.encodings import FALLBACK, describe_encoding, find_double, guess_encoding, guess_utf16
from tsattn.data.layout import LINE_END, find_layout
from tsattn.data.table import Note, find_line
from tsattn.errors import DataError

SAMPLE_BYTES = 1 << 20
"""Size of the sample in which delimiter, encoding and ids with leading zeros are detected."""

CHUNK_BYTES = 8 << 20
"""Size of the chunks in which a file is read."""


MAX_CHUNK_BYTES = 8 * CHUNK_BYTES
"""Size up to which a chunk grows to find the end of a row."""


Source = Path | bytes
"""A file, or the content of one."""


@dataclass(frozen=True)
class DelimitedText:
    """Content of a file.

    Args:
        table: Arrow table.
        lines: Line of the file of each row; None if it follows from the file.
        notes: How the file was read.
        encoding: Encoding of the text.
        dialect: Format of the text.
        texts: Columns of numbers that stay text, because their writing may matter.
    """

    table: Any
    lines: npt.NDArray[np.int64] | None
    notes: tuple[Note, ...]
    encoding: str
    dialect: Mapping[str, str]
    texts: tuple[str, ...] = ()


def read_delimited(source: Source, options: ReadOptions | None = None, texts: Sequence[str] = ()) -> DelimitedText:
    """Read delimited text.

    Args:
        source: The file, or its content.
        options: How to read it.
        texts: Columns that stay text.

    Raises:
        DataError: The file has no header, its rows differ in length, or there are two ways to read it.
        pyarrow.ArrowException: The file cannot be read.
    """
    options = options or ReadOptions()
    sample, encoding, whole = _sample(source, options.encoding)
    if not sample.strip():
        raise DataError("the file is empty; expected a header line and rows of data")
    header = LINE_END.split(sample.lstrip("\r\n"), maxsplit=1)[0]
    if len(header) >= SAMPLE_BYTES // 4 and len(header) >= len(sample.strip()):
        raise DataError(f"line 1: expected a header, got no end of the line in {len(header):,} characters")
    layout = find_layout(sample, options, whole=whole)
    if layout.text is None:
        dialect = detect_dialect(sample, layout, options, texts)
        try:
            table, encoding = _read_table(source, dialect, encoding)
            return _finish(table, None, encoding, dialect, options)
        except pa.ArrowInvalid as error:
            # Perhaps there are other lines after the sample.
            layout = layout if whole else find_layout(_read_text(source, encoding), options, whole=True)
            if layout.text is None:
                raise _bad_row(source, dialect, encoding) or error from None
    elif not whole:
        layout = find_layout(_read_text(source, encoding), options, whole=True)
    text = layout.text or ""
    dialect = detect_dialect(text[:SAMPLE_BYTES], layout, options, texts)
    try:
        table = _read_table(text.encode(), dialect, "UTF-8")[0]
    except pa.ArrowInvalid as error:
        raise _bad_row(text.encode(), dialect, "UTF-8", layout.lines) or error from None
    return _finish(table, np.asarray(layout.lines), encoding, dialect, options)


def _read_table(source: Source, dialect: Dialect, encoding: str) -> tuple[Any, str]:
    """Return the Arrow table of a file and its encoding."""
    if encoding == "UTF-8":
        table = _read_chunks(source, dialect)
        if table is None:
            table = _read_whole(source, dialect, encoding)
        if not any(pa.types.is_binary(column.type) for column in table.columns):
            return table, encoding
        # The first bytes that are not UTF-8 follow after the sample.
        encoding = FALLBACK
    return _read_whole(source, dialect, encoding), encoding


def _finish(
    table: Any,
    lines: npt.NDArray[np.int64] | None,
    encoding: str,
    dialect: Dialect,
    options: ReadOptions,
) -> DelimitedText:
    """Return a table whose text is replaced by numbers where it holds numbers."""
    _check_quotes(table, dialect.delimiter, lines)
    if not dialect.is_decimal_known:
        check_decimal(table, lines)
    check_thousands(table, dialect.whole, lines)
    notes = list(dialect.notes)
    if encoding != "UTF-8":
        notes.insert(0, describe_encoding(encoding, table, is_given=options.encoding is not None))
    else:
        notes += find_double(table)
    # An id such as '7-' is no negative number.
    ids = [name for name in table.column_names if name.lower() in ID_NAMES]
    table, padded = _restore_numbers(_strip_ids(table, dialect.repeated), dialect)
    table, found = convert_texts(table, (*padded, *ids), dialect.decimal, options.na, lines)
    form = {"delimiter": dialect.delimiter, "decimal": dialect.decimal}
    return DelimitedText(table, lines, (*notes, *found), encoding, form, tuple(padded))


def _strip_ids(table: Any, names: Sequence[str]) -> Any:
    """Return a table whose repeated text has no blanks around it, as cells of equal width have, if all still differ."""
    for name in names:
        column = table[name]
        if not is_text(column.type):
            continue
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        if not all(chunk.dictionary.equals(column.chunk(0).dictionary) for chunk in column.chunks):
            column = column.unify_dictionaries()  # slow for many chunks
        cells = column.chunk(0).dictionary if column.num_chunks else column.unique().dictionary
        stripped = pc.utf8_trim_whitespace(cells)
        if stripped.equals(cells) or len(stripped.unique()) < len(cells):
            continue
        chunks = [pa.DictionaryArray.from_arrays(chunk.indices, stripped) for chunk in column.chunks]
        table = table.set_column(table.column_names.index(name), name, pa.chunked_array(chunks))
    return table


def _restore_numbers(table: Any, dialect: Dialect) -> tuple[Any, list[str]]:
    """Return a table with ids such as 7 as numbers if none is written as 007, and the columns that stay text."""
    padded = list(dialect.padded)
    for number, name in enumerate(table.column_names):
        column = table[number]
        if name not in dialect.numbered or not is_text(column.type):
            continue
        cells = distinct_texts(column)
        if matches(cells, r"^(0|-?[1-9]\d{0,17})?$"):
            empty = pc.equal(cells, "")
            codes = pc.index_in(column.cast(pa.string()), value_set=cells)
            values = pc.if_else(empty, None, cells).cast(pa.int64())
            table = table.set_column(number, name, values.take(codes))
        elif holds_identifiers(cells, len(column)) or holds_written_ids(name, cells):
            padded.append(name)
    return table, padded


def _check_quotes(table: Any, delimiter: str, lines: npt.NDArray[np.int64] | None) -> None:
    """Raise a DataError if a cell holds lines that look like rows, because its quotes are not closed."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not is_text(column.type):
            continue
        cells = distinct_texts(column) if pa.types.is_dictionary(column.type) else column
        for cell in cells.filter(pc.match_substring(cells, "\n"))[:1000].to_pylist():
            if not _holds_rows(cell, table, delimiter):
                continue
            row = pc.index(column.cast(pa.string()), cell).as_py()
            raise DataError(
                f"line {row + 2 if lines is None else lines[row]}: column '{name}': expected the end of the quotes in "
                f"the same row, got {quote_text(cell)}, which holds the rows after it",
                "close the quotes",
                "remove them",
            )


def _holds_rows(cell: str, table: Any, delimiter: str) -> bool:
    """Return whether a line within a cell has numbers and dates where the first row of the table has them."""
    first = [cell_kind(column.slice(0, 1).cast(pa.string())[0].as_py() or "") for column in table.columns]
    known = [place for place, kind in enumerate(first) if kind in ("number", "date")]
    rows = [line.split(delimiter) for line in cell.splitlines()[1:]]
    alike = [row for row in rows if len(row) == len(first)]
    return bool(known) and any(all(cell_kind(row[place]) == first[place] for place in known) for row in alike)


def _read_text(source: Source, encoding: str) -> str:
    """Return the text of a file."""
    with _open(source) as stream:
        data: bytes = stream.read()
    try:
        return str(data, {"UTF-8": "utf-8-sig"}.get(encoding, encoding))
    except UnicodeDecodeError:
        return str(data, FALLBACK, errors="replace")


def _open(source: Source) -> Any:
    """Return a stream of the decompressed file, or of bytes as they are."""
    return pa.BufferReader(source) if isinstance(source, bytes) else pa.input_stream(source)


def _read_chunks(source: Source, dialect: Dialect, *, exact: bool = False) -> Any | None:
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


def _read_chunk(chunk: memoryview, dialect: Dialect, first: bool) -> Any:
    if _count_quotes(chunk) % 2:
        raise _OpenQuote
    # One thread each: the chunks are read in parallel.
    names = {} if first else {"column_names": dialect.names}
    types = dialect.types(dictionaries=True)
    table = read_csv(pa.BufferReader(pa.py_buffer(chunk)), dialect, types, use_threads=False, **names)
    for number, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            # The unit of this package.
            table = table.set_column(number, column.name, table[number].cast(pa.timestamp("us", column.type.tz)))
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
            if end and rest and stream.seekable():
                # Reading the rest again is faster than joining it with the next bytes.
                stream.seek(-len(rest), os.SEEK_CUR)
                rest = b""
            if end:
                yield memoryview(data)[:end]
        if rest:
            yield memoryview(rest)


def _read_whole(source: Source, dialect: Dialect, encoding: str) -> Any:
    try:
        return read_csv(_open(source), dialect, dialect.types(dictionaries=False), encoding=encoding)
    except UnicodeError:
        message = f"expected text, got bytes that are invalid in {encoding}"
        raise DataError(message, "set {encoding}", "save the file in UTF-8") from None


def _sample(source: Source, encoding: str | None) -> tuple[str, str, bool]:
    """Return the first complete lines of a text file, its encoding, and whether they are the whole file.

    Args:
        source: The file.
        encoding: Option of the user.
    """
    with _open(source) as stream:
        data = stream.read(SAMPLE_BYTES)
        whole = not stream.read(1)
    if encoding is not None:
        return *_decode(data, encoding, whole), whole
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError("expected text in UTF-8 or UTF-16, got UTF-32", "save the file in UTF-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return str(data[: len(data) // 2 * 2], "utf-16", errors="ignore"), "UTF-16", whole
    if b"\0" in data and (found := guess_utf16(data)):
        return str(data[: len(data) // 2 * 2], found, errors="ignore"), found, whole
    if b"\0" in data:
        raise DataError("expected a CSV or Parquet file, got another format", "save it as CSV")
    if not whole:
        data = data[: data.rfind(b"\n") + 1] or data
    try:
        return str(data, "utf-8-sig"), "UTF-8", whole
    except UnicodeDecodeError:
        encoding = guess_encoding(data)
        return str(data, encoding, errors="replace"), encoding, whole


def _decode(data: bytes, encoding: str, whole: bool) -> tuple[str, str]:
    """Return the first complete lines of bytes in a given encoding, and its name."""
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig" if is_utf8 else encoding)().decode(data, whole)
    except UnicodeError:
        raise DataError(f"expected text, got bytes that are invalid in {encoding}", "correct {encoding}") from None
    text = text if whole else text[: text.rfind("\n") + 1] or text
    return text.removeprefix("\ufeff"), "UTF-8" if is_utf8 else encoding


def _bad_row(source: Source, dialect: Dialect, encoding: str, numbers: Sequence[int] = ()) -> DataError | None:
    """Return the error of the first row with too many or too few cells, if there is one.

    Args:
        source: The file, or its table.
        dialect: Its dialect.
        encoding: Its encoding.
        numbers: Line of each row, where it does not follow from the source.
    """
    bad: list[Any] = []

    def stop(row: Any) -> str:
        # One is enough: there may be millions.
        bad.append(row)
        return "error"

    with contextlib.suppress(pa.ArrowInvalid, UnicodeError):
        read_csv(_open(source), dialect, None, stop, use_threads=False, encoding=encoding)
    if not bad:
        return None
    row = bad[0]
    index = (row.number or 2) - 2
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as lines:
        line = numbers[index] if len(numbers) else find_line(lines, index)
    is_short = row.actual_columns < row.expected_columns
    return DataError(
        f"line {line}: expected {row.expected_columns} cells as in the header, got {row.actual_columns}",
        "remove the line if it is no row of the table" if is_short else "quote text that contains the delimiter",
    )
