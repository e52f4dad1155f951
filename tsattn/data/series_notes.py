"""Warnings about series, and about columns and rows that are not used or aggregated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp, quote_list, quote_text
from tsattn.config import DataConfig
from tsattn.data.columns import Bools
from tsattn.data.frequency import infer_freq, to_integers
from tsattn.data.roles import COUNTS, UNIT_NAMES, Role
from tsattn.data.table import Table
from tsattn.data.time_parts import words_of
from tsattn.timeseries.grid import DAY
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import ReadingNote, Schema

MIN_GAPS = 0.3
"""Fraction of steps without a value from which on they are noted."""

MIN_DAYS = 14
"""Days that a panel must span to show hours and weekdays that never have a value."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def series_notes(panel: Panel, schema: Schema, *, gaps: bool = True) -> list[ReadingNote]:
    """Return notes on the series of a panel.

    Args:
        panel: The series.
        schema: How they were read, with the horizon.
        gaps: Whether missing steps are noted.
    """
    return [*_history(panel, schema), *_ragged(panel), *(_closed(panel, schema) if gaps else [])]


def _history(panel: Panel, schema: Schema) -> list[ReadingNote]:
    """Return notes on series that have no value or only one, and on those that ended before the others."""
    observed: Bools = np.asarray(np.isfinite(panel.values).any(axis=1), dtype=np.bool_)
    if observed.all():
        count, last = panel.lengths, panel.starts + panel.lengths - 1
    else:
        count, last = _sum_by_series(panel, observed), _last_observed(panel, observed)
    return [*_short(panel, count), *_ended(panel, schema, count, last)]


def _sum_by_series(panel: Panel, values: Bools) -> Ints:
    total = np.append(0, np.cumsum(values))
    return np.asarray(total[panel.series.offsets[1:]] - total[panel.series.offsets[:-1]])


def _last_observed(panel: Panel, observed: Bools) -> Ints:
    """Return the position on the grid of the last value of each series; that before its start without any."""
    steps = np.where(observed, panel.series.steps + 1, 0)
    last = np.zeros(len(panel), dtype=np.int64)
    np.maximum.at(last, np.repeat(np.arange(len(panel)), panel.lengths), steps)
    return panel.starts + last - 1


def _named(panel: Panel, series: Ints) -> str:
    names = quote_list(panel.ids[index] for index in series)
    return f"series {names}" if len(panel) > 1 else "the series"


def _short(panel: Panel, count: Ints) -> list[ReadingNote]:
    notes: list[ReadingNote] = []
    for number, words in ((0, "no value"), (1, "only one value")):
        series = np.flatnonzero(count == number)
        if len(series):
            verb = "have" if len(series) > 1 else "has"
            message = f"{_named(panel, series)} {verb} {words}, on which no forecast can be based"
            notes.append(ReadingNote(message=message, hints=("remove the rows", "add earlier ones")))
    return notes


def _ended(panel: Panel, schema: Schema, count: Ints, last: Ints) -> list[ReadingNote]:
    """Return a note on series that ended more than two horizons before the last one."""
    early = np.flatnonzero((last.max() - last > 2 * schema.horizon) & (count > 0))
    if not len(early):
        return []
    first = early[np.argmin(last[early])]
    end, latest = (format_timestamp(time) for time in panel.grid.times([last[first], last.max()]))
    verb = "end" if len(early) > 1 else "ends"
    message = (
        f"{_named(panel, early)} {verb} before the others, '{panel.ids[first]}' on {end} and others on {latest}; each "
        "series is forecast from its own end"
    )
    return [ReadingNote(message=message, hints=("remove the series that have ended",))]


def _ragged(panel: Panel) -> list[ReadingNote]:
    """Return a note on targets whose last values are earlier than those of the other targets of their series."""
    if len(panel.targets) < 2:
        return []
    ends = []
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    for channel in range(len(panel.targets)):
        end = np.zeros(len(panel), dtype=np.int64)
        np.maximum.at(end, owner, np.where(np.isfinite(panel.values[:, channel]), panel.series.steps + 1, 0))
        ends.append(end)
    lag = np.where(np.stack(ends) > 0, np.max(ends, axis=0) - np.stack(ends), 0)
    steps = lag.max(axis=1)
    if not steps.any():
        return []
    names = ", ".join(f"'{name}' by {int(n)}" for name, n in zip(panel.targets, steps, strict=True) if n)
    message = f"targets end before the others of their series ({names} steps); all are forecast from the latest end on"
    return [ReadingNote(message=message, hints=("forecast them separately with {target}",))]


