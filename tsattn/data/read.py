"""CSV and Parquet files as DataFrames; pyarrow does the reading."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tsattn.data.place import is_parquet, line_of
from tsattn.errors import DataError

SAMPLE_BYTES = 1 << 20
"""How much of a CSV file is looked at to find its delimiter and its ids with leading zeros."""


def read_frame(path: Path | str) -> pd.DataFrame:
    """Read a CSV file (also compressed, also separated by semicolons or tabs) or a Parquet file.

    Numbers in quotes are numbers, and empty cells are missing. Columns that hold whole numbers with a leading
    zero, such as 007, stay text. ISO dates become dates, and those with an offset from UTC become UTC.

    Raises:
        DataError: there is no such file, it is empty, or it cannot be read; the message names the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: expected a CSV or Parquet file, but this is a folder")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    try:
        table = pa_parquet.read_table(path) if is_parquet(path) else _read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: expected a CSV or Parquet file: {str(error).splitlines()[0]}") from None
    if table.num_rows == 0:
        raise DataError(f"{path}: the file has a header but no rows of data")
    return _to_frame(table, path)


def _read_csv(path: Path) -> Any:
    """Return the table of a CSV file."""
    sample = _sample(path)
    header = sample.lstrip("\r\n").splitlines()[0] if sample.strip() else ""
    if not header:
        raise DataError(f"{path}: the file is empty; expected a header line and rows of data")
    delimiter = max(";\t|", key=header.count) if "," not in header else ","
    delimiter = delimiter if delimiter in header else ","
    names = next(csv.reader([header], delimiter=delimiter))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{path}: line 1: expected a header with a name for each column, but '{twice}' stands there twice"
        )
    parse = {"delimiter": delimiter}
    convert = {"decimal_point": "," if delimiter == ";" and re.search(r"\d,\d", sample) else "."}
    text = _text_columns(sample, names, parse)
    try:
        return pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(**parse),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()), **convert),
        )
    except pa.ArrowInvalid as error:
        raise _bad_row(path, parse) or error from None


def _sample(path: Path) -> str:
    """Return the whole lines at the head of a text file."""
    with pa.input_stream(path) as stream:
        data = stream.read(SAMPLE_BYTES)
    if b"\0" in data:
        raise DataError(f"{path}: expected a CSV or Parquet file, but this is neither: save it as CSV")
    if len(data) == SAMPLE_BYTES:
        data = data[: data.rfind(b"\n") + 1] or data
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line}: expected text in UTF-8: save the file in that encoding") from None


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


def _bad_row(path: Path, parse: dict[str, Any]) -> DataError | None:
    """Return the complaint about the first row that has too many or too few cells, if there is one."""
    bad: list[Any] = []

    def keep(row: Any) -> str:
        bad.append(row)
        return "skip"

    try:
        pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),
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
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    return frame
