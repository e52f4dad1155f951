"""Detection of the format of timestamps. Where several formats fit, the regular one is chosen, or none."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp, quote_list, quote_text
from tsattn.data.columns import kind_of
from tsattn.data.date_text import candidates, normalize
from tsattn.data.time_parts import is_time_name, words_of
from tsattn.data.timestamps import PERIODS, WEEK_BEFORE_YEAR, parse

MAX_ORDERED = 2000
"""Rows in which exchanged days and months are looked for."""

MIN_REGULAR = 24
"""Dates from which on the only format decides by which all of them are at equal steps."""

MIN_ROWS = 10
"""Steps between rows that may show which of several formats fits."""


_YEAR = re.compile(r"(?:1[89]|20)\d\d")
_FISCAL_PART = r"(?i:FY ?'?\d{2,4}[-/ ]?(?:[QMP]|F?W)\d{1,2}|(?:[QMP]|F?W)\d{1,2}[-/ ]?FY ?'?\d{2,4})"
_FISCAL_WORDS = frozenset(("fiscal", "fiscalweek", "fy", "fw"))

UNKNOWN_START = "whose first day is not known"
"""End of messages about the weeks, months and quarters of fiscal years."""

_OTHER_CALENDARS = {"Buddhist": (2400, 2700), "Islamic or Persian": (1300, 1500)}
"""Years of other calendars from about 1860 to 2160."""

LAST_YEAR = 2040
"""Last year that may be written with two digits."""


@dataclass(frozen=True)
class TimeReading:
    """How a column reads as timestamps.

    Args:
        format: See `tsattn.data.timestamps.parse`; None if the column does not hold timestamps.
        note: Why this format was chosen of several that fit.
        doubt: Why none was chosen, although the column holds dates.
        row: Row that shows the doubt.
    """

    format: str | None
    note: str = ""
    doubt: str = ""
    row: int | None = None


def detect_format(column: pd.Series[Any]) -> TimeReading:
    """Return how a text column reads as timestamps."""
    reading = _check_thirds(column, _check_century(column, _detect(column)))
    return check_calendar(column, _check_year_first(column, reading))


def check_calendar(column: pd.Series[Any], reading: TimeReading) -> TimeReading:
    """Return a doubt instead of a reading if the years are those of the Buddhist, Islamic or Persian calendar."""
    # All cells may be millions.
    head = _spread(column)
    head = (head[head != ""] if kind_of(column) == "text" else head).dropna().iloc[:1]
    if (
        reading.format is None
        or head.empty
        or not isinstance(times := parse(head, reading.format)[0], pd.DatetimeIndex)
    ):
        return reading
    calendar = next((name for name, (first, last) in _OTHER_CALENDARS.items() if first <= times[0].year <= last), None)
    if calendar is None:
        return reading
    text = f"expected dates of the Gregorian calendar, got '{head.iloc[0]}', which may be of the {calendar} calendar"
    return TimeReading(None, doubt=f"{text}, and is {format_timestamp(times[0])} by '{reading.format}'")


def _check_year_first(column: pd.Series[Any], reading: TimeReading) -> TimeReading:
    """Return the reading of dates such as 2020-31-12 if all cells are like that and some can be nothing else."""
    if reading.format is None or not re.match(r"date$|%Y(.)%m\1%d", reading.format):
        return reading
    sample = _filled(_spread(column)).drop_duplicates()
    wrong = sample[parse(sample, reading.format)[1]]
    usual = next(iter(candidates(normalize(wrong[:1]).iloc[0])), "") if len(wrong) else ""
    other = re.sub(r"^%Y(.)%m\1%d", r"%Y\1%d\1%m", usual)
    if other == usual or parse(sample, other)[1].any():
        return reading
    return TimeReading(other, f"dates such as {wrong.iloc[0]} are read as '{other}', not as '{usual}'")


def _check_thirds(column: pd.Series[Any], reading: TimeReading) -> TimeReading:
    """Return a doubt if T1 to T3, without T4, may be thirds of years and no quarters."""
    if reading.format != "quarter":
        return reading
    cells = pd.Series(_filled(column).unique())
    parts = set(cells.str.extract(r"(?i)T0?(\d)")[0].dropna())
    if parts != {"1", "2", "3"} or len(cells) < MIN_ROWS:
        return reading
    return TimeReading(
        None, doubt=f"expected quarters up to T4, got T1 to T3, such as '{cells[0]}', which may be thirds"
    )


def _check_century(column: pd.Series[Any], reading: TimeReading) -> TimeReading:
    """Return a doubt if years of two digits may be of this century or of the last one."""
    if reading.format is None or not ("%y" in reading.format or reading.format in PERIODS):
        return reading
    filled = _filled(column).drop_duplicates()
    times, invalid = parse(filled, reading.format)
    found = ~invalid & (pd.DatetimeIndex(times).year > LAST_YEAR) & ~filled.str.contains(r"\d{4}").to_numpy()
    if not found.any():
        return reading
    first = int(np.argmax(found))
    text = f"expected years of four digits, got '{filled.iloc[first]}', which is {times[first].year} by"
    row = int(np.argmax(column.index == filled.index[first]))
    return TimeReading(None, doubt=f"{text} '{reading.format}' and may be {times[first].year - 100}", row=row)


def _detect(column: pd.Series[Any]) -> TimeReading:
    """Return how a text column reads as timestamps, with two digits of a year for one from 1969 on."""
    sample = _filled(_spread(column))
    if len(sample) < MIN_ROWS:
        # There are many gaps, or the column is short.
        sample = _spread(_filled(column))
    if not len(sample) or not sample.str.contains(r"\d").mean() > 0.5:
        return TimeReading(None)
    spelled = normalize(sample)
    if spelled.str.fullmatch(r"\d{1,4}").mean() > 0.5:
        # An ISO date may be a year alone, but any number of four digits looks the same.
        return TimeReading("date" if is_time_name(str(column.name)) and _fits(sample, "date") else None)
    if spelled.nunique() > 2 and not parse(sample, "fiscal year")[1].any():
        return TimeReading(
            "fiscal year", f"{sample.iloc[0]} and the others are read as fiscal years, dated by their first year"
        )
    if spelled.str.fullmatch(_FISCAL_PART).mean() > 0.5:
        return TimeReading(None, doubt=f"expected dates, got '{sample.iloc[0]}' of a fiscal year, {UNKNOWN_START}")
    if _fits(sample, "date"):
        if names_weeks(str(column.name)) and spelled.str.fullmatch(r"\d{4}-\d\d").all():
            return as_weeks(column, True)
        return TimeReading("date")
    if spelled.str.fullmatch(r"[A-Z][a-z]{2}[-/. ']*\d{1,2}|\d{1,2}[-/. ]*[A-Z][a-z]{2}").mean() > 0.5:
        return _read_months(normalize(_filled(column)))
    votes = Counter(name for cell in spelled for name in (*candidates(cell), *_periods(cell)))
    likely = [name for name in votes if _fits(sample, name)]
    if not likely:
        return _read_mixture(sample, spelled)
    if "week" in likely and names_weeks(str(column.name)):
        return as_weeks(column, len(likely) > 1)
    if "week" in likely and spelled.str.fullmatch(WEEK_BEFORE_YEAR).mean() > 0.5:
        # A month, unless the name is that of weeks.
        likely.remove("week")
        if not likely:
            return TimeReading(None)
    return _check_order(column, choose_format(column, likely))


def as_weeks(column: pd.Series[Any], is_doubtful: bool) -> TimeReading:
    """Return ISO weeks as the reading of a column, with a note if they could be months; a doubt for fiscal weeks."""
    first = _filled(column).iloc[0]
    if words_of(str(column.name)) & _FISCAL_WORDS:
        return TimeReading(None, doubt=f"expected dates, got '{first}' of a fiscal year, {UNKNOWN_START}")
    note = f"{first} and the others in '{column.name}' are read as ISO weeks, not as months" if is_doubtful else ""
    return TimeReading("week", note)


def names_weeks(name: str) -> bool:
    """Return whether a word of the name of a column is one for weeks."""
    return any(word.endswith(("week", "woche")) or word in ("kw", "semaine", "semana") for word in words_of(name))


def _read_mixture(sample: pd.Series[Any], spelled: pd.Series[Any]) -> TimeReading:
    """Return a doubt if cells hold years, quarters and months in turn, as files with several tables do."""
    forms = [(*candidates(cell), *_periods(cell)) or ("year",) * bool(_YEAR.fullmatch(cell)) for cell in spelled]
    other = next((number for number, form in enumerate(forms) if form[:1] != forms[0][:1]), 0)
    if not all(forms) or not spelled.str.contains(_YEAR).all() or not other:
        return TimeReading(None)
    text = (
        f"expected timestamps of one form, got '{sample.iloc[0]}' and '{sample.iloc[other]}'; keep the rows of one form"
    )
    return TimeReading(None, doubt=text)


def _periods(cell: str) -> list[str]:
    return [name for name, patterns in PERIODS.items() if any(re.fullmatch(pattern, cell) for pattern in patterns)]


def _read_months(spelled: pd.Series[Any]) -> TimeReading:
    """Return how cells such as Jan-16 read: month and year, unless the number may be a day."""
    month, number = (spelled.str.extract(pattern)[0] for pattern in (r"([A-Z][a-z]{2})", r"(\d+)"))
    changes = [int((part != part.shift()).iloc[1:].sum()) for part in (month, number)]
    separators = spelled.str.extract(r"^[A-Z][a-z]{2}([-/. ']*)\d\d$")[0]
    if separators.notna().mean() > 0.5 and changes[1] < changes[0]:
        return TimeReading(f"%b{separators.mode().iloc[0]}%y")
    return TimeReading(
        None, doubt=f"expected dates with a year of four digits, got '{spelled.iloc[0]}', in which a day fits too"
    )


def choose_format(column: pd.Series[Any], likely: list[str]) -> TimeReading:
    """Return the format that fits most cells; of several, the only one that puts the rows in order."""
    if len(likely) == 1:
        return TimeReading(likely[0])
    filled = _filled(column)
    filled = filled[np.any([~parse(filled, name)[1] for name in likely], axis=0)]
    parsed = {name: parse(filled, name) for name in likely}
    misses = {name: int(invalid.sum()) for name, (_, invalid) in parsed.items()}
    fewest = min(misses.values())
    fitting = [name for name in likely if misses[name] == fewest]
    best, distinct = fitting[0], [fitting[0]]
    for name in fitting[1:]:
        if (parsed[name][0] != parsed[best][0]).any():
            distinct.append(name)
    if len(distinct) == 1:
        return TimeReading(best)
    regular = {name: regularity(parsed[name][0]) for name in distinct}
    best = max(regular, key=lambda name: (-regular[name][1], regular[name][0]))
    fraction, backwards = regular[best]
    others = [regular[name] for name in distinct if name != best]
    is_only_regular = fraction == 1 and filled.nunique() >= MIN_REGULAR and all(part < 1 for part, _ in others)
    if is_only_regular or (fraction >= 0.7 and all(other > 2 * backwards for _, other in others)):
        names = quote_list(name for name in distinct if name != best)
        note = f"dates such as {filled.iloc[0]} are read as '{best}', which puts the rows in order, not as {names}"
        return TimeReading(best, note)
    row = int(np.argmax(parsed[distinct[0]][0] != parsed[distinct[1]][0]))
    dates = [f"{format_timestamp(parsed[name][0][row])} by '{name}'" for name in distinct]
    return TimeReading(
        None,
        doubt=f"expected unambiguous dates, got dates such as {filled.iloc[0]} that fit both "
        f"{' and '.join(map(quote_text, distinct))}: {filled.iloc[row]} is {' or '.join(dates)}",
    )


def _check_order(column: pd.Series[Any], reading: TimeReading) -> TimeReading:
    """Return a doubt instead of a reading if rows are in order only with days and months exchanged in some of them.

    A spreadsheet of another language exchanges them where the day is 12 at most, and leaves the other dates.
    """
    name = reading.format or ""
    if not re.search(r"%d.%m.%[yY]|%m.%d.%[yY]", name):
        return reading
    head = column.iloc[:MAX_ORDERED]
    times = pd.DatetimeIndex(parse(head, name)[0]).tz_localize(None)
    other = name.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m")
    exchanged, invalid = parse(head, other)
    exchanged = pd.DatetimeIndex(exchanged).tz_localize(None)
    mixed = exchanged.where(~invalid, times)
    differs = np.asarray(~invalid & (exchanged != times))
    if not differs.any() or differs.all():
        return reading
    (fraction, backwards), before = regularity(mixed), regularity(times)
    if fraction < max(0.9, before[0]) or before[1] <= 2 * backwards:
        return reading
    row = int(np.argmax(differs))
    text = f"expected dates with days and months in one order, got '{head.iloc[row]}' for {mixed[row]:%Y-%m-%d}"
    return TimeReading(None, doubt=f"{text}, because only so the rows are in order with the dates after it", row=row)


def regularity(times: pd.Index) -> tuple[float, int]:
    """Return the fraction of changes from row to row that are the most common one, and how many go the other way.

    They are counted in elapsed time or, for one day of the month, in months. Few rows are never regular.
    """
    wall = pd.DatetimeIndex(times).tz_localize(None).dropna()
    steps = np.diff(np.asarray(wall.asi8, dtype=np.int64))
    moved = steps[steps != 0]
    if len(moved) < MIN_ROWS - 1:
        return 0.0, 0
    forwards = int((moved > 0).sum())
    found = [moved]
    if (wall.day == wall.day[0]).mean() > 0.9:
        months = np.diff(np.asarray(wall.year * 12 + wall.month, dtype=np.int64))
        found.append(months[months != 0])
    fraction = max(float(np.unique(part, return_counts=True)[1].max() / len(moved)) for part in found if len(part))
    return fraction, min(forwards, len(moved) - forwards)


def _fits(column: pd.Series[Any], time_format: str) -> bool:
    """Return whether more than half of the cells have a format, with years that are likely."""
    times, invalid = parse(column, time_format)
    if not invalid.mean() < 0.5:
        return False
    return not isinstance(times, pd.DatetimeIndex) or bool(np.median(times[~invalid].year) > 1000)


def _filled(column: pd.Series[Any]) -> pd.Series[Any]:
    return column[column.notna() & (column != "")].astype(str)


def _spread(column: pd.Series[Any], most: int = 50) -> pd.Series[Any]:
    """Return up to ``most`` cells, evenly spaced."""
    return column.iloc[np.unique(np.linspace(0, len(column) - 1, min(len(column), most)).astype(int))]
