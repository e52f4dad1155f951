"""Inference of the id and target columns, and why other columns of numbers are not forecast."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list, quote_text
from tsattn.data.columns import ID_NAMES, ID_NUMBER, has_id_name
from tsattn.data.table import FILE, Column, Table
from tsattn.data.time_parts import has_times_of_day, is_time_name, part_kind, part_values, words_of
from tsattn.timeseries.ragged import Ints

_NUMBERED = frozenset(("", "unnamed: 0", "rownames", "obs"))
_COUNTERS = frozenset(("index", "row", "no", "no."))

UNIT_NAMES = frozenset(
    ("unit", "units", "uom", "einheit", "currency", "wahrung", "devise", "moneda", "scale", "multiplier")
)
"""Words in the names of columns of units."""

MIN_STEPS = 10
"""Rows from which on those that a column of unknown name counts are steps, unless each has as many values."""

MIN_REPEATED = 0.1
"""Fraction of rows with a repeated timestamp from which on a column of any name may be the id."""


@dataclass(frozen=True)
class Role:
    """Columns with one role, and the reason for it.

    Args:
        columns: Names of the columns.
        reason: Reason for the choice, shown to the user.
        given: Whether the user named the columns.
        time_format: Format of timestamps, see `tsattn.data.timestamps.parse`.
        note: Why it was chosen of several that fit.
    """

    columns: tuple[str, ...]
    reason: str
    given: bool = False
    time_format: str = "step"
    note: str = ""


def find_id(table: Table, given: str | None, used: Iterable[str], times: npt.NDArray[np.int64]) -> Role:
    """Return the columns that identify series; none for a single series.

    Args:
        given: Option of the user.
        used: Columns with another role.
        times: Timestamps as integers, int64 [rows].
    """
    if given is not None:
        return Role(table.find_columns(given, "id"), "its values identify the series", given=True)
    taken = set(used)
    if "unique_id" in table and "unique_id" not in taken:
        return Role(("unique_id",), "'unique_id' is the usual name of the id column")
    if not pd.Series(times).duplicated().any():
        return Role((), "all timestamps are unique, so the table is one series")
    chosen: list[str] = []
    repeats = _count_repeats(times, [])
    # A few repeated timestamps are a mistake in one series, which any text column that varies would hide.
    fits = _may_be_id if repeats >= MIN_REPEATED * len(table) else _has_id_name
    candidates = [
        column
        for name in table.columns
        if name not in taken and (fits(column := table[name]) or _is_written_id(table, column))
    ]
    # A column with a value for almost every row numbers the rows.
    candidates = [column for column in candidates if 2 * column.values.nunique() <= len(table)]
    while repeats and len(chosen) < 4:
        ranked = sorted(
            (_count_repeats(times, [*(table[name] for name in chosen), column]), *_rank(column), column.name)
            for column in candidates
            if column.name not in chosen
        )
        if not ranked or ranked[0][0] >= repeats:
            break
        repeats, name = ranked[0][0], ranked[0][-1]
        chosen.append(name)
    if not chosen:
        return Role((), "timestamps are repeated, and no column distinguishes them")
    return Role(tuple(chosen), f"timestamps are repeated, and {quote_list(chosen)} distinguishes them")


def find_row_id(table: Table, given: str | None, used: Iterable[str]) -> Role:
    """Return the id columns of a table without timestamps with one row per series; none for a wide table."""
    if given is not None:
        return Role(table.find_columns(given, "id"), "its values name the series", given=True)
    taken = {*used, FILE}
    candidates = [table[name] for name in table.columns if name not in taken]
    repeated = [column for column in candidates if _has_id_name(column) and not column.values.is_unique]
    if repeated:
        name = min(repeated, key=lambda column: _name_rank(column.name)).name
        return Role((name,), f"'{name}' has a usual name of an id and names the series")
    first, rest = candidates[0], candidates[1:]
    is_id = (first.kind == "text" and not first.is_numeric_text) or first.name.lower() in ID_NAMES
    is_id &= not (len(rest) < MIN_STEPS and not has_id_name(first.name) and _counts_up(first))
    if is_id and (not first.values.is_unique or (len(rest) > 1 and all(is_numeric(other) for other in rest))):
        return Role((first.name,), f"'{first.name}' is the first column and names the series")
    return Role((), "no column names series, so the table is one series")


def _counts_up(column: Column) -> bool:
    """Return whether whole numbers with leading zeros, such as 0000, increase by 1 from row to row."""
    numbers = pd.to_numeric(column.values.astype("str"), errors="coerce").to_numpy(dtype=np.float64)
    return len(numbers) >= MIN_STEPS and bool((np.diff(numbers) == 1).all())


def _count_repeats(times: npt.NDArray[np.int64], columns: Sequence[Column]) -> int:
    """Return the number of rows with the timestamp and the cells of an earlier row."""
    keys = pd.DataFrame({number: pd.factorize(column.values)[0] for number, column in enumerate(columns)})
    return int(keys.assign(time=times).duplicated().sum()) if columns else int(pd.Series(times).duplicated().sum())


def _may_be_id(column: Column) -> bool:
    if _has_id_name(column):
        return True
    is_part = part_kind(column.values) is not None or has_times_of_day(column.values)
    return column.kind == "text" and not is_part and not column.is_numeric_text


def _is_written_id(table: Table, column: Column) -> bool:
    """Return whether numbers that differ as text, such as 1.1 and 1.10, occur in so few forms that they may be ids."""
    is_written = column.name in table.origin.texts and column.is_numeric_text
    return is_written and 10 * column.values.nunique() <= len(table)


def _has_id_name(column: Column) -> bool:
    return (column.is_whole or column.kind == "text") and (column.name == FILE or has_id_name(column.name))


def _rank(column: Column) -> tuple[int, bool, bool, int]:
    is_unit = bool(words_of(column.name) & UNIT_NAMES)
    is_written = column.name in column.origin.texts and column.is_numeric_text
    return _name_rank(column.name), is_written, is_unit, column.values.nunique()


def _name_rank(name: str) -> int:
    return ID_NAMES.index(name.lower()) if name.lower() in ID_NAMES else len(ID_NAMES)


def find_targets(
    table: Table, given: Iterable[str] | None, used: Sequence[str], likely: Sequence[str], *, long: bool
) -> Role:
    """Return the columns to forecast.

    Args:
        given: Option of the user.
        used: Columns with another role.
        likely: Columns with numbers that can be targets without being asked for.
        long: Whether the table has id columns.

    Raises:
        DataError: A column does not exist, a cell is not a number, or no column has numbers.
    """
    if given is not None:
        columns = table.find_columns(",".join(given), "target")
        reason = "they were asked for" if len(columns) > 1 else "it was asked for"
    elif "y" in table and "y" not in used and (long or "ds" in used):
        columns, reason = ("y",), "'y' is the usual name of the target column"
    else:
        columns, reason = tuple(likely), "every column with numbers"
    if not columns:
        text, *hints = _describe_text(table, used)
        raise table.error(
            f"expected a column with numbers to forecast; the columns are {quote_list(table.columns)}{text}", *hints
        )
    for name in columns:
        if np.isnan(table[name].numbers).all():
            message = "expected numbers to forecast, got empty cells only"
            raise table[name].error(message, "remove the column", "name other columns with {target}")
    return Role(columns, reason, given is not None)


def _describe_text(table: Table, used: Iterable[str]) -> tuple[str, ...]:
    """Return an example of the text in a column that may have been meant to be numbers, and hints."""
    taken = set(used)
    texts = [name for name in table.columns if name not in taken and table[name].kind == "text"]
    filled = table[texts[-1]].values.dropna() if texts else pd.Series(dtype=object)
    if filled.empty:
        return ("",)
    cell = quote_text(filled.iloc[0])
    if re.fullmatch(ID_NUMBER, str(filled.iloc[0])):
        return f"; '{texts[-1]}' holds {cell} and the like, which are taken for identifiers", "name it with {target}"
    if len(table.columns) == 1:
        return f"; it holds {cell}", "set {delimiter}"
    return (f"; '{texts[-1]}' holds text such as {cell}, but numbers are written as 1034.5",)


MAX_HEAD = 1000
"""Number of rows by which columns that do not follow the calendar are recognized."""

_CALENDAR: tuple[Callable[[pd.DatetimeIndex], Any], ...] = (
    *map(attrgetter, ("year", "quarter", "month", "day", "hour", "minute", "day_of_year")),
    lambda times: times.isocalendar()["week"],
    lambda times: times.dayofweek,
    lambda times: times.dayofweek + 1,
    lambda times: (times.dayofweek + 1) % 7,
    lambda times: times.year * 100 + times.month,
    lambda times: (times.year * 100 + times.month) * 100 + times.day,
)
"""Parts of timestamps that columns may repeat."""


def calendar_copies(table: Table, times: pd.Index, used: Iterable[str]) -> tuple[str, ...]:
    """Return the columns, such as year or hour, that repeat a part of the timestamp."""
    if not isinstance(times, pd.DatetimeIndex):
        return ()
    taken = set(used)
    heads = [np.asarray(part(times[:MAX_HEAD])) for part in _CALENDAR]
    copies = []
    wholes = [name for name in table.columns if name not in taken and (table[name].is_whole or table[name].is_padded)]
    for name in wholes:
        cells = table[name].values
        is_part = part_kind(cells) is not None
        first = part_values(cells.iloc[:MAX_HEAD])
        for part, head in zip(_CALENDAR, heads, strict=True):
            # The first rows are often enough, and all timestamps may be millions.
            if np.array_equal(first, head):
                values = np.asarray(part(times))
                repeats = len(values) >= 10 and (np.diff(values) < 0).any()
                if (is_part or repeats) and np.array_equal(part_values(cells), values):
                    copies.append(name)
                    break
    return tuple(copies)


def is_counter(column: Column) -> bool:
    """Return whether a column only numbers the rows, or is an increasing time axis."""
    name = column.name.lower()
    if name in _NUMBERED:
        return column.is_whole and bool(column.values.is_unique)
    if name in _COUNTERS:
        return column.is_whole and bool((column.values.diff().iloc[1:] == 1).all())
    if not is_time_name(name) or column.kind != "number" or len(column.values) < 2:
        return False
    return bool((column.values.diff().iloc[1:] > 0).all())


def is_numeric(column: Column) -> bool:
    """Return whether a column holds numbers that could be forecast."""
    if column.kind == "text":
        return column.name != FILE and (column.is_numeric_text or (column.is_padded and not _has_id_name(column)))
    return column.kind == "number" and not is_counter(column)


MIN_COUNTED_ROWS = 30
"""Rows from which on a column that increases by 1 from row to row is taken to number them, whatever its name."""

REPEATS, COUNTS = "repeats a part of the timestamps", "numbers the rows"
"""Reasons that exclude a column even if no other one remains."""

_COORDINATES = frozenset(("lat", "latitude", "lon", "lng", "long", "longitude", "elev", "elevation", "altitude"))
_FISCAL = frozenset(("fiscal", "fy"))
_CALENDAR_PARTS = frozenset(("year", "quarter", "month", "period", "week", "day"))
_CALENDAR_WORDS = frozenset(("season", "weekday", "dayofweek", "dow", "wday", "weekend"))


def reasons_against(
    table: Table, names: Sequence[str], times: pd.Index | None, codes: Ints, repeating: Sequence[str]
) -> dict[str, str]:
    """Return the columns that are no targets unless they are asked for, with the reason.

    Args:
        table: The table.
        names: Columns with numbers.
        times: Timestamp of each row; None if rows are steps.
        codes: Index of the series of each row, int64 [rows].
        repeating: Columns that repeat a part of the timestamp.
    """
    found: dict[str, str] = {}
    for name in names:
        reason = REPEATS if name in repeating else _reason(table[name], times, codes)
        if reason:
            found[name] = reason
    return found


def _reason(column: Column, times: pd.Index | None, codes: Ints) -> str:
    numbers = pd.to_numeric(column.values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.isfinite(numbers)
    seen = numbers if finite.all() else numbers[finite]
    if column.kind == "text" and column.numeric_fraction < 1 and len(np.unique(seen)) <= 2:
        return "is a category"
    if not len(seen):
        return "is empty"
    levels = np.unique(seen[:1000])
    if len(levels) <= 2:
        levels = np.unique(seen)
    if len(levels) == 1:
        return "holds one value"
    if _numbers_rows(column, numbers) or (times is None and _is_axis(numbers)):
        return COUNTS
    if isinstance(times, pd.DatetimeIndex) and _follows_time(numbers, times):
        return REPEATS
    if words_of(column.name) & _COORDINATES:
        return "is a coordinate"
    if len(levels) == 2 and set(levels) == {0.0, 1.0}:
        return "is a flag of 0 and 1"
    if part_kind(column.values) is not None and _cycles(numbers):
        return "counts the calendar"
    if words_of(column.name) & _FISCAL and words_of(column.name) & _CALENDAR_PARTS and column.is_whole:
        return "counts the calendar"
    if words_of(column.name) & _CALENDAR_PARTS and column.is_whole and numbers.min() == 1 and _cycles(numbers):
        return "counts the calendar"
    if words_of(column.name) & _CALENDAR_WORDS and column.is_whole and len(np.unique(seen)) <= 7:
        return "counts the calendar"
    if isinstance(times, pd.DatetimeIndex) and column.is_whole and _follows_calendar(numbers, times):
        return "counts the calendar"
    return ""


def _numbers_rows(column: Column, numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers increase by 1 from row to row, or are an id of each row."""
    if not column.is_whole or len(numbers) < 2 or not np.isfinite(numbers).all():
        return False
    words = words_of(column.name)
    is_id = "id" in words or any(word.endswith("nummer") for word in words)
    if is_id and len(np.unique(numbers)) > 0.9 * len(numbers):
        return True
    named = bool(words & {"index", "row", "record", "instant", "nr", "no"})
    steps = np.unique(np.diff(numbers))
    return (
        len(steps) == 1
        and (steps[0] == 1 or (named and steps[0] == -1))
        and (named or len(numbers) >= MIN_COUNTED_ROWS)
    )


