"""Smooth functions as Chebyshev series: what no backend has as an operation, in multiplications and additions alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.layers.masking import Tensor

Floats = npt.NDArray[np.float64]


def nodes(count: int, first: float, last: float) -> Floats:
    """Return the points of an interval that a series of so many terms is fitted at, `(count,)`."""
    return (first + last) / 2 + (last - first) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def coefficients(values: npt.ArrayLike) -> Floats:
    """Return the series, along each axis, of a function whose values at the `nodes` of each axis are given."""
    series = np.asarray(values, dtype=np.float64)
    for axis, count in enumerate(series.shape):
        terms = np.cos(np.outer(np.arange(count), np.pi * (np.arange(count) + 0.5) / count)) * 2 / count
        terms[0] /= 2
        series = np.moveaxis(np.tensordot(terms, series, (1, axis)), 0, axis)
    return series


def evaluate(series: Callable[[int], Any], count: int, place: Tensor) -> Tensor:
    """Return the sum of a series by Clenshaw's recurrence.

    Args:
        series: from the number of a term to its coefficient, a number or a tensor.
        count: number of terms, two or more.
        place: where, from -1 to 1 over the interval.
    """
    after, behind = series(count - 1), 0.0
    for term in range(count - 2, 0, -1):
        after, behind = series(term) + 2 * place * after - behind, after
    return series(0) + place * after - behind
