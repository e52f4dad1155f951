"""Families of forecast distributions: parameters, log-likelihood and quantiles.

Quantile levels are passed as *normal scores*: the standard normal quantile of the level.
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

from tsattn.errors import ConfigError
from tsattn.layers.ops import Tensor, fori_loop

MIN_SCALE = 1e-3
"""Minimum scale in units of the scale of the window, which bounds the likelihood of a constant history."""

MAX_SCORE = 6.0
"""Normal scores are clipped to +-6, a probability of 1e-9."""


class Distribution(ABC):
    """A family of distributions.

    Attributes:
        name: Name in the options of a model.
        parameter_names: Names of the parameters; the network has one output per parameter. The first is the location,
            in the same units as the median of a network.
        is_discrete: Whether values are counts, so that the likelihood is only defined in original units.
    """

    name: str
    parameter_names: tuple[str, ...]
    is_discrete: bool = False

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.parameter_names)

    @abstractmethod
    def parameters(self, outputs: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Return the parameters `(..., size)` in original units.

        Args:
            outputs: `(..., size)`, unconstrained network outputs in scaled units.
            center: Center of the window, broadcastable to `(...)`.
            scale: Scale of the window, above 0, broadcastable to `(...)`.
        """

    @abstractmethod
    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Return the log of the density, or of the probability mass of counts, of values `(...)`."""

    @abstractmethod
    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        """Return the quantiles at normal scores, which broadcast against `(...)`."""


class Normal(Distribution):
    """Normal distribution, parametrized by mean and standard deviation."""

    name = "normal"
    parameter_names = ("location", "scale")

    def parameters(self, outputs: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        return ops.stack(_location_scale(outputs, center, scale), axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        error = (values - parameters[..., 0]) / parameters[..., 1]
        return -0.5 * error**2 - ops.log(parameters[..., 1]) - 0.5 * math.log(2 * math.pi)

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        return parameters[..., 0] + parameters[..., 1] * scores


class StudentT(Distribution):
    """Student's t distribution with more than 2 degrees of freedom.

    Its parameters are location, scale and the inverse of the degrees of freedom. Quantiles are Chebyshev series in
    score and inverse degrees of freedom, fitted to SciPy's within a relative error of 1e-6, plus float32 rounding.
    """

    name = "student_t"
    parameter_names = ("location", "scale", "inverse_degrees_of_freedom")

    def parameters(self, outputs: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        inverse = 1.0 / (2.0 + ops.softplus(outputs[..., 2]))
        return ops.stack([*_location_scale(outputs, center, scale), inverse], axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        inverse = ops.maximum(parameters[..., 2], 1e-4)
        error = (values - parameters[..., 0]) / parameters[..., 1]
        series = _t_constant_series()
        constant = chebyshev_sum(series.__getitem__, len(series), 4.0 * inverse - 1.0) - 0.5 * math.log(2 * math.pi)
        tail = 0.5 * (1.0 + inverse) * ops.log1p(error**2 * inverse) / inverse
        return constant - ops.log(parameters[..., 1]) - tail

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        series = _t_quantile_series()
        scores = ops.clip(ops.convert_to_tensor(scores, "float32"), -MAX_SCORE, MAX_SCORE)
        # The series in the degrees of freedom is summed first: a distribution may have many scores.
        inverse = ops.clip(parameters[..., 2:], 0.0, 0.5)
        terms = chebyshev_sum(lambda term: series[:, term], series.shape[1], 4.0 * inverse - 1.0)
        log_ratio = chebyshev_sum(lambda term: terms[..., term], len(series), 2.0 * (scores / MAX_SCORE) ** 2 - 1.0)
        return parameters[..., 0] + parameters[..., 1] * scores * ops.exp(log_ratio)


def _location_scale(outputs: Tensor, center: Tensor, scale: Tensor) -> list[Tensor]:
    """Return location and scale in original units."""
    return [outputs[..., 0] * scale + center, (ops.softplus(outputs[..., 1]) + MIN_SCALE) * scale]


@cache
def _t_constant_series(count: int = 12) -> list[float]:
    """Return the series in 1 / df, from 0 to 1/2, of the log normalization constant relative to that of the normal."""
    df = 1 / chebyshev_nodes(count, 0.0, 0.5)
    log_ratio: Floats = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - np.log(df / 2) / 2
    series: list[float] = chebyshev_coefficients(log_ratio).tolist()
    return series


@cache
def _t_quantile_series(count: int = 16) -> npt.NDArray[np.float32]:
    """Return the series of log(quantile / score) in the squared score and in 1 / df, from 0 to 1/2."""
    scores = np.sqrt(chebyshev_nodes(count, 0.0, MAX_SCORE**2))
    inverse = chebyshev_nodes(count, 0.0, 0.5)
    quantiles = stats.t.isf(stats.norm.sf(scores)[:, None], 1 / inverse[None, :])
    return chebyshev_coefficients(np.log(quantiles / scores[:, None])).astype(np.float32)


MIN_MEAN = 1e-4

DISPERSION_RANGE = (1e-4, 20.0)
"""Minimum and maximum dispersion, the inverse of the number of failures."""

RECURRENCE_STEPS = 8
"""Number of recurrence steps that raise the arguments of a function before its asymptotic expansion."""

BISECTION_STEPS = 24


class NegativeBinomial(Distribution):
    """Negative binomial distribution of counts, parametrized by mean and dispersion.

    The variance is mean + dispersion * mean^2. The mean is `scale * softplus(output + center / scale)`: the location
    in original units, made positive.

    Quantiles are the smallest integers at which the cumulative probability reaches the level. `cumulative_probability`
    in float32 is within 5e-5 of the exact value for means from 0.05 to 1e5. Quantiles differ from the exact ones only
    if the level is that close to a step.
    """

    name = "negative_binomial"
    is_discrete = True
    parameter_names = ("mean", "dispersion")

    def parameters(self, outputs: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        mean = MIN_MEAN + scale * ops.softplus(outputs[..., 0] + center / scale)
        low, high = DISPERSION_RANGE
        return ops.stack([mean, ops.minimum(low + ops.softplus(outputs[..., 1]), high)], axis=-1)

    def log_likelihood(self, parameters: Tensor, values: Tensor) -> Tensor:
        return log_probability(values, parameters[..., 0], parameters[..., 1])

    def quantiles(self, parameters: Tensor, scores: Any) -> Tensor:
        mean, dispersion = parameters[..., 0], parameters[..., 1]
        scores = ops.clip(ops.convert_to_tensor(scores, "float32"), -MAX_SCORE, MAX_SCORE)
        level = _normal_cdf(scores)
        # The tail falls by a factor of e in less than 1 + dispersion * mean.
        bound = 2.0 * mean + (1.0 + dispersion * mean) * (ops.maximum(scores, 0.0) ** 2 + 10.0)
        high = ops.log1p(ops.broadcast_to(bound, ops.shape(bound + scores)))

        def bisect(_: Any, bounds: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            low, high = bounds
            middle = (low + high) / 2
            is_reached = cumulative_probability(ops.expm1(middle), mean, dispersion) >= level
            return ops.where(is_reached, low, middle), ops.where(is_reached, middle, high)

        _, high = fori_loop(BISECTION_STEPS, bisect, (ops.zeros_like(high), high))
        quantile = ops.ceil(ops.expm1(high))
        previous = ops.maximum(quantile - 1.0, 0.0)
        return ops.where(cumulative_probability(previous, mean, dispersion) >= level, previous, quantile)


DISTRIBUTIONS: dict[str, Distribution] = {
    distribution.name: distribution for distribution in (Normal(), StudentT(), NegativeBinomial())
}


def get_distribution(name: str) -> Distribution:
    """Return a distribution by name.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in DISTRIBUTIONS:
        raise ConfigError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}. Received: distribution={name!r}")
    return DISTRIBUTIONS[name]


