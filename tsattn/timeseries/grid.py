"""Regular time grids: stamps become whole numbers of steps, and steps become stamps again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries import offsets
from pandas.tseries.frequencies import to_offset

from tsattn.errors import DataError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Span = Literal["from", "until", "day"]

DAY = 86_400_000_000
"""Microseconds of a day, the unit in which this module counts."""

_MONTHS: dict[type[offsets.BaseOffset], tuple[int, bool]] = {
    offsets.MonthBegin: (1, False),
    offsets.MonthEnd: (1, True),
    offsets.QuarterBegin: (3, False),
    offsets.QuarterEnd: (3, True),
    offsets.YearBegin: (12, False),
    offsets.YearEnd: (12, True),
}
"""Months of a step, and whether the stamp is the last day of the month."""

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
"""Offsets that this module can count: each has one stamp in each of its periods."""

_OLD = {"M": "MS or ME", "Q": "QS or QE", "Y": "YS or YE", "A": "YS or YE", "AS": "YS", "H": "h", "T": "min"}
_OLD |= {"S": "s", "L": "ms", "U": "us", "BM": "BME", "BH": "bh"}
"""Aliases that pandas has given up, and what it calls them now."""


_EXAMPLES = "h, 30min, D, B, W-SAT, MS, QS, YS or a whole number"


def is_steps(freq: str) -> bool:
    """Tell whether ``freq`` is a whole-number step, so that stamps are integers and no dates."""
    return freq.isdecimal() and int(freq) > 0


def parse_freq(freq: str) -> offsets.BaseOffset:
    """Return the pandas offset of an alias.

    Raises:
        DataError: pandas does not know the alias, it does not lead forwards, or it has no regular grid.
    """
    try:
        offset = to_offset(freq)
    except ValueError:
        head = freq.lstrip("0123456789").partition("-")[0]
        hint = f"; pandas now writes {head} as {_OLD[head]}" if head in _OLD else ""
        raise DataError(f"'{freq}' is no pandas frequency{hint}: use one such as {_EXAMPLES}") from None
    if offset is None or offset.n < 1 or offset == offsets.Nano():
        raise DataError(f"the frequency '{freq}' must lead forwards by a microsecond or more")
    if not isinstance(offset, _COUNTED):
        raise DataError(f"the frequency '{freq}' is no regular grid: use one such as {_EXAMPLES}")
    return offset


def in_microseconds(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return dates in the unit in which this package counts, without a copy where they are."""
    return index if index.unit == "us" else index.as_unit("us")


