"""Files as banks, utilities, statistics offices, loggers and dashboards export them: read right, or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data.exported_forms import DAYS, FORMS_READ, FORMS_REFUSED, GERMAN, MONTHS, lines, value
from data.office_forms import OFFICE_FORMS_READ, OFFICE_FORMS_REFUSED
from data.service_forms import SERVICE_FORMS_READ, SERVICE_FORMS_REFUSED

from tsattn.data.loader import load
from tsattn.errors import DataError, DataWarning

HOURS = pd.date_range("2023-03-01", periods=240, freq="h")

CLOCKS = [f"{(minute // 60) % 24}:{minute % 60:02d}" for minute in range(30, 1441, 30)]

FREE = "Umsatz im Einzelhandel;;;\nDeutschland;;;\n;;Originalwerte;Kalender- und saisonbereinigt\n"


def in_columns(head: str, row: Callable[[int], str], rows: int, width: int) -> str:
    """Return a table with the values of each row side by side."""
    texts = (row(i) + "".join(f",{value(i * width + j)}" for j in range(width)) for i in range(rows))
    return "\n".join([head, *texts]) + "\n"


READ: dict[str, tuple[str, dict[str, Any]]] = {
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
        lines("Date/Time,Year,Month,Day,y", 240, lambda row: f"{HOURS[row]},{HOURS[row]:%Y,%m,%d},{value(row)}"),
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
            lambda row: f"{HOURS[row]:%d.%m.%Y};{HOURS[row]:%H:%M} - {HOURS[(row + 1) % 240]:%H:%M};{value(row)}",
        ),
        {"freq": "h", "start": "2023-03-01", "end": "2023-03-10 23:00", "targets": ("y",)},
    ),
    "a date, the start and the end of each hour": (
        lines(
            "TYPE,DATE,START TIME,END TIME,y",
            240,
            lambda row: f"Electric usage,{HOURS[row]:%Y-%m-%d},{HOURS[row]:%H:%M},{HOURS[row]:%H}:59,{value(row)}",
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
        lines("unix,date,open", 240, lambda row: f"{HOURS[row].value // 10**6},{HOURS[row]},{value(row)}"),
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
}

ALL_READ = READ | FORMS_READ | OFFICE_FORMS_READ | SERVICE_FORMS_READ


@pytest.mark.parametrize("case", ALL_READ)
def test_files_that_are_read(case: str, tmp_path: Path) -> None:
    text, expected = ALL_READ[case]
    path = tmp_path / "a.csv"
    path.write_text(text, encoding=expected.get("encoding", "utf-8"), newline="")
    panel, schema = load(path)
    times = pd.DatetimeIndex(panel.times(0)) if schema.freq != "1" else pd.DatetimeIndex([])
    warned = "; ".join(str(note.to_warning()) for note in schema.notes)
    settings = "; ".join(f"{setting.field} {setting.value}: {setting.reason}" for setting in schema.inferred_settings)
    for key, known in expected.items():
        if key in ("note", "setting"):
            assert known in {"note": warned, "setting": settings}[key]
        elif key == "ids":
            assert panel.ids[: len(known)] == known
        elif key in ("start", "end"):
            assert times[0 if key == "start" else -1] == pd.Timestamp(known)
        elif key not in ("encoding", "first", "offset", "changed"):
            assert getattr(schema, key) == known, (key, schema.notes)
    observed = panel.values[np.isfinite(panel.values[:, 0]), 0]
    values = [expected.get("offset", 0) + value(expected.get("first", 0) + row) for row in range(len(observed))]
    for row, cell in expected.get("changed", {}).items():
        values[row] = cell
    np.testing.assert_array_equal(observed, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        np.testing.assert_array_equal(load(path, schema=schema)[0].values, panel.values)


def exchanged(day: pd.Timestamp) -> str:
    """Return a date of the form 31/01/2022 with the month first where that is possible."""
    return day.strftime("%m/%d/%Y" if day.day <= 12 else "%d/%m/%Y")


BERLIN = pd.date_range("2022-10-20", periods=480, freq="h", tz="Europe/Berlin")

REFUSED = {
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

ALL_REFUSED = REFUSED | FORMS_REFUSED | OFFICE_FORMS_REFUSED | SERVICE_FORMS_REFUSED


@pytest.mark.parametrize("case", ALL_REFUSED)
def test_files_that_are_refused(case: str, tmp_path: Path) -> None:
    text, parts = ALL_REFUSED[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.csv")
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
