"""Layers for forecasts that are distributions: parameters, quantiles and sample paths."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.distributions import Distribution, get_distribution
from tsattn.layers.layer_utils import constructor_config
from tsattn.layers.ops import Tensor, scan


@keras.saving.register_keras_serializable(package="tsattn")
class DistributionHead(keras.layers.Layer):
    """Maps network outputs to the parameters of a distribution.

    `"normal"` has location and scale. `"student_t"` has location, scale and the inverse of the degrees of freedom,
    which are above 2. `"negative_binomial"` has mean and dispersion; its variance is mean + dispersion * mean^2.

    The location is the first output in units of `scale` from `center`, and the scale is at least a thousandth of
    `scale`. The mean of counts is the location made positive: `scale * softplus(output + center / scale)`.

    Every step is computed alone: the output carries the Keras mask of the input.

    Args:
        distribution: Name of the distribution.

    Call arguments:
        inputs: `(batch, horizon, channels, parameters)`, unconstrained.
        center: `(batch, 1, channels)`, as returned by `InstanceScaling`. Without center and scale the parameters are
            in scaled units.
        scale: `(batch, 1, channels)`, above 0.

    Output shape:
        Same shape as the input, in float32.

    Example:
        >>> scaled, center, scale = InstanceScaling()(past, observed)
        >>> parameters = DistributionHead("student_t")(outputs, center=center, scale=scale)

    Reference:
        Salinas et al. 2020, DeepAR (the likelihoods).
    """

    def __init__(self, distribution: str, **kwargs: Any) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        self.distribution = distribution
        self.supports_masking = True
        self._family = get_distribution(distribution)

    def build(self, inputs_shape: Any, center_shape: Any = None, scale_shape: Any = None) -> None:
        _check_parameters(self._family, inputs_shape)

    def call(self, inputs: Tensor, center: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        outputs = ops.cast(inputs, "float32")
        center = ops.zeros_like(outputs[..., 0]) if center is None else center
        scale = ops.ones_like(outputs[..., 0]) if scale is None else scale
        return self._family.parameters(outputs, center, scale)

    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, center_shape: Any = None, scale_shape: Any = None) -> Any:
        return inputs_shape

    def compute_output_spec(self, inputs: Any, center: Any = None, scale: Any = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, DistributionHead)}


def _check_parameters(family: Distribution, shape: Any) -> None:
    if len(shape) != 4 or shape[-1] != family.size:
        raise ConfigError(
            f"the parameters of the {family.name} distribution are {', '.join(family.parameter_names)}: the input must "
            f"have the shape (batch, horizon, channels, {family.size}). Received: shape {tuple(shape)}"
        )


MAX_CORRELATION = 0.999
"""Maximum absolute correlation of consecutive steps."""


@keras.saving.register_keras_serializable(package="tsattn")
class ForecastDistribution(keras.layers.Layer):
    """Quantiles of a distribution, and dependent normal scores for sample paths.

    Forecast errors are correlated over the horizon. `correlate` turns independent normal scores into those of a path:
    the score of a step is `rho` times that of the previous step plus an innovation. Paths therefore have a Gaussian
    copula whose correlations are products of those of consecutive steps. For a random walk `rho` is `sqrt(h / (h + 1))`
    from step h to the next; for a stationary autoregression it tends to a constant. The correlations are
    non-trainable weights, 0 (independent steps) until `fit` sets them. The quantiles of a step depend on its parameters
    alone: the output carries the Keras mask of the input.

    Args:
        distribution: `"normal"`, `"student_t"` or `"negative_binomial"`, see `DistributionHead`.
        levels: Quantile levels, ascending.

    Call arguments:
        inputs: Parameters `(batch, horizon, channels, parameters)`.

    Output shape:
        `(batch, horizon, channels, levels)`, in float32.

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
        if not self.levels or list(self.levels) != sorted(set(self.levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise ConfigError(f"levels must be ascending numbers between 0 and 1. Received: levels={self.levels}")
        self.supports_masking = True
        self._family = get_distribution(distribution)

    def build(self, inputs_shape: Any) -> None:
        _check_parameters(self._family, inputs_shape)
        self.persistence = self.add_weight(
            name="persistence",
            shape=inputs_shape[1:3],
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def fit(self, persistence: npt.ArrayLike) -> None:
        """Set the correlation of each step with the previous one, `(horizon, channels)`; the first is unused."""
        self.persistence.assign(persistence)

    def call(self, inputs: Tensor) -> Tensor:
        scores = np.array([NormalDist().inv_cdf(level) for level in self.levels], dtype="float32")
        parameters = ops.expand_dims(ops.cast(inputs, "float32"), -2)
        return self._family.quantiles(parameters, ops.convert_to_tensor(scores))

    def correlate(self, noise: Tensor) -> Tensor:
        """Return normal scores, `(batch, samples, horizon, channels)`, that are correlated over the horizon.

        Args:
            noise: Independent standard normal scores of the same shape.
        """
        if noise.shape[2] == 1:
            return noise
        inputs = ops.transpose(noise, (2, 0, 1, 3))
        correlation = ops.clip(ops.convert_to_tensor(self.persistence), -MAX_CORRELATION, MAX_CORRELATION)

        def step(previous: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            innovation, rho = x
            score = rho * previous + ops.sqrt(1.0 - rho**2) * innovation
            return score, score

        _, later = scan(step, inputs[0], (inputs[1:], correlation[1:]), inputs.shape[0] - 1)
        return ops.transpose(ops.concatenate([inputs[:1], later]), (1, 2, 0, 3))

    def quantiles_at(self, parameters: Tensor, scores: Any) -> Tensor:
        """Return the quantiles at normal scores.

        Args:
            parameters: `(batch, horizon, channels, parameters)`.
            scores: Broadcastable to `(batch, samples, horizon, channels)`.
        """
        return self._family.quantiles(ops.expand_dims(parameters, 1), scores)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:-1], len(self.levels))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, ForecastDistribution)}
