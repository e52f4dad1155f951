"""A network of one layer, which is exported and loaded several times faster than those of tsattn."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.timeseries.windows import (
    ATTENTION,
    FUTURE_COVARIATES,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    QUERY_STEPS,
    WindowSpec,
)


class SmallNetwork(keras.layers.Layer):
    """Attention over the steps of a window, with one query; every input has an effect on the forecast."""

    def __init__(self, spec: WindowSpec) -> None:
        super().__init__()
        self.spec = spec
        self.slope = self.add_weight(shape=(spec.context,), name="slope")
        self.trend = self.add_weight(shape=(spec.horizon,), name="trend")

    def call(self, window: dict[str, Any]) -> dict[str, Any]:
        spec, past, observed = self.spec, window[PAST], window[OBSERVED]
        length = window[LENGTH][:, None]
        steps = ops.arange(spec.context)[None, :]
        # Keys are counted back from the forecast origin, at the end of the window.
        valid = ops.logical_and(steps < length, ops.max(observed, axis=-1) > 0)
        keys = ops.take(self.slope, ops.clip(length - 1 - steps, 0, spec.context - 1))
        scores = ops.where(valid, ops.exp(keys), 0.0)
        weights = scores / ops.maximum(ops.sum(scores, axis=1, keepdims=True), 1e-6)
        level = ops.sum(weights[:, :, None] * past, axis=1)[:, None, :]
        forecast = level * (1.0 + self.trend[None, :, None] / 10.0) + self._effect(window)
        spread = ops.reshape(ops.array(spec.levels, "float32") - 0.5, (1, 1, 1, -1))
        known = ops.broadcast_to(steps < length, ops.shape(weights))[:, :, None]
        return {
            QUANTILES: forecast[..., None] + spread * (1.0 + ops.abs(forecast[..., None])),
            ATTENTION: weights[:, None, None, None, :],
            KEY_STEPS: ops.where(known, ops.stack([steps, steps], axis=-1), -1),
            QUERY_STEPS: ops.tile(ops.array([[[0, spec.horizon - 1]]], "int32"), (ops.shape(past)[0], 1, 1)),
        }

    def _effect(self, window: dict[str, Any]) -> Any:
        """Return the effect of the covariates, [batch, horizon or 1, 1]."""
        effect = ops.zeros((1, 1, 1))
        if PAST_COVARIATES in window:
            effect += ops.mean(_known(window[PAST_COVARIATES]), axis=(1, 2))[:, None, None]
        if FUTURE_COVARIATES in window:
            effect += ops.sum(_known(window[FUTURE_COVARIATES]), axis=2, keepdims=True)
        for part in self.spec.static:
            effect += ops.cast(_known(window[part.input]), "float32")[:, None, None]
        return effect


def _known(values: Any) -> Any:
    """Return values with 0 for NaN."""
    return ops.where(ops.equal(values, values), values, ops.zeros_like(values))


def build_small_network(spec: WindowSpec) -> keras.Model:
    """Return the network of a window."""
    inputs = {name: keras.Input(shape, dtype=spec.dtype(name), name=name) for name, shape in spec.shapes().items()}
    return keras.Model(inputs, SmallNetwork(spec)(inputs))
