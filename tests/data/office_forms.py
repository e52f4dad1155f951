"""Forms of markets, statistics offices, R and other encodings, next to those of `data.exported_forms`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from data.exported_forms import DAYS, MONTHS, lines, quarters, value

CZECH = ["leden", "únor", "březen", "duben", "květen", "červen", "červenec", "srpen", "září", "říjen", "listopad"]
CZECH += ["prosinec"]
YEAR = " ".join(f"{month:%b}" for month in MONTHS[:12])
WEEKS = pd.date_range("2024-01-01", periods=40, freq="W-MON")
HALF_HOURS = pd.date_range("2022-01-01", periods=96, freq="30min")
SIX = pd.Timedelta(days=6)


def rows_of(values: Sequence[int], sign: str, width: int = 0) -> str:
    return sign.join(f"{number:{width or ''}}" for number in values)


def matrix(head: str, first: Callable[[int], str], rows: int, columns: int, sign: str = ",", width: int = 0) -> str:
    cells = (rows_of([value(row * columns + n) for n in range(columns)], sign, width) for row in range(rows))
    return head + "".join(f"{first(row)}{sign}{text}\n" for row, text in enumerate(cells))


def in_words(first: pd.Timestamp) -> str:
    last = first + SIX
    same = "" if first.month == last.month else f" {first:%b}"
    return f"{first.day}{same if first.year == last.year else f' {first:%b %Y}'}-{last.day} {last:%b %Y}"


def two_series(name: str, first: str, second: str) -> str:
    return lines(
        f"{name},date,y", 80, lambda row: f"{(first, second)[row // 40]},{DAYS[row % 40]:%Y-%m-%d},{value(row)}"
    )


def encoded(date: str, place: str) -> str:
    return lines(f"{date};place;y", 80, lambda row: f"{DAYS[row % 40]:%Y-%m-%d};{(place, 'B')[row // 40]};{value(row)}")


OFFICE_FORMS_READ: dict[str, tuple[str, dict[str, Any]]] = {
    "ids such as 12E4": (two_series("sku", "12E4", "13E5"), {"freq": "D", "ids": ("12E4", "13E5")}),
    "ids of hexadecimal digits": (two_series("node", "5e1", "712"), {"freq": "D", "ids": ("5e1", "712")}),
    "ids with leading zeros": (two_series("plu", "0012", "413"), {"freq": "D", "ids": ("0012", "413")}),
    "ids of 20 digits": (
        two_series("ean", "40123450012345678901", "40123450012345678902"),
        {"freq": "D", "ids": ("40123450012345678901", "40123450012345678902")},
    ),
    "UTF-8 that was encoded twice": (
        two_series("Stadt", "MÃ¼nchen", "KÃ¶ln"),
        {"freq": "D", "ids": ("MÃ¼nchen", "KÃ¶ln"), "note": "'Ã¼' may be 'ü', encoded twice"},
    ),
    "Polish in Windows-1250": (
        encoded("Miesiąc", "Łódź"),
        {"freq": "D", "ids": ("Łódź", "B"), "note": "encoding cp1250", "encoding": "cp1250"},
    ),
    "Russian in Windows-1251": (
        encoded("Дата", "Москва"),
        {"freq": "D", "ids": ("Москва", "B"), "note": "encoding cp1251", "encoding": "cp1251"},
    ),
    "Russian in KOI8-R": (
        encoded("Дата", "Москва"),
        {"freq": "D", "ids": ("Москва", "B"), "note": "encoding koi8-r", "encoding": "koi8-r"},
    ),
    "Greek": (
        encoded("Ημέρα", "Αθήνα"),
        {"freq": "D", "ids": ("Αθήνα", "B"), "note": "encoding cp1253", "encoding": "cp1253"},
    ),
    "Japanese in Shift-JIS": (
        encoded("日付", "東京都"),
        {"freq": "D", "ids": ("東京都", "B"), "note": "encoding cp932", "encoding": "shift_jis"},
    ),
    "German in Mac Roman": (
        encoded("Größe", "Zürich"),
        {"freq": "D", "ids": ("Zürich", "B"), "note": "encoding mac-roman", "encoding": "mac-roman"},
    ),
    "Turkish, which may be Czech": (
        encoded("Gün", "İstanbul"),
        {"freq": "D", "note": "'Ýstanbul' by cp1250, 'İstanbul' by cp1254: set encoding=", "encoding": "cp1254"},
    ),
    "Chinese, which may be Japanese": (
        encoded("日期", "北京市"),
        {"freq": "D", "note": "'日期' by gb18030: set encoding=", "encoding": "gbk"},
    ),
    "pay periods without a year": (
        lines("Pay Period,Hours", 78, lambda row: f"{row % 26 + 1},{value(row)}"),
        {"freq": "1", "targets": ("Hours",)},
    ),
    "years after rows about the series": (
        "Libellé;Population\nidBank;001641607\nDernière mise à jour;14/01/2025 12:00\nPériode;\n"
        + "".join(f"{1990 + row};{value(row)}\n" for row in range(30)),
        {"freq": "1", "time": ("Période",), "targets": ("Population 001641607",)},
    ),
    "years in the header after the date of the last update": (
        matrix(
            f"Libellé;Mise à jour;Période;{rows_of(range(1990, 2020), ';')}\n",
            lambda row: "Pop;14/01/2025 12:00;",
            1,
            30,
            ";",
        ),
        {"freq": "1", "layout": "columns"},
    ),
    "lines of several kinds, as from electricity markets": (
        "C,NEMP.WORLD,DISPATCHPRICE,AEMO\nI,TRADING,PRICE,3,SETTLEMENTDATE,RRP\n"
        + "".join(f'D,TRADING,PRICE,3,"{time:%Y/%m/%d %H:%M:%S}",{value(n)}\n' for n, time in enumerate(HALF_HOURS))
        + "C,END OF REPORT,98\n",
        {"freq": "30min", "targets": ("RRP",), "setting": "left out 2 lines from line 1"},
    ),
    "months as R prints them": (
        matrix(f"     {YEAR}\n", lambda row: str(2016 + row), 4, 12, " ", 3),
        {"freq": "MS", "start": "2016-01-01", "layout": "months"},
    ),
    "a series of R that begins in March": (
        f"     {YEAR}\n2015         {rows_of(list(map(value, range(10))), ' ')}\n"
        + "".join(f"{2016 + row} {rows_of([value(10 + 12 * row + n) for n in range(12)], ' ')}\n" for row in range(3))
        + f"2019 {value(46)}\n",
        {"freq": "MS", "start": "2015-03-01", "end": "2019-01-01"},
    ),
    "quarters as R prints them": (
        matrix("     Qtr1 Qtr2 Qtr3 Qtr4\n", lambda row: str(2010 + row), 10, 4, " ", 4),
        {"freq": "QS", "start": "2010-01-01"},
    ),
    "a tibble as R prints it": (
        lines(
            "# A tibble: 40 x 2\n   date           y\n   <date>     <dbl>",
            40,
            lambda row: f"{row + 1:2d} {DAYS[row]:%Y-%m-%d}   {value(row)}",
        ),
        {"freq": "D", "targets": ("y",)},
    ),
    "ranges of dates": (
        lines("Week;y", 40, lambda row: f"{WEEKS[row]:%d.%m.%Y} - {WEEKS[row] + SIX:%d.%m.%Y};{value(row)}"),
        {"freq": "W-MON", "start": "2024-01-01", "setting": "the first of each range such as 01.01.2024 - 07.01.2024"},
    ),
    "intervals of ISO 8601": (
        lines(
            "interval,y",
            95,
            lambda row: f"{HALF_HOURS[row]:%Y-%m-%dT%H:%MZ}/{HALF_HOURS[row + 1]:%Y-%m-%dT%H:%MZ},{value(row)}",
        ),
        {"freq": "30min", "tz": "UTC"},
    ),
    "ranges of days in words": (
        lines("Week,y", 40, lambda row: f"{in_words(WEEKS[row])},{value(row)}"),
        {"freq": "W-MON", "start": "2024-01-01"},
    ),
    "ranges of days in words of America": (
        lines("Week,y", 40, lambda row: f'"{WEEKS[row]:%b %d} - {WEEKS[row] + SIX:%b %d, %Y}",{value(row)}'),
        {"freq": "W-MON", "start": "2024-01-01"},
    ),
    "three months in words": (
        lines("Period,y", 46, lambda row: f"{MONTHS[row]:%b}-{MONTHS[row + 2]:%b %Y},{value(row)}"),
        {"freq": "MS", "start": "2016-01-01"},
    ),
    "units of loggers in a row": (
        lines("Time,Pressure,GHI\n,psi,W/m²", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)},{value(row)}"),
        {"freq": "D", "targets": ("Pressure", "GHI"), "setting": "a row of units"},
    ),
    "units of loggers in cells": (
        lines("Time,p,g", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)} psi,{value(row)} W/m²"),
        {"freq": "D", "targets": ("p", "g"), "setting": "unit psi"},
    ),
    "binary prefixes without B": (
        lines("Time,mem", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}Mi"),
        {"freq": "D", "targets": ("mem",), "setting": "unit Mi"},
    ),
    "months as rows, years as columns and their total": (
        "Month,2016,2017,2018,2019\n"
        + "".join(f"{MONTHS[n]:%B},{rows_of([value(12 * y + n) for y in range(4)], ',')}\n" for n in range(12))
        + f"Total,{rows_of([sum(value(12 * y + n) for n in range(12)) for y in range(4)], ',')}\n",
        {"freq": "MS", "start": "2016-01-01", "note": "a total of the other rows"},
    ),
    "a row per month and a column per day": (
        f"Year,Month,{rows_of(range(1, 32), ',')}\n"
        + "".join(
            f"2021,{month.month},{rows_of([value(month.dayofyear - 1 + n) for n in range(month.days_in_month)], ',')}"
            + "," * (31 - month.days_in_month)
            + "\n"
            for month in pd.date_range("2021-01-01", periods=12, freq="MS")
        ),
        {"freq": "D", "start": "2021-01-01", "end": "2021-12-31"},
    ),
    "the year in the first row of each year": (
        lines(
            "Year,Month,y",
            48,
            lambda row: f"{MONTHS[row].year if row % 12 == 0 else ''},{MONTHS[row]:%B},{value(row)}",
        ),
        {"freq": "MS", "start": "2016-01-01", "note": "'Year' is empty in 44 rows"},
    ),
    "the year in the first quarter": (
        lines(
            "Jahr;Quartal;y",
            40,
            lambda row: f"{2008 + row // 4 if row % 4 == 0 else ''};{row % 4 + 1}. Quartal;{value(row)}",
        ),
        {"freq": "QS", "start": "2008-01-01", "note": "'Jahr' is empty in 30 rows"},
    ),
    "a note of one cell after the table": (
        lines(",Date,y", 40, lambda row: f",{DAYS[row]:%Y-%m-%d},{value(row)}") + ",Total,7010\n,,\n,* provisional,\n",
        {"freq": "D", "note": "after the table"},
    ),
    "half-years as S01": (
        lines("Series,Year,Period,Value", 20, lambda row: f"A,{2010 + row // 2},S0{row % 2 + 1},{value(row)}"),
        {"freq": "2QS", "start": "2010-01-01", "time": ("Year", "Period")},
    ),
    "formats below the names": (
        lines("Year, Month, Day, y\nYYYY, MM, DD, 10^6 sq km", 40, lambda row: f"{DAYS[row]:%Y, %m, %d}, {value(row)}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("y",)},
    ),
    "a sentence with months after the table": (
        lines("Month,y", 48, lambda row: f"{MONTHS[row]:%Y-%m},{value(row)}")
        + "International airline passengers: monthly totals in thousands. Jan 16 to Dec 19,\n",
        {"freq": "MS", "end": "2019-12-01", "note": "after the table"},
    ),
    "notes after a table of years": (
        lines("Jahr;y", 30, lambda row: f"{1990 + row};{value(row)}") + "Quelle: Amt;\nStand: 01.02.2021;\n",
        {"freq": "1", "note": "left out lines 32 to 33"},
    ),
    "milliseconds at uneven steps": (
        lines("ts_ms,y", 40, lambda row: f"{1_677_628_800_000 + 60_000 * row + row * 37 % 90},{value(row)}"),
        {"freq": "min", "time": ("ts_ms",)},
    ),
    "nanoseconds in a column of another name": (
        lines("x,y", 40, lambda row: f"{(1_677_628_800 + 60 * row) * 10**9},{value(row)}"),
        {"freq": "min", "time": ("x",)},
    ),
    "seconds that may be counted from another year": (
        lines("time,y", 40, lambda row: f"{3_000_000_000 + 3600 * row},{value(row)}"),
        {"freq": "h", "note": "which is in the future"},
    ),
    "blanks of thousands in Windows-1252": (
        lines("date;y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d};1\u00a0{value(row)}"),
        {"freq": "D", "notes": (), "offset": 1000, "encoding": "cp1252"},
    ),
    "signs after the number": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}+"),
        {"freq": "D", "targets": ("y",)},
    ),
    "weeks of MMWR": (
        lines("MMWR Year,MMWR Week,y", 104, lambda row: f"{2021 + row // 52},{row % 52 + 1},{value(row)}"),
        {"freq": "W-SUN", "start": "2021-01-03", "setting": "dated by their Sunday"},
    ),
    "times as 093000": (
        lines("<DATE>,<TIME>,<CLOSE>", 96, lambda row: f"{HALF_HOURS[row]:%Y%m%d,%H%M%S},{value(row)}"),
        {"freq": "30min", "start": "2022-01-01", "targets": ("<CLOSE>",)},
    ),
    "Czech months": (
        lines("Období;y", 48, lambda row: f"{CZECH[MONTHS[row].month - 1]} {MONTHS[row].year};{value(row)}"),
        {"freq": "MS", "start": "2016-01-01"},
    ),
    "quarters as 2008K1": (
        "TID;y\n" + "".join(f"{year}K{quarter};{value(4 * year + quarter)}\n" for year, quarter in quarters()),
        {"freq": "QS", "start": "2008-01-01", "first": 4 * 2008 + 1},
    ),
    "years in a column of another name": (
        lines("Ind,TimeDim,Value", 30, lambda row: f"W,{1990 + row},{value(row)}"),
        {"freq": "1", "time": ("TimeDim",), "targets": ("Value",)},
    ),
    "carets between cells": (
        lines("date^y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d}^{value(row)}"),
        {"freq": "D", "targets": ("y",)},
    ),
}


OFFICE_FORMS_REFUSED = {
    "pay periods of years": (
        lines("Year,Pay Period,y", 78, lambda row: f"{2019 + row // 26},{row % 26 + 1},{value(row)}"),
        ["'Pay Period'", "periods 1 to 26 of each year", "add a column with the dates"],
    ),
    "weeks of fiscal years as 202101": (
        lines("FiscalWeek,y", 104, lambda row: f"{2020 + row // 52}{row % 52 + 1:02d},{value(row)}"),
        ["'FiscalWeek'", "fiscal year", "add a column with the dates"],
    ),
    "numbers that may be identifiers": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row):05d}"),
        ["'00150'", "identifiers", "target="],
    ),
    "an unusual delimiter": (
        lines("date:y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d}:{value(row)}"),
        ["'date:y'", "delimiter="],
    ),
    "seconds from another year on": (
        lines("date,y", 40, lambda row: f"{13_860_288_000 + 86_400 * row},{value(row)}"),
        ["'date'", "13863657600", "2409", "another year"],
    ),
    "days as rows and months as columns": (
        f"Day,{','.join(f'{month:%b}' for month in MONTHS[:12])}\n"
        + "".join(f"{day + 1},{rows_of([value(day)] * 12, ',')}\n" for day in range(28)),
        ["expected a year", "'Day'", "one row per day"],
    ),
}
