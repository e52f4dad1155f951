"""What training minimises: pinball loss in scaled space over the observed targets."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor
from tsattn.models.graph import ForecastGraph, window_inputs
from tsattn.window import TARGET, TARGET_OBSERVED


class PinballLoss(keras.layers.Layer):
    """Adds the mean pinball loss over levels and observed targets to the model's losses.

    Args:
        levels: quantile levels.

    Call arguments:
        quantiles: `(batch, horizon, channels, levels)` in scaled space.
        target: `(batch, horizon, channels)` in scaled space.
        observed: the same shape; what is 0 does not count.

    Output shape:
        `(batch,)`, the loss of each window, summed over its observed targets.

    Reference:
        Koenker and Bassett 1978, Regression Quantiles.
    """

    def __init__(self, levels: tuple[float, ...], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.levels = tuple(levels)

    def call(self, quantiles: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        error = ops.expand_dims(ops.cast(target, "float32"), -1) - ops.cast(quantiles, "float32")
        level = ops.array(self.levels, dtype="float32")
        loss = ops.mean(ops.maximum(level * error, (level - 1) * error), axis=-1) * observed
        self.add_loss(ops.sum(loss) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(loss, axis=(1, 2))

    def compute_output_spec(self, quantiles: Any, target: Any, observed: Any) -> Any:
        return keras.KerasTensor((quantiles.shape[0],), dtype="float32")


def training_model(graph: ForecastGraph) -> keras.Model:
    """Return the training twin of a graph: it shares the weights, takes the target too and adds the loss."""
    shapes = window_inputs(graph.spec, training=True)
    target, observed = shapes[TARGET], shapes[TARGET_OBSERVED]
    scaled = graph.scale_target(target, observed)
    quantiles, _ = graph.scaled_quantiles(scaled)
    loss = PinballLoss(graph.spec.levels, name="pinball")(quantiles, scaled, observed)
    return keras.Model({**graph.inputs, TARGET: target, TARGET_OBSERVED: observed}, loss, name="training")
