"""Distributions of a forecast: from the free numbers of a network to parameters, likelihood and quantiles.

Each takes quantiles at *scores*: the level of a score is that of the standard normal distribution below it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy import special, stats

from tsattn.layers.masking import Tensor, loop

FLOOR = 1e-3
"""Least scale, in units of the scale of the window: a constant history must not make the likelihood infinite."""

FARTHEST = 6.0
"""Scores are cut here: a value beyond is seen once in a billion."""


class Distribution(ABC):
    """A family of distributions.

    Attributes:
        name: what the user calls it.
        parameter_names: of each free number of a network a parameter is made. The first is that of the location, which
            a network counts in scaled space as it counts its median.
        counts: whether its values are whole numbers, so that its likelihood is one of original units alone.
    """

    name: str
    parameter_names: tuple[str, ...]
    counts: bool = False

    @property
    def size(self) -> int:
        """The number of parameters."""
        return len(self.parameter_names)

    @abstractmethod
    def parameters(self, numbers: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Return the parameters `(..., size)` in original units.

        Args:
            numbers: `(..., size)`, free numbers in scaled space.
            center: center of the window, which broadcasts to `(...)`.
            scale: its scale, above 0.
        """

    @abstractmethod
    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Return the logarithm of the density, or of the probability of a whole number, of values `(...)`."""

    @abstractmethod
    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        """Return the quantiles at scores, which broadcast against `(...)`."""


class Normal(Distribution):
    """The normal distribution by its mean and standard deviation."""

    name = "normal"
    parameter_names = ("location", "scale")

    def parameters(self, numbers: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        return ops.stack(_located(numbers, center, scale), axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        error = (values - parameters[..., 0]) / parameters[..., 1]
        return -0.5 * error**2 - ops.log(parameters[..., 1]) - 0.5 * math.log(2 * math.pi)

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        return parameters[..., 0] + parameters[..., 1] * scores


class StudentT(Distribution):
    """Student's t distribution by location, scale and the inverse of its degrees of freedom, which are above 2.

    Quantiles are Chebyshev series in the score and the inverse degrees of freedom, fitted to those of SciPy: relative
    to these they are off by less than 1e-6, and by the rounding of float32.
    """

    name = "student_t"
    parameter_names = ("location", "scale", "inverse_degrees_of_freedom")

    def parameters(self, numbers: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        inverse = 1.0 / (2.0 + ops.softplus(numbers[..., 2]))
        return ops.stack([*_located(numbers, center, scale), inverse], axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        inverse = ops.maximum(parameters[..., 2], 1e-4)
        error = (values - parameters[..., 0]) / parameters[..., 1]
        above = _t_constant_series()
        constant = evaluate(above.__getitem__, len(above), 4.0 * inverse - 1.0) - 0.5 * math.log(2 * math.pi)
        tail = 0.5 * (1.0 + inverse) * ops.log1p(error**2 * inverse) / inverse
        return constant - ops.log(parameters[..., 1]) - tail

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        series = _t_quantile_series()
        scores = ops.clip(ops.convert_to_tensor(scores, "float32"), -FARTHEST, FARTHEST)
        # The terms in the score first, for there may be many scores of one distribution.
        inverse = ops.clip(parameters[..., 2:], 0.0, 0.5)
        terms = evaluate(lambda term: series[:, term], series.shape[1], 4.0 * inverse - 1.0)
        stretch = evaluate(lambda term: terms[..., term], len(series), 2.0 * (scores / FARTHEST) ** 2 - 1.0)
        return parameters[..., 0] + parameters[..., 1] * scores * ops.exp(stretch)


def _located(numbers: Tensor, center: Tensor, scale: Tensor) -> list[Tensor]:
    """Return location and scale in original units."""
    return [numbers[..., 0] * scale + center, (ops.softplus(numbers[..., 1]) + FLOOR) * scale]


@cache
def _t_constant_series(count: int = 12) -> list[float]:
    """Return the series of what the constant of the density is above that of the normal one, from 1 / df 0 to 1/2."""
    df = 1 / nodes(count, 0.0, 0.5)
    above: Floats = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - np.log(df / 2) / 2
    made: list[float] = coefficients(above).tolist()
    return made


@cache
def _t_quantile_series(count: int = 16) -> npt.NDArray[np.float32]:
    """Return the series of log(quantile / score) in the squared score and in 1 / df, from 0 to 1/2."""
    scores, inverse = np.sqrt(nodes(count, 0.0, FARTHEST**2)), nodes(count, 0.0, 0.5)
    quantiles = stats.t.isf(stats.norm.sf(scores)[:, None], 1 / inverse[None, :])
    return coefficients(np.log(quantiles / scores[:, None])).astype(np.float32)


LEAST_MEAN = 1e-4
"""Smallest mean."""

DISPERSION = (1e-4, 20.0)
"""Smallest and largest dispersion, the inverse of the number of failures."""

RAISED = 8
"""By how much both numbers of an incomplete beta function are raised before it is expanded."""

HALVINGS = 24
"""Steps of the search for a quantile."""


class NegativeBinomial(Distribution):
    """The negative binomial distribution of counts by its mean and dispersion.

    Its variance is mean + dispersion * mean^2. The mean is ``scale * softplus(number + center / scale)``: the number in
    scaled space brought back, and above 0.

    Quantiles are the smallest whole numbers whose `probability_up_to` reaches the level. In float32 that is within 5e-5
    of the exact probability, for means from 0.05 to 1e5; they differ from the exact quantiles only where the level lies
    so near to a step.
    """

    name = "negative_binomial"
    counts = True
    parameter_names = ("mean", "dispersion")

    def parameters(self, numbers: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        mean = LEAST_MEAN + scale * ops.softplus(numbers[..., 0] + center / scale)
        least, most = DISPERSION
        return ops.stack([mean, ops.minimum(least + ops.softplus(numbers[..., 1]), most)], axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        return log_probability(values, parameters[..., 0], parameters[..., 1])

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        mean, dispersion = parameters[..., 0], parameters[..., 1]
        scores = ops.clip(ops.convert_to_tensor(scores, "float32"), -FARTHEST, FARTHEST)
        level = _below(scores)
        # The tail falls by a factor of e in less than 1 + dispersion * mean.
        most = 2.0 * mean + (1.0 + dispersion * mean) * (ops.maximum(scores, 0.0) ** 2 + 10.0)
        high = ops.log1p(ops.broadcast_to(most, ops.shape(most + scores)))

        def halved(_: Any, bounds: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            low, high = bounds
            middle = (low + high) / 2
            reached = probability_up_to(ops.expm1(middle), mean, dispersion) >= level
            return ops.where(reached, low, middle), ops.where(reached, middle, high)

        _, high = loop(HALVINGS, halved, (ops.zeros_like(high), high))
        found = ops.ceil(ops.expm1(high))
        before = ops.maximum(found - 1.0, 0.0)
        return ops.where(probability_up_to(before, mean, dispersion) >= level, before, found)


def log_probability(values: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Return the logarithm of the probability of values, 0 or more.

    By deviances and Stirling's series, whose terms are small where those of the usual formula are large and cancel.

    Reference:
        Loader 2000, Fast and accurate computation of binomial probabilities.
    """
    some = values > 0
    count, failures = ops.where(some, values, ops.ones_like(values)), 1.0 / dispersion
    both, off = count + failures, count - mean
    deviance = failures * ops.log1p(-off / both) + count * ops.log1p(failures * off / (both * mean))
    rest = _stirling_error(both) - _stirling_error(failures) - _stirling_error(count)
    made = rest + 0.5 * ops.log(failures / (both * count)) - 0.5 * math.log(2 * math.pi) - deviance
    return ops.where(some, made, -ops.log1p(dispersion * mean) * failures)


