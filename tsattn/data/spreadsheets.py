"""Sheets of spreadsheets (.xlsx, .xlsb, .xls, .ods) as CSV text; calamine reads them."""

from __future__ import annotations

import csv
import datetime
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from tsattn._text import quote_list
from tsattn.data.table import Note
from tsattn.errors import DataError

_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of zip archives, which .xlsx, .xlsb and .ods are, and of .xls files."""

MAX_HIDDEN = 12
"""Hidden rows and columns that a warning lists."""

MAX_REPEATED = 100_000
"""Most hidden rows or columns of one tag."""

_COLUMN = re.compile(r"<(?:\w+:)?col\b[^>]*>")
_ROW = re.compile(r"<(?:\w+:)?row\b[^>]*>")
_TRUE = ("1", "true")
_ODS_TABLE = re.compile(r"<table:table\b[^>]*>")
_ODS_PART = re.compile(r"<table:table-(column|row)\b[^>]*>")
_QUOTES = {"&quot;": '"', "&apos;": "'"}


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
    hidden = _find_hidden(source, name)
    width = max(map(len, rows), default=0)
    columns = [
        _letters(column)
        for column in hidden.columns
        if column < width and any(row[column : column + 1] not in ([], [""]) for row in rows)
    ]
    lines = [str(row + 1) for row in hidden.rows if row < len(rows) and any(cell != "" for cell in rows[row])]
    for field, names in (("columns", columns), ("rows", lines)):
        if names:
            text = "they are hidden in the spreadsheet, and are read as the others are"
            value = quote_list(names, quote="", max_items=MAX_HIDDEN)
            notes.append(Note(field, value, text, is_warning=True, hint="delete them if they are no data"))
    return buffer.getvalue().encode(), tuple(notes)


@dataclass(frozen=True)
class _Hidden:
    """Columns and rows of a sheet that are hidden, from 0 on."""

    columns: Sequence[int] = ()
    rows: Sequence[int] = ()


def _find_hidden(source: Path | bytes, sheet: str) -> _Hidden:
    """Return the hidden columns and rows of a sheet of an .xlsx or .ods file, which calamine does not read."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    if not zipfile.is_zipfile(file):
        return _Hidden()
    with zipfile.ZipFile(file) as archive:
        files = archive.namelist()
        if "content.xml" in files:
            return _hidden_in_ods(archive.read("content.xml").decode(errors="replace"), sheet)
        if "xl/workbook.xml" not in files:
            return _Hidden()
        workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        found = next(each for each in workbook.iter() if each.tag.endswith("}sheet") and each.get("name") == sheet)
        key = next(value for name, value in found.items() if name.endswith("}id"))
        target = next(str(each.get("Target")) for each in relations if each.get("Id") == key)
        text = archive.read(target.removeprefix("/") if target.startswith("/") else f"xl/{target}").decode()
    return _hidden_in_xlsx(text)


def _hidden_in_xlsx(text: str) -> _Hidden:
    columns: list[int] = []
    for tag in _COLUMN.findall(text.partition("<sheetData")[0]):
        first, last = (_attribute(tag, name) for name in ("min", "max"))
        if _attribute(tag, "hidden") in _TRUE and first and last:
            columns += range(int(first) - 1, int(last))
    rows, number = [], 0
    for tag in _ROW.findall(text):
        number = int(_attribute(tag, "r") or number + 1)
        if _attribute(tag, "hidden") in _TRUE:
            rows.append(number - 1)
    return _Hidden(columns, rows)


def _hidden_in_ods(text: str, sheet: str) -> _Hidden:
    tables = _ODS_TABLE.finditer(text)
    start = next((tag.end() for tag in tables if unescape(_attribute(tag[0], "table:name"), _QUOTES) == sheet), None)
    if start is None:
        return _Hidden()
    hidden: dict[str, list[int]] = {"column": [], "row": []}
    number = {"column": 0, "row": 0}
    for tag in _ODS_PART.finditer(text, start, text.find("</table:table>", start)):
        kind = tag[1]
        count = int(_attribute(tag[0], f"table:number-{kind}s-repeated") or 1)
        if _attribute(tag[0], "table:visibility") in ("collapse", "filter"):
            # The rest of a sheet is one part of a million rows.
            hidden[kind] += range(number[kind], number[kind] + min(count, MAX_REPEATED))
        number[kind] += count
    return _Hidden(hidden["column"], hidden["row"])


def _attribute(tag: str, name: str) -> str:
    """Return an attribute of a tag of XML; empty without it."""
    return found[1] if (found := re.search(rf'\s{name}="([^"]*)"', tag)) else ""


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
