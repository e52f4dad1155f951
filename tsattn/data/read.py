"""CSV and Parquet files as DataFrames; pyarrow does the reading."""

from __future__ import annotations

import codecs
import csv
import re
import sys
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tsattn.data.place import ENCODING, FILES, STANDARD_INPUT, is_parquet, line_of, listed
from tsattn.data.stamps import is_date
from tsattn.errors import DataError

SAMPLE_BYTES = 1 << 20
"""How much of a CSV file is looked at to find its delimiter and its ids with leading zeros."""


FILE = "file"
"""Column with the name of the file that a row comes from, where there are several."""

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")
"""Ends of the names of the files of a folder that are read, before that of a compression."""

COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")

FALLBACK = "Windows-1252"
"""How text is read that is not UTF-8: what spreadsheets in Western Europe and America write."""


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
        return _read_bytes(sys.stdin.buffer.read()), STANDARD_INPUT
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
    name = path.name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return path.is_file() and name.endswith(ENDINGS) and not name.startswith(".")


def stem(path: Path | str) -> str:
    """Return the name of a file without its endings."""
    return Path(path).name.split(".")[0]


def _concatenated(paths: list[Path]) -> pd.DataFrame:
    """Return the rows of all files, with the column `FILE` where there are several."""
    frames = [read_frame(path) for path in paths]
    first = frames[0]
    for path, frame in zip(paths, frames, strict=True):
        if list(frame.columns) != list(first.columns):
            raise DataError(
                f"{path}: expected the columns of {paths[0]}, {listed(first.columns)}, but they are "
                f"{listed(frame.columns)}: read files of one kind at a time"
            )
    result = pd.concat(frames, ignore_index=True)
    if len(paths) > 1 and FILE not in result.columns:
        rows = [len(frame) for frame in frames]
        result[FILE] = pd.Series([stem(path) for path in paths], dtype="str").repeat(rows).to_numpy()
    result.attrs[FILES] = [(str(path), len(frame)) for path, frame in zip(paths, frames, strict=True)]
    encoding = next((frame.attrs[ENCODING] for frame in frames if ENCODING in frame.attrs), None)
    if encoding is not None:
        result.attrs[ENCODING] = encoding
    return result


def _read_bytes(data: bytes) -> pd.DataFrame:
    """Read what was piped in, by way of a file, as which the reader can go through it twice."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / STANDARD_INPUT
        path.write_bytes(data)
        try:
            return read_frame(path)
        except DataError as error:
            raise DataError(str(error).replace(str(path), STANDARD_INPUT)) from None


def read_frame(path: Path | str) -> pd.DataFrame:
    """Read a CSV file (also compressed, also separated by semicolons or tabs) or a Parquet file.

    Text is UTF-8, UTF-16 where the file begins with its mark, and Windows-1252 else. Numbers in quotes are numbers, and
    empty cells are missing. Columns that hold whole numbers with a leading zero, such as 007, stay text. ISO dates
    become dates, and those with an offset from UTC become UTC.

    Raises:
        DataError: there is no such file, it is empty, or it cannot be read; the message names the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    encoding = "UTF-8"
    try:
        if is_parquet(path):
            table = pa_parquet.read_table(path)
        else:
            sample, encoding = _sample(path)
            table = _read_csv(path, sample, encoding)
            if encoding == "UTF-8" and any(pa.types.is_binary(field.type) for field in table.schema):
                # What is no UTF-8 stands behind the sample.
                encoding = FALLBACK
                table = _read_csv(path, sample, encoding)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: expected a CSV or Parquet file: {str(error).splitlines()[0]}") from None
    if table.num_rows == 0:
        raise DataError(f"{path}: the file has a header but no rows of data")
    frame = _to_frame(table, path)
    if encoding != "UTF-8":
        frame.attrs[ENCODING] = encoding
    return frame


