"""Calendar arithmetic on whole numbers by operators alone: the same on NumPy arrays and inside a TensorFlow graph.

Days are counted from 1970-01-01, in the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
algorithms", 2014). All divisions round down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

HOUR = 3_600
DAY = 86_400

Whole = Any
"""An array or tensor of int64."""


def split(seconds: Whole, length: int) -> tuple[Whole, Whole]:
    """Return seconds divided by a length, rounded down, and what is left over.

    Stamps have more digits than a float32, in which OpenVINO divides whole numbers: near a whole quotient it is one
    off. What is left over is exact, small, and tells.
    """
    quotient = seconds // length
    rest = seconds - quotient * length
    off = rest // length
    return quotient + off, rest - off * length


def day_of(seconds: Whole) -> Whole:
    """Return days since 1970."""
    return split(seconds, DAY)[0]


class Date(NamedTuple):
    """Year, month from 1 and day from 1, each a `Whole`."""

    year: Whole
    month: Whole
    day: Whole


def date_of(days: Whole) -> Date:
    """Return the dates of days."""
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    return Date(year + era * 400 + month // 10, month + 3 - 12 * (month // 10), day)


def days_of(date: Date) -> Whole:
    """Undo `date_of`."""
    early = (14 - date.month) // 12
    year = date.year - early
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (date.month + 12 * early - 3) + 2) // 5 + date.day - 1
    return era * 146_097 + 365 * of_era + of_era // 4 - of_era // 100 + of_year - 719_468


def first_of_month(months: Whole) -> Whole:
    """Return the first day of months that are counted from January of year 0."""
    year = months // 12
    month = months - 12 * year + 1
    return days_of(Date(year, month, month // month))


def months_of(date: Date) -> Whole:
    """Return months since January of year 0."""
    return 12 * date.year + date.month - 1


def weekday_of(days: Whole) -> Whole:
    """Return days since Monday."""
    return (days + 3) % 7


def phase_of_time(length: int) -> Callable[[Whole], tuple[Whole, Whole]]:
    """Return what tells how far seconds are within a cycle of so many: that, and the length of the cycle."""
    return lambda seconds: (split(seconds, length)[1], seconds * 0 + length)


def phase_of_month(seconds: Whole) -> tuple[Whole, Whole]:
    """Return whole days since the first of the month, and the days of it."""
    date = date_of(day_of(seconds))
    months = months_of(date)
    return date.day - 1, first_of_month(months + 1) - first_of_month(months)


def phase_of_year(seconds: Whole) -> tuple[Whole, Whole]:
    """Return whole days since the first of the year, and the days of it."""
    days = day_of(seconds)
    months = 12 * date_of(days).year
    first = first_of_month(months)
    return days - first, first_of_month(months + 12) - first


def number_of_weekday(seconds: Whole) -> Whole:
    """Return days since Monday."""
    return weekday_of(day_of(seconds))


def number_of_month(seconds: Whole) -> Whole:
    """Return months since January."""
    return date_of(day_of(seconds)).month - 1
