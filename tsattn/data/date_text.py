"""Dates as people write them, in cells and as names of columns: their spelling, and the formats that may fit."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

_MONTHS = """
january february march april may june july august september october november december
januar februar marz april mai juni juli august september oktober november dezember
janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
januari februari maart april mei juni juli augustus september oktober november december
januari februari mars april maj juni juli augusti september oktober november december
styczen luty marzec kwiecien maj czerwiec lipiec sierpien wrzesien pazdziernik listopad grudzien
stycznia lutego marca kwietnia maja czerwca lipca sierpnia wrzesnia pazdziernika listopada grudnia
январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь
января февраля марта апреля мая июня июля августа сентября октября ноября декабря
січень лютий березень квітень травень червень липень серпень вересень жовтень листопад грудень
січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня
"""
"""Months in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian and Ukrainian; those
in Latin letters without accents."""

_WHOLE_MONTHS = """
leden unor brezen duben kveten cerven cervenec srpen zari rijen listopad prosinec
ledna unora brezna dubna kvetna cervna cervence srpna zari rijna listopadu prosince
ocak subat mart nisan may\u0131s haziran temmuz agustos eylul ekim kas\u0131m aral\u0131k
tammikuu helmikuu maaliskuu huhtikuu toukokuu kesakuu heinakuu elokuu syyskuu lokakuu marraskuu joulukuu
januar februar marts april maj juni juli august september oktober november december
januar februar mars april mai juni juli august september oktober november desember
ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie
januar februar marcius aprilis majus junius julius augusztus szeptember oktober november december
"""
"""Months in Czech, Turkish, Finnish, Danish, Norwegian, Romanian and Hungarian, written in full."""

_OTHER_ABBREVIATIONS = {"mrt": 3, "mrz": 3, "janner": 1, "jun.": 6, "jul.": 7}

_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_WEEKDAYS = """
monday tuesday wednesday thursday friday saturday sunday
montag dienstag mittwoch donnerstag freitag samstag sonntag
montag dienstag mittwoch donnerstag freitag sonnabend sonntag
lundi mardi mercredi jeudi vendredi samedi dimanche
lunes martes miercoles jueves viernes sabado domingo
lunedi martedi mercoledi giovedi venerdi sabato domenica
segunda terca quarta quinta sexta sabado domingo
maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
mandag tisdag onsdag torsdag fredag lordag sondag
poniedzialek wtorek sroda czwartek piatek sobota niedziela
"""
"""Days of the week in the same languages, from Monday on."""

ZONES = {
    **dict.fromkeys(("UTC", "GMT", "WET"), "+0000"),
    **dict.fromkeys(("CET", "MEZ", "WEST"), "+0100"),
    **dict.fromkeys(("CEST", "MESZ", "EET"), "+0200"),
    **dict.fromkeys(("EEST", "MSK"), "+0300"),
    **{"EST": "-0500", "EDT": "-0400", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700"},
    **{"JST": "+0900", "KST": "+0900", "AEST": "+1000", "AEDT": "+1100", "NZST": "+1200", "NZDT": "+1300"},
}
"""Abbreviations of time zones with one meaning. CST, IST and BST have several."""

_ZONE = re.compile(r"(?<=[\dmM])\s*(?:(?:UTC|GMT)(?=[+-])|\b(" + "|".join(ZONES) + r")\b(?![+-]))")
_JSON_DATE = re.compile(r"/Date\((-?\d{1,13})(?:[+-]\d{4})?\)/")
_FULL = r"\d{1,4}(?P<%s>[-./])\d{1,2}(?P=%s)\d{1,4}(?:[T ]\d{1,2}:\d\d(?::\d\d)?Z?)?"
_RANGE = re.compile(rf"({_FULL % ('a', 'a')}) ?(?:-|\u2013|to|bis|/|~) ?{_FULL % ('b', 'b')}")
_DAYS, _MONTHS_OF_RANGE = (
    re.compile(pattern.replace("MONTH", r"[^\W\d_]{3,9}").replace("-", r" ?(?:-|\u2013|to) ?"))
    for pattern in (
        r"(?P<day>\d\d?)(?: (?P<first>MONTH))?(?: (?P<year>\d{4}))?-\d\d? (?P<last>MONTH) (?P<end>\d{4})",
        r"(?P<first>MONTH)(?: (?P<day>\d\d?))?(?:,? (?P<year>\d{4}))?-(?P<last>MONTH)?(?: ?\d\d?)?,? (?P<end>\d{4})",
    )
)
_WORD = re.compile(r"[^\W\d_]{3,}\.?")


@cache
def month_of(word: str) -> int | None:
    """Return the number of a month from its name or abbreviation, at least three letters, in a European language."""
    plain = fold(word).removesuffix(".")
    if plain in _OTHER_ABBREVIATIONS:
        return _OTHER_ABBREVIATIONS[plain]
    whole, prefixes = _month_numbers()
    found = whole.get(plain) or prefixes.get(plain) or set[int]()
    return next(iter(found)) if len(found) == 1 else None


@cache
def _month_numbers() -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Return the numbers of months by their names, and by the beginnings of at least three letters of names."""
    whole, prefixes = defaultdict[str, set[int]](set), defaultdict[str, set[int]](set)
    for line in _WHOLE_MONTHS.split("\n"):
        for number, name in enumerate(line.split(), start=1):
            whole[fold(name)].add(number)
    for line in _MONTHS.split("\n"):
        for number, name in enumerate(map(fold, line.split()), start=1):
            for length in range(3, len(name) + 1):
                prefixes[name[:length]].add(number)
    return dict(whole), dict(prefixes)


