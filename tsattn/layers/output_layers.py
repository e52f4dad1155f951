"""Output layers of forecasts: quantiles that do not cross, distributions with their quantiles and sample paths."""

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
class SortedQuantiles(keras.layers.Layer):
    """Maps network outputs to ascending quantiles.

    The output at index `median` is the median. Each level above adds a positive increment (softplus) to the level
    below it, and each level below subtracts one, so quantiles cannot cross. Every step is computed alone: the output
    carries the Keras mask of the input.

    Args:
        median: Index of the median.
        detach_median: Whether to stop the gradient from the other levels to the median.

    Call arguments:
        inputs: `(..., levels)`, unconstrained.

    Output shape:
        Same shape as the input.

    Example:
        >>> quantiles = SortedQuantiles(median=1)(keras.layers.Dense(3)(features))
    """

    def __init__(self, median: int, detach_median: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.median = median
        self.detach_median = detach_median
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        _check_median(self.median, inputs_shape)

    def call(self, inputs: Tensor) -> Tensor:
        middle = inputs[..., self.median : self.median + 1]
        parts = [middle]
        middle = ops.stop_gradient(middle) if self.detach_median else middle
        if self.median > 0:
            below = ops.softplus(inputs[..., : self.median])
            parts.insert(0, middle - ops.flip(ops.cumsum(ops.flip(below, -1), -1), -1))
        if self.median < inputs.shape[-1] - 1:
            parts.append(middle + ops.cumsum(ops.softplus(inputs[..., self.median + 1 :]), -1))
        return ops.concatenate(parts, -1)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, SortedQuantiles)}


def _check_median(median: int, shape: Any) -> None:
    if not 0 <= median < shape[-1]:
        raise ConfigError(
            f"median must be the index of one of the {shape[-1]} levels of the input. Received: median={median}"
        )


SUPPORTS = ("real", "positive", "count")


@keras.saving.register_keras_serializable(package="tsattn")
class CalibratedQuantiles(keras.layers.Layer):
    """Scales the distance of each quantile to the median by a factor per step, channel and level.

    `median + (q - median) * factor`. The factors are non-trainable weights, 1 until `fit` sets them, as computed by
    conformalized quantile regression (`tsattn.scoring.calibration`). Unlike an additive offset, a factor preserves how
    the width of the intervals differs between windows and series. A quantile that would cross its neighbor on the
    median's side takes the neighbor's value. Finally all quantiles are restricted to the support. Every step is
    computed alone: the output carries the Keras mask of the input.

    Args:
        median: Index of the median, which is unchanged.
        support: Possible values: `"real"`, `"positive"` (0 or more) or `"count"` (0, 1, 2, ...).

    Call arguments:
        inputs: Quantiles `(batch, horizon, channels, levels)`, ascending, in original units.

    Output shape:
        Same shape as the input, in float32.

    Example:
        >>> quantiles = CalibratedQuantiles(median=1)(quantiles)

    References:
        Romano et al. 2019, Conformalized Quantile Regression; Sesia and Candes 2020, A comparison of some conformal
        quantile regression methods (scaled by the width).
    """

    def __init__(self, median: int, support: str = "real", **kwargs: Any) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        if support not in SUPPORTS:
            raise ConfigError(f"support must be one of {', '.join(SUPPORTS)}. Received: support={support!r}")
        self.median = median
        self.support = support
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        _check_median(self.median, inputs_shape)
        if len(inputs_shape) != 4 or None in inputs_shape[1:]:
            raise ConfigError(
                "the input of calibrated quantiles must have the shape (batch, horizon, channels, levels), known but "
                f"for the batch. Received: shape {tuple(inputs_shape)}"
            )
        # In float32 under every policy.
        self.factors = self.add_weight(
            name="factors", shape=inputs_shape[1:], initializer="ones", trainable=False, dtype="float32", autocast=False
        )

    def fit(self, factors: npt.ArrayLike) -> None:
        """Set the factors, `(horizon, channels, levels)`, 0 or more."""
        self.factors.assign(factors)

    def call(self, inputs: Tensor) -> Tensor:
        quantiles = ops.cast(inputs, "float32")
        median = quantiles[..., self.median : self.median + 1]
        scaled = median + (quantiles - median) * ops.convert_to_tensor(self.factors)[None]
        levels = [scaled[..., level] for level in range(quantiles.shape[-1])]
        levels[self.median] = quantiles[..., self.median]
        for level in range(self.median + 1, len(levels)):
            levels[level] = ops.maximum(levels[level], levels[level - 1])
        for level in range(self.median - 1, -1, -1):
            levels[level] = ops.minimum(levels[level], levels[level + 1])
        return self._restrict_to_support(ops.stack(levels, axis=-1))

    def calibrate(self, quantiles: Tensor, median: Tensor, scores: Tensor, levels: tuple[float, ...]) -> Tensor:
        """Return calibrated quantiles at arbitrary levels.

        On each side of the median, factors are interpolated linearly in the normal score, and constant beyond the
        outermost and innermost levels.

        Args:
            quantiles: `(batch, samples, horizon, channels)`.
            median: Medians, broadcastable to the quantiles.
            scores: Normal scores of the levels of the quantiles, the same shape.
            levels: Levels of the factors.
        """
        factors = ops.convert_to_tensor(self.factors)
        level_scores = [NormalDist().inv_cdf(level) for level in levels]
        below, above = (
            _interpolate(scores, level_scores[side], [factors[..., level] for level in range(len(levels))[side]])
            for side in (slice(self.median), slice(self.median + 1, None))
        )
        return self._restrict_to_support(median + (quantiles - median) * ops.where(scores < 0, below, above))

    def _restrict_to_support(self, values: Tensor) -> Tensor:
        if self.support == "real":
            return values
        values = ops.maximum(values, 0.0)
        return ops.round(values) if self.support == "count" else values

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, CalibratedQuantiles)}


def _interpolate(scores: Tensor, knots: list[float], factors: list[Tensor]) -> Tensor:
    """Return the factors at scores, linearly interpolated between ascending knots; 1 without knots."""
    if not knots:
        return ops.ones_like(scores)
    result = ops.zeros_like(scores) + factors[0]
    for index in range(1, len(knots)):
        fraction = ops.clip((scores - knots[index - 1]) / (knots[index] - knots[index - 1]), 0.0, 1.0)
        result = result + (factors[index] - factors[index - 1]) * fraction
    return result


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
