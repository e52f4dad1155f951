"""Which columns hold the timestamps: one column, calendar parts, or a date and a time of day."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from tsattn._text import quote_list
from tsattn.data.date_text import month_of, start_of_range
from tsattn.data.roles import Role
from tsattn.data.table import FILE, Column, Table
from tsattn.data.time_detection import UNKNOWN_START, TimeReading
from tsattn.data.time_numbers import detect_number_format
from tsattn.data.time_parts import (
    DATE_PARTS,
    PART_NAMES,
    day_part,
    has_steps_of_day,
    has_times_of_day,
    is_time_name,
    kind_of_name,
    names_months,
    part_kind,
    part_values,
    words_of,
)
from tsattn.data.timestamps import check_format, describe_format, parse
from tsattn.errors import DataError
from tsattn.timeseries.schema import ReadingNote

_SUMMARIES = r"(?:\d{4}[- ]?)?(?:M13|Q05|S03)"
_PARTS = r"(?:\d{4}[- ]?)?(?:M(?:0\d|1[0-2])|Q0[1-4]|S0[12])"
_PERIOD_WORDS = frozenset(("period", "time", "date", "month", "quarter", "monat", "periode", "mois", "mes"))
_STARTS = frozenset(("von", "from", "start", "begin", "beginn", "anfang", "inicio", "debut"))
_ENDS = frozenset(("bis", "to", "end", "ende", "until", "fin"))
_FISCAL = frozenset(("fiscal", "fy", "retail"))
_FISCAL_PARTS = frozenset(("week", "wk", "month", "period", "quarter", "qtr"))
YEAR, _PARTS_OF_YEAR = "year", ("month", "quarter", "week")
_STEPS = "so the rows are steps 0, 1, 2, ..."


def _without_summaries(table: Table) -> Table:
    """Return a table without the rows of the annual means that statistical offices number M13, Q05 or S03."""
    for name in table.columns:
        if table[name].kind != "text" or not words_of(name) & _PERIOD_WORDS:
            continue
        cells = table.frame[name].astype("str")
        found = cells.str.fullmatch(_SUMMARIES, na=False).to_numpy(dtype=bool)
        if not found.any() or not cells[~found].str.fullmatch(_PARTS).all():
            continue
        first = int(np.argmax(found))
        note = ReadingNote(
            message=f"{int(found.sum())} rows with an annual mean are left out, such as {table.row_name(first)} with "
            f"'{cells.iloc[first]}' in '{name}'"
        )
        return table.with_frame(table.frame[~found]).with_notes(note)
    return table


def complete_periods(table: Table) -> Table:
    """Return a table with a year in each row and without the rows of annual means."""
    return _with_years(_without_summaries(table))


def _with_years(table: Table) -> Table:
    """Return a table with the year in each row, if only the first row of each year has it."""
    for name in table.frame.columns[table.frame.isna().any()]:
        if name.strip() and kind_of_name(name) != YEAR:
            continue
        years = table.frame[name]
        filled = years.notna().to_numpy()
        if not filled[:1].all() or part_kind(years[filled]) != YEAR:
            continue
        parts = [
            part_values(table.frame[other])
            for other in table.columns
            if part_kind(table.frame[other]) in _PARTS_OF_YEAR
        ]
        if len(parts) != 1 or not np.array_equal(filled[1:], np.diff(parts[0]) < 0):
            continue
        note = ReadingNote(
            message=f"'{name}' is empty in {int((~filled).sum())} rows, which have the year of the row before"
        )
        return table.with_frame(table.frame.assign(**{name: years.ffill()})).with_notes(note)
    return table


def find_time(table: Table, given: str | None, time_format: str | None) -> Role:
    """Return the columns of the timestamps.

    Args:
        table: The table.
        given: Option of the user for the columns.
        time_format: Option of the user for the format.

    Raises:
        DataError: The column that the user named, or whose name suggests it, does not hold timestamps, or several
            columns do.
        ConfigError: The format is unknown.
    """
    if given is not None:
        return _given_time(table, table.find_columns(given, "time"), time_format)
    if time_format is not None:
        return _by_format(table, time_format)
    readings = {name: table[name].time_reading for name in table.columns if name != FILE}
    name = _choose(table, readings)
    if name is None or readings[name].format == "fiscal year":
        _check_fiscal(table, name)
    if name is not None:
        return _add_time_of_day(table, _role_of(name, readings[name], _reason(table, name, readings)))
    parts = _find_parts(table)
    if parts is not None:
        return parts
    return _plain(table)


def _choose(table: Table, readings: dict[str, TimeReading]) -> str | None:
    """Return the column with dates; None without any. Text decides before numbers, and among those the name."""
    if "ds" in readings and readings["ds"].format is not None:
        return "ds"
    doubtful = [name for name, reading in readings.items() if reading.doubt]
    dates = [name for name, reading in readings.items() if reading.format and table[name].kind != "number"]
    dates = [name for name in dates if table[name].values.nunique() > 1] or dates
    if len(dates) > 1:
        # Numbers such as 1998.7 next to marks of missing values.
        dates = [name for name in dates if is_time_name(name) or not table[name].is_numeric_text] or dates
    if doubtful and (not dates or (is_time_name(doubtful[0]) and not any(map(is_time_name, dates)))):
        doubt, row = readings[doubtful[0]].doubt, readings[doubtful[0]].row
        hints = ["set {time_format} to the right one"] if re.search("by '|'%", doubt) else []
        hints += ["add the year"] if "a day fits" in doubt else []
        hints += ["add a column with the dates"] if UNKNOWN_START in doubt else []
        raise table[doubtful[0]].error(doubt, *hints, "write them as 2020-12-31", row=row)
    if not dates:
        dates = [name for name, reading in readings.items() if reading.format]
        named = [name for name in dates if is_time_name(name)]
        dates = named or ([] if len(dates) > 1 and _has_named_time(table) else dates)
    if len(dates) == 2:
        # The start and the end of each step.
        starts, ends = ([name for name in dates if words_of(name) & words] for words in (_STARTS, _ENDS))
        if len(starts) == 1 and ends and _are_steps(table, starts[0], ends[0], readings):
            dates = starts
    if len(dates) > 1 and _are_equal(table, dates, readings):
        dates = dates[:1]
    if len(dates) == 1 and not is_time_name(dates[0]):
        # Dates of which the order of day and month is in doubt may be the time as well.
        others = [name for name in doubtful if "'%" in readings[name].doubt]
        dates += [name for name in others if table[name].values.nunique() > 1]
    if len(dates) > 1:
        raise table.error(f"expected one time column, got dates in {quote_list(dates)}", "name one with {time}")
    return dates[0] if dates else None


def _check_fiscal(table: Table, year: str | None) -> None:
    """Raise a DataError if columns hold weeks, months or quarters of fiscal years."""
    for name in table.columns:
        words = words_of(name)
        if not words & _FISCAL_PARTS or not (words & _FISCAL or year is not None):
            continue
        values = part_values(table[name].values)
        if np.isfinite(values).all() and values.min() >= 1 and values.max() <= 53 and not table[name].values.is_unique:
            message = f"expected dates, got the parts of fiscal years, {UNKNOWN_START}"
            hint = "name it week, month or quarter if it is a part of calendar years"
            raise table[name].error(message, "add a column with the dates", hint)


def _are_equal(table: Table, names: list[str], readings: dict[str, TimeReading]) -> bool:
    """Return whether columns hold the same timestamps in several forms."""
    # The first rows are often enough, and all of them may be millions.
    for rows in (slice(1000), slice(None)):
        parsed = [parse(table[name].values.iloc[rows], readings[name].format or "date") for name in names]
        if any(invalid.any() or not times.equals(parsed[0][0]) for times, invalid in parsed):
            return False
    return True


def _are_steps(table: Table, start: str, end: str, readings: dict[str, TimeReading]) -> bool:
    """Return whether the time from start to end is that to the next start, or a little less."""
    try:
        first, last = (table.timestamps((name,), readings[name].format or "date") for name in (start, end))
    except DataError:
        return False
    lengths, steps = np.asarray(last - first), np.diff(np.unique(np.asarray(first)))
    return bool((lengths > np.timedelta64(0)).all() and (not len(steps) or np.median(lengths) <= np.median(steps)))


def _has_named_time(table: Table) -> bool:
    return any(is_time_name(name) and table[name].is_whole for name in table.columns)


def _reason(table: Table, name: str, readings: dict[str, TimeReading]) -> str:
    if name == "ds":
        return "'ds' is the usual name of the time column"
    others = [other for other, reading in readings.items() if other != name and reading.format]
    numbers = any(table[other].kind == "number" for other in others)
    if words_of(name) & _STARTS and any(words_of(other) & _ENDS for other in others):
        return f"'{name}' is the start of each step"
    if table[name].kind == "text" and (cell := str(table[name].values.dropna().iloc[0])) != start_of_range(
        cell.strip()
    ):
        return f"'{name}' has dates, the first of each range such as {cell}"
    if any(table[other].kind != "number" for other in others):
        return f"'{name}' is the first column with dates, which others repeat"
    only = " that are text" if numbers and table[name].kind != "number" else ""
    return f"'{name}' is the only column with dates{only}"


def _role_of(name: str, reading: TimeReading, reason: str) -> Role:
    assert reading.format is not None
    reason = f"{reason}; its timestamps are {describe_format(reading.format)}"
    return Role((name,), reason, time_format=reading.format, note=reading.note)


def _by_format(table: Table, time_format: str) -> Role:
    """Return the only column whose cells have a given format."""
    check_format(time_format, table.name)
    fitting = [name for name in table.columns if name != FILE and not _misses(table, name, time_format)]
    if len(fitting) != 1:
        got = quote_list(fitting) if fitting else "none"
        raise table.error(f"expected one column with timestamps as {time_format}, got {got}", "name it with {time}")
    reading = TimeReading(time_format)
    return replace(_role_of(fitting[0], reading, f"'{fitting[0]}' is the only column of the format"), given=True)


def _misses(table: Table, name: str, time_format: str) -> bool:
    if table[name].kind not in ("text", "number", "date") or not table[name].values.notna().any():
        return True
    return bool(parse(table[name].values.dropna(), time_format)[1].mean() >= 0.5)


def _given_time(table: Table, names: tuple[str, ...], time_format: str | None) -> Role:
    """Return the role of given time columns."""
    if len(names) > 1:
        return replace(_given_parts(table, names, time_format), given=True)
    column = table[names[0]]
    if time_format is not None:
        check_format(time_format, table.name)
        return replace(_role_of(names[0], TimeReading(time_format), "it was given"), given=True)
    reading = column.time_reading
    if reading.doubt:
        raise table.error(f"column '{names[0]}': {reading.doubt}", "set {time_format} to the right one")
    if reading.format is None and column.is_whole:
        reading = TimeReading(detect_number_format(column.values))
    if reading.format is None:
        raise _no_dates(table, names[0])
    reason = f"its timestamps are {describe_format(reading.format)}"
    return Role(names, reason, given=True, time_format=reading.format, note=reading.note)


def _no_dates(table: Table, name: str) -> DataError:
    """Return the error for a time column whose cells are no timestamps."""
    column = table[name]
    cells = column.values
    row = 0 if cells.isna().all() else int(np.argmax(cells.notna()))
    cell = str(cells.iloc[row])
    if has_times_of_day(cells):
        message = f"expected dates, got the time of day '{cell}' without a date"
        return column.error(message, "write the date into the cell or into another column", row=row)
    if month_of(cell.strip()) is not None:
        return column.error(f"expected dates with a year, got the month '{cell}'", "add the year", row=row)
    if (zone := re.search(r"\b(?:CST|IST|BST)\b", cell)) is not None:
        message = f"expected a time zone with one meaning, got '{zone[0]}' in '{cell}'"
        return column.error(message, "write its offset from UTC, such as -06:00", row=row)
    if (zone := re.search(r"\b[A-Z][a-z]+/[A-Z]\w+$", cell)) is not None:
        message = f"expected a time zone as an offset from UTC, got '{zone[0]}' in '{cell}'"
        return column.error(message, "write its offset from UTC, such as -06:00", row=row)
    others = [
        other
        for other in table.columns
        if other != name and (table[other].time_reading.format or _counts_rows(table, other))
    ]
    hints = ["name another column with {time}"] if others else []
    message = f"expected dates such as 2020-12-31 or whole numbers, got '{cell}'"
    return column.error(message, *hints, "set {time_format} to its format, such as %d/%m/%Y", row=row)


def _counts_rows(table: Table, name: str) -> bool:
    return table[name].is_whole and bool(table[name].values.is_monotonic_increasing)


def _given_parts(table: Table, names: tuple[str, ...], time_format: str | None) -> Role:
    """Return the role of several given time columns."""
    kinds = {name: part_kind(table[name].values) for name in names}
    if "year" in kinds.values():
        found = _join_parts(table, {name: kind for name, kind in kinds.items() if kind is not None})
        if found is not None and set(found.columns) == set(names):
            return found
    elif len(names) == 2:
        for day, clock in (names, names[::-1]):
            if table[day].time_reading.format is None and time_format is None:
                continue
            role = _given_time(table, (day,), time_format)
            kind = day_part(table[clock].values, table.timestamps(role.columns, role.time_format), named=True)
            if kind is not None:
                return _join_time_of_day(role, clock, kind)
    raise table.error(
        "expected several time columns to be a date and a time of day, or calendar parts with usual names such as "
        f"{quote_list(PART_NAMES)}, got {quote_list(names)}"
    )


def _find_parts(table: Table) -> Role | None:
    """Return the role of calendar parts, if there are any besides a year that is repeated."""
    kinds = {name: kind for name in table.columns if name != FILE and (kind := part_kind(table[name].values))}
    years = [name for name, kind in kinds.items() if kind == "year"]
    if not years and (found := [name for name in table.columns if is_time_name(name) and _are_years(table[name])]):
        years = found[:1]
        kinds[years[0]] = "year"
    if "month" not in kinds.values():
        # Statistics offices name columns after their place in the table.
        kinds |= dict.fromkeys([name for name in table.columns if names_months(table[name].values)][:1], "month")
    if len(years) != 1 or not table[years[0]].values.duplicated().any():
        return None
    _check_periods(table, years[0], kinds)
    return _join_parts(table, kinds)


def _are_years(column: Column) -> bool:
    return column.is_whole and bool(column.values.dropna().between(1800, 2100).all())


def _check_periods(table: Table, year: str, kinds: dict[str, str]) -> None:
    """Raise a DataError if a column numbers the periods of each year, and these are no months, weeks or quarters."""
    if len(kinds) > 1:
        return
    for name in table.columns:
        if name == year or not table[name].is_whole or not words_of(name) & _PERIOD_WORDS:
            continue
        last = table.frame.groupby(year)[name].agg(["min", "max", "nunique"]).mode().iloc[0]
        if last["min"] == 1 and 1 < last["max"] == last["nunique"] <= 53:
            message = f"expected dates, got the periods 1 to {last['max']:.0f} of each year, {UNKNOWN_START}"
            hint = "name it month, week or quarter if it is a part of calendar years"
            raise table[name].error(message, "add a column with the dates", hint)


def _join_parts(table: Table, kinds: dict[str, str]) -> Role | None:
    """Return the role of the finest date that columns of some kinds form."""
    columns = {kind: name for name, kind in reversed(kinds.items())}
    chosen = next((parts for parts in DATE_PARTS if set(parts) <= set(columns)), None)
    if "year" not in columns or chosen is None:
        return None
    finer = [kind for kind in ("hour", "minute") if kind in columns and chosen[-1].startswith("day")]
    wanted = ["year", *chosen, *finer]
    names = tuple(columns[kind] for kind in wanted)
    weeks = "; its weeks are ISO weeks, dated by their Monday" if "week" in wanted else ""
    weeks = "; its weeks are those of MMWR, dated by their Sunday" if "week from sunday" in wanted else weeks
    return Role(names, f"{quote_list(names)} form the date{weeks}", time_format="+".join(wanted))


def _plain(table: Table) -> Role:
    """Return the role of whole numbers with a usual name, or of no column."""
    named = [name for name in table.columns if is_time_name(name)]
    named = named or [name for name in table.columns if _holds_years(table, name)][:1]
    counting = [name for name in named if table[name].is_whole and _counts_time(table, name)]
    if "ds" in counting:
        counting = ["ds"]
    if len(counting) > 1:
        message = f"expected one time column, got {quote_list(counting)}, which all have usual names of one"
        raise table.error(message, "name one with {time}")
    if counting:
        time_format = detect_number_format(table[counting[0]].values)
        known = "is a usual name of a time column" if is_time_name(counting[0]) else "holds years, one after the other"
        return _role_of(counting[0], TimeReading(time_format), f"'{counting[0]}' {known}")
    for name in named or [name for name in table.columns[:1] if has_steps_of_day(table[name].values)]:
        if table[name].kind == "text":
            raise _no_dates(table, name)
    for name in named:
        if table[name].kind == "number" and not table[name].is_whole:
            reason = f"'{name}' holds neither dates nor whole numbers, {_STEPS}"
            return Role((), reason, note=reason.removesuffix(" 0, 1, 2, ..."))
    return Role((), f"no column holds dates or has a usual name of a time column, {_STEPS}")


def _holds_years(table: Table, name: str) -> bool:
    """Return whether a column, the first one or one named after time, holds the years of one or of each series."""
    if not (name == table.columns[0] or words_of(name) & {"time", "year", "date"}) or not table[name].is_whole:
        return False
    years = np.unique(table.frame[name].dropna().to_numpy(dtype=np.int64))
    return len(years) >= 3 and years[0] >= 1800 and years[-1] <= 2100 and bool((np.diff(years) == 1).all())


def _counts_time(table: Table, name: str) -> bool:
    """Return whether a numeric column counts time, unlike a calendar part, which repeats."""
    kind = part_kind(table[name].values)
    return kind in (None, "year") or bool(table[name].values.is_unique)


def _add_time_of_day(table: Table, time: Role) -> Role:
    """Return the role with the column of the time of day, if there is one and the dates have none."""
    cells = table[time.columns[0]].values
    head, invalid = parse(cells.iloc[:1000], time.time_format)
    if isinstance(head, pd.DatetimeIndex) and (head[~invalid] != head[~invalid].normalize()).any():
        # The first rows are often enough, and all of them may be millions.
        return time
    if not cells.duplicated().any():
        return time
    times, invalid = parse(cells, time.time_format)
    if not isinstance(times, pd.DatetimeIndex) or (times[~invalid] != times[~invalid].normalize()).any():
        return time
    rest = [name for name in table.columns if name not in time.columns and name != FILE]
    found = {name: kind for name in rest if (kind := day_part(table[name].values, times)) is not None}
    if len(found) > 1:
        # The start and the end of each step.
        starts = [name for name in found if words_of(name) & _STARTS]
        ends = [name for name in found if words_of(name) & _ENDS]
        found = {name: found[name] for name in starts if len(starts) + len(ends) == len(found)}
    if not found:
        found = {name: "time" for name in rest if has_steps_of_day(table[name].values)}
    return _join_time_of_day(time, *next(iter(found.items()))) if len(found) == 1 else time


def _join_time_of_day(day: Role, clock: str, kind: str) -> Role:
    columns = (*day.columns, clock)
    reason = f"{quote_list(columns)} form the timestamp"
    note = ""
    if kind.startswith("period"):
        count, _, zone = kind.removeprefix("period of ").partition(" in ")
        reason += f"; '{clock}' counts {count} periods per day from midnight on"
        note = zone and f"days of 23 and 25 hours are those of {zone}, and timestamps are in its local time"
    return replace(
        day, columns=columns, reason=reason, time_format=f"{day.time_format} and {kind}", note=note or day.note
    )
