"""Distributions of a forecast: from the free numbers of a network to parameters, likelihood and quantiles.

Each takes quantiles at *scores*: the level of a score is that of the standard normal distribution below it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy import special, stats

from tsattn.layers.chebyshev import Floats, coefficients, evaluate, nodes
from tsattn.layers.masking import Tensor

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