def _closed(panel: Panel, schema: Schema) -> list[ReadingNote]:
    """Return a note on gaps: hours and weekdays that never have a value, or many missing steps."""
    observed: Bools = np.asarray(np.isfinite(panel.values).any(axis=1), dtype=np.bool_)
    missing = 1 - float(observed.mean()) if len(observed) else 0.0
    closed = _never_observed(panel, observed, schema.horizon) if missing > 0.05 else None
    if closed is not None:
        text, always_empty = closed
        message = f"there is never a value {text}; {always_empty} of {schema.horizon} steps of the forecast are there"
        hints = ["leave out these steps of the forecast", "set {fill_missing} to 0 if no row means 0"]
        hints += ["set {freq} to D and {resample} to sum for one value per day"] if " to " in text else []
        return [ReadingNote(message=message, hints=tuple(hints))]
    if missing < MIN_GAPS or schema.resample is not None:
        return []
    message = f"{100 * missing:.0f} % of the steps have no value and are missing values"
    return [ReadingNote(message=message, hints=("set {fill_missing} to 0 if no row means 0", "set a longer {freq}"))]


def _never_observed(panel: Panel, observed: Bools, horizon: int) -> tuple[str, int] | None:
    """Return hours and weekdays without any value, in words, and how many steps of the first forecast lie there."""
    step = panel.grid.wall_clock_step
    if step is None or step[0] != "seconds" or step[1] > 86_400 or 86_400 % step[1]:
        return None
    per_day = 86_400 // step[1]
    position = np.repeat(panel.starts, panel.lengths) + panel.series.steps
    slot, weekday = _slots(panel, position, per_day)
    if len(position) < MIN_DAYS * per_day or observed.sum() < MIN_DAYS:
        return None
    slots = np.bincount(slot[observed], minlength=per_day) > 0
    days = np.bincount(weekday[observed], minlength=7) > 0
    seen = np.bincount(slot, minlength=per_day) > 0, np.bincount(weekday, minlength=7) > 0
    closed_slots, closed_days = ~slots & seen[0], ~days & seen[1]
    if not closed_slots.any() and not closed_days.any():
        return None
    parts = []
    if closed_slots.any():
        parts.append(f"from {' and from '.join(_ranges(closed_slots, step[1]))}")
    if closed_days.any():
        parts.append(
            "on " + ", ".join(name for name, is_closed in zip(WEEKDAYS, closed_days, strict=True) if is_closed)
        )
    first = int(np.argmax(panel.starts + panel.lengths))
    ahead = panel.starts[first] + panel.lengths[first] + np.arange(horizon)
    ahead_slot, ahead_day = _slots(panel, ahead, per_day)
    return " and ".join(parts), int((closed_slots[ahead_slot] | closed_days[ahead_day]).sum())


def _slots(panel: Panel, position: Ints, per_day: int) -> tuple[Ints, Ints]:
    """Return the step within the day and the weekday, from 0 on Mondays, of positions on the grid."""
    wall = pd.DatetimeIndex(panel.grid.times(position)).tz_localize(None).as_unit("us").asi8
    days, rest = np.divmod(np.asarray(wall, dtype=np.int64), DAY)
    return rest * per_day // DAY, (days + 3) % 7


def _ranges(closed: Bools, seconds: int) -> list[str]:
    """Return runs of closed steps of the day as text, across midnight."""
    edges = np.flatnonzero(closed & ~np.roll(closed, 1))
    texts = []
    for start in edges:
        length = int(np.argmin(np.roll(closed, -start))) or len(closed)
        clock = [pd.Timestamp(0) + pd.Timedelta(seconds=int((start + n) * seconds)) for n in (0, length)]
        texts.append(" to ".join(f"{time:%H:%M}" for time in clock))
    return texts


def week_notes(times: pd.Index) -> list[ReadingNote]:
    """Return a note if numbered weeks may be no ISO weeks: years of 53 weeks have no week 53 among almost all others.

    Args:
        times: The Monday of the week of each row.
    """
    mondays = pd.DatetimeIndex(times).unique().sort_values()
    every = pd.date_range(mondays[0], mondays[-1], freq="7D")
    last = every[every.isocalendar()["week"].to_numpy() == 53]
    if not len(last) or mondays.isin(last).any() or len(mondays) < 0.9 * len(every):
        return []
    years = quote_list([str(year) for year in last.isocalendar()["year"]], quote="")
    message = f"the weeks are read as ISO weeks, but week 53 of {years} does not occur"
    return [ReadingNote(message=message, hints=("write the date of each week if they are other weeks",))]


