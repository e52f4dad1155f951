"""CSV and Parquet files as DataFrames; pyarrow does the reading."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from glob import glob
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from tsattn._text import quote_list
from tsattn.data.columns import is_date
from tsattn.data.delimited import read_delimited
from tsattn.data.locations import ENCODING, FILE, FILES, STANDARD_INPUT, Bytes, Source, is_parquet
from tsattn.errors import DataError

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")
"""Ends of the names of the files of a folder that are read, before that of a compression."""

COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")


def read(source: Path | str) -> tuple[pd.DataFrame, str]:
    """Read files, and return what messages call them.

    Args:
        source: a file as `read_frame` reads it; "-" for a CSV or Parquet file on standard input; a folder, or a pattern
            such as ``data/*.csv``, for files with the same columns, whose rows get their file's name as a column
            ``file``.

    Raises:
        DataError: there are no such files, one of them cannot be read, or they have different columns.
    """
    text = str(source)
    if text == "-":
        return read_bytes(sys.stdin.buffer.read(), STANDARD_INPUT), STANDARD_INPUT
    path = Path(source)
    if path.is_dir():
        paths = sorted(child for child in path.iterdir() if _is_data(child))
        if not paths:
            raise DataError(f"{path}: expected CSV or Parquet files in this folder, but there are none")
    elif path.exists() or not re.search(r"[*?\[]", text):
        return read_frame(path), text
    else:
        paths = sorted(Path(name) for name in glob(text, recursive=True) if Path(name).is_file())
        if not paths:
            raise DataError(f"{text}: there are no such files")
    return _concatenated(paths), text


def _is_data(path: Path) -> bool:
    name = _without(path.name, COMPRESSIONS).lower()
    return path.is_file() and name.endswith(ENDINGS) and not name.startswith(".")


def stem(path: Path | str) -> str:
    """Return the name of a file without the endings that say what it is."""
    return _without(_without(Path(path).name, COMPRESSIONS), ENDINGS)


def _without(name: str, endings: tuple[str, ...]) -> str:
    return next((name[: -len(end)] for end in endings if name.lower().endswith(end)), name)


def _stems(paths: list[Path]) -> list[str]:
    """Return what tells files apart: their names, with the folders from the first that differs on where those are the
    same.
    """
    names = [stem(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    whole = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    return [(path.relative_to(common).parent / stem(path)).as_posix() for path in whole]


def _concatenated(paths: list[Path]) -> pd.DataFrame:
    """Return the rows of all files, with the column `FILE` where there are several."""
    frames = [_plain(read_frame(path)) if len(paths) > 1 else read_frame(path) for path in paths]
    first = frames[0]
    for path, frame in zip(paths, frames, strict=True):
        if list(frame.columns) != list(first.columns):
            raise DataError(
                f"{path}: expected the columns of {paths[0]}, {quote_list(first.columns)}, but they are "
                f"{quote_list(frame.columns)}: read files of one kind at a time"
            )
    result = pd.concat(frames, ignore_index=True)
    if len(paths) > 1 and FILE not in result.columns:
        rows = [len(frame) for frame in frames]
        result[FILE] = pd.Series(_stems(paths), dtype="str").repeat(rows).to_numpy()
    result.attrs[FILES] = [(str(path), len(frame)) for path, frame in zip(paths, frames, strict=True)]
    encoding = next((frame.attrs[ENCODING] for frame in frames if ENCODING in frame.attrs), None)
    if encoding is not None:
        result.attrs[ENCODING] = encoding
    return result


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose text can stand below that of another one."""
    coded = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(coded, "str"))


def read_frame(path: Path | str) -> pd.DataFrame:
    """Read a CSV file (also compressed, also separated by semicolons or tabs) or a Parquet file.

    Text is UTF-8, UTF-16 where the file begins with its mark, and Windows-1252 else. Numbers in quotes are numbers, and
    empty cells are missing. Columns that hold whole numbers with a leading zero, such as 007, stay text. ISO dates
    become dates, and those with an offset from UTC become UTC. Text that comes again and again is a pandas category.

    Raises:
        DataError: there is no such file, it is empty, or it cannot be read; the message names the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    return _read(path, path.stat().st_size)


def read_bytes(data: bytes, name: str) -> pd.DataFrame:
    """Read a CSV or Parquet file that is in memory, as `read_frame` reads one; it is not decompressed.

    Args:
        data: what the file holds.
        name: what messages call it.

    Raises:
        DataError: it is empty, or it cannot be read.
    """
    return _read(Bytes(data, name), len(data))


def _read(path: Source, size: int) -> pd.DataFrame:
    if size == 0:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    encoding = "UTF-8"
    try:
        if is_parquet(path):
            table = pa_parquet.read_table(pa.BufferReader(path.data) if isinstance(path, Bytes) else path)
        else:
            table, encoding = read_delimited(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: expected a CSV or Parquet file: {str(error).splitlines()[0]}") from None
    if table.num_rows == 0:
        raise DataError(f"{path}: the file has a header but no rows of data")
    frame = _to_frame(table, path)
    if encoding != "UTF-8":
        frame.attrs[ENCODING] = encoding
    return frame


def _to_frame(table: Any, path: Source) -> pd.DataFrame:
    """Return a table as a frame whose columns are numbers, dates or text."""
    twice = next((name for name, times in Counter(table.column_names).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{path}: expected a name for each column, but '{twice}' stands there twice: rename one")
    changed = {}
    for number, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_binary(kind):
            raise DataError(f"{path}: column '{field.name}': expected text in UTF-8: save the file in that encoding")
        wanted = None
        if pa.types.is_decimal(kind) or pa.types.is_null(kind):
            wanted = pa.float64()
        elif pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
            wanted = kind.value_type
        elif pa.types.is_time(kind):
            wanted = pa.string()
        if wanted is not None:
            changed[number] = table[number].cast(wanted)
    if changed:
        # In one go: each `set_column` makes the whole schema anew.
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
        # What was an index of pandas without a name is the time, or nothing.
        frame = frame.rename(columns={name: "ds"}) if is_date(frame[name]) else frame.drop(columns=name)
    # A delimiter behind every line makes a column of nothing.
    frame = frame.drop(columns=[name for name in frame if not str(name).strip() and frame[name].isna().all()])
    nested = [name for name in frame.columns if frame[name].dtype == object]
    # True and false with gaps are objects to pandas.
    frame = frame.astype({name: "boolean" if name in flags else "str" for name in nested})
    stripped = [str(name).strip() for name in frame.columns]
    return frame.set_axis(stripped, axis=1) if len(set(stripped)) == len(stripped) else frame