def log_probability(values: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Return the log probability mass of the negative binomial distribution at values of 0 or more.

    Computed from deviances and Stirling's series, which avoids the cancellation of large log-gamma terms.

    Reference:
        Loader 2000, Fast and accurate computation of binomial probabilities.
    """
    is_positive = values > 0
    count, failures = ops.where(is_positive, values, ops.ones_like(values)), 1.0 / dispersion
    total, error = count + failures, count - mean
    deviance = failures * ops.log1p(-error / total) + count * ops.log1p(failures * error / (total * mean))
    correction = _stirling_error(total) - _stirling_error(failures) - _stirling_error(count)
    result = correction + 0.5 * ops.log(failures / (total * count)) - 0.5 * math.log(2 * math.pi) - deviance
    return ops.where(is_positive, result, -ops.log1p(dispersion * mean) * failures)


def cumulative_probability(values: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Return the cumulative probability of the negative binomial distribution, a smooth function between integers.

    It is a regularized incomplete beta function. Recurrences raise its arguments until the first terms of the uniform
    asymptotic expansion are accurate.

    Reference:
        Temme 1979, The asymptotic expansion of the incomplete gamma functions; DLMF 8.17 and 8.18.
    """
    failures = 1.0 / dispersion
    p = 1.0 / (1.0 + dispersion * mean)
    q = dispersion * mean * p
    term = ops.exp(log_probability(values + 1.0, mean, dispersion))
    upper = ops.zeros_like(term)
    for step in range(1, RECURRENCE_STEPS + 1):
        upper = upper + term
        term = term * q * (values + step + failures) / (values + (step + 1.0))
    successes = values + (RECURRENCE_STEPS + 1.0)
    term = term * successes / failures
    lower = ops.zeros_like(term)
    for step in range(RECURRENCE_STEPS):
        lower = lower + term
        term = term * p * (failures + step + successes) / (failures + (step + 1.0))
    raised = failures + float(RECURRENCE_STEPS)
    # raised - (raised + successes) * p
    offset = (RECURRENCE_STEPS * (mean - failures) + failures * (mean - values - 1.0)) * p * dispersion
    return lower + _incomplete_beta(raised, successes, offset) - upper


def _incomplete_beta(a: Tensor, b: Tensor, offset: Tensor) -> Tensor:
    """Return the incomplete beta function I_x(a, b) for large a and b; `offset` is a - (a + b) x.

    The integral is transformed to that of the normal density times `eta / linear_eta` and integrated by parts twice.
    """
    slope = ops.sqrt(1.0 / a + 1.0 / b)
    deviance = a * _log1p_remainder(-offset / a) + b * _log1p_remainder(offset / b)
    eta = ops.sign(-offset) * ops.sqrt(2.0 * ops.maximum(deviance, 0.0))
    linear_eta = -offset * slope
    # (eta / linear_eta)^2 = 1 + c1 * linear_eta + c2 * linear_eta^2 + c3 * linear_eta^3 ...
    c1 = -2 / 3 * (1 / a**2 - 1 / b**2) / slope**3
    c2 = 1 / 2 * (1 / a**3 + 1 / b**3) / slope**4
    c3 = -2 / 5 * (1 / a**4 - 1 / b**4) / slope**5
    # ... and its square root is 1 + d1 * eta + d2 * eta^2 + d3 * eta^3 ...
    d1, d2 = c1 / 2, c2 / 2 - c1**2 / 8
    d3 = c3 / 2 - c1 * c2 / 4 + c1**3 / 16
    d2, d3 = d2 - d1**2, d3 - 3 * d1 * d2 + 2 * d1**3
    is_near = ops.abs(linear_eta) < 0.03
    one = ops.ones_like(linear_eta)
    parts = 1.0 / ops.where(is_near, one, linear_eta) - 1.0 / ops.where(is_near, one, eta)
    parts = ops.where(is_near, d1 + d2 * eta, parts) + 2.0 * d3
    normalization = 1.0 + (1.0 / a + 1.0 / b - 1.0 / (a + b)) / 12
    return _normal_cdf(eta) - ops.exp(-0.5 * eta**2) / math.sqrt(2 * math.pi) * parts / normalization


def _log1p_remainder(x: Tensor) -> Tensor:
    """Return x - log(1 + x) without cancellation near 0."""
    is_small = ops.abs(x) < 0.1
    y = ops.where(is_small, x, ops.zeros_like(x))
    series = 1 / 2 - y * (1 / 3 - y * (1 / 4 - y * (1 / 5 - y * (1 / 6 - y * (1 / 7 - y / 8)))))
    z = ops.where(is_small, ops.zeros_like(x), x)
    return ops.where(is_small, y * y * series, z - ops.log1p(ops.maximum(z, -1.0 + 1e-7)))


def _normal_cdf(scores: Tensor) -> Tensor:
    return 0.5 * (1.0 + ops.erf(scores / math.sqrt(2.0)))


def _stirling_error(x: Tensor) -> Tensor:
    """Return log Gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), the error of Stirling's formula, for x above 0."""
    total = ops.zeros_like(x)
    for step in range(RECURRENCE_STEPS):
        y = x + float(step)
        total = total + (y + 0.5) * ops.log1p(1.0 / y) - 1.0
    y = x + float(RECURRENCE_STEPS)
    return total + 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5)


