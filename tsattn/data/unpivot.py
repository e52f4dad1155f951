"""Tables with timestamps in their header: one column per timestamp, or one row per year and one column per month."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list
from tsattn.data.cells import DATE_NUMBER, TOTAL, cell_kind
from tsattn.data.columns import to_numbers
from tsattn.data.date_text import (
    MIN_TIMESTAMPS,
    YEAR_NAME,
    day_columns,
    month_columns,
    month_of,
    numbered_periods,
    repeated_hour,
    serial_days,
    times_of_day,
    week_columns,
    weekday_columns,
)
from tsattn.data.header import common_prefix
from tsattn.data.table import Column, Note, Table
from tsattn.data.time_parts import date_of_parts, part_kind, part_values
from tsattn.data.timestamps import parse
from tsattn.timeseries.schema import Layout

TARGET = "y"
"""Target column of unpivoted tables."""

TIME = "ds"
"""Time column of unpivoted tables."""

YEAR, MONTH, WEEK, DAY = "year", "month", "week", "day"
"""Columns of years, of month numbers, 1 to 12, of week numbers, and of days of the month."""

CLOCK, PERIOD = "time", "period"
"""Columns of times of day, and of numbers of the periods of a day, of unpivoted tables."""

_NO_ID = "-"
"""Text that replaces empty cells of id columns."""

_NUMBERED = re.compile(r"([A-Za-z]+_?)(\d+)")


@dataclass(frozen=True)
class Unpivoted:
    """A table with one row per timestamp, made from one with timestamps in its header.

    Args:
        table: The table, with the column `TARGET`.
        layout: Layout of the original table.
        time: Columns of year and month or week, or of year, month and day; empty if the timestamps are in the column
            `TIME`, or in two columns.
    """

    table: Table
    layout: Layout
    time: tuple[str, ...] = ()


def unpivot(table: Table) -> Unpivoted | None:
    """Return a table with timestamps in its header as one with a row per timestamp.

    Empty cells before the first and after the last value of a series, which the other columns identify, are dropped.
    Totals are left out, which is reported.

    Returns:
        None if the header has no timestamps.
    """
    table = _strip_prefix(_split_first_column(table))
    return (
        _unpivot_days(table)
        or _unpivot_parts(table)
        or _unpivot_hours(table)
        or _unpivot_weekdays(table)
        or _unpivot_timestamps(table)
    )


def _unpivot_days(table: Table) -> Unpivoted | None:
    """Unpivot one row per month with one column per day."""
    days = day_columns(table.columns)
    others = [name for name in table.columns if name not in days]
    kinds = {part_kind(table.frame[name]): name for name in others}
    if MONTH not in kinds or not days:
        if "day" in kinds and (months := month_columns(table.columns)):
            name = next(iter(months))
            message = f"expected a year, got days in '{kinds['day']}' and months in the header, such as '{name}'"
            raise table.error(message, "write one row per day with its date")
        return None
    if YEAR not in kinds:
        raise table.error(f"expected a year, got months in '{kinds[MONTH]}' and days in the header", "add the year")
    table, others = _drop_totals(table, list(days), others)
    long = _melt(table, others, list(days), DAY, np.array(list(days.values())))
    long = long.rename(columns={kinds[MONTH]: MONTH})
    time = (kinds[YEAR], MONTH, DAY)
    exists = date_of_parts(long[list(time)].reset_index(drop=True), (YEAR, MONTH, DAY)).notna().to_numpy()
    # Days that a month does not have stay if they have a value, for the message about it.
    rows = exists | long[TARGET].notna().to_numpy()
    return Unpivoted(table.with_frame(long[rows]), "columns", time)


def _unpivot_parts(table: Table) -> Unpivoted | None:
    """Unpivot one row per year with one column per month, quarter or week."""
    year = next((name for name in table.columns if part_kind(table.frame[name]) == YEAR and table[name].is_whole), None)
    months = month_columns(table.columns) if year is not None else {}
    key, parts = (MONTH, months) if months else (WEEK, week_columns(table.columns))
    if year is None or not parts:
        return None
    ordered = sorted(parts, key=lambda name: parts[name])
    others = [name for name in table.columns if name not in parts and name != year]
    table, others = _drop_totals(table, ordered, others)
    if any(part_kind(table.frame[name]) == key for name in others):
        return None
    long = _melt(table, [*others, year], ordered, key, np.array([parts[name] for name in ordered]))
    if key == WEEK:
        # Most years have no week 53.
        long = long[(long[WEEK] < 53) | long[TARGET].notna()]
    count = (long[year] * 53 + long[key]).to_numpy(dtype=float, na_value=np.nan)
    return Unpivoted(table.with_frame(_trim(long, others, count)), "months", (year, key))


def _unpivot_hours(table: Table) -> Unpivoted | None:
    """Unpivot one row per day with one column per time of day."""
    table = _drop_repeated_hour(table)
    minutes = times_of_day(table.columns)
    periods = {} if minutes else numbered_periods(table.columns)
    if not minutes and not periods:
        return None
    dates = [name for name in table.columns if table[name].kind == "date"]
    for kind in ("text", "number"):
        others = [name for name in table.columns if table[name].kind == kind and name not in (minutes or periods)]
        dates = dates or [name for name in others if table[name].time_reading.format]
    if len(dates) != 1 or (periods and not _have_periods(table, dates[0], list(periods))):
        return None
    names = list(minutes or periods)
    table, others = _drop_totals(table, names, [name for name in table.columns if name not in names])
    if periods:
        long = _melt(table, others, names, PERIOD, np.array(list(periods.values())))
        text = f"column '{names[0]}' and the others are the periods of each day"
        hint = "set {time} to '" + dates[0] + "' if they are channels"
    else:
        clocks = np.array([f"{value // 60:02d}:{value % 60:02d}" for value in minutes.values()], dtype=object)
        long = _melt(table, others, names, CLOCK, clocks)
        text, hint = f"column '{names[0]}' is the time {clocks[0]} of each day", ""
    note = Note("time", f"{len(names)} columns", text, bool(hint), hint)
    return Unpivoted(_add_note(table.with_frame(long[long[TARGET].notna()]), note), "columns")


def _drop_repeated_hour(table: Table) -> Table:
    """Return a table without the column of the hour that is repeated when summer time ends, such as 3B after 3A."""
    if (pair := repeated_hour(table.columns)) is None:
        return table
    first, second = pair
    count = int(table.frame[second].notna().sum())
    text = f"the hour of '{first}' again when summer time ends, which local time does not distinguish; {count} values"
    note = Note("left out", second, text, is_warning=count > 0)
    return _add_note(table.with_frame(table.frame.drop(columns=second).rename(columns={first: first[:-1]})), note)


def _have_periods(table: Table, day: str, names: Sequence[str]) -> bool:
    """Return whether rows are days, one after the other, and columns for a further hour are mostly empty."""
    times, invalid = parse(table[day].values, table[day].time_reading.format or "date")
    days = pd.DatetimeIndex(times[~invalid]).unique().sort_values()
    if (days != days.normalize()).any() or (len(days) > 1 and (days[1:] - days[:-1]).min() > pd.Timedelta(days=1)):
        return False
    further = names[len(names) - len(names) % 24 :] if len(names) in (25, 50, 100) else []
    return bool(table.frame[list(further)].notna().to_numpy().mean() < 0.5) if further else True


def _unpivot_weekdays(table: Table) -> Unpivoted | None:
    """Unpivot one row per week, with the date of its first day, and one column per day of the week."""
    days = weekday_columns(table.columns)
    if not days:
        return None
    others = [name for name in table.columns if name not in days]
    dates = [name for name in others if table[name].kind in ("date", "text") and table[name].time_reading.format]
    if len(dates) != 1:
        return None
    first = table.timestamps((dates[0],), str(table[dates[0]].time_reading.format))
    if not isinstance(first, pd.DatetimeIndex) or (first.dayofweek != next(iter(days.values()))).any():
        return None
    table, others = _drop_totals(table, list(days), others)
    shifts = np.arange(7)
    long = _melt(table, others, list(days), TIME, shifts)
    long[TIME] = np.repeat(first.to_numpy(), 7) + np.tile(shifts, len(table)).astype("timedelta64[D]")
    long = _trim(long.drop(columns=dates), [name for name in others if name not in dates], long[TIME].astype("int64"))
    return Unpivoted(table.with_frame(long), "columns")


def _unpivot_timestamps(table: Table) -> Unpivoted | None:
    """Unpivot one row per series with one column per timestamp."""
    found = _timestamps(table)
    if found is None:
        return None
    names, values = found
    others = [name for name in table.columns if name not in set(names)]
    if any(table[name].kind == "date" or name in (TIME, TARGET) for name in others):
        return None
    places = [table.columns.index(name) for name in (names[0], names[-1])]
    inner = [name for name in others if min(places) < table.columns.index(name) < max(places)]
    if inner and table[inner[0]].kind == "number" and not TOTAL.fullmatch(inner[0].strip()):
        message = f"expected timestamps in the header from '{names[0]}' to '{names[-1]}', got '{inner[0]}' between them"
        raise table.error(message, "write it as the others", "remove the column")
    months = _drop_total_rows(table, names, others)
    if (part := _part_of_rows(months, others)) is not None and values.dtype != object:
        table, (key, numbers) = months, part
        long = _melt(table, [], names, YEAR, values)
        long[key] = np.repeat(numbers, len(names))
        long = long.sort_values([YEAR, key], kind="stable")
        return Unpivoted(table.with_frame(_trim(long, [], long[YEAR] * 53 + long[key])), "columns", (YEAR, key))
    if values.dtype == object and values[0] not in {name.strip() for name in names}:
        text = f"{names[0]} and the others are read as days of a spreadsheet: {values[0]}"
        table = _add_note(table, Note("header", names[0], text, is_warning=True))
    marked = [name for name in names if (year := YEAR_NAME.fullmatch(name.strip())) and year["mark"]]
    if marked:
        text = f"marks such as that of '{marked[0]}' are removed from {len(marked)} of {len(names)} years"
        table = _add_note(table, Note("header", marked[0], text, is_warning=True))
    table, others = _drop_totals(table, names, others)
    table = _complete_ids(_drop_total_rows(table, names, others), others)
    long = _melt(table, others, names, TIME, values)
    return Unpivoted(table.with_frame(_trim(long, others, np.tile(np.arange(len(names)), len(table)))), "columns")


def _timestamps(table: Table) -> tuple[list[str], npt.NDArray[Any]] | None:
    """Return the columns whose names are timestamps, in order of time, and these: text, years or numbers of steps."""
    names = [name for name in table.columns if YEAR_NAME.fullmatch(name.strip())]
    numbers = [name for name in table.columns if DATE_NUMBER.fullmatch(name.strip())]
    least = MIN_TIMESTAMPS if _part_of_rows(table, [name for name in table.columns if name not in names]) is None else 2
    if len(numbers) >= MIN_TIMESTAMPS:
        names = numbers
        values: npt.NDArray[Any] = np.array([int(name) for name in names])
    elif len(names) >= least:
        values = np.array([int(YEAR_NAME.fullmatch(name.strip())[1]) for name in names])  # type: ignore[index]
    else:
        serials = serial_days(table.columns)
        names = list(serials) or [name for name in table.columns if cell_kind(name) == "date"]
        values = np.array([serials.get(name, name.strip()) for name in names], dtype=object)
    if len(names) < (MIN_TIMESTAMPS if values.dtype == object else least) or 2 * sum(
        _holds_numbers(table[name]) for name in names
    ) < len(names):
        return _numbered_steps(table)
    is_rest_longer = 2 * len(names) < len(table.columns)
    return None if is_rest_longer or len(set(values)) < len(values) else (names, values)


def _numbered_steps(table: Table) -> tuple[list[str], npt.NDArray[Any]] | None:
    """Return columns such as d_1, d_2, ... next to several columns of text."""
    found = [
        (match, name) for name in table.columns if (match := _NUMBERED.fullmatch(name)) and table[name].kind == "number"
    ]
    texts = [name for name in table.columns if table[name].kind == "text"]
    if len(found) < 10 or len(texts) < 2 or len(found) + len(texts) < len(table.columns):
        return None
    numbers = np.array([int(match[2]) for match, _ in found])
    if len({match[1] for match, _ in found}) > 1 or (np.diff(numbers) != 1).any():
        return None
    return [name for _, name in found], numbers


def _holds_numbers(column: Column) -> bool:
    return column.kind == "number" or column.is_numeric_text


def _part_of_rows(table: Table, others: Sequence[str]) -> tuple[str, npt.NDArray[Any]] | None:
    """Return the months or weeks of the rows, if the only other column has each of them once, and their kind."""
    if len(others) != 1:
        return None
    column = table.frame[others[0]]
    if part_kind(column) == WEEK and sorted(weeks := part_values(column)) == list(range(1, len(weeks) + 1)):
        return (WEEK, weeks) if len(weeks) >= 52 else None
    if len(table) != 12:
        return None
    cells = [str(cell).strip() for cell in table.frame[others[0]]]
    months = [int(cell) if cell.isdigit() else month_of(cell) or 0 for cell in cells]
    return (MONTH, np.array(months)) if sorted(months) == list(range(1, 13)) else None


def _melt(table: Table, others: list[str], names: list[str], key: str, values: npt.NDArray[Any]) -> pd.DataFrame:
    """Return one row per row and name, with the values of the names in the column ``key``."""
    frame = table.frame
    long = frame[others].iloc[np.repeat(np.arange(len(frame)), len(names))]
    # As text if any column is text, so that the message about a wrong cell is the usual one.
    cells = frame[names] if len(set(frame[names].dtypes)) == 1 else frame[names].astype(object)
    if all(table[name].kind == "number" for name in names):
        cells = frame[names].astype(float)
    keys: Any = np.tile(values, len(frame))
    if values.dtype == object:
        # Each text is parsed once.
        keys = pd.Categorical.from_codes(np.tile(np.arange(len(values)), len(frame)), pd.Index(values, dtype="str"))
    long = long.assign(**{key: keys, TARGET: cells.to_numpy().ravel()})
    long[TARGET] = long[TARGET].infer_objects()
    return long


def _trim(long: pd.DataFrame, others: list[str], count: Any) -> pd.DataFrame:
    """Return the rows without the empty ones before the first and after the last value of each series."""
    count = np.asarray(count, dtype=float)
    seen = pd.Series(np.where(long[TARGET].notna(), count, np.nan))
    rows = long.groupby(others, sort=False, dropna=False, observed=True) if others else None
    keys = np.zeros(len(long)) if rows is None else rows.ngroup().to_numpy()
    first, last = (seen.groupby(keys).transform(end).to_numpy() for end in ("min", "max"))
    # A row without a year stays, for the message about it.
    inside: pd.DataFrame = long[~((count < first) | (count > last))]
    return inside


def _split_first_column(table: Table) -> Table:
    r"""Return a table whose first column, such as "unit,geo\time" of Eurostat, is split into several."""
    name = table.columns[0] if table.columns else ""
    if "\\" not in name or table[name].kind != "text":
        return table
    parts = [part.strip() for part in name.split("\\")[0].split(",")]
    cells = table.frame[name].astype("str").str.split(",", expand=True)
    if cells.shape[1] != len(parts) or set(parts) & set(table.columns) or cells.isna().any(axis=None):
        return table
    return table.with_frame(pd.concat([cells.set_axis(parts, axis=1), table.frame.drop(columns=name)], axis=1))


def _strip_prefix(table: Table) -> Table:
    """Return a table without the words that precede the timestamps in the names of columns with numbers."""
    names = [name for name in table.columns if " " in name and _holds_numbers(table[name])]
    prefix = common_prefix(names)
    if not prefix or sum(cell_kind(name) == "date" for name in table.columns) >= MIN_TIMESTAMPS:
        # Those with a prefix are perhaps totals of the years of the others.
        return table
    note = Note("header", prefix.strip(), "precedes the timestamps in the header")
    return _add_note(table.with_frame(table.frame.rename(columns=lambda name: name.removeprefix(prefix))), note)


def _drop_totals(table: Table, names: list[str], others: list[str]) -> tuple[Table, list[str]]:
    """Return a table without the columns of totals and means of each row."""
    sums = np.nansum(to_numbers(table.frame[names]), axis=1)
    totals = []
    for name in others:
        if table[name].kind != "number":
            continue
        cells = table.frame[name].to_numpy(dtype=float, na_value=np.nan)
        if TOTAL.fullmatch(name.strip()) or (sums.any() and np.allclose(cells, sums, rtol=1e-3)):
            totals.append(name)
    if not totals:
        return table, others
    note = Note("left out", quote_list(totals, quote=""), "totals of the other columns", is_warning=True)
    return _add_note(table.with_frame(table.frame.drop(columns=totals)), note), [
        name for name in others if name not in totals
    ]


def _drop_total_rows(table: Table, names: list[str], others: list[str]) -> Table:
    """Return a table without rows that are named totals and add up the other rows."""
    texts = [name for name in others if table[name].kind == "text"]
    named = (
        table.frame[texts]
        .astype("str")
        .apply(lambda column: column.str.strip().str.fullmatch(TOTAL.pattern, case=False))
    )
    rows = np.flatnonzero(named.any(axis=1)) if texts else np.zeros(0, dtype=np.int64)
    if len(rows) != 1 or len(table) < 3:
        return table
    values = to_numbers(table.frame[names])
    if not np.allclose(np.nansum(np.delete(values, rows, axis=0), axis=0), values[rows[0]], rtol=1e-3):
        return table
    where = table.row_name(int(rows[0]))
    remaining = np.delete(np.arange(len(table)), rows)
    note = Note("left out", where, "a total of the other rows", is_warning=True)
    return _add_note(table.with_frame(table.frame.iloc[remaining]), note)


def _complete_ids(table: Table, others: list[str]) -> Table:
    """Return a table where columns can identify the rows: without empty cells, and as text if all are numbers."""
    texts = {name: table.frame[name].astype("str") for name in others if table[name].kind == "text"}
    filled = {name: table.frame[name].notna() & (cells.str.strip() != "") for name, cells in texts.items()}
    if len(table) < 2 or any(filled[name].all() and cells.is_unique for name, cells in texts.items()):
        return table
    empty = [name for name in texts if not filled[name].all()]
    if empty:
        changed = {name: texts[name].where(filled[name], _NO_ID) for name in empty}
        note = Note("id", _NO_ID, f"replaces the empty cells of {quote_list(empty)}")
        return _add_note(table.with_frame(table.frame.assign(**changed)), note)
    if texts:
        return table
    keys = [name for name in others if table[name].is_whole and table.frame[name].is_unique]
    return table.with_frame(table.frame.assign(**{keys[0]: table.frame[keys[0]].astype("str")})) if keys else table


def _add_note(table: Table, note: Note) -> Table:
    origin = table.origin
    notes = (*origin.notes, note.to_reading_note(table.name)) if note.is_warning else origin.notes
    return Table(table.frame, replace(origin, settings=(*origin.settings, note.to_setting()), notes=notes))
