"""Small files as banks, utilities, statistics offices, services and loggers export them, and the expected readings.

Each text has the values of `value` in its rows. `FORMS_READ` has the settings of the schema, and parts of its warnings
(note) and settings; `FORMS_REFUSED` has parts of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

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


SPRING = pd.date_range("2023-03-01", periods=240, freq="h")
CLOCKS = [f"{(minute // 60) % 24}:{minute % 60:02d}" for minute in range(30, 1441, 30)]
FREE = "Umsatz im Einzelhandel;;;\nDeutschland;;;\n;;Originalwerte;Kalender- und saisonbereinigt\n"


def in_columns(head: str, row: Callable[[int], str], rows: int, width: int) -> str:
    """Return a table with the values of each row side by side."""
    texts = (row(i) + "".join(f",{value(i * width + j)}" for j in range(width)) for i in range(rows))
    return "\n".join([head, *texts]) + "\n"


def exchanged(day: pd.Timestamp) -> str:
    """Return a date of the form 31/01/2022 with the month first where that is possible."""
    return day.strftime("%m/%d/%Y" if day.day <= 12 else "%d/%m/%Y")


BERLIN = pd.date_range("2022-10-20", periods=480, freq="h", tz="Europe/Berlin")


FORMS_READ: dict[str, tuple[str, dict[str, Any]]] = {
    "quarters with two digits of the year": (
        "Period,y\n" + "".join(f"{q}Q{year % 100:02d},{value(4 * year + q)}\n" for year, q in quarters()),
        {"freq": "QS", "start": "2008-01-01", "end": "2017-10-01", "first": 4 * 2008 + 1},
    ),
    "the year before the quarter": (
        "Period,y\n" + "".join(f"{year % 100:02d}Q{q},{value(4 * year + q)}\n" for year, q in quarters()),
        {"freq": "QS", "start": "2008-01-01", "end": "2017-10-01", "first": 4 * 2008 + 1},
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
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-05 23:00"},
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
    "fiscal years as whole numbers": (
        lines("Fiscal Year,y", 30, lambda row: f"{1995 + row},{value(row)}"),
        {"freq": "1", "time": ("Fiscal Year",), "targets": ("y",)},
    ),
    "fiscal years of two digits": (
        lines("FY,y", 30, lambda row: f"FY{(1995 + row) % 100:02d},{value(row)}"),
        {"freq": "YS", "start": "1995-01-01", "note": "fiscal years"},
    ),
    "seconds with fractions": (
        lines("Time,y", 40, lambda row: f"{1_700_000_000 + 15 * row}.125,{value(row)}"),
        {"freq": "15s", "start": "2023-11-14 22:13:20.125", "targets": ("y",)},
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
    "marks of provisional values": (
        lines("Trimestre;PIB", 40, lambda row: f"T{row % 4 + 1}-{2010 + row // 4};{value(row)},0{' (p)' * (row > 37)}"),
        {"freq": "QS", "start": "2010-01-01", "targets": ("PIB",), "setting": "flag '(p)'"},
    ),
    "marks in names of series": (
        lines("group,date,y", 80, lambda row: f"1 ({'ab'[row // 40]}),{DAYS[row % 40]:%Y-%m-%d},{value(row)}"),
        {"freq": "D", "ids": ("1 (a)", "1 (b)")},
    ),
    "units of memory": (
        lines("time,used", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)} GiB"),
        {"freq": "D", "targets": ("used",), "setting": "unit GiB"},
    ),
    "a fill value that is repeated": (
        lines("ds,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{32767 if row % 13 == 5 else value(row)}"),
        {"freq": "D", "note": "outlier 32767: 3 cells of", "changed": dict.fromkeys((5, 18, 31), 32767)},
    ),
    "a heater that is on or off": (
        lines("date,load,W", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)},{2000 if row % 9 == 7 else row % 3}"),
        {"freq": "D", "targets": ("load", "W"), "notes": ()},
    ),
    "months as 2016m1": (
        lines("month,y", 48, lambda row: f"{MONTHS[row].year}m{MONTHS[row].month},{value(row)}"),
        {"freq": "MS", "start": "2016-01-01", "targets": ("y",)},
    ),
    "dates with blanks after points": (
        lines("Datum;y", 40, lambda row: f"{DAYS[row].day}. {DAYS[row].month}. {DAYS[row].year};{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("y",)},
    ),
    "offsets and names of time zones": (
        lines("time,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d}T12:00:00+01:00[Europe/Berlin],{value(row)}"),
        {"freq": "D", "tz": "UTC", "targets": ("y",)},
    ),
    "weeks without week 53": (
        lines("week,y", 52, lambda row: f"2020-W{row + 1:02d},{value(row)}") + "2021-W01,152\n",
        {"freq": "W-MON", "start": "2019-12-30", "note": "week 53 of 2020", "changed": {52: 152}},
    ),
    "weeks as 2021-01": (
        lines("yearweek,y", 12, lambda row: f"2021-{row + 1:02d},{value(row)}"),
        {"freq": "W-MON", "start": "2021-01-04", "note": "ISO weeks, not as months"},
    ),
    "years with marks in the header, the last year first": (
        "country,"
        + ",".join(f"{2019 - n}{'*' * (n < 2)}" for n in range(30))
        + "\n"
        + "".join(f"{name}," + ",".join(str(value(29 - n)) for n in range(30)) + "\n" for name in "A"),
        {"freq": "1", "layout": "columns", "note": "2 of 30 years"},
    ),
    "days of a spreadsheet in a column such as Buchungsdatum": (
        lines("Buchungsdatum;Betrag", 40, lambda row: f"{44564 + 7 * (row // 5) + row % 5};{value(row)}"),
        {"freq": "B", "start": "2022-01-03", "targets": ("Betrag",), "note": "days of a spreadsheet"},
    ),
    "units in a column": (
        lines("date,value,unit", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)},{'MWh' if row > 30 else 'kWh'}"),
        {"freq": "D", "targets": ("value",), "note": "rows with 'kWh', 'MWh' in 'unit' are in one series"},
    ),
    "observed and planned values": (
        lines(
            "date,type,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{'Actual' if row < 30 else 'Forecast'},{value(row)}"
        ),
        {"freq": "D", "targets": ("y",), "note": "'Forecast' in 'type'"},
    ),
    "columns of years and halves": (
        lines("Year,Half,y", 20, lambda row: f"{2010 + row // 2},H{row % 2 + 1},{value(row)}"),
        {"freq": "2QS", "start": "2010-01-01", "time": ("Year", "Half")},
    ),
    "parts of fiscal years in the header": (
        "country,"
        + ",".join(f"FY{10 + n // 4} Q{n % 4 + 1}" for n in range(40))
        + "\n"
        + "".join(f"{name}," + ",".join(str(value(n)) for n in range(40)) + "\n" for name in "A"),
        {"freq": "1", "note": "'FY10 Q1' in the header is no timestamp"},
    ),
    "a variable and its unit": (
        lines(
            "date,variable,value,unit",
            80,
            lambda row: f"{DAYS[row % 40]:%Y-%m-%d},{['x', 'p'][row // 40]},{value(row)},{['°C', 'kW'][row // 40]}",
        ),
        {"freq": "D", "ids": ("x", "p"), "notes": ()},
    ),
    "months and years with a point": (
        lines("Monat;y", 36, lambda row: f"{row % 12 + 1:02d}.{2018 + row // 12};{value(row)},0"),
        {"freq": "MS", "start": "2018-01-01", "end": "2020-12-01", "targets": ("y",)},
    ),
    "years and months with a point": (
        lines("Monat;y", 36, lambda row: f"{2018 + row // 12}.{row % 12 + 1:02d};{value(row)}"),
        {"freq": "MS", "start": "2018-01-01", "end": "2020-12-01", "targets": ("y",)},
    ),
    "months and years with a point in the header": (
        "Artikel;"
        + ";".join(f"{month:%m.%Y}" for month in MONTHS)
        + "\nA;"
        + ";".join(f"{value(n)},0" for n in range(48)),
        {"freq": "MS", "start": "2016-01-01", "layout": "columns"},
    ),
    "weeks and years": (
        lines("Woche;y", 12, lambda row: f"{row + 1:02d}/2021;{value(row)}"),
        {"freq": "W-MON", "start": "2021-01-04", "note": "ISO weeks, not as months"},
    ),
    "weeks as 202101": (
        lines("YearWeek,y", 12, lambda row: f"{202101 + row},{value(row)}"),
        {"freq": "W-MON", "start": "2021-01-04", "note": "ISO weeks, not as months"},
    ),
    "days of a fiscal calendar next to dates": (
        lines(
            "date,JD,fiscal_week,y",
            40,
            lambda row: f"{DAYS[row]:%Y-%m-%d},{2459580.5 + row},{40 + row // 7},{value(row)}",
        ),
        {"freq": "D", "targets": ("y",), "setting": "'JD' repeats a part of the timestamps"},
    ),
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
    "years above months with totals": (
        f",{','.join(f'{year}{12 * chr(44)}' for year in range(2016, 2019))}\n"
        f"Product,{','.join([*ABBREVIATED[:12], 'Total'] * 3)}\n"
        f"A,{','.join(rows_of([*map(value, range(12 * year, 12 * year + 12)), 2060], ',') for year in range(3))}\n",
        {"freq": "MS", "start": "2016-01-01", "end": "2018-12-01", "note": "left out Total 2016"},
    ),
    "weeks as rows and years as columns": (
        lines("Week,2020,2021,2022", 52, lambda n: f"{n + 1},{value(n)},{value(n + 52)},{value(n + 104)}"),
        {"freq": "W-MON", "start": "2019-12-30", "note": "week 53 of 2020"},
    ),
    "prefixes of telephones": (two_series("prefix", "+1", "+44"), {"freq": "D", "ids": ("+1", "+44")}),
    "ids with one zero": (two_series("store", "1.0", "2.0"), {"freq": "D", "ids": ("1", "2")}),
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
    "titles above columns of years and months without a name": (
        f"Tabelle: 45212-0004\n{FREE}"
        + "".join(f"{day:%Y};{GERMAN[day.month - 1]};{value(row)};{value(row)}\n" for row, day in enumerate(MONTHS))
        + "__________\n© Amt, 2021\n",
        {"freq": "MS", "start": "2016-01-01", "targets": ("Originalwerte", "Kalender- und saisonbereinigt")},
    ),
    "a time axis in seconds": (
        lines("Time (s)\tVoltage (V)", 60, lambda row: f"{row / 10:.6f}\t{value(row)}"),
        {"freq": "1", "targets": ("Voltage (V)",), "note": "rows are steps"},
    ),
    "an axis at equal steps": (
        lines("depth,y", 60, lambda row: f"{row / 10:.2f},{value(row)}"),
        {"freq": "1", "targets": ("y",)},
    ),
    "ids of the rows": (
        lines("Activity ID,Date,Distance", 40, lambda row: f"{5_000_000 + 977 * row},{DAYS[row]},{value(row)}"),
        {"freq": "D", "targets": ("Distance",)},
    ),
    "parts of dates with leading zeros": (
        lines(
            "Date/Time,Year,Month,Day,y",
            240,
            lambda row: f"{SPRING[row]},{SPRING[row]:%Y,%m,%d},{value(row)}",
        ),
        {"freq": "h", "targets": ("y",)},
    ),
    "months as 2016MM01": (
        lines("Perioden;y", 48, lambda row: f"{MONTHS[row]:%YMM%m};{value(row)}"),
        {"freq": "MS", "start": "2016-01-01", "targets": ("y",)},
    ),
    "Chinese dates": (
        lines("日期,销量", 40, lambda row: f"{DAYS[row].year}年{DAYS[row].month}月{DAYS[row].day}日,{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("销量",)},
    ),
    "Korean months": (
        lines("월,y", 48, lambda row: f"{MONTHS[row].year}년 {MONTHS[row].month}월,{value(row)}"),
        {"freq": "MS", "start": "2016-01-01", "targets": ("y",)},
    ),
    "a measure before the months in the header": (
        in_columns(
            "region,sex," + ",".join(f"Number of persons {month:%YM%m}" for month in MONTHS),
            lambda row: f"{row // 2:02d} Place,{'men' if row % 2 else 'women'}",
            4,
            48,
        ),
        {"freq": "MS", "start": "2016-01-01", "ids": ("00 Place/women", "00 Place/men", "01 Place/women")},
    ),
    "weeks in the header": (
        in_columns("Year," + ",".join(f"W{week}" for week in range(1, 53)), lambda row: str(2016 + row), 4, 52),
        {"freq": "W-MON", "start": "2016-01-04"},
    ),
    "days of the week in the header": (
        in_columns("Week of,Mon,Tue,Wed,Thu,Fri,Sat,Sun", lambda row: f"{pd.Timestamp(2022, 1, 3 + 7 * row)}", 4, 7),
        {"freq": "D", "start": "2022-01-03", "end": "2022-01-30"},
    ),
    "times of day that end with the next midnight in the header": (
        in_columns(f"meter,date,{','.join(CLOCKS)}", lambda row: f"A,{DAYS[row]:%d/%m/%Y}", 20, 48),
        {"freq": "30min", "start": "2022-01-01 00:30", "end": "2022-01-21 00:00", "time": ("date", "time")},
    ),
    "a date and a period of delivery": (
        lines(
            "Delivery Date CET;Delivery Period CET;y",
            240,
            lambda row: f"{SPRING[row]:%d.%m.%Y};{SPRING[row]:%H:%M} - {SPRING[(row + 1) % 240]:%H:%M};{value(row)}",
        ),
        {"freq": "h", "start": "2023-03-01", "end": "2023-03-10 23:00", "targets": ("y",)},
    ),
    "a date, the start and the end of each hour": (
        lines(
            "TYPE,DATE,START TIME,END TIME,y",
            240,
            lambda row: f"Electric usage,{SPRING[row]:%Y-%m-%d},{SPRING[row]:%H:%M},{SPRING[row]:%H}:59,{value(row)}",
        ),
        {"freq": "h", "start": "2023-03-01", "end": "2023-03-10 23:00", "targets": ("y",)},
    ),
    "the same date in two forms": (
        lines("Date,Time period,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d,%d %b %Y},{value(row)}"),
        {"freq": "D", "start": "2022-01-01", "time": ("Date",)},
    ),
    "a single mark of a missing value": (
        lines("ds,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{-999 if row == 9 else value(row)}"),
        {"freq": "D", "note": "outlier -999: 1 cell of", "changed": {9: -999}},
    ),
    "German thousands separated by tabs": (
        lines("Datum\tUmsatz", 40, lambda row: f"{DAYS[row]:%d.%m.%Y}\t1.{value(row)},50"),
        {"freq": "D", "start": "2022-01-01", "notes": (), "offset": 1000.5},
    ),
    "letters in another encoding": (
        lines("日期,城市,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},北京,{value(row)}"),
        {"freq": "D", "note": "save it as UTF-8", "encoding": "gbk"},
    ),
    "hours of business": (
        lines(
            "time,y",
            160,
            lambda row: f"{pd.Timestamp('2022-01-03') + pd.Timedelta(days=row // 8, hours=9 + row % 8)},{value(row)}",
        ),
        {"freq": "h", "note": "set freq= to D and resample= to sum"},
    ),
    "rows about a series between its name and its values": (
        "Libellé;IPI;Codes\nidBank;010537946;\nDernière mise à jour;31/01/2024 08:45;\nPériode;;\n"
        + "".join(f"{2010 + row // 4}-T{row % 4 + 1};{value(row)};A\n" for row in range(40)),
        {"freq": "QS", "start": "2010-01-01", "targets": ("IPI 010537946",), "setting": "left out line 3"},
    ),
    "quarters in the header after columns of ids and dates": (
        in_columns(
            "Libellé,idBank,Mise à jour," + ",".join(f"{2010 + n // 4}-T{n % 4 + 1}" for n in range(40)),
            lambda row: f"Série {row},00105{row},31/01/2024 08:45",
            2,
            40,
        ),
        {"freq": "QS", "start": "2010-01-01", "ids": ("Série 0", "Série 1"), "layout": "columns"},
    ),
    "names in a comment before an empty one": (
        lines("# KNMI\n#\n# STN,YYYYMMDD,   TG\n#", 40, lambda row: f"  260,{DAYS[row]:%Y%m%d},{value(row):5d}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("TG",)},
    ),
    "files with a byte order mark one after the other": (
        lines("\ufeffdate,y", 20, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}")
        + lines("\ufeffdate,y", 20, lambda row: f"{DAYS[20 + row]:%Y-%m-%d},{value(20 + row)}"),
        {"freq": "D", "start": "2022-01-01", "targets": ("y",), "setting": "left out line 22"},
    ),
    "a further hour in the header for the end of summer time": (
        "Fecha,"
        + ",".join(f"H{hour:02d}" for hour in range(1, 26))
        + "\n"
        + "".join(
            f"{DAYS[day]:%d/%m/%Y}," + ",".join(str(value(24 * day + hour)) for hour in range(24)) + ",\n"
            for day in range(20)
        ),
        {"freq": "h", "start": "2022-01-01", "end": "2022-01-20 23:00", "time": ("Fecha", "period")},
    ),
    "numbered half-hours in the header": (
        in_columns("Date," + ",".join(f"P{n}" for n in range(1, 49)), lambda row: f"{DAYS[row]:%Y-%m-%d}", 12, 48),
        {
            "freq": "30min",
            "start": "2022-01-01",
            "end": "2022-01-12 23:30",
            "time": ("Date", "period"),
            "note": "time= to 'Date' if",
        },
    ),
    "numbered half-hours in the header after whole numbers that are dates": (
        in_columns(
            "Date," + ",".join(f"Interval {n}" for n in range(1, 49)), lambda row: f"{DAYS[row]:%Y%m%d}", 12, 48
        ),
        {"freq": "30min", "start": "2022-01-01", "end": "2022-01-12 23:30", "time": ("Date", "period")},
    ),
    "numbered channels that are no periods of a day": (
        "date,"
        + ",".join(str(n) for n in range(1, 51))
        + "\n"
        + "".join(f"{day:%Y-%m-%d}," + ",".join([str(value(row))] * 50) + "\n" for row, day in enumerate(DAYS)),
        {"freq": "D", "layout": "wide", "targets": tuple(map(str, range(1, 51)))},
    ),
    "minutes of the day in the header": (
        in_columns("Date," + ",".join(str(15 * n) for n in range(96)), lambda row: f"{DAYS[row]:%Y-%m-%d}", 12, 96),
        {"freq": "15min", "start": "2022-01-01", "end": "2022-01-12 23:45", "time": ("Date", "time")},
    ),
    "the time of the last update in each row": (
        lines(
            "LAST UPDATE,geo,TIME_PERIOD,y", 48, lambda row: f"05/03/23 11:00:00,DE,{MONTHS[row]:%Y-%m},{value(row)}"
        ),
        {"freq": "MS", "start": "2016-01-01", "targets": ("y",), "time": ("TIME_PERIOD",)},
    ),
    "milliseconds and dates": (
        lines("unix,date,open", 240, lambda row: f"{SPRING[row].value // 10**6},{SPRING[row]},{value(row)}"),
        {"freq": "h", "start": "2023-03-01", "targets": ("open",), "setting": "'unix' repeats"},
    ),
    "UTF-16 without a byte order mark": (
        lines("日付,売上", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)}"),
        {"freq": "D", "targets": ("売上",), "setting": "encoding UTF-16-LE", "encoding": "utf-16-le"},
    ),
    "letters of DOS": (
        lines("Datum;Größe", 40, lambda row: f"{DAYS[row]:%d.%m.%Y};{value(row)}"),
        {"freq": "D", "targets": ("Größe",), "note": "encoding cp850", "encoding": "cp437"},
    ),
    "letters of Western Europe": (
        lines("Datum;kWh/m²a;Größe", 40, lambda row: f"{DAYS[row]:%d.%m.%Y};{value(row)};{value(row)}"),
        {"freq": "D", "notes": (), "targets": ("kWh/m²a", "Größe"), "encoding": "cp1252"},
    ),
    "two years of months side by side": (
        "Month,Sales 2016,Sales 2017\n"
        + "".join(f"{month},{value(row)},{value(row + 12)}\n" for row, month in enumerate(ABBREVIATED[:12])),
        {"time": ("year", "month"), "freq": "MS", "start": "2016-01-01", "layout": "columns"},
    ),
    "two years of German months side by side": (
        "Monat;2016;2017\n" + "".join(f"{month};{value(row)};{value(row + 12)}\n" for row, month in enumerate(GERMAN)),
        {"freq": "MS", "start": "2016-01-01", "end": "2017-12-01"},
    ),
    "numbers that are about right": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{'~' * (row % 7 == 3)}{value(row)}"),
        {"freq": "D", "setting": "flag '~': column 'y': '~161' is 161"},
    ),
    "numbers that are all about right": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},~{value(row)}"),
        {"freq": "D", "setting": "40 cells have such marks"},
    ),
    "numbers with circa": (
        lines("Datum;y", 40, lambda row: f"{DAYS[row]:%d.%m.%Y};{'ca. ' * (row % 3 == 1)}{value(row)}"),
        {"freq": "D", "setting": "flag 'ca.'"},
    ),
    "times of day with a and p": (
        "Date\tTime\tTemp\n"
        + "".join(
            f"{hour:%Y-%m-%d}\t{hour:%I:%M}{'ap'[hour.hour > 11]}\t{value(row)}\n"
            for row, hour in enumerate(HOURS[:96])
        ),
        {"time": ("Date", "Time"), "freq": "h", "start": "2022-01-01", "targets": ("Temp",), "id": ()},
    ),
    "timestamps with a and p": (
        lines("date,y", 480, lambda row: f"{HOURS[row]:%m/%d/%Y %I:%M}{'ap'[HOURS[row].hour > 11]},{value(row)}"),
        {"freq": "h", "start": "2022-01-01"},
    ),
    "timestamps with am and pm without a blank": (
        lines("date,y", 480, lambda row: f"{HOURS[row]:%m/%d/%Y %I:%M}{'ap'[HOURS[row].hour > 11]}m,{value(row)}"),
        {"freq": "h", "start": "2022-01-01"},
    ),
    "Norwegian timestamps": (
        lines("Tidspunkt;y", 48, lambda row: f"{HOURS[row]:%d.%m.%Y kl. %H:%M};{value(row)}"),
        {"freq": "h", "start": "2022-01-01"},
    ),
    "Finnish timestamps": (
        lines("Aika;y", 48, lambda row: f"{HOURS[row]:%d.%m.%Y klo %H.%M};{value(row)}"),
        {"freq": "h", "start": "2022-01-01"},
    ),
    "German timestamps with Uhr": (
        lines("Zeit;y", 48, lambda row: f"{HOURS[row]:%d.%m.%Y um %H:%M Uhr};{value(row)}"),
        {"freq": "h", "start": "2022-01-01"},
    ),
    "Ukrainian dates": (
        lines("date;y", 20, lambda row: f"{DAYS[row].day} січня 2022;{value(row)}"),
        {"freq": "D", "start": "2022-01-01"},
    ),
    "Russian dates with the word for year": (
        lines("date;y", 20, lambda row: f"{DAYS[row].day} января 2022 \u0433.;{value(row)}"),
        {"freq": "D", "start": "2022-01-01"},
    ),
    "month, day and year with hyphens": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%b-%d-%Y},{value(row)}"),
        {"freq": "D", "start": "2022-01-01"},
    ),
    "quarters with a colon": (
        lines("period,y", 40, lambda row: f"{QUARTERS[row].year}:Q{QUARTERS[row].quarter},{value(row)}"),
        {"time_format": "quarter", "start": "2010-01-01"},
    ),
    "prices in Turkish lira": (
        lines("Tarih;y", 40, lambda row: f"{DAYS[row]:%d.%m.%Y};{value(row)},00 TL"),
        {"freq": "D", "setting": "unit TL"},
    ),
    "row numbers that count down": (
        lines("No.,date,y", 40, lambda row: f"{40 - row},{DAYS[row]:%Y-%m-%d},{value(row)}"),
        {"targets": ("y",), "setting": "numbers the rows"},
    ),
    "numbers of patients": (
        lines(
            "date,patient_id,Fallnummer,y",
            40,
            lambda row: f"{DAYS[row]:%Y-%m-%d},{7919 * row % 4999},{row**3},{value(row)}",
        ),
        {"targets": ("y",), "setting": "numbers the rows"},
    ),
    "marks of errors next to numbers such as years": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{'#BEZUG!' if row == 39 else f'{value(row)}.0'}"),
        {"targets": ("y",), "freq": "D"},
    ),
    "days of a count from an unknown date": (
        lines("MJD,y", 40, lambda row: f"{59580 + row},{value(row)}"),
        {"freq": "1", "time": (), "note": "'MJD' counts from 59580 on, perhaps units of time since a fixed date"},
    ),
    "hours since 1900": (
        lines("time,y", 40, lambda row: f"{1069464 + row},{value(row)}"),
        {"freq": "1", "time": ("time",), "note": "'time' counts from 1069464 on"},
    ),
}


FORMS_REFUSED = {
    "months of this year and the last one": (
        "Month,This Year,Last Year\n" + matrix("", lambda row: ABBREVIATED[row], 12, 2),
        ["line 2", "'Month'", "expected dates with a year, got the month 'Jan'", "add the year"],
    ),
    "series in the format of Monash": (
        "# Daily data\n@relation cash\n@attribute series_name string\n@frequency daily\n@data\n"
        + "".join(f"T{row}:1996-03-18 00-00-00:{rows_of(list(map(value, range(40))), ',')}\n" for row in range(5)),
        ["got ARFF or TSF, '@relation cash'", "save it as CSV"],
    ),
    "two measures of each month in two rows": (
        "store,"
        + ",,".join(ABBREVIATED[:12])
        + ",\n"
        + ","
        + ",".join(["sales,price"] * 12)
        + "\n"
        + matrix("", lambda row: "ABC"[row], 3, 24),
        ["line 2", "'Jan sales', 'Jan price'", "one column per timestamp", "one row per timestamp"],
    ),
    "two measures of each month in two full rows": (
        "store,"
        + ",".join(f"{month},{month}" for month in ABBREVIATED[:12])
        + "\n"
        + ","
        + ",".join(["sales,price"] * 12)
        + "\n"
        + matrix("", lambda row: "ABC"[row], 3, 24),
        ["line 2", "'Jan sales', 'Jan price'"],
    ),
    "two measures of each year": (
        "store,"
        + ",,".join(YEARS[::12])
        + ",\n"
        + ","
        + ",".join(["sales,price"] * 4)
        + "\n"
        + matrix("", lambda row: "ABC"[row], 3, 8),
        ["line 1", "'2016 sales', '2016 price'"],
    ),
    "two measures of each month, and years in the rows": (
        "year,"
        + ",".join(f"{month} {name}" for month in ABBREVIATED[:12] for name in ("sales", "price"))
        + "\n"
        + matrix("", lambda row: str(2012 + row), 8, 24),
        ["line 1", "'Jan sales', 'Jan price'"],
    ),
    "days since year 0": (
        lines("time,y", 96, lambda row: f"{738522 + row / 24:.6f},{value(row)}"),
        ["'time'", "738522.0", "2022-01-01 in days since year 0, as MATLAB counts", "2023-01-02 in days since year 1"],
    ),
    "Julian days": (
        lines("JD,y", 40, lambda row: f"{2459580.5 + row},{value(row)}"),
        ["'JD'", "2022-01-01 in Julian days", "write them as 2020-12-31"],
    ),
    "ticks of .NET": (
        lines("timestamp,y", 40, lambda row: f"{637765920000000000 + 36000000000 * row},{value(row)}"),
        ["'timestamp'", "637765920000000000", "2022-01-01 in ticks since year 1"],
    ),
    "ticks of Windows in a column of another name": (
        lines("filetime,y", 40, lambda row: f"{132854688000000000 + 864000000000 * row},{value(row)}"),
        ["'filetime'", "2022-01-01 in ticks since 1601"],
    ),
    "numbers such as years next to other marks": (
        lines("date,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{'tbd' if row == 20 else f'19{row:02d}.{row % 9 + 1}'}"),
        ["line 22", "'y'", "expected a number, got 'tbd'"],
    ),
    "units that differ by a factor": (
        lines("time,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)} {'kW' if row % 5 else 'W'}"),
        ["line 2", "'kW'", "'150 W'"],
    ),
    "decimal points after decimal commas": (
        lines("date;y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d};{value(row)}{',5' if row < 30 else '.5'}"),
        ["'160.5' (line 32", "'150,5' (line 2", "decimal= to one of them"],
    ),
    "a number and a flag in one cell": (
        lines("date,TMP", 40, lambda row: f'{DAYS[row]:%Y-%m-%d},"+0{value(row)},1"'),
        ["line 2", "'+0150,1'", "a flag", "decimal= to ,"],
    ),
    "months of years such as 60": (
        lines("date,y", 48, lambda row: f"{MONTHS[row]:%b}-{60 + row // 12},{value(row)}"),
        ["line 2", "'Jan-60'", "2060", "1960", "time_format="],
    ),
    "quarters of years such as 50": (
        lines("date,y", 40, lambda row: f"Q{row % 4 + 1}-{50 + row // 4},{value(row)}"),
        ["line 2", "'Q1-50'", "2050", "1950"],
    ),
    "weeks of fiscal years": (
        lines("week,y", 60, lambda row: f"FY{2020 + row // 52}W{row % 52 + 1:02d},{value(row)}"),
        ["'FY2020W01'", "fiscal year", "add a column with the dates"],
    ),
    "columns of fiscal years and weeks": (
        lines("Fiscal Year,Fiscal Week,y", 104, lambda row: f"{2020 + row // 52},{row % 52 + 1},{value(row)}"),
        ["'Fiscal Week'", "fiscal years", "add a column with the dates"],
    ),
    "columns of fiscal years and periods": (
        lines("Year,Period,y", 48, lambda row: f"FY{19 + row // 12},P{row % 12 + 1:02d},{value(row)}"),
        ["'Period'", "fiscal years", "add a column with the dates"],
    ),
    "years, quarters and months in turn": (
        lines("date,y", 30, lambda row: f"{1990 + row},{value(row)}")
        + "".join(f"{year} Q{quarter},{value(4 * year + quarter)}\n" for year, quarter in quarters())
        + "".join(f"{month:%Y %b},{value(row)}\n" for row, month in enumerate(MONTHS)),
        ["'1990'", "'2008 Q", "one form"],
    ),
    "dates with a digit for the century": (
        lines("DATE,y", 40, lambda row: f"1{DAYS[row]:%y%m%d},{value(row)}"),
        ["'DATE'", "1220101", "20220101"],
    ),
    "dates without the zero before the day": (
        lines("Datum;y", 40, lambda row: f"{DAYS[row].day}{DAYS[row]:%m%Y};{value(row)}"),
        ["'Datum'", "1012022", "01012022", "'%d%m%Y'"],
    ),
    "thirds of years": (
        lines("Period,y", 30, lambda row: f"{2010 + row // 3}T{row % 3 + 1},{value(row)}"),
        ["'2010T1'", "T1 to T3", "thirds"],
    ),
    "names of time zones": (
        lines("time,y", 40, lambda row: f"{DAYS[row]:%Y-%m-%d} 12:00:00 Europe/Berlin,{value(row)}"),
        ["line 2", "'Europe/Berlin'", "offset from UTC"],
    ),
    "a second column of dates with days and months in doubt": (
        lines(
            "sent,received,y",
            12,
            lambda row: f"{DAYS[row]:%d/%m/%Y},{DAYS[row] + pd.Timedelta(days=9):%d/%m/%Y},{value(row)}",
        ),
        ["'received'", "'sent'", "time="],
    ),
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
    "a vector as R prints it": (
        "Time Series:\nStart = 1970 \nEnd = 2009 \nFrequency = 1 \n"
        + "".join(f" [{row + 1:2d}] {rows_of(list(map(value, range(row, row + 10))), ' ')}\n" for row in (0, 10, 20)),
        ["a vector as R prints it", "'[ 1] 150", "write.csv"],
    ),
    "years of the Buddhist calendar": (
        lines("date,y", 40, lambda row: f"{DAYS[row].year + 543}-{DAYS[row]:%m-%d},{value(row)}"),
        ["'date'", "'2565-01-01", "Buddhist", "time_format="],
    ),
    "years of the Persian calendar": (
        lines("date,y", 20, lambda row: f"1402/01/{row + 1:02d} 12:00,{value(row)}"),
        ["'date'", "1402/01/01"],
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
    "quotes that are not closed in the first column": (
        lines(
            "note,date,y", 40, lambda row: f"{'x' if row != 20 else chr(34) + 'x'},{DAYS[row]:%Y-%m-%d},{value(row)}"
        ),
        ["line 22", "end of the quotes"],
    ),
    "quotes that are not closed": (
        lines(
            "date,y,note", 40, lambda row: f"{DAYS[row]:%Y-%m-%d},{value(row)},{'x' if row != 20 else chr(34) + 'x'}"
        ),
        ["line 22", "'note'", "end of the quotes"],
    ),
    "meter data of NEM12": (
        "100,NEM12,202203010000,MDA,RET\n200,6102505001,E1,E1,E1,N1,01234,KWH,30,\n"
        + "".join(f"300,{day:%Y%m%d}{',0.5' * 48},A,,,20220301000000,\n" for day in DAYS)
        + "900\n",
        ["line 1", "NEM12", "one row per interval"],
    ),
    "dates of two forms": (
        lines("date,y", 40, lambda row: f"{DAYS[row].strftime('%Y-%m-%d' if row < 30 else '%d/%m/%Y')},{value(row)}"),
        ["line 32", "'31/01/2022'", "as in line 2", "10 of 40", "write all timestamps alike"],
    ),
    "days and months that a spreadsheet exchanged": (
        lines("date,y", 100, lambda row: f"{exchanged(DAYS[0] + pd.Timedelta(days=row))},{value(row)}"),
        ["line 3", "01/02/2022", "month", "2020-12-31"],
    ),
    "the hour that the clock repeats": (
        lines("Zeit;y", 480, lambda row: f"{BERLIN[row]:%d.%m.%Y %H:%M};{value(row)}"),
        ["line 245", "30.10.2022 02:00", "Europe/Berlin", "+02:00", "on_duplicate="],
    ),
}
