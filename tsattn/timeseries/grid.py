"""Regular time grids: timestamps to positions (whole numbers of steps) and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries import offsets
from pandas.tseries.frequencies import to_offset

from tsattn.errors import DataError
from tsattn.timeseries.ragged import Ints

Bools = npt.NDArray[np.bool_]
Span = Literal["from", "until", "day"]

DAY = 86_400_000_000
"""Microseconds of a day, the unit of time in this module."""

_MONTHS: dict[type[offsets.BaseOffset], tuple[int, bool]] = {
    offsets.MonthBegin: (1, False),
    offsets.MonthEnd: (1, True),
    offsets.QuarterBegin: (3, False),
    offsets.QuarterEnd: (3, True),
    offsets.YearBegin: (12, False),
    offsets.YearEnd: (12, True),
}
"""Months of a step, and whether its timestamp is the last day of the month."""

_BUSINESS = (
    offsets.BusinessDay,
    offsets.BusinessMonthBegin,
    offsets.BusinessMonthEnd,
    offsets.BQuarterBegin,
    offsets.BQuarterEnd,
    offsets.BYearBegin,
    offsets.BYearEnd,
)
_ENDS = (
    offsets.Week,
    offsets.MonthEnd,
    offsets.QuarterEnd,
    offsets.YearEnd,
    offsets.BusinessMonthEnd,
    offsets.BQuarterEnd,
    offsets.BYearEnd,
)
_COUNTED: tuple[type[offsets.BaseOffset], ...] = (offsets.Tick, offsets.Day, offsets.Week, *_MONTHS, *_BUSINESS)
"""Offsets with a regular grid: one timestamp in each period."""

_RENAMED = {"M": "MS or ME", "Q": "QS or QE", "Y": "YS or YE", "A": "YS or YE", "AS": "YS", "H": "h", "T": "min"}
_RENAMED |= {"S": "s", "L": "ms", "U": "us", "BM": "BME", "BH": "bh"}
"""Aliases that pandas has removed, and their successors."""

_EXAMPLES = "use a frequency such as h, 30min, D, B, W-SAT, MS, QS, YS or a whole number"


def is_integer_freq(freq: str) -> bool:
    """Return whether ``freq`` is a whole-number step, so that timestamps are integers."""
    return freq.isdecimal() and int(freq) > 0


def parse_freq(freq: str) -> offsets.BaseOffset:
    """Return the pandas offset of an alias.

    Raises:
        DataError: The alias is unknown, not positive, or has no regular grid.
    """
    head = freq.lstrip("0123456789").partition("-")[0]
    if head in _RENAMED:
        raise DataError(f"'{freq}' is not a pandas frequency; pandas now writes {head} as {_RENAMED[head]}", _EXAMPLES)
    try:
        with warnings.catch_warnings():
            # An alias that pandas 2 only warns about is an error in pandas 3.
            warnings.simplefilter("error", FutureWarning)
            offset = to_offset(freq)
    except (ValueError, FutureWarning):
        raise DataError(f"'{freq}' is not a pandas frequency", _EXAMPLES) from None
    if offset is None or offset.n < 1 or offset == offsets.Nano():
        raise DataError(f"the frequency '{freq}' must be positive, a microsecond or more")
    if not isinstance(offset, _COUNTED):
        raise DataError(f"the frequency '{freq}' is not a regular grid", _EXAMPLES)
    return offset


def to_microseconds(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return datetimes with microsecond unit; the same object if they have it already."""
    return index if index.unit == "us" else index.as_unit("us")


