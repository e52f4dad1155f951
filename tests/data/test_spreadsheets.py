"""Spreadsheets: cells of all kinds, lines around the table, several sheets."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError

DAYS = [datetime.date(2022, 1, day) for day in range(1, 10)]
ROWS: list[list[Any]] = [["day", "sales", "shop is open"], *([day, i + 0.5, True] for i, day in enumerate(DAYS))]
EPOCH = datetime.date(1899, 12, 30)
HIDDEN = ' hidden="1"'

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write_xlsx(
    path: Path, *, hidden: Sequence[str] = (), columns: str = "", rows: Sequence[int] = (), **sheets: list[list[Any]]
) -> Path:
    """Write the least that makes a workbook: cell style 1 is a date; names of hidden sheets, XML of columns and hidden
    rows, from 1 on.
    """
    states = {name: 'state="hidden" ' for name in hidden}
    names = "".join(
        f'<sheet name="{name}" sheetId="{n}" {states.get(name, "")}r:id="r{n}"/>' for n, name in enumerate(sheets, 1)
    )
    targets = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/worksheet" Target="worksheets/{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    workbook = f'<Relationship Id="w" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    styles = f'<Relationship Id="s" Type="{OFFICE}/styles" Target="styles.xml"/>'
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("_rels/.rels", f'<Relationships xmlns="{RELATIONS}">{workbook}</Relationships>')
        file.writestr(
            "[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
        )
        file.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{NAMESPACE}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>'
        )
        file.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{RELATIONS}">{targets}{styles}</Relationships>'
        )
        file.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{NAMESPACE}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        )
        for number, cells in enumerate(sheets.values(), 1):
            lines = "".join(
                f"<row{HIDDEN * (place in rows)}>{''.join(map(cell_xml, row))}</row>"
                for place, row in enumerate(cells, 1)
            )
            file.writestr(
                f"xl/worksheets/{number}.xml",
                f'<worksheet xmlns="{NAMESPACE}">{columns}<sheetData>{lines}</sheetData></worksheet>',
            )
    return path


def cell_xml(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.date):
        return f'<c s="1"><v>{(value - EPOCH).days}</v></c>'
    if isinstance(value, (int, float)):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def test_dates_numbers_and_booleans(tmp_path: Path) -> None:
    panel, schema = load(write_xlsx(tmp_path / "a.xlsx", Tabelle1=ROWS))
    assert schema.time == ("day",) and schema.freq == "D" and schema.targets == ("sales",)
    assert panel.times(0)[0] == pd.Timestamp("2022-01-01")
    assert panel.values[:, 0].tolist() == [i + 0.5 for i in range(9)]


def test_lines_around_the_table_and_three_decimals(tmp_path: Path) -> None:
    rows = [["Report"], [None], ["day", "sales"], *([day, 1.125 + i] for i, day in enumerate(DAYS)), ["Total", 46.125]]
    panel, schema = load(write_xlsx(tmp_path / "a.xlsx", a=rows))
    assert panel.values[:, 0].tolist() == [1.125 + i for i in range(9)]
    assert (
        any("Report" in setting.reason for setting in schema.inferred_settings) and "Total" in schema.notes[0].message
    )


def test_rows_are_named_as_the_spreadsheet_names_them(tmp_path: Path) -> None:
    rows = [*ROWS[:4], [DAYS[3], "bad"], *ROWS[5:]]
    with pytest.raises(DataError, match=r"a\.xlsx: row 5: column 'sales': expected a number, got 'bad'"):
        load(write_xlsx(tmp_path / "a.xlsx", a=rows))


def test_several_sheets(tmp_path: Path) -> None:
    other = [["day", "sales"], *([day, 100 + i] for i, day in enumerate(DAYS))]
    path = write_xlsx(tmp_path / "a.xlsx", about=[["About this file"]], north=ROWS, south=other)
    with pytest.raises(DataError, match=r"expected one sheet with a table, got 'north', 'south': name one with sheet="):
        load(path)
    panel, schema = load(path, DataConfig(sheet="south"))
    assert panel.values[0, 0] == 100 and load(path, schema=schema)[0].values[0, 0] == 100
    with pytest.raises(DataError, match="there is no sheet 'east', the sheets are 'about', 'north', 'south'"):
        load(path, DataConfig(sheet="east"))
    only = write_xlsx(tmp_path / "b.xlsx", about=[["About this file"]], north=ROWS)
    schema = load(only)[1]
    assert [setting.value for setting in schema.inferred_settings if setting.field == "sheet"] == ["north"]


def test_hidden_sheets_and_columns_are_reported(tmp_path: Path) -> None:
    other = [["day", "sales"], *([day, 100 + i] for i, day in enumerate(DAYS))]
    panel, schema = load(write_xlsx(tmp_path / "a.xlsx", hidden=["old"], old=other, new=ROWS))
    assert panel.values[0, 0] == 0.5 and schema.notes == ()
    panel, schema = load(write_xlsx(tmp_path / "b.xlsx", hidden=["old"], old=other, about=[["text"]]))
    assert panel.values[0, 0] == 100 and "sheet old: it is hidden" in schema.notes[0].message
    assert load(write_xlsx(tmp_path / "c.xlsx", hidden=["old"], old=other, new=ROWS), DataConfig(sheet="old"))[1].notes
    wide = [["day", "cost", "sales"], *([day, i + 7, i + 0.5] for i, day in enumerate(DAYS))]
    cols = '<cols><col min="2" max="2" width="9" hidden="1"/><col min="4" max="16384" hidden="1"/></cols>'
    schema = load(write_xlsx(tmp_path / "d.xlsx", columns=cols, a=wide))[1]
    assert schema.targets == ("cost", "sales") and "columns B: they are hidden" in schema.notes[0].message


def write_ods(path: Path, rows: str, columns: str = "") -> Path:
    """Write the least that makes an OpenDocument spreadsheet of two sheets, from the XML of the rows of the second."""
    names = ["office", "table", "text"]
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    note = '<table:table table:name="Notes &amp; more"><table:table-row table:visibility="collapse"/></table:table>'
    text = f'{note}<table:table table:name="Sales">{columns}{rows}</table:table>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", kind)
        entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
        space = 'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"'
        file.writestr("META-INF/manifest.xml", f"<manifest:manifest {space}>{entry}</manifest:manifest>")
        body = f"<office:body><office:spreadsheet>{text}</office:spreadsheet></office:body>"
        file.writestr("content.xml", f"<office:document-content {spaces}>{body}</office:document-content>")
    return path


def ods_row(cells: Sequence[Any], flag: str = "") -> str:
    kinds = [
        f'office:value-type="date" office:date-value="{cell}"'
        if isinstance(cell, datetime.date)
        else f'office:value-type="float" office:value="{cell}"'
        if isinstance(cell, (int, float))
        else 'office:value-type="string"'
        for cell in cells
    ]
    texts = (
        f"<table:table-cell {kind}><text:p>{cell}</text:p></table:table-cell>"
        for kind, cell in zip(kinds, cells, strict=True)
    )
    return f"<table:table-row{flag}>{''.join(texts)}</table:table-row>"


def test_hidden_rows_are_reported(tmp_path: Path) -> None:
    panel, schema = load(write_xlsx(tmp_path / "a.xlsx", rows=[4, 5, 99], a=ROWS))
    assert panel.values[:, 0].tolist() == [i + 0.5 for i in range(9)]
    assert [note.message for note in schema.notes] == [
        f"{tmp_path / 'a.xlsx'}: rows 4, 5: they are hidden in the spreadsheet, and are read as the others are"
    ]


def test_hidden_rows_and_columns_of_opendocument_are_reported(tmp_path: Path) -> None:
    hidden = ' table:visibility="collapse"'
    columns = f'<table:table-column/><table:table-column{hidden} table:number-columns-repeated="2"/>'
    rows = ods_row(["day", "cost", "sales"])
    rows += "".join(
        ods_row([day, i + 7, i + 0.5], ' table:visibility="filter"' * (i in (2, 3))) for i, day in enumerate(DAYS)
    )
    rows += f'<table:table-row{hidden} table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    schema = load(write_ods(tmp_path / "a.ods", rows, columns))[1]
    assert schema.targets == ("cost", "sales") and schema.freq == "D"
    (first, second) = (note.message for note in schema.notes)
    assert "columns B, C: they are hidden" in first and "rows 4, 5: they are hidden" in second


def test_timestamps_in_the_header_of_a_sheet(tmp_path: Path) -> None:
    rows = [["shop", *DAYS], ["a", *range(9)], ["b", *range(9, 18)]]
    panel, schema = load(write_xlsx(tmp_path / "a.xlsx", a=rows))
    assert panel.ids == ("a", "b") and schema.layout == "columns" and schema.freq == "D"
    assert panel.values[:, 0].tolist() == list(range(18))