def _read_csv(path: Path, sample: str, encoding: str) -> Any:
    """Return the table of a CSV file."""
    header = sample.lstrip("\r\n").splitlines()[0] if sample.strip() else ""
    if not header:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    if len(header) >= SAMPLE_BYTES // 4 and len(header) >= len(sample.strip()):
        raise DataError(f"{path}: line 1: expected a header, but there is no end of a line in {len(header):,} letters")
    delimiter = max(";\t|", key=header.count) if "," not in header else ","
    delimiter = delimiter if delimiter in header else ","
    names = next(csv.reader([header], delimiter=delimiter))
    _check_header(path, sample, names, delimiter)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{path}: line 1: expected a header with a name for each column, but '{twice}' stands there twice"
        )
    parse = {"delimiter": delimiter}
    convert = {"decimal_point": "," if delimiter in ";\t" and re.search(r"\d,\d", sample) else "."}
    text = _text_columns(sample, names, parse)
    try:
        return pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(encoding=encoding),
            parse_options=pa_csv.ParseOptions(**parse),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()), **convert),
        )
    except pa.ArrowInvalid as error:
        raise _bad_row(path, parse, encoding) or error from None


def _check_header(path: Path, sample: str, names: list[str], delimiter: str) -> None:
    """Raise a DataError where the first line is no header, but a program's note, or data."""
    if names[0].lower().startswith("sep=") and len(names) <= 2:
        note = delimiter.join(names)
        raise DataError(f"{path}: line 1: expected a header, got the note '{note}' of a spreadsheet: delete that line")
    second = next(csv.reader(sample.lstrip("\r\n").splitlines()[1:2], delimiter=delimiter), [])
    if second and all(re.match(r"\d{4}-\d\d-\d\d(\D|$)", cell) for cell in (names[0], second[0])):
        raise DataError(
            f"{path}: line 1: expected a header with a name for each column, got the date {names[0]} as in line 2: "
            "write one, such as ds,y"
        )


def _sample(path: Path) -> tuple[str, str]:
    """Return the whole lines at the head of a text file, and its encoding."""
    with pa.input_stream(path) as stream:
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


def _text_columns(sample: str, names: list[str], parse: dict[str, Any]) -> list[str]:
    """Return the columns with whole numbers that begin with 0: identifiers, which lose it as numbers."""
    if not re.search(r"(?:^|[^\d.:+-])0\d", sample, re.MULTILINE):
        return []
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(sample.encode()),
            parse_options=pa_csv.ParseOptions(**parse, invalid_row_handler=lambda row: "skip"),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return []
    padded = (pc.any(pc.match_substring_regex(table[name], r"^0\d+$")).as_py() for name in table.column_names)
    return [name for name, found in zip(table.column_names, padded, strict=True) if found]


def _bad_row(path: Path, parse: dict[str, Any], encoding: str) -> DataError | None:
    """Return the complaint about the first row that has too many or too few cells, if there is one."""
    bad: list[Any] = []

    def keep(row: Any) -> str:
        bad.append(row)
        return "skip"

    try:
        pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False, encoding=encoding),
            parse_options=pa_csv.ParseOptions(**parse, invalid_row_handler=keep),
        )
    except pa.ArrowInvalid:
        return None
    if not bad:
        return None
    row = min(bad, key=lambda row: row.number or 0)
    line = line_of(path, (row.number or 2) - 2)
    return DataError(
        f"{path}: line {line}: expected {row.expected_columns} cells as in the header, got "
        f"{row.actual_columns}: put text that holds the delimiter in quotes"
    )


def _to_frame(table: Any, path: Path) -> pd.DataFrame:
    """Return a table as a frame whose columns are numbers, dates or text."""
    for number, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_binary(kind):
            raise DataError(f"{path}: column '{field.name}': expected text in UTF-8: save the file in that encoding")
        wanted = None
        if pa.types.is_decimal(kind) or pa.types.is_null(kind):
            wanted = pa.float64()
        elif pa.types.is_dictionary(kind):
            wanted = kind.value_type
        elif pa.types.is_time(kind):
            wanted = pa.string()
        if wanted is not None:
            table = table.set_column(number, field.name, table[number].cast(wanted))
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, ignore_metadata=True)
    for name in [name for name in frame.columns if re.fullmatch(r"__index_level_\d+__", name)]:
        # What was an index of pandas without a name is the time, or nothing.
        frame = frame.rename(columns={name: "ds"}) if is_date(frame[name]) else frame.drop(columns=name)
    # A delimiter behind every line makes a column of nothing.
    frame = frame.drop(columns=[name for name in frame if not str(name).strip() and frame[name].isna().all()])
    stripped = [str(name).strip() for name in frame.columns]
    return frame.set_axis(stripped, axis=1) if len(set(stripped)) == len(stripped) else frame