@dataclass(frozen=True)
class Grid:
    """A regular time grid. Position 0 is its origin; positions before it are negative.

    Steps shorter than a day are counted in elapsed time, days and longer ones on the wall clock of ``tz``.
    Monthly, quarterly and yearly starts keep the day of the month of the origin, so that every 15th is a grid too.

    Args:
        freq: pandas alias ("h", "30min", "B", "W-SAT", "MS"), or a whole-number step as text ("1") for integer
            timestamps.
        origin: Timestamp of position 0: ISO text, or an integer if ``freq`` is a number.
        tz: Time zone of the timestamps; None for naive timestamps and integers.
    """

    freq: str
    origin: str | int
    tz: str | None = None

    @property
    def has_dates(self) -> bool:
        """Whether the timestamps are datetimes rather than integers."""
        return not is_integer_freq(self.freq)

    @cached_property
    def offset(self) -> offsets.BaseOffset:
        """The pandas offset of one step; only for grids of datetimes."""
        return parse_freq(self.freq)

    @cached_property
    def _start(self) -> int:
        """The origin as a number: an integer timestamp, or microseconds."""
        if not self.has_dates:
            return int(self.origin)
        if self.tz is None:  # In pandas 2, text is limited to the years of nanoseconds.
            return int(np.datetime64(str(self.origin), "us").astype(np.int64))
        return int(self._to_micros(self.to_index([self.origin]))[0])

    @cached_property
    def _elapsed(self) -> bool:
        """Whether steps are counted in elapsed time instead of wall-clock days."""
        return _is_elapsed(self.offset)

    @cached_property
    def _width(self) -> int:
        """Width of a step as a number if it is constant, else 0."""
        if not self.has_dates:
            return int(self.freq)
        if self._elapsed:
            return int(pd.Timedelta(cast(Any, self.offset)).value // 1000)
        days = {offsets.Day: 1, offsets.Week: 7}.get(type(self.offset), 0)
        return days * self.offset.n * DAY

    @property
    def wall_clock_step(self) -> tuple[Literal["seconds", "months", "month ends", "business days"], int] | None:
        """Unit of a step on the wall clock and how many of them; None for other steps."""
        if self.has_dates and self._width:
            seconds, rest = divmod(self._width, 1_000_000)
            return None if rest else ("seconds", seconds)
        if self.has_dates and type(self.offset) in _MONTHS:
            months, at_end = _MONTHS[type(self.offset)]
            return "month ends" if at_end else "months", months * self.offset.n
        plain = self.has_dates and type(self.offset) is offsets.BusinessDay and self.offset.n == 1
        return ("business days", 1) if plain else None

    @property
    def span(self) -> Span:
        """Which days a step covers, as `pandas.DataFrame.resample` labels them.

        "until" its timestamp if that is the end of a week, month, quarter or year, only that "day" for business days,
        else "from" its timestamp up to the next one.
        """
        if isinstance(self.offset, offsets.BusinessDay):
            return "day"
        return "until" if isinstance(self.offset, _ENDS) else "from"

    def to_index(self, times: Any) -> pd.DatetimeIndex:
        """Return datetimes or ISO text as microsecond datetimes in the grid's time zone."""
        if not isinstance(times, pd.DatetimeIndex):
            times = pd.DatetimeIndex(pd.to_datetime(times, utc=self.tz is not None, format="ISO8601"))
        index = to_microseconds(times)
        if self.tz is None:
            return remove_timezone(index)
        return (index if index.tz else index.tz_localize("UTC")).tz_convert(self.tz)

    def _to_numbers(self, times: Any) -> Ints:
        """Return timestamps as numbers: integers, or microseconds."""
        return self._to_micros(self.to_index(times)) if self.has_dates else np.asarray(times, dtype=np.int64)

    def _to_micros(self, index: pd.DatetimeIndex) -> Ints:
        """Return datetimes in microseconds of elapsed time, or of the wall clock."""
        wall = index.tz_convert("UTC") if self.tz and self._elapsed else index
        return cast(Ints, np.asarray(remove_timezone(wall).asi8, dtype=np.int64))

    def _from_micros(self, micros: Ints) -> pd.DatetimeIndex:
        """Undo `_to_micros`. Wall-clock times that a time shift skips move forwards."""
        index = pd.DatetimeIndex(micros.astype("datetime64[us]"))
        if not self.tz:
            return index
        if self._elapsed:
            return index.tz_localize("UTC").tz_convert(self.tz)
        return index.tz_localize(self.tz, ambiguous=np.ones(len(index), bool), nonexistent="shift_forward")

    def locate(self, times: Any, *, nearest: bool = False) -> tuple[Ints, Bools]:
        """Return the position of each timestamp (int64), and whether it lies on the grid (bool).

        Between two steps it is the position of the earlier one. With ``nearest`` it is that of the nearer one if steps
        have constant width.
        """
        counts = self._to_numbers(times)
        if self._width:
            position, on_grid = self._locate_even(counts, nearest * (self._width // 2))
            if not self.tz:
                return position, on_grid
        elif type(self.offset) in _MONTHS:
            position = self._month_position(counts)
        elif type(self.offset) is offsets.BusinessDay and self.offset.n == 1:
            position = np.asarray(np.busday_count(_days(self._start), _days(counts)), dtype=np.int64)
        elif not self.offset.is_on_offset(pd.Timestamp(self._start, unit="us")):
            return np.zeros_like(counts), np.zeros(len(counts), dtype=bool)
        else:
            table = self._table(int(counts.min(initial=self._start)), int(counts.max(initial=self._start)))
            position = np.searchsorted(table, counts, side="right") - 1 - np.searchsorted(table, self._start)
        expected = self._micros(position)
        if self.tz:  # A time that a time shift has moved is still on the grid.
            expected = self._to_micros(self._from_micros(expected))
        return position, expected == counts

    def _locate_even(self, counts: Ints, shift: int) -> tuple[Ints, Bools]:
        """Return positions on a grid of constant width after adding ``shift``, and whether each lies on the grid."""
        position, on_grid = np.empty(len(counts), dtype=np.int64), np.empty(len(counts), dtype=bool)
        for block in iter_blocks(len(counts)):
            elapsed = counts[block] - self._start
            position[block] = (elapsed + shift) // self._width
            on_grid[block] = position[block] * self._width == elapsed
        return position, on_grid

    def on_grid_fraction(self, times: pd.Index) -> float:
        """Return the fraction of timestamps that lie on the grid."""
        if not self._width or self.tz:
            return float(self.locate(times)[1].mean())
        counts = self._to_numbers(times)
        found = sum(int(((counts[block] - self._start) % self._width == 0).sum()) for block in iter_blocks(len(counts)))
        return found / len(counts)

    def times(self, positions: Any) -> pd.Index:
        """Return the timestamps of positions, int64 [n]: datetimes (with time zone if ``tz``), or integers."""
        positions = np.asarray(positions, dtype=np.int64)
        if not self.has_dates:
            integers: pd.Index[int] = pd.Index(self._start + positions * self._width)
            return integers
        return self._from_micros(self._micros(positions))

    def time_range(self, start: int, n: int) -> pd.Index:
        """Return the ``n`` timestamps from position ``start`` on."""
        return self.times(np.arange(start, start + n, dtype=np.int64))

    def _micros(self, positions: Ints) -> Ints:
        """Return the timestamps of positions in microseconds, as `_to_micros` does."""
        if self._width:
            return self._start + positions * self._width
        if type(self.offset) in _MONTHS:
            return self._month_micros(positions)
        if type(self.offset) is offsets.BusinessDay and self.offset.n == 1:
            days = np.busday_offset(_days(self._start), positions, roll="backward")
            return np.asarray(days.astype(np.int64) * DAY + self._start % DAY)
        low, high = int(positions.min(initial=0)), int(positions.max(initial=0))
        first = pd.Timestamp(self._start, unit="us")
        before = pd.date_range(end=first, periods=1 - low, freq=self.offset).as_unit("us").asi8
        after = pd.date_range(start=first, periods=1 + high, freq=self.offset).as_unit("us").asi8
        return cast(Ints, np.concatenate([before[:-1], after])[positions - low])

    def _month_position(self, counts: Ints) -> Ints:
        months = self.offset.n * _MONTHS[type(self.offset)][0]
        elapsed = _days(counts).astype("datetime64[M]") - _days(self._start).astype("datetime64[M]")
        return np.asarray(elapsed.astype(np.int64) // months)

    def _month_micros(self, positions: Ints) -> Ints:
        """Return the origin's day of the month, or the last day, ``positions`` steps later."""
        months, at_end = _MONTHS[type(self.offset)]
        first = _days(self._start).astype("datetime64[M]")
        month = first + positions * (months * self.offset.n)
        if at_end:
            days = (month + 1).astype("datetime64[D]") - 1
        else:
            days = month.astype("datetime64[D]") + (_days(self._start) - first.astype("datetime64[D]"))
        return np.asarray(days.astype(np.int64) * DAY + self._start % DAY)

    def _table(self, low: int, high: int) -> Ints:
        """Return every timestamp from ``low`` to ``high`` of an offset without a closed form."""
        ends = [pd.Timestamp(value, unit="us") for value in (low, self._start, high)]
        before = pd.date_range(ends[0], ends[1], freq=self.offset).as_unit("us").asi8
        after = pd.date_range(ends[1], ends[2], freq=self.offset).as_unit("us").asi8
        return np.union1d(before, after)


def _is_elapsed(offset: offsets.BaseOffset) -> bool:
    """Return whether an offset is a fixed amount of elapsed time; in pandas 2, days are ticks as well."""
    return isinstance(offset, offsets.Tick) and not isinstance(offset, offsets.Day)


def _days(micros: Any) -> Any:
    """Return the day, datetime64[D], of microseconds."""
    return (np.asarray(micros, dtype=np.int64) // DAY).astype("datetime64[D]")


def remove_timezone(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return datetimes as the wall clock shows them, without a time zone."""
    return index if index.tz is None else index.tz_localize(None)


_SEASONS: dict[str, int] = {"B": 5, "W": 52, "MS": 12, "ME": 12, "BMS": 12, "BME": 12}
_SEASONS |= {"QS": 4, "QE": 4, "BQS": 4, "BQE": 4}


def default_season(freq: str) -> int:
    """Return the usual season length of a frequency in steps; 1 without seasonality.

    It is a day for shorter steps (hourly 24, half-hourly 48), a week for days (7) and business days (5), else a year
    (weeks 52, months 12, quarters 4). A multiple of a step has the quotient (2 months: 6), or 1 if it is not whole.
    """
    if is_integer_freq(freq):
        return 1
    if steps := steps_per_day(freq):
        return steps
    offset = parse_freq(freq)
    base = 7 if type(offset) is offsets.Day else _SEASONS.get(offset.rule_code.partition("-")[0], 1)
    return base // offset.n if base % offset.n == 0 else 1


def steps_per_day(freq: str) -> int:
    """Return the steps in a day for steps shorter than a day; 0 if they are not whole, and for longer steps."""
    offset = parse_freq(freq)
    if not _is_elapsed(offset):
        return 0
    width = int(pd.Timedelta(cast(Any, offset)).value // 1000)
    return DAY // width if DAY % width == 0 else 0


BLOCK_ROWS = 1 << 17
"""Rows that are processed at once, to bound temporary memory."""


def iter_blocks(rows: int, overlap: int = 0) -> Iterator[slice]:
    """Yield slices of `BLOCK_ROWS` rows, each with ``overlap`` rows of the next one."""
    for first in range(0, rows - overlap, BLOCK_ROWS):
        yield slice(first, min(first + BLOCK_ROWS + overlap, rows))


def is_sorted(series: Ints, position: Ints, *, strictly: bool) -> bool:
    """Return whether rows are sorted by series and position; ``strictly`` excludes duplicates."""
    for block in iter_blocks(len(series), 1):
        change, step = np.diff(series[block]), np.diff(position[block])
        forward = step > 0 if strictly else step >= 0
        if not ((change > 0) | ((change == 0) & forward)).all():
            return False
    return True


def iter_steps(position: Ints, series: Ints) -> Iterator[Ints]:
    """Yield the nonzero differences between neighbouring positions of the same series, in blocks.

    Args:
        position: Positions or times in any order, int64 [rows].
        series: Index of the series of each row, int64 [rows].
    """
    if not is_sorted(series, position, strictly=False):
        order = np.lexsort((position, series))
        position, series = position[order], series[order]
    for block in iter_blocks(len(position), 1):
        steps = np.diff(position[block])
        yield steps[(np.diff(series[block]) == 0) & (steps > 0)]


def count_values(blocks: Iterator[Ints]) -> dict[int, int]:
    """Return how often each number occurs in blocks of numbers."""
    counts: dict[int, int] = {}
    for block in blocks:
        if not len(block):
            continue
        if (block == block[0]).all():
            pairs = [(int(block[0]), len(block))]
        else:
            pairs = list(zip(*(part.tolist() for part in np.unique(block, return_counts=True)), strict=True))
        for number, times in pairs:
            counts[number] = counts.get(number, 0) + times
    return counts