def _is_axis(numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers increase at equal steps, as an axis without the form of timestamps does."""
    if len(numbers) < MIN_COUNTED_ROWS or not np.isfinite(numbers).all():
        return False
    steps = np.diff(numbers)
    return bool(steps[0] > 0 and np.allclose(steps, steps.mean(), rtol=0.01, atol=0))


def _follows_time(numbers: npt.NDArray[np.float64], times: pd.DatetimeIndex) -> bool:
    """Return whether large numbers count days, seconds or parts of seconds from a fixed time on."""
    # The first numbers are often enough.
    if len(numbers) < MIN_COUNTED_ROWS or any(np.abs(part).min() < 20_000 for part in (numbers[:1000], numbers)):
        return False
    if not np.isfinite(numbers).all():
        return False
    elapsed = (times.asi8 - times.asi8[0]) / 1e6
    counted = numbers - numbers[0]
    # Fractions of days may be rounded to half a minute.
    units = ((1 / 86_400, 3e-4), (1, 0.5), (1e3, 500), (1e6, 5e5), (1e9, 5e8))
    return any(np.allclose(counted, unit * elapsed, rtol=1e-9, atol=most) for unit, most in units)


def _cycles(numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers count up by 1 and begin again after the largest one."""
    if len(numbers) < 10 or not np.isfinite(numbers).all():
        return False
    steps, wraps = np.diff(numbers), (numbers[:-1] == numbers.max()) & (numbers[1:] == numbers.min())
    return bool(wraps.any() and ((steps == 0) | (steps == 1) | wraps).all())


def _follows_calendar(numbers: npt.NDArray[np.float64], times: pd.DatetimeIndex) -> bool:
    """Return whether numbers are a part of the timestamps plus a constant, such as years since 2011."""
    if len(numbers) < 10 or not np.isfinite(numbers).all():
        return False
    for part in ("year", "month", "quarter", "day", "hour", "day_of_year"):
        values = np.asarray(getattr(times, part), dtype=np.float64)
        if values.min() < values.max() and np.ptp(numbers - values) == 0 and (np.diff(values) <= 0).any():
            return True
    shift = (numbers - np.asarray(times.dayofweek, dtype=np.float64)) % 7
    return bool(np.ptp(shift) == 0 and np.ptp(numbers) == 6)
