"""Sheets of spreadsheets (.xlsx, .xlsb, .xls, .ods) as CSV text; calamine reads them."""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

from tsattn._text import quote_list
from tsattn.data.notes import Note
from tsattn.errors import DataError

_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of zip archives, which .xlsx, .xlsb and .ods are, and of .xls files."""


def is_spreadsheet(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a spreadsheet."""
    return head.startswith(_MAGIC)


def read_spreadsheet(source: Path | bytes, sheet: str | None) -> tuple[bytes, tuple[Note, ...]]:
    """Return a sheet as CSV in UTF-8, one line per row of the sheet.

    Args:
        source: The file, or its content.
        sheet: Name of the sheet; by default the only one with a table.

    Raises:
        DataError: The file cannot be read, has several sheets with tables, or none of that name.
    """
    try:
        workbook = CalamineWorkbook.from_object(io.BytesIO(source) if isinstance(source, bytes) else str(source))
        names = list(workbook.sheet_names)
        if sheet is not None and sheet not in names:
            raise DataError(f"there is no sheet '{sheet}', the sheets are {quote_list(names)}", "correct {sheet}")
        found = {}
        for name in names if sheet is None else [sheet]:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if sheet is not None or _is_table(rows):
                found[name] = rows
    except CalamineError as error:
        message = f"expected a CSV or Parquet file or a spreadsheet, got one that cannot be read: {error}"
        raise DataError(message.splitlines()[0], "save it as CSV") from None
    if len(found) > 1:
        raise DataError(f"expected one sheet with a table, got {quote_list(found)}", "name one with {sheet}")
    if not found:
        raise DataError(f"expected a sheet with a table, got the sheets {quote_list(names)} without any")
    name, rows = next(iter(found.items()))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_to_text(cell) for cell in row] for row in rows)
    notes = (Note("sheet", name, f"one of {quote_list(names)}"),) if len(names) > 1 else ()
    return buffer.getvalue().encode(), notes


def _is_table(rows: list[list[Any]]) -> bool:
    """Return whether at least two rows have two filled cells."""
    return len([row for row in rows if sum(cell != "" for cell in row) > 1]) > 1


def _to_text(cell: Any) -> str:
    """Return a cell as CSV without line ends."""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    return " ".join(str(cell).split())
