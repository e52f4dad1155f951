"""Series that float32 cannot hold: counters that change by less than its resolution, and tiny numbers."""

from __future__ import annotations

import numpy as np

from tsattn.data.table import Column, Table
from tsattn.timeseries.ragged import Doubles, Ints

MAX_ERROR = 0.01
"""Error of float32, relative to a step and to the geometric mean of the steps of a series, from which on the step is
lost."""

MAX_LOST = 0.1
"""Fraction of the steps that may be lost; a series with more is held relative to its first value."""

MIN_LARGE = 8192.0
"""Largest absolute value of a column from which on its series are checked."""

MIN_SCALE = 1e-30
"""A series whose values are all smaller, but not all 0, is lost in the arithmetic of float32."""


def find_levels(
    table: Table, names: tuple[str, ...], codes: Ints, position: Ints, ids: tuple[str, ...]
) -> Doubles | None:
    """Return the number to subtract from the values of each series so that float32 holds them: the first one, or 0.

    Args:
        table: The rows.
        names: Columns of the targets.
        codes: Series of each row.
        position: Position of each row on the grid.
        ids: Id of each series.

    Returns:
        float64 [series, targets]; None if float32 holds all series.

    Raises:
        DataError: The values of a series are tiny, or have several levels that float32 cannot hold together.
    """
    order: Ints | None = None
    levels = np.zeros((len(ids), len(names)))
    for channel, name in enumerate(names):
        numbers = table[name].numbers
        largest = float(max(np.fmax.reduce(numbers, initial=0), -np.fmin.reduce(numbers, initial=0)))
        if MIN_SCALE <= largest < MIN_LARGE:
            continue
        order = np.lexsort((position, codes)) if order is None else order
        values, sorted_codes = table[name].doubles[order], codes[order]
        levels[:, channel] = lost_levels(values, sorted_codes, len(ids))
        _check_tiny(table[name], _largest(values, sorted_codes, len(ids)), ids)
        relative = values - levels[sorted_codes, channel]
        _check_lost(table[name], _lost_fraction(relative, sorted_codes, len(ids)), ids)
    return levels if levels.any() else None


def lost_levels(values: Doubles, codes: Ints, count: int) -> Doubles:
    """Return the first value of each series that float32 loses, and 0 for the others, [series].

    The first value does not depend on the end of a series, so that a forecast before it does not either.

    Args:
        values: Values, NaN where missing, [rows], sorted by series and time.
        codes: Series of each row.
        count: Number of series.
    """
    known = np.isfinite(values)
    values, codes = values[known], codes[known]
    first = np.zeros(count)
    starts = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
    first[codes[starts]] = values[starts]
    lost = _lost_fraction(values, codes, count)
    if not (lost > MAX_LOST).any():
        return np.zeros(count)
    return np.where((lost > MAX_LOST) & (_lost_fraction(values - first[codes], codes, count) < lost), first, 0.0)


def _lost_fraction(values: Doubles, codes: Ints, count: int) -> Doubles:
    """Return the fraction of the steps of each series, except for those of 0, that float32 loses, [series]."""
    known = np.isfinite(values)
    values, codes = values[known], codes[known]
    with np.errstate(over="ignore"):
        error = np.abs(values - values.astype(np.float32))
    if not error.any():
        return np.zeros(count)
    steps = np.abs(np.diff(values))
    changed = (codes[1:] == codes[:-1]) & (steps > 0)
    owner = codes[1:][changed]
    number = np.maximum(np.bincount(owner, minlength=count), 1)
    typical = np.exp(np.bincount(owner, weights=np.log(steps[changed]), minlength=count) / number)
    lost = np.maximum(error[1:], error[:-1])[changed] > MAX_ERROR * np.maximum(steps[changed], typical[owner])
    return np.bincount(owner, weights=lost, minlength=count) / number


def _largest(values: Doubles, codes: Ints, count: int) -> Doubles:
    """Return the largest absolute value of each series, [series]."""
    largest = np.zeros(count)
    np.fmax.at(largest, codes, np.abs(values))
    return largest


def _check_tiny(column: Column, largest: Doubles, ids: tuple[str, ...]) -> None:
    tiny = (largest > 0) & (largest < MIN_SCALE)
    if tiny.any():
        series = int(np.argmax(tiny))
        whose = f" of series '{ids[series]}'" if len(ids) > 1 else ""
        raise column.error(
            f"expected values that a forecast can resolve, but the column{whose} has values below {MIN_SCALE:g} only, "
            f"which float32 cannot hold: up to {largest[series]:.10g}",
            "multiply it by a constant",
        )


def _check_lost(column: Column, fraction: Doubles, ids: tuple[str, ...]) -> None:
    if (fraction > MAX_LOST).any():
        series = int(np.argmax(fraction))
        whose = f" of series '{ids[series]}'" if len(ids) > 1 else ""
        raise column.error(
            f"expected values that a forecast can resolve, but {100 * fraction[series]:.0f} % of the steps{whose} are "
            "below the resolution of float32 at their level, which changes",
            "remove the rows before a counter was reset",
            "forecast its differences",
        )
