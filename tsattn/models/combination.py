"""Forecasts without training as a model, by itself and combined with a network.

The zero-shot forecast is that of the pretrained network and exponential smoothings. Attention with weights by step
combines it with the forecast of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tsattn.layers import CalibratedQuantiles, ForecastCombination, ZeroShotForecast
from tsattn.layers.layer_utils import constructor_config
from tsattn.layers.ops import Tensor, batched_take
from tsattn.models.components import SegmentMask
from tsattn.models.forecast_model import CALIBRATION_LAYER, window_inputs
from tsattn.models.options import CombinationOptions
from tsattn.pretrained.zero_shot import zero_shot_window
from tsattn.timeseries.windows import (
    ATTENTION,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    QUERY_STEPS,
    WEIGHTS,
    WindowSpec,
)

COMBINATION_LAYER = "combination"
"""Name of the layer in a model."""

WindowFunction = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""Takes ``past``, ``observed`` and ``length`` and returns the outputs of a model."""

NETWORK_LAYER = "network"
"""Name of the network in a model."""

WEIGHTS_LAYER = "forecast_combination"
"""Name of the layer with the weights in a model."""


def combination(options: CombinationOptions, spec: WindowSpec) -> WindowFunction:
    """Return the function to quantiles and weights of the pretrained network and exponential smoothings."""
    seasons = options.seasons(spec.season)
    layer = ZeroShotForecast(spec.horizon, seasons, spec.levels, spec.context, name=COMBINATION_LAYER)

    def forecast(past: Tensor, observed: Tensor, length: Tensor) -> dict[str, Tensor]:
        # In a layer: tf2onnx takes a constant outside of one for an input of the graph.
        mask = SegmentMask(spec.context, 1)(length)
        quantiles, weights = layer(past, observed, mask=mask, return_weights=True)
        # The same weights at each step.
        by_step = ops.repeat(ops.expand_dims(weights, 1), spec.horizon, axis=1)
        return {QUANTILES: quantiles, WEIGHTS: by_step}

    return forecast


def combined_window(spec: WindowSpec, seasons: Sequence[int]) -> WindowSpec:
    """Return the window of a network, extended to what the zero-shot forecast reads."""
    return replace(spec, context=max(spec.context, zero_shot_window(spec.horizon, seasons)))


def combine_with_zero_shot(
    network: keras.Model,
    spec: WindowSpec,
    seasons: Sequence[int],
    weights: npt.ArrayLike,
    fine_tuned: ZeroShotForecast | None = None,
) -> keras.Model:
    """Return the model that combines a network with the zero-shot forecast.

    It has the outputs of the network, and the weights of the network and of each method of the zero-shot forecast.

    Args:
        network: An inference model; its layers remain those of the network.
        spec: The window of the network.
        seasons: Season lengths of the zero-shot forecast, at most two.
        weights: Weight of the network at each step, `(horizon,)`, between 0 and 1.
        fine_tuned: Zero-shot forecast with the weights to use; those of the package if None.
    """
    window = combined_window(spec, seasons)
    inputs = window_inputs(window)
    past, observed, length = inputs[PAST], inputs[OBSERVED], inputs[LENGTH]
    cropped = [inputs[name] for name in (PAST, OBSERVED, PAST_COVARIATES) if name in inputs]
    *parts, own_length, first = LastSteps(spec.context, name="last_steps")(cropped, length)
    own = dict(zip((PAST, OBSERVED, PAST_COVARIATES), parts, strict=False)) | {LENGTH: own_length}
    network = keras.Model(network.input, network.output, name=NETWORK_LAYER)
    outputs = dict(network({**inputs, **own}))
    layer = ZeroShotForecast(spec.horizon, seasons, spec.levels, window.context, name=COMBINATION_LAYER)
    zero_shot, kinds = layer(past, observed, mask=SegmentMask(window.context, 1)(length), return_weights=True)
    if fine_tuned is not None:
        layer.set_weights(fine_tuned.get_weights())
    combination = ForecastCombination(name=WEIGHTS_LAYER)
    quantiles, by_step = combination([outputs[QUANTILES], zero_shot], return_weights=True)
    own_weights = np.asarray(weights, dtype="float32")
    combination.fit(np.stack([own_weights, 1 - own_weights], axis=-1))
    result = {
        QUANTILES: CalibratedQuantiles(spec.median, spec.support, name=CALIBRATION_LAYER)(quantiles),
        WEIGHTS: MethodWeights(name="method_weights")(by_step, kinds),
    }
    if ATTENTION in outputs:
        result |= {
            ATTENTION: outputs[ATTENTION],
            KEY_STEPS: ShiftSteps(name="key_steps_of_window")(outputs[KEY_STEPS], first),
            QUERY_STEPS: outputs[QUERY_STEPS],
        }
    return keras.Model(inputs, result, name="forecaster")