def probability_up_to(values: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Return the probability of a count of `values` or fewer; between whole numbers it rises smoothly.

    It is an incomplete beta function, whose numbers are raised by its recurrences until the first terms of its uniform
    expansion are enough.

    Reference:
        Temme 1979, The asymptotic expansion of the incomplete gamma functions; DLMF 8.17 and 8.18.
    """
    failures = 1.0 / dispersion
    chance = 1.0 / (1.0 + dispersion * mean)
    other = dispersion * mean * chance
    term = ops.exp(log_probability(values + 1.0, mean, dispersion))
    above = ops.zeros_like(term)
    for step in range(1, RAISED + 1):
        above = above + term
        term = term * other * (values + step + failures) / (values + (step + 1.0))
    successes = values + (RAISED + 1.0)
    term = term * successes / failures
    below = ops.zeros_like(term)
    for step in range(RAISED):
        below = below + term
        term = term * chance * (failures + step + successes) / (failures + (step + 1.0))
    raised = failures + float(RAISED)
    # raised - (raised + successes) * chance
    off = (RAISED * (mean - failures) + failures * (mean - values - 1.0)) * chance * dispersion
    return below + _expanded(raised, successes, off) - above


def _expanded(a: Tensor, b: Tensor, off: Tensor) -> Tensor:
    """Return the incomplete beta function I_x(a, b), both numbers large; `off` is a - (a + b) x.

    Brought to the integral of the normal density times `root / plain`, which is integrated by parts twice.
    """
    steep = ops.sqrt(1.0 / a + 1.0 / b)
    deviance = a * _log1p_rest(-off / a) + b * _log1p_rest(off / b)
    root = ops.sign(-off) * ops.sqrt(2.0 * ops.maximum(deviance, 0.0))
    plain = -off * steep
    # (root / plain)^2 = 1 + first * plain + second * plain^2 + third * plain^3 ...
    first = -2 / 3 * (1 / a**2 - 1 / b**2) / steep**3
    second = 1 / 2 * (1 / a**3 + 1 / b**3) / steep**4
    third = -2 / 5 * (1 / a**4 - 1 / b**4) / steep**5
    # ... and the root of that is 1 + linear * root + square * root^2 + cubic * root^3 ...
    linear, square = first / 2, second / 2 - first**2 / 8
    cubic = third / 2 - first * second / 4 + first**3 / 16
    square, cubic = square - linear**2, cubic - 3 * linear * square + 2 * linear**3
    near = ops.abs(plain) < 0.03
    one = ops.ones_like(plain)
    parts = 1.0 / ops.where(near, one, plain) - 1.0 / ops.where(near, one, root)
    parts = ops.where(near, linear + square * root, parts) + 2.0 * cubic
    whole = 1.0 + (1.0 / a + 1.0 / b - 1.0 / (a + b)) / 12
    return _below(root) - ops.exp(-0.5 * root**2) / math.sqrt(2 * math.pi) * parts / whole


def _log1p_rest(x: Tensor) -> Tensor:
    """Return x - log(1 + x), which loses no digits near 0."""
    small = ops.abs(x) < 0.1
    y = ops.where(small, x, ops.zeros_like(x))
    series = 1 / 2 - y * (1 / 3 - y * (1 / 4 - y * (1 / 5 - y * (1 / 6 - y * (1 / 7 - y / 8)))))
    z = ops.where(small, ops.zeros_like(x), x)
    return ops.where(small, y * y * series, z - ops.log1p(ops.maximum(z, -1.0 + 1e-7)))


def _below(scores: Tensor) -> Tensor:
    """Return the standard normal probability below scores."""
    return 0.5 * (1.0 + ops.erf(scores / math.sqrt(2.0)))


def _stirling_error(x: Tensor) -> Tensor:
    """Return how far Stirling's formula is off: log Gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), x above 0."""
    made = ops.zeros_like(x)
    for step in range(RAISED):
        y = x + float(step)
        made = made + (y + 0.5) * ops.log1p(1.0 / y) - 1.0
    y = x + float(RAISED)
    return made + 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5)


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
