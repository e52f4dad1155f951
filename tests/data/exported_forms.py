"""Small files with numbers and timestamps as offices, banks, utilities and spreadsheets write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
}


FORMS_REFUSED = {
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
}
