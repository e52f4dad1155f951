"""Positional encoding relative to the forecast origin."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import (
    check_positive,
    check_sequence,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, max_or_zero, resolve_mask, zero_masked

MAX_WAVELENGTH = 10_000.0
"""Maximum wavelength of the sinusoids, divided by 2 pi."""


@keras.saving.register_keras_serializable(package="tsattn")
class PositionalEncoding(keras.layers.Layer):
    """Adds an encoding of the position of each step, counted from the forecast origin.

    The last valid step of a history has position 0, the previous one 1, and so on: positions depend neither on the
    length of the history nor on padding. Steps after the origin have positions -1, -2, ... Outputs of masked steps are
    0, whatever their content.

    Args:
        kind: `"sinusoidal"`, sines and cosines of geometrically decreasing frequencies for any number of steps; or
            `"learned"`, a learned vector per position.
        steps: Number of learned vectors; more distant steps use the last one. Only with `"learned"`.
        ahead: Whether the steps follow the origin, such as the queries of a decoder, and are counted forwards.
        embeddings_initializer: Initializer of the learned vectors; by default normal with standard deviation 0.02.
        embeddings_regularizer: Regularizer of the learned vectors.
        embeddings_constraint: Constraint of the learned vectors.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep. Padding is on the right; a masked step before the last valid
            one is a gap and counts as a step.
        start_index: Index of the first step, for queries that are passed a few at a time; only with `ahead`.

    Output shape:
        Same shape as the input.

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
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in ("sinusoidal", "learned"):
            raise ConfigError(f"kind must be sinusoidal or learned. Received: kind={kind!r}")
        if (kind == "learned") != (steps is not None):
            raise ConfigError(f"steps is required by kind=learned, and only by it. Received: steps={steps}")
        check_positive(steps=steps)
        self.kind = kind
        self.steps = steps
        self.ahead = ahead
        set_weight_options(
            self,
            embeddings_initializer=embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02),
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a positional encoding", inputs_shape)
        if self.steps is not None:
            self.table = self.add_weight(
                name="table", shape=(self.steps, inputs_shape[-1]), **weight_options(self, "embeddings")
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None, start_index: Any = 0) -> Tensor:
        if not self.ahead and isinstance(start_index, int) and start_index:
            raise ConfigError(
                "start_index requires ahead=True: other steps are counted from the last one. "
                f"Received: start_index={start_index}"
            )
        distance = self._distance(inputs, mask)
        if self.ahead:
            distance = distance + start_index
        encoding = self._sinusoids(distance, inputs.shape[-1]) if self.steps is None else self._look_up(distance)
        return zero_masked(zero_masked(inputs, mask) + ops.cast(encoding, inputs.dtype), mask)

    def _distance(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the distance to the first step on the same side of the origin, int32 `(batch, time)`."""
        keep = resolve_mask(mask, inputs)
        step = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :]
        if self.ahead:
            return ops.where(keep, step, 0)
        last = max_or_zero(ops.where(keep, step, 0), 1, keepdims=True)
        return ops.maximum(last - step, 0)

    def _sinusoids(self, distance: Tensor, size: int) -> Tensor:
        # In float32: half precision represents integers exactly up to 2,048 only.
        position = ops.cast(-1 - distance if self.ahead else distance, "float32")
        exponents = [2 * (index // 2) / size for index in range(size)]
        frequency = ops.array([math.exp(-math.log(MAX_WAVELENGTH) * each) for each in exponents], dtype="float32")
        angle = ops.expand_dims(position, -1) * frequency
        return ops.where(ops.arange(size) % 2 == 0, ops.sin(angle), ops.cos(angle))

    def _look_up(self, distance: Tensor) -> Tensor:
        assert self.steps is not None
        return ops.take(ops.cast(self.table, self.compute_dtype), ops.minimum(distance, self.steps - 1), axis=0)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PositionalEncoding)}
