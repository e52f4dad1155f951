"""Forms of services, meters and offices whose writing is easily misread, next to those of `data.office_forms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from data.exported_forms import DAYS, GERMAN, MONTHS, lines, value
from data.office_forms import rows_of, two_series

HOURS = pd.date_range("2022-01-01", periods=480, freq="h")
QUARTERS = pd.date_range("2010-01-01", periods=40, freq="QS")
YEARS = [str(month.year) for month in MONTHS]
ABBREVIATED = [f"{month:%b}" for month in MONTHS]
TOTAL = sum(map(value, range(40)))
SERIAL = 44562  # The first of `DAYS` as spreadsheets count.


def in_rows(*heads: str, columns: int = 48) -> str:
    cells = [list(map(value, range(columns * row, columns * row + columns))) for row in range(2)]
    return "\n".join([*heads, *(f"{name},{rows_of(row, ',')}" for name, row in zip("AB", cells, strict=True))]) + "\n"


def hourly(head: str, time: Callable[[int], str]) -> str:
    return lines(head, 480, lambda row: f"{time(row)},{value(row)}")


def first_only(names: list[str]) -> str:
    """Return names as merged cells give them: only the first of equal ones."""
    return ",".join(name if row == 0 or name != names[row - 1] else "" for row, name in enumerate(names))


EPEX = "Delivery day,Hour 1,Hour 2,Hour 3A,Hour 3B," + ",".join(f"Hour {hour}" for hour in range(4, 25)) + "\n"


def delivered(day: int, second: str) -> str:
    cells = list(map(str, map(value, range(24 * day, 24 * day + 24))))
    return f"{DAYS[day]:%d/%m/%Y},{','.join([*cells[:3], second, *cells[3:]])}\n"


SERVICE_FORMS_READ: dict[str, tuple[str, dict[str, Any]]] = {
    "ids with a sign": (two_series("phone", "+4912", "4912"), {"freq": "D", "ids": ("+4912", "4912")}),
    "ids that are versions": (two_series("ver", "1.1", "1.10"), {"freq": "D", "ids": ("1.1", "1.10")}),
    "ids that are versions with one number of decimals": (
        two_series("release", "1.10", "1.20"),
        {"freq": "D", "ids": ("1.10", "1.20")},
    ),
    "ids that are versions, none of them equal": (
        lines("py,date,y", 120, lambda row: f"{('3.8', '3.10', 'null')[row // 40]},{DAYS[row % 40]:%F},{value(row)}"),
        {"freq": "D", "ids": ("3.8", "3.10", "null")},
    ),
    "ids of equal width between bars": (
        lines(
            " date       | region    | y\n------------+-----------+---",
            80,
            lambda row: f" {DAYS[row % 40]:%F} | {('North Sea', 'Oslo')[row // 40]:<9} | {value(row)}",
        )
        + "(80 rows)\n",
        {"freq": "D", "ids": ("North Sea", "Oslo"), "targets": ("y",)},
    ),
    "ids that differ in blanks": (two_series("sku", " 7a", "7a"), {"freq": "D", "ids": (" 7a", "7a")}),
    "a table between lines of signs and a note": (
        lines(
            "+------------+-----+\n| date       | y   |\n+------------+-----+",
            40,
            lambda row: f"| {DAYS[row]:%F} | {value(row)} |",
        )
        + "+------------+-----+\n40 rows in set (0.00 sec)\n",
        {"freq": "D", "targets": ("y",), "note": "40 rows in set"},
    ),
    "a note after columns of fixed width": (
        lines(
            "Date        Station    Temp",
            80,
            lambda row: f"{DAYS[row % 40]:%F}  {('North Sea', 'Oslo')[row // 40]:<9}  {value(row)}",
        )
        + "\n(80 rows affected)\n",
        {"freq": "D", "ids": ("North Sea", "Oslo"), "note": "(80 rows affected)"},
    ),
    "compact times and notes after the table": (
        lines("Latitude:\t52.5\n\ntime,P,G(i)", 240, lambda row: f"{HOURS[row]:%Y%m%d:%H}10,{value(row)},{value(row)}")
        + "\n\nP: power (W)\n\nPVGIS (c) European Union, 2001-2024\n",
        {"freq": "h", "start": "2022-01-01 00:10", "targets": ("P", "G(i)"), "note": "P: power"},
    ),
    "numbers of several forms": (
        lines("date,y", 200, lambda row: f"{HOURS[row]},{value(row)}{('', '.0', '.00')[row % 3]}"),
        {"freq": "h", "targets": ("y",), "notes": ()},
    ),
    "coordinates such as versions next to names": (
        lines(
            "month,geo,coordinate,y",
            96,
            lambda row: (
                f"{MONTHS[row % 48]:%Y-%m},{('Canada', 'Ontario')[row // 48]},{('1.1', '1.10')[row // 48]},{value(row)}"
            ),
        ),
        {"freq": "MS", "ids": ("Canada", "Ontario"), "targets": ("y",)},
    ),
    "milliseconds in the form of .NET": (
        lines("date,y", 40, lambda row: f"/Date({DAYS[row].value // 10**6})/,{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "notes": ()},
    ),
    "milliseconds in the form of .NET with an offset": (
        lines("ts,y", 40, lambda row: f"/Date({DAYS[row].value // 10**6}+0100)/,{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "notes": ()},
    ),
    "the day before the month": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%d-%m},{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "note": "'%Y-%d-%m', not as '%Y-%m-%d'"},
    ),
    "the day before the month and times": (
        hourly("date,y", lambda row: f"{HOURS[row]:%Y/%d/%m %H:%M}"),
        {"freq": "h", "start": "2022-01-01", "note": "'%Y/%d/%m %H:%M'"},
    ),
    "first days of months, which may be days of January": (
        lines('"data";"valor"', 48, lambda row: f'"{MONTHS[row]:%d/%m/%Y}";"{value(row)},0"'),
        {"freq": "MS", "start": "2016-01-01", "end": "2019-12-01", "note": "puts the rows in order"},
    ),
    "dates and fractions of days": (
        hourly("Date,Time,y", lambda row: f"{HOURS[row]:%Y-%m-%d},{row % 24 / 24:.6g}"),
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-20 23:00", "time": ("Date", "Time"), "targets": ("y",)},
    ),
    "days of a spreadsheet and fractions of days": (
        hourly("Date,Hour,y", lambda row: f"{SERIAL + row // 24},{row % 24 / 24:.6f}"),
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-20 23:00", "time": ("Date", "Hour"), "targets": ("y",)},
    ),
    "times of a spreadsheet in a column such as Time": (
        hourly("Time,y", lambda row: f"{SERIAL + row / 24:.5f}"),
        {"freq": "h", "start": "2022-01-01", "note": "days of a spreadsheet"},
    ),
    "years in a column of another name and names of months": (
        lines(
            "Code;Zeit;2_Code;2_Label;Preisindex",
            48,
            lambda row: f"61111;{YEARS[row]};MONAT{row % 12 + 1:02d};{GERMAN[row % 12]};{value(row)}",
        ),
        {"freq": "MS", "start": "2016-01-01", "end": "2019-12-01", "targets": ("Preisindex",)},
    ),
    "years above months": (
        in_rows(f",{first_only(YEARS)}", f"Product,{','.join(ABBREVIATED)}"),
        {"freq": "MS", "start": "2016-01-01", "ids": ("A", "B"), "setting": "header lines 1 to 2: years"},
    ),
    "years above months, all of them": (
        in_rows(f",{','.join(YEARS)}", f"Product,{','.join(ABBREVIATED)}"),
        {"freq": "MS", "start": "2016-01-01", "end": "2019-12-01", "ids": ("A", "B")},
    ),
    "years above numbers of months": (
        in_rows(f"Product,{first_only(YEARS)}", f",{','.join(str(month.month) for month in MONTHS)}"),
        {"freq": "MS", "start": "2016-01-01", "end": "2019-12-01", "ids": ("A", "B")},
    ),
    "years above the first row of values": (
        "Product,2016,2017,2018,2019\nA,1,2,3,4\nB,5,6,7,8\n",
        {"freq": "1", "ids": ("A", "B"), "layout": "columns", "changed": dict(enumerate(range(1, 9)))},
    ),
    "hours of work next to dates of several shops": (
        lines(
            "shop,date,hours,y",
            80,
            lambda row: f"{'AB'[row // 40]},{DAYS[row % 40]:%Y-%m-%d},{row % 3 / 4 + 0.25},{value(row)}",
        ),
        {"freq": "D", "ids": ("A", "B"), "time": ("date",)},
    ),
    "a time axis from 36000 on": (
        lines("time,y", 60, lambda row: f"{36_000 + row / 4},{value(row)}"),
        {"freq": "1", "targets": ("y",), "note": "rows are steps"},
    ),
    "years above quarters": (
        in_rows(
            f"Country,{first_only([str(quarter.year) for quarter in QUARTERS])}",
            f",{','.join(f'Q{quarter.quarter}' for quarter in QUARTERS)}",
            columns=40,
        ),
        {"freq": "QS", "start": "2010-01-01", "ids": ("A", "B")},
    ),
    "months above years": (
        "Product,Jan,,,,Feb,,,,Mar,,,\n,"
        + ",".join(["2016,2017,2018,2019"] * 3)
        + "\nA,"
        + rows_of([value(3 * (row % 4) + row // 4) for row in range(12)], ",")
        + "\n",
        {"freq": "MS", "start": "2016-01-01", "end": "2019-03-01"},
    ),
    "a total before the rows": (
        lines(f"Date,Views,y\nTotal,6000,{TOTAL}", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)},{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "note": "left out line 2: a total before the rows"},
    ),
    "a total without a name before the rows": (
        lines(f"Day,Orders\n,{TOTAL}", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "note": "left out line 2: a total before the rows"},
    ),
    "a total of a service before the rows": (
        lines("Service,EC2($)\nService total,6000", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("EC2($)",), "note": "left out line 2"},
    ),
    "columns of fixed width with blanks in cells": (
        lines(
            "Date        Station         Wind speed",
            80,
            lambda row: f"{DAYS[row % 40]:%Y-%m-%d}  {('North Sea', 'Oslo')[row // 40]:<14}  {value(row):10d}",
        ),
        {"freq": "D", "ids": ("North Sea", "Oslo"), "targets": ("Wind speed",), "setting": "delimiter fixed width"},
    ),
    "columns of fixed width with empty cells": (
        lines(
            "Date        Rain  Temp",
            40,
            lambda row: f"{DAYS[row]:%Y-%m-%d}  {value(row):4d}  {'' if row % 9 == 4 else value(row):>4}",
        ),
        {"freq": "D", "start": "2022-01-01", "targets": ("Rain", "Temp")},
    ),
    "an hour that is repeated in the header": (
        EPEX + "".join(delivered(day, "") for day in range(20)),
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-20 23:00", "time": ("Delivery day", "time")},
    ),
    "an hour that is repeated in the header, with a value": (
        EPEX + "".join(delivered(day, "77" * (day == 9)) for day in range(20)),
        {"freq": "h", "end": "2022-01-20 23:00", "note": "left out Hour 3B: the hour of 'Hour 3A' again"},
    ),
    "numbered days after comments": (
        "# Start date: 20220101\n" + lines("Nth day,Users,New", 40, lambda row: f"{row:04d},{value(row)},{row % 7}"),
        {"freq": "1", "targets": ("Users", "New"), "layout": "wide"},
    ),
    "marks of missing values of a market": (
        lines("date,y,n", 40, lambda row: f"{DAYS[row]:%d.%m.%Y},{value(row)},{'n/e' if row % 9 == 4 else row * row}"),
        {"freq": "D", "targets": ("y", "n"), "setting": "missing 'n/e'"},
    ),
}


SERVICE_FORMS_REFUSED = {
    "a vector as R prints it": (
        "Time Series:\nStart = 1970 \nEnd = 2009 \nFrequency = 1 \n"
        + "".join(f" [{row + 1:2d}] {rows_of(list(map(value, range(row, row + 10))), ' ')}\n" for row in (0, 10, 20)),
        ["a vector as R prints it", "'[ 1] 150", "write.csv"],
    ),
    "days that may be counted from 1960 or 1970": (
        lines("date,y", 40, lambda row: f"{22646 + row},{value(row)}"),
        ["'date'", "1961-12-31 by 'excel'", "2022-01-01 or 2032-01-02", "time_format="],
    ),
    "times of day in a column without a name": (
        ";Mean Values\n" + "".join(f"{hour:%H:%M};{value(row)}\n" for row, hour in enumerate(HOURS[:24])),
        ["line 2", "time of day", "without a date"],
    ),
    "a note of as many words as columns": (
        lines("id ds y", 13, lambda row: f"north {MONTHS[row]:%d.%m.%Y} {value(row)}") + "\nSource: the office\n",
        ["line 16", "'ds'", "got 'the'"],
    ),
    "a row that is no total before the rows": (
        lines("Day,Orders\n,160", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}"),
        ["line 2", "'Day'", "an empty cell"],
    ),
}
