"""Training losses over observed targets, with errors divided by the scale of their series."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.config import Loss
from tsattn.layers.distributions import get_distribution
from tsattn.layers.ops import Tensor
from tsattn.models.forecast_model import ForecastGraph, window_inputs
from tsattn.timeseries.window_spec import TARGET, TARGET_OBSERVED, TARGET_SCALE


class ForecastLoss(keras.layers.Layer):
    """Add the mean loss over observed targets: of all levels in training, of the point forecast in validation.

    The loss of a level is the pinball loss. With ``squared`` the loss of level 0.5, the point forecast, is half the
    squared error, which estimates the mean instead of the median.

    The validation loss is that of the point forecast alone: the outer quantiles improve long after the point forecast
    is at its best, and would stop a training too late.

    Errors are divided by one scale per series, not per window: as in every metric, an error in a quiet window of a
    series must not weigh more than the same error in a volatile one.

    Args:
        levels: Quantile levels.
        squared: Whether the point forecast has the squared error.

    Call arguments:
        quantiles: `(batch, members, horizon, channels, levels)` in scaled space. In training each ensemble member has
            its own loss, otherwise their mean has one.
        target: `(batch, horizon, channels)` in scaled space.
        observed: `(batch, horizon, channels)`; targets with 0 are ignored.
        weight: `(batch, 1, channels)`, scale of the window divided by that of its series.
        training: Whether all levels count.

    Output shape:
        `(batch,)`, the loss of each window, summed over its observed targets.

    Reference:
        Koenker and Bassett 1978, Regression Quantiles.
    """

    def __init__(self, levels: tuple[float, ...], squared: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.levels = tuple(levels)
        self.squared = squared

    def call(
        self, quantiles: Tensor, target: Tensor, observed: Tensor, weight: Tensor, training: bool | None = None
    ) -> Tensor:
        quantiles = ops.cast(quantiles, "float32")
        if not training:
            quantiles = ops.mean(quantiles, axis=1, keepdims=True)
        error = ops.expand_dims(ops.cast(target, "float32")[:, None], -1) - quantiles
        level = ops.array(self.levels, dtype="float32")
        # In units of the series.
        error = error * weight[:, None, :, :, None]
        losses = ops.maximum(level * error, (level - 1) * error)
        if self.squared:
            losses = ops.where(level == 0.5, error**2 / 2, losses)
        counted = ops.mean(losses, axis=-1) if training else losses[..., self.levels.index(0.5)]
        loss = ops.mean(counted, axis=1) * observed
        self.add_loss(ops.sum(loss) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(loss, axis=(1, 2))

    def compute_output_spec(self, quantiles: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((quantiles.shape[0],), dtype="float32")


class LikelihoodLoss(keras.layers.Layer):
    """Add the mean loss over observed targets: the negative log-likelihood in training, the error in validation.

    The likelihood is invariant to units up to a constant, and weighs errors by the predicted scale, so windows are not
    weighted. Densities are in units of the series, as errors are.

    The validation loss is half the absolute error of the forecast, as with quantiles (`ForecastLoss`), so that epochs
    and models are selected by the same measure whatever the output.

    Args:
        distribution: Name of the distribution, see `tsattn.layers.DistributionHead`.

    Call arguments:
        parameters: `(batch, members, horizon, channels, parameters)`. In training each ensemble member has its own
            loss, otherwise the mean of their parameters has one.
        target: `(batch, horizon, channels)`, in the units of the parameters: scaled space, or counts.
        observed: `(batch, horizon, channels)`; targets with 0 are ignored.
        weight: `(batch, 1, channels)`, that unit divided by the scale of the series.
        training: Whether to use the likelihood.

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
            losses = -likelihood if self._family.is_discrete else ops.log(weight) - likelihood
        else:
            forecast = self._family.quantiles(ops.mean(parameters, axis=1), 0.0)
            losses = ops.abs(target - forecast) * weight / 2
        losses = ops.where(observed > 0, losses, ops.zeros_like(losses))
        self.add_loss(ops.sum(losses) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(losses, axis=(1, 2))

    def compute_output_spec(self, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((parameters.shape[0],), dtype="float32")


def training_model(graph: ForecastGraph, loss: Loss = "pinball") -> keras.Model:
    """Return the training model of a forecaster: the same weights, the target as additional input, and the loss."""
    shapes = window_inputs(graph.spec, training=True)
    target, observed, scale = shapes[TARGET], shapes[TARGET_OBSERVED], shapes[TARGET_SCALE]
    scaled = graph.scale_target(target, observed)
    series_scale = keras.ops.expand_dims(scale, 1)
    layer: keras.layers.Layer
    if graph.distribution is None:
        members, _ = graph.scaled_quantiles(scaled)
        layer = ForecastLoss(graph.spec.levels, loss == "squared", name="loss")
    else:
        members, _ = graph.parameters(scaled, scaled=not graph.distribution.is_discrete)
        layer = LikelihoodLoss(graph.distribution.name, name="loss")
    if graph.distribution is not None and graph.distribution.is_discrete:
        expected, weight = target, 1.0 / series_scale
    else:
        expected, weight = scaled, graph.window.scale / series_scale
    losses = layer(keras.ops.stack(members, axis=1), expected, observed, weight)
    inputs = {**graph.inputs, TARGET: target, TARGET_OBSERVED: observed, TARGET_SCALE: scale}
    return keras.Model(inputs, losses, name="training")