def get_network(model: keras.Model) -> keras.Model:
    """Return the network of a model: the part of a combination, or the model itself."""
    return next((layer for layer in model.layers if layer.name == NETWORK_LAYER), model)


def get_methods(model: keras.Model, name: str) -> tuple[str, ...]:
    """Return the methods in the order of the weights of a model; ``name`` is that of its network, if it has one."""
    kinds: tuple[str, ...] = model.get_layer(COMBINATION_LAYER).kinds
    return kinds if get_network(model) is model else (name, *kinds)


@keras.saving.register_keras_serializable(package="tsattn")
class LastSteps(keras.layers.Layer):
    """Crops right-padded windows to their last valid steps.

    Args:
        steps: Number of steps of the cropped window, at most those of the inputs.

    Call arguments:
        values: List of tensors `(batch, time, features)`.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        A list: each of the values, `(batch, steps, features)`; the lengths and the first steps in the inputs, int32
        `(batch,)`.
    """

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.steps = steps

    def call(self, values: Sequence[Tensor], length: Tensor) -> list[Tensor]:
        length = ops.cast(length, "int32")
        first = ops.maximum(length - self.steps, 0)
        index = first[:, None] + ops.arange(self.steps, dtype="int32")[None, :]
        return [*(batched_take(part, index) for part in values), length - first, first]

    def compute_output_spec(self, values: Sequence[Any], length: Any) -> list[Any]:
        return [
            *(keras.KerasTensor((part.shape[0], self.steps, part.shape[2]), part.dtype) for part in values),
            keras.KerasTensor(length.shape, "int32"),
            keras.KerasTensor(length.shape, "int32"),
        ]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, LastSteps)}


@keras.saving.register_keras_serializable(package="tsattn")
class ShiftSteps(keras.layers.Layer):
    """Adds the first step of each window to the steps of its keys, `(batch, keys, 2)`; -1 remains -1."""

    def call(self, steps: Tensor, first: Tensor) -> Tensor:
        return ops.where(steps >= 0, steps + first[:, None, None], steps)

    def compute_output_spec(self, steps: Any, first: Any) -> Any:
        return keras.KerasTensor(steps.shape, steps.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class MethodWeights(keras.layers.Layer):
    """Weights of a network and of each method of the zero-shot forecast, `(batch, horizon, channels, 1 + kinds)`.

    Call arguments:
        by_step: `(horizon, 2)`, the weights of the network and of the zero-shot forecast.
        kinds: `(batch, channels, kinds)`, the weights of the methods within the zero-shot forecast.
    """

    def call(self, by_step: Tensor, kinds: Tensor) -> Tensor:
        others = kinds[:, None] * by_step[None, :, 1, None, None]
        own = ops.zeros_like(others[..., :1]) + by_step[None, :, 0, None, None]
        return ops.concatenate([own, others], axis=-1)

    def compute_output_spec(self, by_step: Any, kinds: Any) -> Any:
        shape = (kinds.shape[0], by_step.shape[0], kinds.shape[1], kinds.shape[2] + 1)
        return keras.KerasTensor(shape, "float32")
