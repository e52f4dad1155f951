"""Millions of rows in blocks that stay in the processor's cache: whether they are in order, and how far apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

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
