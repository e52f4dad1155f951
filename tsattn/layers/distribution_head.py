"""From the free numbers of a network to the parameters of a distribution."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.distributions import Distribution, Normal, StudentT
from tsattn.layers.masking import Tensor
from tsattn.layers.negative_binomial import NegativeBinomial

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
