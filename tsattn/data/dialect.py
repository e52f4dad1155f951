"""Format of the cells of a text file: its decimal sign, and columns whose types are not inferred, from a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tsattn._text import quote_text
from tsattn.config import ReadOptions
from tsattn.data.columns import find_duplicate, has_id_name, is_missing
from tsattn.data.decimal_sign import describe_decimal, find_decimal, point_before_evidence
from tsattn.data.layout import LINE_END, TextLayout
from tsattn.data.table import Note
from tsattn.errors import DataError

MAX_DISTINCT = 20_000
"""Number of distinct cells, of all columns, by which the decimal sign is found; at least 20 of each."""
_POINTED = r"^(\d{1,3}\.(19|20)\d\d|(19|20)\d\d\.(0[1-9]|1[0-2]))$"
_SURE_IDENTIFIER = r"^(0\d+|0[xX][0-9a-fA-F]+|\d{20,})$"
_IDENTIFIER = rf"{_SURE_IDENTIFIER}|^\d+[eE]\d+$"


@dataclass(frozen=True)
class Dialect:
    """Format of a delimited file.

    Args:
        names: Names of the columns.
        delimiter: Sign between cells.
        decimal: Decimal sign.
        is_decimal_known: Whether the user or the first rows decide it.
        padded: Columns with numbers that may be identifiers, such as 007, 0x7, +49 or 1.10, and stay text.
        numbered: Columns of ids that are whole numbers in the sample. They are read as text, because others may follow.
        repeated: Columns with repeated text.
        whole: Columns that hold whole numbers in the sample.
        notes: How the dialect was found.
    """

    names: list[str]
    delimiter: str
    decimal: str
    is_decimal_known: bool = True
    padded: list[str] = field(default_factory=list)
    numbered: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    notes: tuple[Note, ...] = ()

    def types(self, *, dictionaries: bool) -> dict[str, Any]:
        """Return the Arrow types of columns that are not inferred, with repeated text as dictionaries or not."""
        types = dict.fromkeys(self.padded, pa.string())
        if dictionaries:
            types |= dict.fromkeys(self.repeated, pa.dictionary(pa.int32(), pa.string()))
        return types


def matches(cells: Any, pattern: str) -> bool:
    """Return whether all cells match a regular expression."""
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def _any(cells: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def detect_dialect(sample: str, layout: TextLayout, options: ReadOptions, known: Sequence[str]) -> Dialect:
    """Return the format of the cells of a file.

    Args:
        sample: The first lines of the table.
        layout: Its layout.
        options: Options of the user.
        known: Columns that stay text.

    Raises:
        DataError: A name occurs twice, or numbers have two readings.
    """
    if (name := find_duplicate(layout.names)) is not None:
        raise DataError(f"line 1: expected a header with unique column names, got {quote_text(name)} twice")
    dialect = Dialect(layout.names, layout.delimiter, options.decimal or ".", notes=layout.notes)
    texts = _sample_table(sample, dialect, dict.fromkeys(layout.names, pa.string()))
    if texts is None:
        return dialect
    distinct = dict(zip(texts.column_names, (column.unique() for column in texts.columns), strict=True))
    # Thousands of columns are looked at one by one only if any cell is of interest.
    cells = pa.chunked_array(list(distinct.values()), pa.string())
    months = [name for name, column in distinct.items() if _holds_months(column)] if _any(cells, _POINTED) else []
    has_identifiers = _any(cells, _IDENTIFIER)
    if options.decimal is None:
        most = max(MAX_DISTINCT // max(len(distinct), 10), 20)
        heads = {name: column[:most].to_pylist() for name, column in distinct.items() if name not in months}
        lines = LINE_END.split(sample)

        def place(cell: str) -> str:
            row = next((number for number, line in enumerate(lines, start=1) if cell in line), 2)
            return f"line {row if layout.text is None else layout.lines[row - 2]}"

        found = find_decimal(heads, place, point_before_evidence(sample, layout, heads))
        notes = (*layout.notes, *describe_decimal(heads, found))
        dialect = replace(dialect, decimal=found.sign or ".", is_decimal_known=bool(found.sign), notes=notes)
    table = _sample_table(sample, dialect)
    if table is None:
        return dialect
    padded = [
        name
        for name, column in distinct.items()
        if name in known
        or name in months
        or (has_identifiers and holds_identifiers(column, texts.num_rows))
        or (2 * len(column) <= texts.num_rows and dialect.decimal == "." and holds_written_ids(name, column))
    ]
    types = {field.name: field.type for field in table.schema}
    whole = [name for name, dtype in types.items() if pa.types.is_integer(dtype)]
    repeated = [name for name, column in distinct.items() if 2 * len(column) <= table.num_rows]
    numbered = [name for name in whole if name in repeated and name not in padded and has_id_name(name)]
    repeated = [name for name in repeated if name in (*padded, *numbered) or pa.types.is_string(types[name])]
    whole = [] if options.decimal else [name for name in whole if name not in numbered]
    return replace(dialect, padded=padded, numbered=numbered, repeated=repeated, whole=whole)


def holds_identifiers(cells: Any, rows: int) -> bool:
    """Return whether distinct cells are whole numbers that are identifiers; those such as 12E4 are repeated."""
    if not _any(cells, _IDENTIFIER):
        return False
    return _any(cells, _SURE_IDENTIFIER) or (2 * len(cells) <= rows and matches(cells, r"^(\d+([eE]\d+)?)?$"))


def holds_written_ids(name: str, cells: Any) -> bool:
    """Return whether distinct cells are numbers such as +49 and 1.10 that are ids by their name or differ as text."""
    if not _any(cells, r"^[+]\d+$|^\d+\.\d*0$"):
        return False
    filled = pa.array([cell for cell in cells.to_pylist() if cell and not is_missing(cell)], pa.string())
    if not matches(filled, r"^[+]?\d+(\.\d+)?$"):
        return False
    if matches(filled, r"^\d+(\.0+)?$"):
        # Whole numbers, as programs write them next to empty cells.
        return False
    if has_id_name(name) or matches(filled, r"^\+") or (_any(filled, r"\.\d+0$") and _any(filled, r"\.\d$")):
        return True
    return len(pc.replace_substring(filled, "+", "").cast(pa.float64()).unique()) < len(filled)


def _holds_months(cells: Any) -> bool:
    """Return whether all distinct cells are like 01.2021, a month or week and a year, or 2021.01."""
    filled = cells.filter(pc.not_equal(cells, ""))
    return len(filled) > 2 and matches(filled[:3], _POINTED) and matches(filled, _POINTED)


def read_csv(
    stream: Any, dialect: Dialect, types: dict[str, Any] | None, on_bad_row: Any = None, **options: Any
) -> Any:
    """Return the Arrow table of a stream; ``options`` are those of `pyarrow.csv.ReadOptions`."""
    return pa_csv.read_csv(
        stream,
        read_options=pa_csv.ReadOptions(**options),
        parse_options=pa_csv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=on_bad_row),
        convert_options=pa_csv.ConvertOptions(column_types=types, decimal_point=dialect.decimal),
    )


def _sample_table(sample: str, dialect: Dialect, types: dict[str, Any] | None = None) -> Any | None:
    """Return the sample as an Arrow table without rows of other lengths, or None if it cannot be read."""
    try:
        # Threads take twice the time for a block with hundreds of columns.
        return read_csv(pa.BufferReader(sample.encode()), dialect, types, lambda row: "skip", use_threads=False)
    except pa.ArrowInvalid:
        return None
