"""Arrays of series that differ in length: the rows of all series in one array, one series after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def concat_ranges(starts: Ints, lengths: Ints) -> Ints:
    """Return the concatenation of ``range(start, start + length)`` for each pair, int64."""
    ends = np.cumsum(lengths)
    return np.asarray(np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0))


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """The rows of several series in one array.

    Args:
        values: Rows of all series, [rows, ...].
        offsets: int64 [series + 1]; series ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: npt.NDArray[Any]
    offsets: Ints

    @classmethod
    def from_lengths(cls, values: npt.NDArray[Any], lengths: Ints) -> Self:
        """Return the array whose series have these lengths, int64 [series]."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @classmethod
    def missing(cls, lengths: Ints, *shape: int) -> Self:
        """Return a float32 array of NaN, with rows of a shape."""
        return cls.from_lengths(np.full((int(lengths.sum()), *shape), np.nan, dtype=np.float32), lengths)

    def __len__(self) -> int:
        """Number of series."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """Return the rows of one series, a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> Ints:
        """Rows of each series, int64 [series]."""
        return np.diff(self.offsets)

    @property
    def steps(self) -> Ints:
        """Index of each row within its series, int64 [rows]."""
        return concat_ranges(np.zeros(len(self), dtype=np.int64), self.lengths)

    def take(self, series: Ints) -> Self:
        """Return some series by index; a view where their rows are adjacent."""
        starts, ends = self.offsets[series], self.offsets[series + 1]
        if len(series) and (starts[1:] == ends[:-1]).all():
            return self.from_lengths(self.values[starts[0] : ends[-1]], ends - starts)
        return self.from_lengths(self.values[concat_ranges(starts, ends - starts)], ends - starts)

    def slice(self, first: Ints | int, last: Ints | None = None) -> Self:
        """Return the rows ``first[i] <= t < last[i]`` of each series, a copy; up to the end if ``last`` is None."""
        first = np.minimum(first, self.lengths)
        lengths = np.maximum((self.lengths if last is None else np.minimum(last, self.lengths)) - first, 0)
        return self.from_lengths(self.values[concat_ranges(self.offsets[:-1] + first, lengths)], lengths)

    def resize(self, lengths: Ints) -> Self:
        """Return a copy with these lengths: each series loses rows at its end, or gains rows of NaN there."""
        source = self.slice(0, lengths) if (self.lengths > lengths).any() else self
        result = self.missing(lengths, *self.values.shape[1:])
        result.values[concat_ranges(result.offsets[:-1], source.lengths)] = source.values
        return result

    def append(self, other: RaggedArray) -> Self:
        """Return each series with the rows of the same series of another array after its own."""
        lengths = self.lengths + other.lengths
        result = self.from_lengths(np.empty((int(lengths.sum()), *self.values.shape[1:]), self.values.dtype), lengths)
        result.values[concat_ranges(result.offsets[:-1], self.lengths)] = self.values
        result.values[concat_ranges(result.offsets[:-1] + self.lengths, other.lengths)] = other.values
        return result

    def gather(self, series: Ints, start: Ints, length: Ints, steps: int) -> npt.NDArray[Any]:
        """Return windows of equal size, right-padded with NaN.

        Args:
            series: Index of the series of each window, int64 [windows].
            start: First row of each window within its series, int64 [windows].
            length: Rows to take, int64 [windows]; the window ends earlier where the series does.
            steps: Size of a window.

        Returns:
            [windows, steps, ...], a copy.
        """
        step = np.arange(steps)
        valid = step < np.minimum(length, self.lengths[series] - start)[:, None]
        if not len(self.values):
            return np.full((*valid.shape, *self.values.shape[1:]), np.nan, dtype=self.values.dtype)
        values = self.values[np.where(valid, (self.offsets[series] + start)[:, None] + step, 0)]
        values[~valid] = np.nan
        return np.asarray(values)