@dataclass(frozen=True)
class Grid:
    """A regular time grid; position 0 is its origin, and positions before it are negative.

    Steps shorter than a day are counted in elapsed time, days and longer ones on the wall clock of ``tz``.
    Monthly, quarterly and yearly starts keep the day of the month of the origin, so that every 15th is a
    grid as well.

    Args:
        freq: pandas alias ("h", "30min", "B", "W-SAT", "MS"), or a whole-number step as text ("1") where the
            stamps are integers.
        origin: the stamp of position 0: ISO text, or an integer where ``freq`` is a number.
        tz: time zone of the stamps; None for naive stamps and integers.
    """

    freq: str
    origin: str | int
    tz: str | None = None

    @property
    def dated(self) -> bool:
        """Whether the stamps are dates rather than integers."""
        return not is_steps(self.freq)

    @cached_property
    def offset(self) -> offsets.BaseOffset:
        """The pandas offset of one step; dated grids only."""
        return parse_freq(self.freq)

    @cached_property
    def _start(self) -> int:
        """The origin as this grid counts: an integer stamp, or microseconds."""
        return int(self._count(self.index([self.origin]))[0]) if self.dated else int(self.origin)

    @cached_property
    def _elapsed(self) -> bool:
        """Whether steps are elapsed time instead of wall-clock days."""
        return isinstance(self.offset, offsets.Tick)

    @cached_property
    def _width(self) -> int:
        """Steps of a fixed width: that width, as this grid counts; else 0."""
        if not self.dated:
            return int(self.freq)
        if self._elapsed:
            return int(pd.Timedelta(cast(Any, self.offset)).value // 1000)
        days = {offsets.Day: 1, offsets.Week: 7}.get(type(self.offset), 0)
        return days * self.offset.n * DAY

    @property
    def stepping(self) -> tuple[Literal["seconds", "months", "month ends", "business days"], int] | None:
        """What a step is on the wall clock, and how many; None where it is nothing as plain."""
        if self.dated and self._width:
            seconds, rest = divmod(self._width, 1_000_000)
            return None if rest else ("seconds", seconds)
        if self.dated and type(self.offset) in _MONTHS:
            months, at_end = _MONTHS[type(self.offset)]
            return "month ends" if at_end else "months", months * self.offset.n
        plain = self.dated and type(self.offset) is offsets.BusinessDay and self.offset.n == 1
        return ("business days", 1) if plain else None

    @property
    def span(self) -> Span:
        """Which days the stamp of a step stands for.

        As pandas resamples: those from the stamp before to it where it is the end of a week, month, quarter or year;
        itself for business days; else those from it to the next.
        """
        if isinstance(self.offset, offsets.BusinessDay):
            return "day"
        return "until" if isinstance(self.offset, _ENDS) else "from"

    def index(self, stamps: Any) -> pd.DatetimeIndex:
        """Return stamps (dates or ISO text) as microsecond dates in the grid's time zone."""
        if not isinstance(stamps, pd.DatetimeIndex):
            stamps = pd.DatetimeIndex(pd.to_datetime(stamps, utc=self.tz is not None, format="ISO8601"))
        index = in_microseconds(stamps)
        if self.tz is None:
            return naive(index)
        return (index if index.tz else index.tz_localize("UTC")).tz_convert(self.tz)

    def _counts(self, stamps: Any) -> Ints:
        """Return any stamps as this grid counts."""
        return self._count(self.index(stamps)) if self.dated else np.asarray(stamps, dtype=np.int64)

    def _count(self, index: pd.DatetimeIndex) -> Ints:
        """Return microseconds: elapsed, or of the wall clock."""
        wall = index.tz_convert("UTC") if self.tz and self._elapsed else index
        return cast(Ints, np.asarray(naive(wall).asi8, dtype=np.int64))

    def _dates(self, micros: Ints) -> pd.DatetimeIndex:
        """Undo `_count`; a wall-clock time that a time shift skips moves forwards."""
        index = pd.DatetimeIndex(micros.astype("datetime64[us]"))
        if not self.tz:
            return index
        if self._elapsed:
            return index.tz_localize("UTC").tz_convert(self.tz)
        return index.tz_localize(self.tz, ambiguous=np.ones(len(index), bool), nonexistent="shift_forward")

    def locate(self, stamps: Any, *, nearest: bool = False) -> tuple[Ints, Bools]:
        """Return the position of each stamp (int64), and whether the stamp lies on the grid (bool).

        Between two steps it is the position of the earlier one, or with ``nearest`` of the nearer one, where steps have
        a fixed width.
        """
        counts = self._counts(stamps)
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
        if self.tz:  # a stamp that a time shift moved is still on the grid
            expected = self._count(self._dates(expected))
        return position, expected == counts

    def _locate_even(self, counts: Ints, ahead: int) -> tuple[Ints, Bools]:
        """Return positions on a grid of even width, and whether each lies on it; ``ahead`` is added before."""
        position, on_grid = np.empty(len(counts), dtype=np.int64), np.empty(len(counts), dtype=bool)
        for block in blocks(len(counts)):
            elapsed = counts[block] - self._start
            position[block] = (elapsed + ahead) // self._width
            on_grid[block] = position[block] * self._width == elapsed
        return position, on_grid

    def share(self, stamps: pd.Index) -> float:
        """Return how many of the stamps lie on the grid, as a share."""
        if not self._width or self.tz:
            return float(self.locate(stamps)[1].mean())
        counts = self._counts(stamps)
        found = sum(int(((counts[block] - self._start) % self._width == 0).sum()) for block in blocks(len(counts)))
        return found / len(counts)

    def position(self, stamps: Any) -> Ints:
        """Return the steps from the origin to each stamp, int64.

        Raises:
            DataError: a stamp is off the grid.
        """
        position, on_grid = self.locate(stamps)
        if not on_grid.all():
            stamp = pd.Index(stamps)[int(np.argmin(on_grid))]
            raise DataError(f"the stamp {stamp} is off the grid of '{self.freq}' steps from {self.origin}")
        return position

    def at(self, positions: Any) -> pd.Index:
        """Return the stamps of any positions (int64 [n]): dates, time-zone-aware if ``tz``, or integers."""
        positions = np.asarray(positions, dtype=np.int64)
        if not self.dated:
            integers: pd.Index[int] = pd.Index(self._start + positions * self._width)
            return integers
        return self._dates(self._micros(positions))

    def stamps(self, start: int, n: int) -> pd.Index:
        """Return the ``n`` stamps from position ``start`` on."""
        return self.at(np.arange(start, start + n, dtype=np.int64))

    def _micros(self, positions: Ints) -> Ints:
        """Return the stamps of positions as `_count` counts them."""
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
        """Return the origin's day of the month, or the last day, ``positions`` steps on."""
        months, at_end = _MONTHS[type(self.offset)]
        first = _days(self._start).astype("datetime64[M]")
        month = first + positions * (months * self.offset.n)
        if at_end:
            days = (month + 1).astype("datetime64[D]") - 1
        else:
            days = month.astype("datetime64[D]") + (_days(self._start) - first.astype("datetime64[D]"))
        return np.asarray(days.astype(np.int64) * DAY + self._start % DAY)

    def _table(self, low: int, high: int) -> Ints:
        """Return every stamp of any other pandas calendar from ``low`` to ``high``."""
        ends = [pd.Timestamp(value, unit="us") for value in (low, self._start, high)]
        before = pd.date_range(ends[0], ends[1], freq=self.offset).as_unit("us").asi8
        after = pd.date_range(ends[1], ends[2], freq=self.offset).as_unit("us").asi8
        return np.union1d(before, after)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(**values)


def _days(micros: Any) -> Any:
    """Return the day, datetime64[D], of microseconds."""
    return (np.asarray(micros, dtype=np.int64) // DAY).astype("datetime64[D]")


def naive(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return stamps as a wall clock shows them, without a time zone."""
    return index if index.tz is None else index.tz_localize(None)


_SEASONS: dict[str, int] = {"B": 5, "W": 52, "MS": 12, "ME": 12, "BMS": 12, "BME": 12}
_SEASONS |= {"QS": 4, "QE": 4, "BQS": 4, "BQE": 4}


def season_of(freq: str) -> int:
    """Return the usual season length of a frequency, in steps; 1 where it has none.

    Steps of less than a day have the day's season (hourly 24, half-hourly 48), days the week's, business days
    5, weeks 52, months 12, quarters 4 and years 1. Several of a step share its season: two months have 6, and
    where they do not divide it there is none.
    """
    if is_steps(freq):
        return 1
    offset = parse_freq(freq)
    if isinstance(offset, offsets.Tick):
        width = int(pd.Timedelta(cast(Any, offset)).value // 1000)
        return DAY // width if DAY % width == 0 else 1
    base = 7 if type(offset) is offsets.Day else _SEASONS.get(offset.rule_code.partition("-")[0], 1)
    return base // offset.n if base % offset.n == 0 else 1


BLOCK = 1 << 17
"""Rows of a block."""


def blocks(rows: int, overlap: int = 0) -> Iterator[slice]:
    """Yield slices over rows; each also takes ``overlap`` rows of the next one."""
    for first in range(0, rows - overlap, BLOCK):
        yield slice(first, min(first + BLOCK + overlap, rows))


def in_order(series: Ints, position: Ints, *, strictly: bool) -> bool:
    """Tell whether rows are ordered by series and position; ``strictly`` also that no two have both the same."""
    for block in blocks(len(series), 1):
        change, step = np.diff(series[block]), np.diff(position[block])
        forward = step > 0 if strictly else step >= 0
        if not ((change > 0) | ((change == 0) & forward)).all():
            return False
    return True


def steps_between(position: Ints, series: Ints) -> Iterator[Ints]:
    """Yield the differences of neighbours within a series, those that are not 0, in blocks.

    Args:
        position: positions or stamps in any order, int64 [rows].
        series: which series each belongs to, int64 [rows].
    """
    if not in_order(series, position, strictly=False):
        order = np.lexsort((position, series))
        position, series = position[order], series[order]
    for block in blocks(len(position), 1):
        steps = np.diff(position[block])
        yield steps[(np.diff(series[block]) == 0) & (steps > 0)]


def counted(numbers: Iterator[Ints]) -> dict[int, int]:
    """Return how often each number occurs in blocks of them."""
    result: dict[int, int] = {}
    for block in numbers:
        if not len(block):
            continue
        if (block == block[0]).all():
            pairs = [(int(block[0]), len(block))]
        else:
            pairs = list(zip(*(part.tolist() for part in np.unique(block, return_counts=True)), strict=True))
        for number, times in pairs:
            result[number] = result.get(number, 0) + times
    return result
