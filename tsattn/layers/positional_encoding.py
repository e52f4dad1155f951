"""Where a step stands, counted from the forecast origin."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, check_sequence, keep_mask, zero_masked

LONGEST_WAVE = 10_000.0
"""The slowest wave turns once in this many steps, times 2 pi."""


@keras.saving.register_keras_serializable(package="tsattn")
class PositionalEncoding(keras.layers.Layer):
    """Adds to each step a vector that tells where it stands, counted from the forecast origin.

    The last valid step of a history stands at 0, the one before it at 1, and so on: the same step has the same
    position in a short history as in a long one, and padding changes nothing. What is ahead of the origin stands at -1,
    -2, ... Masked steps give zeros, whatever they hold.

    Args:
        kind: `"sinusoidal"`, sines and cosines of geometrically falling frequencies, for any number of steps; or
            `"learned"`, a vector a position.
        steps: number of learned vectors; steps further from the origin share the last one. Only with `"learned"`.
        ahead: whether the steps follow the origin, as the queries of a decoder do, and are counted forwards.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: boolean `(batch, time)`; True means keep. Padding stands on the right; a masked step before the last kept
            one is a gap, which counts as a step.

    Output shape:
        That of the inputs.

    Example:
        >>> tokens = PositionalEncoding()(tokens, mask=mask)
        >>> queries = PositionalEncoding("learned", steps=24, ahead=True)(queries)

    Reference:
        Vaswani et al. 2017, Attention Is All You Need.
    """

    def __init__(
        self,
        kind: Literal["sinusoidal", "learned"] = "sinusoidal",
        steps: int | None = None,
        ahead: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in ("sinusoidal", "learned"):
            raise ConfigError(f"kind must be sinusoidal or learned. Received: kind={kind!r}")
        if (kind == "learned") != (steps is not None):
            raise ConfigError(f"steps must be given for learned vectors, and only for them. Received: steps={steps}")
        if steps is not None and steps < 1:
            raise ConfigError(f"steps must be 1 or more. Received: steps={steps}")
        self.kind = kind
        self.steps = steps
        self.ahead = ahead
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a positional encoding", inputs_shape)
        if self.steps is not None:
            self.table = self.add_weight(
                name="table",
                shape=(self.steps, inputs_shape[-1]),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        distance = self._distance(inputs, mask)
        encoding = self._waves(distance, inputs.shape[-1]) if self.steps is None else self._learned(distance)
        return zero_masked(zero_masked(inputs, mask) + ops.cast(encoding, inputs.dtype), mask)

    def _distance(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Steps between each step and that on its side of the origin: int32 `(batch, time)`."""
        keep = keep_mask(mask, inputs)
        step = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :]
        if self.ahead:
            return ops.where(keep, step, 0)
        last = ops.max(ops.where(keep, step, 0), axis=1, keepdims=True)
        return ops.maximum(last - step, 0)

    def _waves(self, distance: Tensor, size: int) -> Tensor:
        # In float32: half precision has no exact numbers beyond 2,048 steps.
        position = ops.cast(-1 - distance if self.ahead else distance, "float32")
        pair = [2 * (number // 2) / size for number in range(size)]
        rate = ops.array([math.exp(-math.log(LONGEST_WAVE) * each) for each in pair], dtype="float32")
        angle = ops.expand_dims(position, -1) * rate
        return ops.where(ops.arange(size) % 2 == 0, ops.sin(angle), ops.cos(angle))

    def _learned(self, distance: Tensor) -> Tensor:
        assert self.steps is not None
        return ops.take(ops.cast(self.table, self.compute_dtype), ops.minimum(distance, self.steps - 1), axis=0)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind, "steps": self.steps, "ahead": self.ahead}
