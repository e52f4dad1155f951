"""What training minimises where the forecast is a distribution: the negative log likelihood of the observed targets."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.distribution_head import get_distribution
from tsattn.layers.masking import Tensor


class LikelihoodLoss(keras.layers.Layer):
    """Adds the mean over observed targets to the losses: of the negative log likelihood in training, else of the error.

    A likelihood is free of units but for a constant, and weighs errors by the scale that the network itself is unsure
    by; so each window counts as it is. Densities are told in units of the series, as errors are.

    A validation loss is half the absolute error of the forecast, as it is of quantiles (`ForecastLoss`): what is chosen
    by it, the epoch and in a comparison the model, is chosen by the same measure whatever is forecast.

    Args:
        distribution: its name, see `tsattn.layers.DistributionHead`.

    Call arguments:
        parameters: `(batch, members, horizon, channels, parameters)`. In training each member of an ensemble is held to
            the target by itself, else the mean of their parameters is.
        target: `(batch, horizon, channels)`, in the units of the parameters: scaled space, or counts.
        observed: the same shape; what is 0 does not count.
        weight: `(batch, 1, channels)`, that unit over the scale of the series.
        training: whether the likelihood counts.

    Output shape:
        `(batch,)`, the loss of each window, summed over its observed targets.
    """

    def __init__(self, distribution: str, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self._family = get_distribution(distribution)

    def call(
        self, parameters: Tensor, target: Tensor, observed: Tensor, weight: Tensor, training: bool | None = None
    ) -> Tensor:
        target = ops.cast(target, "float32")
        if training:
            likelihood = ops.mean(self._family.log_likelihood(parameters, ops.expand_dims(target, 1)), axis=1)
            losses = -likelihood if self._family.counts else ops.log(weight) - likelihood
        else:
            forecast = self._family.quantiles(ops.mean(parameters, axis=1), 0.0)
            losses = ops.abs(target - forecast) * weight / 2
        losses = ops.where(observed > 0, losses, ops.zeros_like(losses))
        self.add_loss(ops.sum(losses) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(losses, axis=(1, 2))

    def compute_output_spec(self, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((parameters.shape[0],), dtype="float32")
