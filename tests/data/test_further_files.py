"""Further small files as offices, banks, utilities and spreadsheets write them: read right, or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.data.loader import load
from tsattn.errors import DataError, DataWarning

DAYS = pd.date_range("2022-01-01", periods=40)
MONTHS = pd.date_range("2016-01-01", periods=48, freq="MS")
GERMAN = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September"]
GERMAN += ["Oktober", "November", "Dezember"]


def value(row: int) -> int:
    """Value of a row, above 100."""
    return 150 + row * 37 % 50


def lines(head: str, rows: int, form: Callable[[int], str]) -> str:
    return "\n".join([head, *map(form, range(rows))]) + "\n"


def quarters() -> Iterator[tuple[int, int]]:
    return ((year, quarter) for year in range(2008, 2018) for quarter in range(1, 5))


READ: dict[str, tuple[str, dict[str, Any]]] = {
    "quarters with two digits of the year": (
        "Period,y\n" + "".join(f"{q}Q{year % 100:02d},{value(4 * year + q)}\n" for year, q in quarters()),
        {"freq": "QS", "start": "2008-01-01", "end": "2017-10-01"},
    ),
    "the year before the quarter": (
        "Period,y\n" + "".join(f"{year % 100:02d}Q{q},{value(4 * year + q)}\n" for year, q in quarters()),
        {"freq": "QS", "start": "2008-01-01", "end": "2017-10-01"},
    ),
    "the middles of months as fractions of years": (
        lines("decimal_date,y", 48, lambda row: f"{1974 + (row + 0.5) / 12:.4f},{value(row)}"),
        {"freq": "MS", "start": "1974-01-01", "end": "1977-12-01", "targets": ("y",), "note": "years with fractions"},
    ),
    "quarters as fractions of years": (
        lines("time,y", 48, lambda row: f"{1990 + row / 4:.2f},{value(row)}"),
        {"freq": "QS", "start": "1990-01-01", "targets": ("y",), "note": "years with fractions"},
    ),
    "single quotes": (
        lines("'date','store','y'", 40, lambda row: f"'{DAYS[row]:%Y-%m-%d}','North, main','{value(row)}'"),
        {"freq": "D", "start": "2022-01-01", "targets": ("y",)},
    ),
    "start and end of each hour": (
        lines(
            "Datum von;Datum bis;y",
            48,
            lambda row: (
                f"{DAYS[row // 24]:%d.%m.%Y} {row % 24:02d}:00;{DAYS[(row + 1) // 24]:%d.%m.%Y} "
                f"{(row + 1) % 24:02d}:00;{value(row)}"
            ),
        ),
        {"freq": "h", "start": "2022-01-01", "time": ("Datum von",), "targets": ("y",)},
    ),
    "columns of years and months without a name": (
        "Umsatz\nDeutschland\n;;Nominal\n;;2015=100\n"
        + "".join(f"{day:%Y};{GERMAN[day.month - 1]};{value(row)}\n" for row, day in enumerate(MONTHS))
        + "__________\n© Amt, 2021 | 20.03.2021\n",
        {"freq": "MS", "start": "2016-01-01", "targets": ("Nominal",), "note": "after the table"},
    ),
    "years and weeks as W01": (
        lines("ISO_YEAR,ISO_WEEK,y", 60, lambda row: f"{2018 + row // 52},W{row % 52 + 1:02d},{value(row)}"),
        {"freq": "W-MON", "start": "2018-01-01", "targets": ("y",)},
    ),
    "a header that is underlined": (
        lines(
            "Date        y\n            m3/s\n----------  -----",
            40,
            lambda row: f"{DAYS[row]:%Y-%m-%d}  {value(row)}",
        ),
        {"freq": "D", "start": "2022-01-01", "targets": ("y",)},
    ),
    "decimal commas in times and values": (
        lines("ts;y", 60, lambda row: f"2024-01-01 00:{row:02d}:00,000;{value(row)},0"),
        {"freq": "min", "start": "2024-01-01", "targets": ("y",)},
    ),
    "hours of four digits in the header": (
        "Date,"
        + ",".join(f"{hour:02d}00" for hour in range(24))
        + "\n"
        + "".join(
            f"{DAYS[day]:%Y-%m-%d}," + ",".join(str(value(24 * day + hour)) for hour in range(24)) + "\n"
            for day in range(5)
        ),
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-05"},
    ),
    "months without a year": (
        lines("month,y", 48, lambda row: f"{row % 12 + 1},{value(row)}"),
        {"freq": "1", "targets": ("y",)},
    ),
    "formulas of numbers": (
        lines("ds,y", 40, lambda row: f'{DAYS[row]:%Y-%m-%d},="{value(row)}"'),
        {"freq": "D", "targets": ("y",)},
    ),
    "empty columns of marks": (
        lines("ds,M_FLAG,y,Q_FLAG", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},,{value(row)},"),
        {"freq": "D", "targets": ("y",)},
    ),
    "hours as ranges after dates": (
        lines(
            "Datum/Uhrzeit;y",
            47,
            lambda row: f"{DAYS[row // 24]:%d.%m.%Y} {row % 24:02d}-{row % 24 + 1:02d};{value(row)}",
        ),
        {"freq": "h", "start": "2022-01-01", "targets": ("y",)},
    ),
    "fiscal years of two digits": (
        lines("FY,y", 30, lambda row: f"FY{(1995 + row) % 100:02d},{value(row)}"),
        {"freq": "YS", "start": "1995-01-01", "note": "fiscal years"},
    ),
    "seconds with fractions": (
        lines("Time,y", 40, lambda row: f"{1_700_000_000 + 15 * row}.125,{value(row)}"),
        {"freq": "15s", "start": "2023-11-14", "targets": ("y",)},
    ),
    "days of a spreadsheet in the header": (
        "Product,"
        + ",".join(str(44197 + 7 * week) for week in range(20))
        + "\nA,"
        + ",".join(map(str, map(value, range(20)))),
        {"freq": "W-FRI", "start": "2021-01-01", "note": "days of a spreadsheet: 2021-01-01"},
    ),
    "months without a year in the header": (
        "Product,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\nA," + ",".join(map(str, map(value, range(12)))),
        {"freq": "1", "note": "months without a year"},
    ),
    "debit and credit": (
        lines("Tag;y;S/H", 40, lambda row: f"{DAYS[row]:%d.%m.%Y};{value(row)};{'SH'[row % 3 == 0]}"),
        {"freq": "D", "targets": ("y",), "note": "'S/H' may hold the signs of 'y'"},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_files_that_are_read(case: str, tmp_path: Path) -> None:
    text, expected = READ[case]
    path = tmp_path / "a.csv"
    path.write_text(text)
    panel, schema = load(path)
    times = panel.times(0)
    found = {"start": str(times[0])[:10], "end": str(times[-1])[:10]}
    notes = " ".join(note.message for note in schema.notes)
    for key, known in expected.items():
        assert (known in notes) if key == "note" else (found.get(key, getattr(schema, key, None)) == known), (
            key,
            notes,
        )
    first = 4 * 2008 + 1 if "quarter" in case and "fraction" not in case else 0
    np.testing.assert_array_equal(panel.values[:, 0], [value(first + row) for row in range(len(panel.values))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        np.testing.assert_array_equal(load(path, schema=schema)[0].values, panel.values)


REFUSED = {
    "two units": (
        lines("month,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}{'%' * (row % 2)}"),
        ["line 2", "the unit '%'", "'150'"],
    ),
    "days as fractions of years": (lines("year,y", 40, lambda row: f"{2010 + row / 365:.4f},{value(row)}"), ["'year'"]),
    "balances with CR and DR": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}.00 {'CD'[row % 3 == 0]}R"),
        ["'y'", "150.00 DR"],
    ),
    "HTML": ("<table>" + "<tr><td>2022-01-01</td><td>5</td></tr>" * 20 + "</table>", ["got HTML"]),
    "a large counter that was reset": (
        lines("ds,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{1e9 + row if row < 15 else row}"),
        ["'y'", "36 % of the steps", "reset"],
    ),
    "values below a limit": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row) if row % 5 else '<100'}"),
        ["line 2", "'<100'", "na="],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_refused(case: str, tmp_path: Path) -> None:
    text, parts = REFUSED[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.csv")
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
