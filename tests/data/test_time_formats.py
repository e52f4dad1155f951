"""Timestamps in the forms that programs, offices and spreadsheets write, read as the dates they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, DataError

DAYS = pd.date_range("2021-01-01", periods=120)
HOURS = pd.date_range("2021-03-10", periods=240, freq="h")
MONTHS = pd.date_range("2015-01-01", periods=60, freq="MS")
QUARTERS = pd.date_range("2010-01-01", periods=40, freq="QS")
WEEKS = pd.date_range("2018-12-31", periods=150, freq="W-MON")
YEARS = pd.date_range("2000-01-01", periods=20, freq="YS")

LANGUAGES = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "ene feb mar abr may jun jul ago sep oct nov dic",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "jan fev mar abr mai jun jul ago set out nov dez",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
}


def written(path: Path, header: str, times: pd.DatetimeIndex, row: Callable[[pd.Timestamp], str]) -> Path:
    sign = ";" if ";" in header else ","
    lines = [header, *(f"{row(time)}{sign}{100 + 7 * i % 31}.5" for i, time in enumerate(times))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def check(path: Path, times: pd.DatetimeIndex, freq: str) -> None:
    panel, schema = load(path)
    assert schema.freq == freq and schema.id == () and schema.targets == ("y",)
    assert list(pd.DatetimeIndex(panel.times(0)).tz_localize(None)) == list(times)
    np.testing.assert_array_equal(panel.values[:, 0], [100.5 + 7 * i % 31 for i in range(len(times))])
    again, _ = load(path, schema=schema)
    np.testing.assert_array_equal(again.values, panel.values)


@pytest.mark.parametrize("language", LANGUAGES)
def test_months_in_words(language: str, tmp_path: Path) -> None:
    names = LANGUAGES[language].split()
    path = written(tmp_path / "a.csv", "when;y", DAYS, lambda t: f"{t.day}. {names[t.month - 1]} {t.year}")
    check(path, DAYS, "D")
    path = written(tmp_path / "b.csv", "when;y", MONTHS, lambda t: f"{names[t.month - 1]} {t.year}")
    check(path, MONTHS, "MS")


def week(form: str) -> Callable[[pd.Timestamp], str]:
    return lambda t: form.format(year=t.isocalendar().year, week=t.isocalendar().week)


FORMS: dict[str, tuple[str, pd.DatetimeIndex, Callable[[pd.Timestamp], str], str]] = {
    "half of the day": ("t,y", HOURS, lambda t: f"{t:%m/%d/%Y %I:%M:%S %p}", "h"),
    "half of the day, no blank": ("t,y", HOURS, lambda t: f"{t:%Y-%m-%d %I:%M%p}", "h"),
    "half of the day, points": ("t,y", HOURS, lambda t: f"{t:%d/%m/%Y %I:%M} {'a' if t.hour < 12 else 'p'}.m.", "h"),
    "comma before the time": ("t;y", HOURS, lambda t: f"{t:%d.%m.%Y, %H:%M}", "h"),
    "points in the time": ("t;y", HOURS, lambda t: f"{t:%d.%m.%Y %H.%M}", "h"),
    "comma before milliseconds": ("t;y", HOURS, lambda t: f"{t:%Y-%m-%d %H:%M:%S},000", "h"),
    "UTC": ("t,y", HOURS, lambda t: f"{t:%Y-%m-%d %H:%M:%S} UTC", "h"),
    "date of Unix": ("t,y", HOURS, lambda t: f"{t:%a %b %d %H:%M:%S} UTC {t:%Y}", "h"),
    "log of a web server": ("t,y", HOURS, lambda t: f"[{t:%d/%b/%Y:%H:%M:%S} +0000]", "h"),
    "e-mail": ("t;y", HOURS, lambda t: f"{t:%a, %d %b %Y %H:%M:%S} +0000", "h"),
    "interval": ("t,y", HOURS, lambda t: f"{t:%d.%m.%Y %H:%M} - {t + pd.Timedelta('1h'):%d.%m.%Y %H:%M}", "h"),
    "24:00": ("t,y", HOURS[1:], lambda t: f"{t - pd.Timedelta('1h'):%Y-%m-%d} {(t.hour - 1) % 24 + 1:02d}:00", "h"),
    "weekday": (
        "Tag;y",
        DAYS,
        lambda t: f"{['Mo', 'Di', 'Mi', 'Do', 'Fr', 'Sa', 'So'][t.weekday()]} {t:%d.%m.%Y}",
        "D",
    ),
    "Spanish": ("t,y", DAYS, lambda t: f"{t.day} de {LANGUAGES['es'].split()[t.month - 1]} de {t.year}", "D"),
    "SAS": ("t,y", DAYS, lambda t: f"{t:%d%b%Y}".upper(), "D"),
    "two digits of the year": ("t,y", DAYS, lambda t: f"{t:%d/%m/%y}", "D"),
    "two digits of the year, points": ("t;y", DAYS, lambda t: f"{t:%d.%m.%y}", "D"),
    "numbers with the hour": ("x,y", HOURS, lambda t: f"{t:%Y%m%d%H}", "h"),
    "numbers with the minute": ("x,y", HOURS, lambda t: f"{t:%Y%m%d%H%M}", "h"),
    "numbers with the second": ("x,y", HOURS, lambda t: f"{t:%Y%m%d%H%M%S}", "h"),
    "numbers of days": ("x,y", DAYS, lambda t: f"{t:%Y%m%d}", "D"),
    "numbers of the day of the year": ("x,y", DAYS, lambda t: f"{t:%Y%j}", "D"),
    "numbers with two digits of the year": ("date,y", DAYS, lambda t: f"{t:%y%m%d}", "D"),
    "day first without signs": ("Fecha,y", DAYS, lambda t: f"{t:%d%m%Y}", "D"),
    "seconds since 1970": ("a,y", HOURS, lambda t: f"{t.value // 10**9}", "h"),
    "milliseconds since 1970": ("created,y", DAYS, lambda t: f"{t.value // 10**6}", "D"),
    "nanoseconds since 1970": ("ts,y", HOURS, lambda t: f"{t.value}", "h"),
    "days of a spreadsheet": ("Datum,y", DAYS, lambda t: f"{(t - pd.Timestamp('1899-12-30')).days}", "D"),
    "numbers of months": ("x,y", MONTHS, lambda t: f"{t:%Y%m}", "MS"),
    "numbers of weeks": ("x,y", WEEKS, week("{year}{week:02d}"), "W-MON"),
    "weeks with a hyphen": ("x,y", WEEKS, week("{year}-{week:02d}"), "W-MON"),
    "ISO weeks": ("x,y", WEEKS, week("{year}-W{week:02d}"), "W-MON"),
    "ISO weeks with a day": ("x,y", WEEKS, week("{year}-W{week:02d}-1"), "W-MON"),
    "German weeks": ("Woche;y", WEEKS, week("KW {week} {year}"), "W-MON"),
    "year and week": ("jaar,week,y", WEEKS, week("{year},{week}"), "W-MON"),
    "M of statistics": ("x,y", MONTHS, lambda t: f"{t.year}M{t.month:02d}", "MS"),
    "month and two digits": ("x,y", MONTHS, lambda t: f"{t:%b-%y}", "MS"),
    "year and name of the month": ("Year,Month,y", MONTHS, lambda t: f"{t.year},{t:%B}", "MS"),
    "year and month in Polish": ("rok,miesiąc,y", MONTHS, lambda t: f"{t.year},{t.month}", "MS"),
    "quarter first": ("x,y", QUARTERS, lambda t: f"Q{t.quarter} {t.year}", "QS"),
    "quarter in the middle": ("x,y", QUARTERS, lambda t: f"{t.quarter}Q{t.year}", "QS"),
    "trimester": ("x,y", QUARTERS, lambda t: f"{t.year}-T{t.quarter}", "QS"),
    "year and quarter": ("Year,Qtr,y", QUARTERS, lambda t: f"{t.year},Q{t.quarter}", "QS"),
    "fiscal years": ("x,y", YEARS, lambda t: f"{t.year}/{(t.year + 1) % 100:02d}", "YS"),
    "fiscal years of four digits": ("x,y", YEARS, lambda t: f"{t.year}-{t.year + 1}", "YS"),
    "FY": ("x,y", YEARS, lambda t: f"FY{t.year}", "YS"),
    "day of the year": ("year,doy,y", DAYS, lambda t: f"{t.year},{t.day_of_year}", "D"),
    "parts down to the hour": ("YEAR,MO,DY,HR,y", HOURS, lambda t: f"{t.year},{t.month},{t.day},{t.hour}", "h"),
    "date and hour range": ("Date,Hours,y", HOURS, lambda t: f"{t:%Y-%m-%d},{t.hour:02d} - {t.hour + 1:02d}", "h"),
    "date and HHMM": ("DATE,HHMM,y", HOURS, lambda t: f"{t:%Y-%m-%d},{100 * t.hour}", "h"),
    "date and interval": ("date,interval,y", HOURS, lambda t: f"{t:%Y-%m-%d},{t.hour + 1}", "h"),
    "from and to": ("Datum;von;y", HOURS, lambda t: f"{t:%d.%m.%Y};{t:%H:%M}", "h"),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_of_timestamps(case: str, tmp_path: Path) -> None:
    header, times, row, freq = FORMS[case]
    check(written(tmp_path / "a.csv", header, times, row), times, freq)


def test_zones_by_abbreviation_across_a_time_shift(tmp_path: Path) -> None:
    local = pd.date_range("2021-03-26", periods=100, freq="h", tz="Europe/Berlin")
    path = written(tmp_path / "a.csv", "t,y", local, lambda t: f"{t:%Y-%m-%d %H:%M %Z}")
    panel, schema = load(path)
    assert schema.freq == "h" and list(panel.times(0)) == list(local.tz_convert("UTC"))
    path = written(tmp_path / "b.csv", "t,y", HOURS, lambda t: f"{t:%Y-%m-%d %H:%M} CST")
    with pytest.raises(DataError, match=r"line 2: column 't'.*one meaning, got 'CST'.*offset"):
        load(path)


DOUBTS: dict[str, tuple[pd.DatetimeIndex, str, str]] = {
    "day or month first": (MONTHS[:12], "%d/%m/%Y", "01/02/2015 is 2015-02-01 by '%d/%m/%Y' or 2015-01-02"),
    "day, month or year first": (DAYS[:9], "%d/%m/%y", "01/01/21 .*'%d/%m/%y'.*'%m/%d/%y'.*'%y/%m/%d'"),
    "day or two digits of the year": (YEARS, "%b-%y", "'Jan-00', whose number may be a day|'Jan-00', in which a day"),
    "no year": (DAYS, "%d-%b", "'01-Jan'"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_dates_in_doubt_are_refused(case: str, tmp_path: Path) -> None:
    times, form, message = DOUBTS[case]
    with pytest.raises(DataError, match=f"column 't': .*{message}"):
        load(written(tmp_path / "a.csv", "t,y", times, lambda t: f"{t:{form}}"))


def test_the_format_that_is_given_decides(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "t,y", MONTHS[:12], lambda t: f"{t:%d/%m/%Y}")
    assert load(path, DataConfig(time_format="%d/%m/%Y"))[1].freq == "MS"
    assert load(path, DataConfig(time_format="%m/%d/%Y"))[1].freq == "D"
    with pytest.raises(ConfigError, match=r"expected a format of timestamps such as %d/%m/%Y.*'dmy'"):
        load(path, DataConfig(time_format="dmy"))
    with pytest.raises(DataError, match=r"expected one column with timestamps as %Y, got none"):
        load(path, DataConfig(time_format="%Y"))


def test_numbers_that_only_look_like_dates_are_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(190_000, 209_000, 80)
    (tmp_path / "a.csv").write_text("\n".join(["people,y", *(f"{n},{n % 17}" for n in people)]))
    schema = load(tmp_path / "a.csv")[1]
    assert schema.time == () and schema.targets == ("people", "y")
