"""Series whose values float32 cannot hold: counters that change by less than its resolution, and tiny numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.table import Table
from tsattn.timeseries.ragged import Ints

RESOLUTION = 2.0**-24
"""Largest relative error of a number in float32."""

MAX_ERROR = 0.05
"""Error of float32, relative to the mean absolute change of a series, from which on it cannot be forecast."""

MIN_LARGE = 8192.0
"""Largest absolute value of a column from which on its series are checked."""

MIN_SCALE = 1e-30
"""A series whose values are all smaller, but not all 0, is lost in the arithmetic of float32."""


def check_precision(table: Table, names: tuple[str, ...], codes: Ints, position: Ints, ids: tuple[str, ...]) -> None:
    """Raise a DataError for a series whose values are lost in float32.

    Args:
        table: The rows.
        names: Columns of the targets.
        codes: Series of each row.
        position: Position of each row on the grid.
        ids: Id of each series.
    """
    order: Ints | None = None
    for name in names:
        numbers = table[name].numbers
        largest = float(np.nanmax(np.abs(numbers), initial=0.0))
        if MIN_SCALE <= largest < MIN_LARGE:
            continue
        order = np.lexsort((position, codes)) if order is None else order
        values = pd.to_numeric(table[name].values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)[order]
        level, change = _statistics(values, codes[order], len(ids))
        lost, tiny = (change > 0) & (level * RESOLUTION > MAX_ERROR * change), (level > 0) & (level < MIN_SCALE)
        for found, problem, hint in (
            (lost, "changes by less than the resolution of float32 at its level", "subtract a constant from it"),
            (tiny, f"has values below {MIN_SCALE:g} only, which float32 cannot hold", "multiply it by a constant"),
        ):
            if found.any():
                series = int(np.argmax(found))
                whose = f" of series '{ids[series]}'" if len(ids) > 1 else ""
                raise table[name].error(
                    f"expected values that a forecast can resolve, but the column{whose} {problem}: up to "
                    f"{level[series]:.10g}, with a mean change of {change[series]:.3g}",
                    hint,
                    "forecast its differences",
                )


def _statistics(
    values: npt.NDArray[np.float64], codes: Ints, count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the largest absolute value and the mean absolute change of each series, [series] each."""
    known = np.isfinite(values)
    values, codes = values[known], codes[known]
    level = np.zeros(count)
    np.maximum.at(level, codes, np.abs(values))
    within = codes[1:] == codes[:-1]
    owner, steps = codes[1:][within], np.abs(np.diff(values))[within]
    total = np.bincount(owner, weights=steps, minlength=count)
    return level, total / np.maximum(np.bincount(owner, minlength=count), 1)
