"""Sheets of spreadsheets (.xlsx, .xlsb, .xls, .ods) as CSV text; calamine reads them."""

from __future__ import annotations

import csv
import datetime
import io
import re
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from tsattn._text import quote_list
from tsattn.data.table import Note
from tsattn.errors import DataError

_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of zip archives, which .xlsx, .xlsb and .ods are, and of .xls files."""

_HEAD_BYTES = 1 << 16
"""Part of the text of a sheet that has the formats of its columns, before its cells."""

_COLUMN = re.compile(r"<(?:\w+:)?col\b[^>]*>")


def is_spreadsheet(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a spreadsheet."""
    return head.startswith(_MAGIC)


def read_spreadsheet(source: Path | bytes, sheet: str | None) -> tuple[bytes, tuple[Note, ...]]:
    """Return a sheet as CSV in UTF-8, one line per row of the sheet.

    Args:
        source: The file, or its content.
        sheet: Name of the sheet; by default the only one with a table, or the only visible one.

    Raises:
        DataError: The file cannot be read, has several sheets with tables, or none of that name.
    """
    try:
        workbook = CalamineWorkbook.from_object(io.BytesIO(source) if isinstance(source, bytes) else str(source))
        names = list(workbook.sheet_names)
        visible = [each.name for each in workbook.sheets_metadata if each.visible == SheetVisibleEnum.Visible]
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
    if set(found) & set(visible):
        found = {name: rows for name, rows in found.items() if name in (*visible, sheet)}
    if len(found) > 1:
        raise DataError(f"expected one sheet with a table, got {quote_list(found)}", "name one with {sheet}")
    if not found:
        raise DataError(f"expected a sheet with a table, got the sheets {quote_list(names)} without any")
    name, rows = next(iter(found.items()))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_to_text(cell) for cell in row] for row in rows)
    notes = [Note("sheet", name, f"one of {quote_list(names)}")] if len(names) > 1 else []
    if name not in visible:
        notes.append(Note("sheet", name, "it is hidden in the spreadsheet", is_warning=True))
    width = max(map(len, rows), default=0)
    if hidden := [
        _letters(column)
        for column in _hidden_columns(source, name)
        if column < width and any(row[column : column + 1] not in ([], [""]) for row in rows)
    ]:
        text = "they are hidden in the spreadsheet, and are read as the others are"
        notes.append(Note("columns", quote_list(hidden, quote=""), text, is_warning=True))
    return buffer.getvalue().encode(), tuple(notes)


def _hidden_columns(source: Path | bytes, sheet: str) -> list[int]:
    """Return the columns of a sheet of an .xlsx file that are hidden, from 0 on; calamine does not read that."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    if not zipfile.is_zipfile(file):
        return []
    with zipfile.ZipFile(file) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return []
        workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        found = next(each for each in workbook.iter() if each.tag.endswith("}sheet") and each.get("name") == sheet)
        key = next(value for name, value in found.items() if name.endswith("}id"))
        target = next(str(each.get("Target")) for each in relations if each.get("Id") == key)
        with archive.open(target.removeprefix("/") if target.startswith("/") else f"xl/{target}") as content:
            head = content.read(_HEAD_BYTES).partition(b"<sheetData")[0].decode(errors="replace")
    hidden: list[int] = []
    for tag in _COLUMN.findall(head):
        first, last, flag = (re.search(rf'\b{name}="(\w+)"', tag) for name in ("min", "max", "hidden"))
        if flag and flag[1] in ("1", "true") and first and last:
            hidden += range(int(first[1]) - 1, int(last[1]))
    return hidden


def _letters(column: int) -> str:
    """Return the name of a column, such as A or AB."""
    text = ""
    while column >= 0:
        column, letter = divmod(column, 26)
        text = chr(ord("A") + letter) + text
        column -= 1
    return text


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
