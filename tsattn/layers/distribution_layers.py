"""From the free numbers of a network to the parameters of a distribution."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.distributions import Distribution, NegativeBinomial, Normal, StudentT
from tsattn.layers.masking import Tensor, scan

DISTRIBUTIONS: dict[str, Distribution] = {made.name: made for made in (Normal(), StudentT(), NegativeBinomial())}
"""The distributions by name."""


def get_distribution(name: str) -> Distribution:
    """Return a distribution by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DISTRIBUTIONS:
        raise ConfigError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}. Received: distribution={name!r}")
    return DISTRIBUTIONS[name]


@keras.saving.register_keras_serializable(package="tsattn")
class DistributionHead(keras.layers.Layer):
    """Turns free numbers into the parameters of a distribution.

    `"normal"`: location and scale. `"student_t"`: location, scale and the inverse of the degrees of freedom, which are
    above 2. `"negative_binomial"`: mean and dispersion, the variance being mean + dispersion * mean^2. The location is
    the first number as it is, in units of `scale` from `center`; scales are never below a thousandth of `scale`. The
    mean of counts is that same value made positive: `scale * softplus(number + center / scale)`.

    Args:
        distribution: its name.

    Call arguments:
        inputs: `(batch, horizon, channels, parameters)`, free numbers.
        center: `(batch, 1, channels)`, as `InstanceScaling` gives it. Without center and scale the parameters are those
            in scaled space.
        scale: the same shape, above 0.

    Output shape:
        That of the inputs, float32.

    Example:
        >>> scaled, center, scale = InstanceScaling()(past, observed)
        >>> parameters = DistributionHead("student_t")(numbers, center=center, scale=scale)

    References:
        Salinas et al. 2020, DeepAR (the likelihoods).
    """

    def __init__(self, distribution: str, **kwargs: Any) -> None:
        # Values in original units may overflow a half-precision compute dtype.
        super().__init__(**{"autocast": False, **kwargs})
        self.distribution = distribution
        self._family = get_distribution(distribution)

    def call(self, inputs: Tensor, center: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        numbers = ops.cast(inputs, "float32")
        center = ops.zeros_like(numbers[..., 0]) if center is None else center
        scale = ops.ones_like(numbers[..., 0]) if scale is None else scale
        return self._family.parameters(numbers, center, scale)

    def compute_output_spec(self, inputs: Any, center: Any = None, scale: Any = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "distribution": self.distribution}


MOST = 0.999
"""Largest correlation of two steps."""


@keras.saving.register_keras_serializable(package="tsattn")
class ForecastDistribution(keras.layers.Layer):
    """Quantiles of a distribution at levels, and by `paths` what may follow: draws whose steps depend on each other.

    The errors of a forecast go on from step to step, and a sum over steps is as uncertain as they do. In a path the
    normal score of a step is `rho` times that of the step before plus what is new, so that all steps have a Gaussian
    copula, the one whose correlations are products of those between neighbours: of a random walk
    `rho` is `sqrt(h / (h + 1))` from step h to the next, of an autoregression it tends to a constant. The
    correlations are weights that are not trained: 0, which makes the steps independent, until `fit` sets them.

    Args:
        distribution: `"normal"`, `"student_t"` or `"negative_binomial"`, see `DistributionHead`.
        levels: quantile levels, ascending.

    Call arguments:
        inputs: parameters `(batch, horizon, channels, parameters)`.

    Output shape:
        `(batch, horizon, channels, levels)`, float32.

    Example:
        >>> quantiles = ForecastDistribution("normal", (0.1, 0.5, 0.9))(parameters)

    References:
        Salinas et al. 2019, High-dimensional multivariate forecasting with low-rank Gaussian copula processes;
        Gabriel 1962, Ante-dependence analysis of an ordered set of variables.
    """

    def __init__(self, distribution: str, levels: tuple[float, ...], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.distribution = distribution
        self.levels = tuple(levels)
        self._family = get_distribution(distribution)

    def build(self, inputs_shape: Any) -> None:
        self.persistence = self.add_weight(
            name="persistence",
            shape=inputs_shape[1:3],
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def fit(self, persistence: npt.ArrayLike) -> None:
        """Set the correlation of each step with the one before, `(horizon, channels)`; that of the first is unused."""
        self.persistence.assign(persistence)

    def call(self, inputs: Tensor) -> Tensor:
        scores = np.array([NormalDist().inv_cdf(level) for level in self.levels], dtype="float32")
        return self._family.quantiles(ops.expand_dims(ops.cast(inputs, "float32"), -2), scores)

    def scores(self, noise: Tensor) -> Tensor:
        """Return normal scores `(batch, samples, horizon, channels)` that depend on those of the step before.

        Args:
            noise: of the same shape, drawn from the standard normal distribution.
        """
        if noise.shape[2] == 1:
            return noise
        inputs = ops.transpose(noise, (2, 0, 1, 3))
        kept = ops.clip(ops.convert_to_tensor(self.persistence), -MOST, MOST)

        def step(before: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            new, rho = given
            made = rho * before + ops.sqrt(1.0 - rho**2) * new
            return made, made

        # The first step has none before it.
        _, rest = scan(step, inputs[0], (inputs[1:], kept[1:]), inputs.shape[0] - 1)
        return ops.transpose(ops.concatenate([inputs[:1], rest]), (1, 2, 0, 3))

    def quantiles_at(self, parameters: Tensor, scores: Any) -> Tensor:
        """Return the quantiles of steps at normal scores.

        Args:
            parameters: `(batch, horizon, channels, parameters)`.
            scores: `(batch, samples, horizon, channels)`, or what broadcasts to that.
        """
        return self._family.quantiles(ops.expand_dims(parameters, 1), scores)

    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> None:
        return None

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((*inputs.shape[:-1], len(self.levels)), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "distribution": self.distribution, "levels": self.levels}