@cache
def weekday_of(word: str) -> int | None:
    """Return the number of a day of the week, 0 for Monday, from its name or at least two letters of it.

    The first language decides about abbreviations with several meanings.
    """
    plain = fold(word).removesuffix(".").removesuffix("-feira")
    days = (enumerate(line.split()) for line in _WEEKDAYS.split("\n"))
    found = (number for line in days for number, name in line if len(plain) >= 2 and name.startswith(plain))
    return next(found, None)


def fold(text: str) -> str:
    """Return text in lower case without accents."""
    if text.isascii():
        return text.lower()
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(sign))


def normalize(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return dates in one spelling: English months, no weekdays, AM and PM, decimal points, offsets of time zones."""
    codes, texts = pd.factorize(column)
    spelled = pd.Series([*map(_normalize, map(str, texts)), None], dtype="str")
    return spelled.iloc[codes].set_axis(column.index)


def _normalize(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    if (milliseconds := _JSON_DATE.fullmatch(text)) is not None:
        return str(pd.Timestamp(int(milliseconds[1]), unit="ms"))
    text = re.sub(r" ?\([^)]*\)$", "", text)
    text = re.sub(r"^(\d{4}) ?[年년] ?(\d{1,2}) ?[月월](?: ?(\d{1,2}) ?[日일号])?", _hyphenated, text)
    text = re.sub(r"^\[(.*)\]$", r"\1", text)
    text = re.sub(r"^(\d{8}):(\d{4})$", r"\1T\2", text)
    text = re.sub(r"(?<=[\dZ])\[[\w/]+\]$", "", text)
    text = re.sub(r"^(\d{4})m(\d{1,2})$", r"\1M\2", text)
    text = start_of_range(text)
    text = re.sub(r"^(.*\d:\d\d(?::\d\d)?) ?[-\u2013] ?\d.*:.*$", r"\1", text)
    text = re.sub(r"^(\d{1,4}[-./]\d{1,2}[-./]\d{1,4}) (\d\d) ?[-\u2013] ?\d\d$", r"\1 \2:00", text)
    text = re.sub(r"(\d)(?:st|nd|rd|th|er|º|ª)\b", r"\1", text)
    text = re.sub(r"(?<![^\W\d_])([aApP])\.? ?[mM]\b\.?", lambda found: f"{found[1].upper()}M", text)
    text = re.sub(r"(\d[:.]\d\d) ?([ap])$", lambda found: f"{found[1]} {found[2].upper()}M", text)
    text = re.sub(r"(?<=\d),? (?:kl\.?|klo|um|at|om|à) (?=\d{1,2}[:.h]\d\d)", " ", text)
    text = re.sub(r"(?<=\d) ?(?:Uhr|uur|[\u0433\u0440]\.?)$", "", text)
    text = re.sub(r"(:\d\d:\d\d),(\d)", r"\1.\2", text)
    text = _ZONE.sub(lambda found: f" {ZONES[found[1]]}" if found[1] else " ", text)
    head = re.match(r"([^\W\d_]+(?:-feira)?\.?)(?![^\W\d_]),? ?(?=\w)", text)
    if head and weekday_of(head[1]) is not None and (month_of(head[1]) is None or _WORD.search(text[head.end() :])):
        text = text[head.end() :]
    text = re.sub(r"(\d)\.? (?:de|of) (?=[^\W\d])", r"\1 ", text)
    text = re.sub(r"([^\W\d_])\.? (?:de|of|del) (?=\d)", r"\1 ", text)
    text = re.sub(r"(?i)\b(?:kw|wk|week|woche)[ .]?(?=\d)", "W", text)
    text = _WORD.sub(_english_month, text)
    text = re.sub(r"^([A-Z][a-z]{2} \d{1,2}) (\d\d:\d\d:\d\d)( [-+]\d{4})? (\d{4})$", r"\1 \4 \2\3", text)
    return re.sub(r"^(\d{1,2})\. (?=[A-Z])", r"\1 ", text).removesuffix(".")


def start_of_range(text: str) -> str:
    """Return the first date of a range such as 2024-01-01 - 2024-01-07, 29 Jan - 4 Feb 2024 or Jan-Mar 2024."""
    if (found := _RANGE.fullmatch(text)) is not None:
        return found[1]
    found = _DAYS.fullmatch(text) or _MONTHS_OF_RANGE.fullmatch(text)
    if found is None:
        return text
    first = found["first"] or found["last"]
    start, end = month_of(first), month_of(found["last"] or first)
    if start is None or end is None or not (found["day"] or found["last"]):
        return text
    year = found["year"] or int(found["end"]) - (start > end)
    return f"{found['day'] or ''} {first} {year}".strip()


def _hyphenated(found: re.Match[str]) -> str:
    return "-".join(part for part in found.groups() if part)


def _english_month(found: re.Match[str]) -> str:
    number = month_of(found[0])
    return found[0] if number is None else _ENGLISH[number - 1]


_CLOCK = re.compile(
    r"(?P<sep>[T :]|, ?| - )(?P<hour>\d{1,2})(?:(?P<mark>[:.h])\d\d(?P<second>(?P=mark)\d\d(?P<fraction>\.\d+)?)?)?"
    r"(?P<half> ?[AP]M)?(?P<zone> ?(?:Z|[+-]\d\d:?\d\d))?$"
)
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}([-/ ]|\. ?)\d{1,2}\1\d{1,2}", ("%Y{0}%m{0}%d",)),
    (r"\d{1,2}(\. ?)\d{1,2}\1\d{4}", ("%d{0}%m{0}%Y",)),
    (r"\d{1,2}([-/ ])\d{1,2}\1\d{4}", ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")),
    (r"\d{1,2}(\.)\d{1,2}\1\d{2}", ("%d{0}%m{0}%y", "%y{0}%m{0}%d")),
    (r"\d{1,2}([-/ ])\d{1,2}\1\d{2}", ("%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")),
    (r"\d{8}", ("%Y%m%d", "%d%m%Y", "%m%d%Y")),
    (r"\d{4}([-/. ])[A-Z][a-z]{2}\1\d{1,2}", ("%Y{0}%b{0}%d",)),
    (r"\d{1,2}([-/. ]?)[A-Z][a-z]{2}\1\d{4}", ("%d{0}%b{0}%Y",)),
    (r"\d{1,2}([-/. ]?)[A-Z][a-z]{2}\1\d{2}", ("%d{0}%b{0}%y", "%y{0}%b{0}%d")),
    (r"[A-Z][a-z]{2} \d{1,2}(,? )\d{4}", ("%b %d{0}%Y",)),
    (r"[A-Z][a-z]{2}([-/.])\d{1,2}\1\d{4}", ("%b{0}%d{0}%Y",)),
    (r"\d{4}([-/.])\d{3}", ("%Y{0}%j",)),
    (r"\d{4}-W\d\d-\d", ("%G-W%V-%u",)),
)
_PERIODS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}([-/. ])\d{1,2}", ("%Y{0}%m",)),
    (r"\d{1,2}([-/. ])\d{4}", ("%m{0}%Y",)),
    (r"\d{6}", ("%Y%m",)),
    (r"\d{4}([- ]?)M\d{1,2}", ("%Y{0}M%m",)),
    (r"\d{4}MM\d\d", ("%YMM%m",)),
    (r"M\d{1,2}([-/ ]?)\d{4}", ("M%m{0}%Y",)),
    (r"[A-Z][a-z]{2}([-/., ]*)\d{4}", ("%b{0}%Y",)),
    (r"\d{4}([-/., ]*)[A-Z][a-z]{2}", ("%Y{0}%b",)),
    (r"[A-Z][a-z]{2}([-/ ']*)\d{2}", ("%b{0}%y",)),
)
"""Regular expressions of dates and of longer periods in the spelling of `normalize`, with the formats that may fit."""


def candidates(text: str) -> tuple[str, ...]:
    """Return the strptime formats that may fit a date in the spelling of `normalize`."""
    return _candidates(re.sub(r"\d", "0", re.sub(r"[A-Z][a-z]{2}(?![a-z])", "Mmm", text)))


@cache
def _candidates(shape: str) -> tuple[str, ...]:
    """Return the candidates of all dates of a shape, with 0 for digits and Mmm for months."""
    clock = _CLOCK.search(shape)
    dates = _formats(shape[: clock.start()], _DATES) if clock else ()
    if not dates or clock is None:
        return _formats(shape, _DATES + _PERIODS)
    mark, half, zone = (clock[part] or "" for part in ("mark", "half", "zone"))
    if not mark and not half:
        return ()
    time = "%I" if half else "%H"
    time += f"{mark}%M" if mark else ""
    time += f"{mark}%S" if clock["second"] else ""
    time += ".%f" if clock["fraction"] else ""
    time += half[:-2] + "%p" if half else ""
    time += " " * zone.startswith(" ") + "%z" if zone else ""
    return tuple(f"{date}{clock['sep']}{time}" for date in dates)


def _formats(shape: str, known: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    for pattern, formats in known:
        found = re.fullmatch(pattern.replace("[A-Z][a-z]{2}", "Mmm"), shape)
        if found:
            separator = found[1] if found.re.groups else ""
            return tuple(text.replace("{0}", separator) for text in formats)
    return ()


MIN_TIMESTAMPS = 3
"""Number of columns with a timestamp as name from which on they are taken for steps."""

YEAR_NAME = re.compile(r"(?:YR|FY)?((?:1[5-9]|20|21)\d\d)(?:\s*\[YR\d{4}\]|(?P<mark>\*+|[peEPF]|\s*\([A-Za-z]\)))?")
"""Year as the name of a column, such as 2010, FY2010, 2010 [YR2010] or 2010*."""

_HOUR_NAMES = ("", "h", "hr", "hour", "he", "hourending", "std", "stunde")
_PERIOD_PREFIXES = ("p", "sp", "period", "q", "qh", "hh", "int", "interval", "slot", "kwh", "val", "value", "reading")
_PERIODS_PER_DAY = (24, 25, 48, 50, 96, 100, 144, 288)
_USUAL_DAYS = ((1,), (7,), (28, 29, 30, 31), (90, 91, 92), (365, 366))
_QUARTER = re.compile(
    r"(?:q|qtr|quarter|quartal|trim[a-z]*)[ _.]?([1-4])|([1-4])[. ]*(?:q|qtr|quarter|quartal|trim[a-z]*)"
)
_MONTH_NUMBER = re.compile(r"m?(0?[1-9]|1[0-2])")
_DAY = re.compile(r"(?:d|day|tag|jour|dia)?[ _.]?(\d{1,2})")
_WEEK = re.compile(r"(?:w|wk|week|kw|semaine|semana|settimana)[ _.]?(\d{1,2})")
_CLOCK_NAME = re.compile(r"(\d{1,2}):?(?<=\d[\d:])(\d\d)(?::00)?(?:\s*-\s*\d{1,2}:\d\d)?")
_HOUR = re.compile(r"([a-z]*)[ _.]?(\d{1,2})")
_PERIOD = re.compile(r"([a-z]*)[ _.]?(\d{1,3})")


def period_of_year(name: str) -> str:
    """Return a month as 01 and a quarter as Q1; "" for other names."""
    if quarter := _QUARTER.fullmatch(fold(name.strip())):
        return f"Q{quarter[1] or quarter[2]}"
    number = month_of(name.strip()) or (
        int(match[1]) if (match := _MONTH_NUMBER.fullmatch(name.strip().lower())) else 0
    )
    return f"{number:02d}" if number else ""


def month_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the months of a year, or the first months of its quarters, with their numbers."""
    named = {name: number for name in names if (number := month_of(name.strip()))}
    numbered = {name: int(match[1]) for name in names if (match := _MONTH_NUMBER.fullmatch(name.strip().lower()))}
    quarters = {
        name: 3 * int(match[1] or match[2]) - 2 for name in names if (match := _QUARTER.fullmatch(fold(name.strip())))
    }
    for found, count in ((named, 12), (numbered, 12), (quarters, 4)):
        if len(found) == count == len(set(found.values())):
            return found
    return {}


def day_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the days of a month, with their numbers."""
    found = {name: int(match[1]) for name in names if (match := _DAY.fullmatch(fold(name.strip())))}
    return found if list(found.values()) == list(range(1, 32)) else {}


def week_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the weeks of a year, with their numbers."""
    found = {name: int(match[1]) for name in names if (match := _WEEK.fullmatch(fold(name.strip())))}
    return found if sorted(found.values()) in (list(range(1, 53)), list(range(1, 54))) else {}


def weekday_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the days of a week, with their numbers from 0 on for Monday."""
    words = [name for name in names if not name[-1:].isdigit()]
    found = {name: number for name in words if (number := weekday_of(name.strip())) is not None}
    return found if len(found) == 7 == len(set(found.values())) else {}


def times_of_day(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the times of a day at equal steps, with their minutes; 1440 for the next midnight."""
    clocks = {
        name: 60 * int(match[1]) + int(match[2]) for name in names if (match := _CLOCK_NAME.fullmatch(name.strip()))
    }
    hours = [(match, name) for name in names if (match := _HOUR.fullmatch(name.strip().lower()))]
    numbers = [int(match[2]) for match, _ in hours]
    is_named = {match[1] for match, _ in hours} in [{name} for name in _HOUR_NAMES]
    if is_named and numbers in (list(range(24)), list(range(1, 25))):
        return {name: 60 * (number - numbers[0]) for number, (_, name) in zip(numbers, hours, strict=True)}
    counted = [int(name) for name in names if re.fullmatch(r"\d{1,4}", name.strip())]
    if len(counted) >= 24 and counted == list(range(0, 1440, 1440 // len(counted))):
        return {name: int(name) for name in names if re.fullmatch(r"\d{1,4}", name.strip())}
    if len(clocks) < 24:
        return {}
    last = list(clocks)[-1]
    if clocks[last] == 0:
        clocks[last] = 24 * 60
    minutes = list(clocks.values())
    ends = [0, *minutes] if minutes[-1] == 24 * 60 else [*minutes, 24 * 60]
    return clocks if ends[0] == 0 and len(set(np.diff(ends))) == 1 else {}


def repeated_hour(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns of an hour such as 3A and 3B, the second for its repetition when summer time ends."""
    hours = [name for name in names if (match := _HOUR.fullmatch(name.strip().lower())) and match[1] in _HOUR_NAMES]
    pairs = [
        (first, f"{first[:-1]}{'B' if first[-1] == 'A' else 'b'}") for first in names if re.search(r"\d[Aa]$", first)
    ]
    return pairs[0] if len(pairs) == 1 and pairs[0][1] in names and len(hours) == 23 else None


def numbered_periods(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that number the periods of a day, such as P1 to P48, with their numbers.

    There may be columns for the further hour of the day on which daylight saving time ends, such as H25.
    """
    found = [(match, name) for name in names if (match := _PERIOD.fullmatch(name.strip().lower()))]
    prefixes = {match[1] for match, _ in found}
    numbers = [int(match[2]) for match, _ in found]
    if len(prefixes) != 1 or numbers != list(range(1, len(numbers) + 1)):
        return {}
    is_hour = prefixes <= {*_HOUR_NAMES} and len(found) == 25
    is_period = prefixes <= {"", *_PERIOD_PREFIXES} and len(found) in _PERIODS_PER_DAY
    return {name: int(match[2]) for match, name in found} if is_hour or is_period else {}


def serial_days(names: Sequence[str]) -> dict[str, str]:
    """Return the names that are days as spreadsheets count them, a usual number of days apart, with their dates."""
    found = [name for name in names if re.fullmatch(r"[2-7]\d{4}", name.strip())]
    steps = set(np.diff([int(name) for name in found]).tolist())
    if len(found) < MIN_TIMESTAMPS or not any(steps <= set(usual) for usual in _USUAL_DAYS):
        return {}
    return {name: str((pd.Timestamp(1899, 12, 30) + pd.Timedelta(days=int(name))).date()) for name in found}