def frequency_notes(
    ids: Sequence[str], series: Ints, times: pd.Index, freq: str, most: int = 2_000
) -> list[ReadingNote]:
    """Return a note on series whose timestamps have another usual step than the panel.

    Args:
        ids: Id of each series.
        series: Index of the series of each row, int64 [rows].
        times: Timestamp of each row.
        freq: Frequency of the panel.
        most: Most series to compare.
    """
    if len(ids) < 2:
        return []
    order = np.lexsort((to_integers(times), series))
    counts, owner = to_integers(times)[order], series[order]
    step, inside = np.diff(counts), np.diff(owner) == 0
    frame = pd.DataFrame({"series": owner[1:][inside], "step": step[inside]})
    frame = frame[frame["step"] > 0]
    usual = frame.groupby("series")["step"].agg(["median", "size"])
    usual = usual[usual["size"] >= 3]
    if len(usual) < 2:
        return []
    least = float(usual["median"].min())
    others = [int(index) for index in usual.index[usual["median"] >= 1.9 * least]][:most]
    found: dict[str, list[str]] = {}
    for index in others:
        own_times = times[series == index]
        own = infer_freq(own_times, np.zeros(len(own_times), dtype=np.int64))
        steps = np.diff(np.sort(to_integers(own_times)))
        if own is not None and own != freq and np.mean(steps >= int(1.9 * least)) > 0.9:
            found.setdefault(own, []).append(ids[index])
    return [
        ReadingNote(
            message=f"steps of '{own}' in series {quote_list(names)} are on the grid of '{freq}', with missing values "
            "between",
            hints=("read them from another file",),
        )
        for own, names in found.items()
    ]


MIN_ORIGIN = 10_000
"""Number from which on counts of steps may be counts from a fixed date."""

MOST_VALUES = 20
"""Values of a column up to which it may be that of units."""

_SIGNS = ({"s", "h"}, {"soll", "haben"}, {"d", "c"}, {"dr", "cr"}, {"debit", "credit"}, {"d", "k"}, {"+", "-"})
_FUTURE = frozenset(("forecast", "budget", "plan", "planned", "prognose", "estimate", "projection"))


def unread_notes(table: Table, time: Role, unused: dict[str, str]) -> list[ReadingNote]:
    """Return a note if a column may hold timestamps of an unknown format: text, or numbers from a large one on."""
    if time.columns and time.time_format != "integer":
        return []
    for name in time.columns or unused:
        if table[name].kind == "number" and unused.get(name, COUNTS) == COUNTS:
            low, high = float(table[name].values.min()), float(table[name].values.max())
            if low >= MIN_ORIGIN and low > 3 * (high - low):
                message = f"'{name}' counts from {low:.15g} on, perhaps units of time since a fixed date"
                return [
                    ReadingNote(message=f"{message}; steps have no dates", hints=("write dates such as 2020-12-31",))
                ]
        cells = table[name].values.dropna().astype("str") if table[name].kind == "text" else table[name].values.iloc[:0]
        if len(cells) and cells.is_unique and cells.iloc[:100].str.contains(r"\d").mean() > 0.9:
            message = (
                f"rows are taken as steps; '{name}' holds no timestamps that can be read, such as "
                f"{quote_text(cells.iloc[0])}"
            )
            return [ReadingNote(message=message, hints=("name their format with {time_format}",))]
    return []


def sign_notes(table: Table, unused: dict[str, str], targets: Role) -> list[ReadingNote]:
    """Return notes on columns that may hold the signs of numbers, such as debit and credit."""
    notes = []
    for name in unused:
        signs = set(map(str, table[name].values.dropna().unique())) if table[name].kind == "text" else set()
        if len(signs) == 2 and {sign.strip().lower() for sign in signs} in _SIGNS:
            message = f"'{name}' may hold the signs of {quote_list(targets.columns)}, and is not used"
            notes.append(ReadingNote(message=message, hints=("write the numbers with signs",)))
    return notes


def mixture_notes(table: Table, unused: dict[str, str], series: Ints) -> list[ReadingNote]:
    """Return notes on columns by which rows of one series have several units, or are observed and planned values."""
    notes = []
    for name in unused:
        if table[name].kind != "text" or table[name].values.iloc[:1000].nunique() > MOST_VALUES:
            continue
        codes, values = table[name].labels
        has_unit = bool(words_of(name) & UNIT_NAMES)
        if not 2 <= len(values) <= MOST_VALUES or not (
            has_unit or _FUTURE.intersection(value.lower() for value in values)
        ):
            continue
        filled = codes >= 0
        if len(np.unique(series[filled] * len(values) + codes[filled])) > len(np.unique(series[filled])):
            message = f"rows with {quote_list(values, max_items=3)} in '{name}' are in one series"
            notes.append(ReadingNote(message=message, hints=("name it with {id}", "remove the rows of other values")))
    return notes


def aggregation_notes(panel: Panel, schema: Schema, config: DataConfig, rows: int) -> list[ReadingNote]:
    """Return a note if irregular timestamps make steps with several rows or with none."""
    if schema.resample is None or config.resample is not None:
        return []
    observed = int(np.isfinite(panel.values).any(axis=1).sum())
    empty = len(panel.values) - observed
    if rows <= observed and not empty:
        return []
    message = (
        f"the timestamps are irregular: {rows} rows are aggregated by {schema.resample} to {observed} steps of "
        f"'{schema.freq}', and {empty} steps have none"
    )
    return [ReadingNote(message=message, hints=("set {resample} and {freq}",))]
