"""The negative binomial distribution in operations that every backend has."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from tsattn.layers.distributions import FARTHEST, Distribution
from tsattn.layers.masking import Tensor
from tsattn.layers.scan import loop

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
