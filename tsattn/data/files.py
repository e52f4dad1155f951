"""CSV and Parquet files and spreadsheets as tables; pyarrow and calamine read them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from tsattn._text import quote_list
from tsattn.config import ReadOptions
from tsattn.data.columns import find_duplicate, is_categorical, kind_of
from tsattn.data.conversion import find_sentinels, mark_missing
from tsattn.data.delimited import read_delimited
from tsattn.data.spreadsheets import is_spreadsheet, read_spreadsheet
from tsattn.data.table import FILE, FileRows, Note, Origin, Table
from tsattn.errors import DataError
from tsattn.timeseries.schema import InferredSetting

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".xls", ".xlsb", ".ods")
"""Suffixes of the files that are read from a folder, without that of a compression."""

COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")

STANDARD_INPUT = "standard input"
"""Name of piped data in messages."""


def read_source(source: Path | str, options: ReadOptions | None = None) -> Table:
    """Read one or several files.

    Args:
        source: A file, see `read_file`; "-" for a CSV or Parquet file on standard input; or a folder or a pattern such
            as ``data/*.csv`` for files with the same columns. The name of the file becomes the column `FILE`.
        options: How to read them; what they leave out is inferred.

    Raises:
        DataError: There are no such files, a file cannot be read, or their columns differ.
    """
    text = str(source)
    if text == "-":
        return read_bytes(sys.stdin.buffer.read(), STANDARD_INPUT, options)
    paths = find_files(source)
    if [str(path) for path in paths] == [str(Path(source))]:
        return read_file(source, options)
    return _concatenate(paths, text, options)


def find_files(source: Path | str) -> list[Path]:
    """Return the files of a folder or a pattern, sorted, or the file itself.

    Raises:
        DataError: There are no such files.
    """
    path, text = Path(source), str(source)
    if path.is_dir():
        paths = sorted(child for child in path.iterdir() if _is_data(child))
        if not paths:
            raise DataError(f"{path}: expected CSV or Parquet files in this folder, got none")
    elif path.exists() or not re.search(r"[*?\[]", text):
        return [path]
    else:
        paths = sorted(Path(name) for name in glob(text, recursive=True) if Path(name).is_file())
        if not paths:
            raise DataError(f"{text}: there are no such files")
    return paths


def _is_data(path: Path) -> bool:
    name = _remove_suffix(path.name, COMPRESSIONS).lower()
    return path.is_file() and name.endswith(SUFFIXES) and not name.startswith(".")


def file_stem(path: Path | str) -> str:
    """Return the name of a file without the suffixes of its format."""
    return _remove_suffix(_remove_suffix(Path(path).name, COMPRESSIONS), SUFFIXES)


def _remove_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    return next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), name)


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """Return the stems of files, with their folders below the common one where stems are equal."""
    names = [file_stem(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    whole = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    return [(path.relative_to(common).parent / file_stem(path)).as_posix() for path in whole]


def _concatenate(paths: list[Path], name: str, options: ReadOptions | None) -> Table:
    """Return the rows of all files, with the column `FILE` if there are several."""
    tables = [read_file(path, options) for path in paths]
    if texts := sorted({column for table in tables for column in table.origin.texts}):
        # An id such as 7 is no number if those of another file are like 007.
        tables = [
            table if set(texts) <= set(table.origin.texts) else read_file(path, options, texts=texts)
            for path, table in zip(paths, tables, strict=True)
        ]
    expected = tables[0].columns
    for table in tables:
        if table.columns != expected:
            raise DataError(
                f"{table.name}: expected the columns of {paths[0]}, {quote_list(expected)}, got "
                f"{quote_list(table.columns)}",
                "read files with the same columns",
            )
    frames = [table.frame for table in tables]
    if len(frames) > 1:
        # Categories of different files cannot be concatenated.
        frames = [
            frame.astype({column: "str" for column in frame if is_categorical(frame[column])}) for frame in frames
        ]
    frame = pd.concat(frames, ignore_index=True)
    if len(paths) > 1 and FILE not in frame.columns:
        rows = [len(table) for table in tables]
        frame[FILE] = pd.Series(unique_stems(paths), dtype="str").repeat(rows).to_numpy()
    origins = [table.origin for table in tables]
    encoding = next((origin.encoding for origin in origins if origin.encoding != "UTF-8"), "UTF-8")
    origin = Origin(
        name,
        None,
        files=tuple(file for origin in origins for file in origin.files),
        encoding=encoding,
        dialect=origins[0].dialect,
        settings=tuple(_unique(setting for origin in origins for setting in origin.settings)),
        notes=tuple(note for origin in origins for note in origin.notes),
        texts=tuple(texts),
    )
    return Table(frame, origin)


def _unique(settings: Iterable[InferredSetting]) -> list[InferredSetting]:
    found: list[InferredSetting] = []
    for setting in settings:
        if setting not in found:
            found.append(setting)
    return found


def read_file(path: Path | str, options: ReadOptions | None = None, *, texts: Sequence[str] = ()) -> Table:
    """Read a CSV file, also compressed and with other delimiters, a Parquet file or a spreadsheet.

    The text encoding is UTF-8, UTF-16 with a byte order mark, or Windows-1252. Numbers may be in quotes, and have
    decimal commas, thousands signs and units. Empty cells and marks such as "n/a" are missing. Columns with numbers
    that may be identifiers as they are written, such as 007, +49 or 1.10 next to 1.1, are text. ISO dates become
    datetimes, and those with an offset from UTC become UTC. Repeated text becomes a pandas categorical. The origin of
    the table lists what was found and left out.

    Args:
        path: The file.
        options: How to read it; what they leave out is inferred.
        texts: Columns of text files that are read as text.

    Raises:
        DataError: The file does not exist, is empty, cannot be read or has two readings.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    with path.open("rb") as file:
        head = file.read(8)
    return _read(path, str(path), head, options or ReadOptions(), texts)


def read_bytes(data: bytes, name: str, options: ReadOptions | None = None) -> Table:
    """Read an uncompressed CSV file, a Parquet file or a spreadsheet from memory, as `read_file` reads files.

    Args:
        data: Content of the file.
        name: Name of the table in messages.
        options: How to read it; what they leave out is inferred.

    Raises:
        DataError: The data are empty, cannot be read or have two readings.
    """
    return _read(data, name, data[:8], options or ReadOptions())


def _read(source: Path | bytes, name: str, head: bytes, options: ReadOptions, texts: Sequence[str] = ()) -> Table:
    """Return the rows of a file that begins with ``head``."""
    path = None if isinstance(source, bytes) else source
    notes: tuple[Note, ...] = ()
    lines, unit, encoding, dialect = None, "line", "UTF-8", dict[str, str]()
    try:
        if not head:
            raise DataError("the file is empty; expected a header line and rows of data")
        if head.startswith(b"PAR1"):
            table = pa_parquet.read_table(pa.BufferReader(source) if isinstance(source, bytes) else source)
            # `to_pandas` parses the metadata of pandas even if it ignores them, and they may be damaged.
            table = table.replace_schema_metadata()
        else:
            if is_spreadsheet(head):
                source, notes = read_spreadsheet(source, options.sheet)
                options, unit = options.model_copy(update={"delimiter": ",", "decimal": "."}), "row"
            text = read_delimited(source, options, texts)
            texts = text.texts
            table, lines, notes = text.table, text.lines, (*notes, *text.notes)
            encoding, dialect = text.encoding, dict(text.dialect)
        if table.num_rows == 0:
            raise DataError("the file has a header but no rows of data")
        table, marked = mark_missing(table, options.na)
        notes = (*notes, *marked, *find_sentinels(table))
        frame = _to_frame(table)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", *error.hints) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: expected a CSV or Parquet file: {str(error).splitlines()[0]}") from None
    if unit == "row" and lines is None:
        lines = np.arange(2, len(frame) + 2)
    origin = Origin(
        name,
        None,
        files=(FileRows(path, len(frame), lines, unit),),
        encoding=encoding,
        dialect=dialect,
        settings=tuple(note.to_setting() for note in notes),
        notes=tuple(note.to_reading_note(name) for note in notes if note.is_warning),
        texts=tuple(texts),
    )
    return Table(frame, origin)


def arrow_to_table(table: Any, name: str, options: ReadOptions | None = None) -> Table:
    """Return an Arrow table as a table, as `read_file` reads a Parquet file."""
    marked, _ = mark_missing(table, (options or ReadOptions()).na)
    return Table(_to_frame(marked), Origin(name))


def _to_frame(table: Any) -> pd.DataFrame:
    """Return an Arrow table as a DataFrame with columns of numbers, booleans, datetimes or text."""
    if (name := find_duplicate(table.column_names)) is not None:
        raise DataError(f"expected unique column names, got '{name}' twice", "rename one of them")
    changed = {}
    for number, field in enumerate(table.schema):
        dtype = field.type
        if pa.types.is_binary(dtype):
            raise DataError(f"column '{field.name}': expected text in UTF-8", "save the file in that encoding")
        wanted = None
        if pa.types.is_decimal(dtype) or pa.types.is_null(dtype):
            wanted = pa.float64()
        elif pa.types.is_dictionary(dtype) and not pa.types.is_string(dtype.value_type):
            wanted = dtype.value_type
        elif pa.types.is_time(dtype):
            wanted = pa.string()
        if wanted is not None:
            changed[number] = table[number].cast(wanted)
    if changed:
        # All at once: each `set_column` rebuilds the schema.
        columns = [changed.get(number, column) for number, column in enumerate(table.columns)]
        table = pa.Table.from_arrays(columns, names=table.column_names)
        del columns, changed
    flags = {field.name for field in table.schema if pa.types.is_boolean(field.type)}
    pool = pa.default_memory_pool()
    pool.release_unused()
    frame: pd.DataFrame = table.to_pandas(
        date_as_object=False, ignore_metadata=True, split_blocks=table.num_columns < 100, self_destruct=True
    )
    pool.release_unused()
    for name in [name for name in frame.columns if re.fullmatch(r"__index_level_\d+__", name)]:
        # An unnamed pandas index holds the timestamps or only numbers the rows.
        frame = frame.rename(columns={name: "ds"}) if kind_of(frame[name]) == "date" else frame.drop(columns=name)
    # A delimiter at the end of every line makes an empty column.
    if empty := [name for name in frame if not str(name).strip() and frame[name].isna().all()]:
        frame = frame.drop(columns=empty)
    # Booleans with missing values have the dtype object.
    if nested := [str(name) for name, dtype in frame.dtypes.items() if pd.api.types.is_object_dtype(dtype)]:
        # `astype` of a frame copies all of its columns.
        frame = frame.assign(**{name: frame[name].astype("boolean" if name in flags else "str") for name in nested})
    stripped = [str(name).strip() for name in frame.columns]
    return frame.set_axis(stripped, axis=1) if len(set(stripped)) == len(stripped) else frame
