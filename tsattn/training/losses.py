"""What training minimises: the loss over the observed targets, each series by its own scale."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.config import Loss
from tsattn.layers.distribution_layers import get_distribution
from tsattn.layers.masking import Tensor
from tsattn.models.forecast_model import ForecastGraph, window_inputs
from tsattn.timeseries.window_spec import TARGET, TARGET_OBSERVED, TARGET_SCALE


class ForecastLoss(keras.layers.Layer):
    """Adds the mean loss over observed targets to the losses: of all levels in training, else of the forecast.

    The loss of a level is the pinball loss. The forecast, level 0.5, may have half the squared error instead, and is
    the mean then, where it is the median else.

    A validation loss is that of the forecast alone. The tails go on to improve long after it is at its best, and would
    stop a training too late.

    Errors are divided by one scale a series, not by that of each window: within a series, what is missed in a calm
    week must not count more than the same in a lively one, as no metric counts it so.

    Args:
        levels: quantile levels.
        squared: whether the forecast has the squared error.

    Call arguments:
        quantiles: `(batch, members, horizon, channels, levels)` in scaled space. In training each member of an
            ensemble is held to the target by itself, else their mean is.
        target: `(batch, horizon, channels)` in scaled space.
        observed: the same shape; what is 0 does not count.
        weight: `(batch, 1, channels)`, the window's scale over that of its series.
        training: whether all levels count.

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


def training_model(graph: ForecastGraph, loss: Loss = "pinball") -> keras.Model:
    """Return the training twin of a graph: it shares the weights, takes the target too and adds the loss."""
    shapes = window_inputs(graph.spec, training=True)
    target, observed, scale = shapes[TARGET], shapes[TARGET_OBSERVED], shapes[TARGET_SCALE]
    scaled = graph.scale_target(target, observed)
    of_series = keras.ops.expand_dims(scale, 1)
    added: keras.layers.Layer
    if graph.distribution is None:
        members, _ = graph.scaled_quantiles(scaled)
        added = ForecastLoss(graph.spec.levels, loss == "squared", name="loss")
    else:
        members, _ = graph.parameters(scaled, scaled=not graph.distribution.counts)
        added = LikelihoodLoss(graph.distribution.name, name="loss")
    counts = graph.distribution is not None and graph.distribution.counts
    held, weight = (target, 1.0 / of_series) if counts else (scaled, graph.window.scale / of_series)
    by_window = added(keras.ops.stack(members, axis=1), held, observed, weight)
    inputs = {**graph.inputs, TARGET: target, TARGET_OBSERVED: observed, TARGET_SCALE: scale}
    return keras.Model(inputs, by_window, name="training")


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