Floats = npt.NDArray[np.float64]


def chebyshev_nodes(count: int, first: float, last: float) -> Floats:
    """Return the Chebyshev nodes of an interval, `(count,)`."""
    return (first + last) / 2 + (last - first) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def chebyshev_coefficients(values: npt.ArrayLike) -> Floats:
    """Return the Chebyshev coefficients, along each axis, of a function with these values at `chebyshev_nodes`."""
    series = np.asarray(values, dtype=np.float64)
    for axis, count in enumerate(series.shape):
        terms = np.cos(np.outer(np.arange(count), np.pi * (np.arange(count) + 0.5) / count)) * 2 / count
        terms[0] /= 2
        series = np.moveaxis(np.tensordot(terms, series, (1, axis)), 0, axis)
    return series


def chebyshev_sum(coefficient: Callable[[int], Any], count: int, x: Tensor) -> Tensor:
    """Return the sum of a Chebyshev series by Clenshaw's recurrence.

    Args:
        coefficient: Maps the index of a term to its coefficient, a number or a tensor.
        count: Number of terms, two or more.
        x: Where to evaluate, from -1 to 1 over the interval.
    """
    last, second_last = coefficient(count - 1), 0.0
    for term in range(count - 2, 0, -1):
        last, second_last = coefficient(term) + 2 * x * last - second_last, last
    return coefficient(0) + x * last - second_last
