"""Files of series, local or of an fsspec file system, divided into partitions of whole series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet
from fsspec.core import url_to_fs

from tsattn._text import quote_list, quote_text
from tsattn.config import ReadOptions
from tsattn.data.files import arrow_to_table, find_files, read_file, unique_stems
from tsattn.data.table import FILE
from tsattn.errors import DataError, RunError, TsattnError
from tsattn.timeseries.schema import Schema

MAX_ROWS = 1_000_000
"""Rows of a partition whose series come from several files, unless a single value of the id has more."""


def is_url(path: Path | str) -> bool:
    """Return whether a path is one of an fsspec file system, such as ``s3://bucket/key``."""
    return "://" in str(path)


def open_file_system(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or a URL, and the path on it.

    Raises:
        RunError: The package of the file system is not installed.
    """
    try:
        file_system, name = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise RunError(f"{path}: {error}") from None
    return file_system, str(name)


@contextmanager
def file_system_errors(path: str) -> Iterator[None]:
    """Raise a RunError if a file system fails, such as for lack of credentials.

    The packages of fsspec file systems have errors of their own, which have no common base.
    """
    try:
        yield
    except TsattnError:
        raise
    except Exception as error:
        raise RunError(f"{path}: {error}") from error


def write_file(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file of an fsspec file system, whole or not at all.

    Raises:
        RunError: It cannot be written.
    """
    file_system, name = open_file_system(path)
    folder, _, base = name.rpartition("/")
    temporary = f"{folder}/.{base}.{uuid4().hex}"
    with file_system_errors(path):
        with file_system.open(temporary, "wb") as file:
            write(file)
        file_system.mv(temporary, name)


@dataclass(frozen=True)
class Partition:
    """Whole series of some files.

    Args:
        name: Name of the partition, and of the file with its forecasts, without suffix.
        files: Files that hold the series.
        column: Column by which the rows of the series are selected; None for all rows of the only file.
        ids: Selected values of the column, as text.
    """

    name: str
    files: tuple[str, ...]
    column: str | None = None
    ids: tuple[str, ...] = ()

    def read(self, options: ReadOptions) -> pd.DataFrame:
        """Return the rows of the series, and the name of their file where all are of one.

        Raises:
            DataError: A file cannot be read.
        """
        if self.column is None:
            frame = _read(self.files[0], options)
            return frame if FILE in frame else frame.assign(**{FILE: self.name})
        chosen = pc.field(self.column).cast(pa.string()).isin(pa.array(self.ids, pa.string()))
        parts = [_read_parquet(file, filters=chosen) for file in self.files]
        return arrow_to_table(pa.concat_tables(parts, promote_options="permissive"), self.name, options).frame


def list_files(source: Path | str) -> tuple[str, ...]:
    """Return the files of a pattern or a folder, sorted.

    Raises:
        DataError: There are none.
    """
    text = str(source)
    if not is_url(text):
        return tuple(str(path) for path in find_files(source))
    file_system, path = open_file_system(text)
    with file_system_errors(text):
        found = sorted(file_system.glob(path if "*" in path else f"{path.rstrip('/')}/*.parquet"))
    if not found:
        raise DataError(f"{text}: there are no such files")
    return tuple(file_system.unstrip_protocol(name) for name in found)


def divide_data(data: Path | str, schema: Schema) -> list[Partition]:
    """Return partitions of a folder, a pattern of files or a URL that hold each series as a whole; see `divide`."""
    return divide(list_files(data), schema.id, schema.read_options)


def divide(files: Sequence[str], ids: Sequence[str], options: ReadOptions) -> list[Partition]:
    """Return partitions that hold each series as a whole.

    A partition is a file, unless a series has rows in several files. Then the rows are regrouped by series, which
    needs Parquet files.

    Args:
        files: The files.
        ids: Columns that identify a series. Without one, or with the name of the file among them, a file is a series.
        options: How the files are read.

    Raises:
        DataError: A series has rows in several files that are not Parquet, or a file lacks the columns.
    """
    names = unique_stems([Path(file) for file in files])
    whole = [Partition(name.replace("/", "-"), (file,)) for name, file in zip(names, files, strict=True)]
    if not ids or FILE in ids or len(files) == 1:
        return whole
    counts = [_count_rows(file, ids, options) for file in files]
    keys = pd.concat([count.index.to_frame(index=False) for count in counts], ignore_index=True)
    twice = keys[keys.duplicated()]
    if twice.empty:
        return whole
    series = quote_text("/".join(map(str, twice.iloc[0])))
    if not all(_is_parquet(file) for file in files):
        raise DataError(
            f"series {series} has rows in several files, and only Parquet files are regrouped by series",
            "write each series into one file",
        )
    # Series with the same value of the first column stay together, so that one column selects their rows.
    parts: list[list[str]] = [[]]
    size = 0
    for value, rows in pd.concat(counts).groupby(level=0).sum().sort_index().items():
        if parts[-1] and size + rows > MAX_ROWS:
            parts.append([])
            size = 0
        parts[-1].append(str(value))
        size += rows
    return [Partition(f"part-{number:05}", tuple(files), ids[0], tuple(part)) for number, part in enumerate(parts)]


def _count_rows(file: str, ids: Sequence[str], options: ReadOptions) -> pd.Series[Any]:
    """Return the number of rows of each series of a file."""
    frame = _read_parquet(file, list(ids)).to_pandas() if _is_parquet(file) else read_file(file, options).frame
    missing = [name for name in ids if name not in frame]
    if missing:
        raise DataError(f"{file}: expected the columns {quote_list(ids)}, got no {quote_list(missing)}")
    counts: pd.Series[Any] = frame[list(ids)].astype("str").groupby(list(ids)).size()
    return counts


def _is_parquet(file: str) -> bool:
    return file.lower().endswith((".parquet", ".pq"))


def _read(file: str, options: ReadOptions) -> pd.DataFrame:
    if not is_url(file):
        return read_file(file, options).frame
    return arrow_to_table(_read_parquet(file), file, options).frame


def _read_parquet(file: str, columns: list[str] | None = None, filters: Any = None) -> Any:
    """Return columns and rows of a Parquet file as an Arrow table."""
    file_system, path = open_file_system(file) if is_url(file) else (None, file)
    try:
        # Without columns from the names of its folders.
        return pa_parquet.read_table(path, columns=columns, filters=filters, filesystem=file_system, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: expected a Parquet file: {str(error).splitlines()[0]}") from None
