"""Convolution over the nodes of a graph."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.initializers import fresh
from tsattn.layers.masking import Tensor, keep_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class DiffusionConvolution(keras.layers.Layer):
    """Mixes each node with those that a random walk over the edges reaches: `sum_k P^k X W_k`.

    `P` is the adjacency with rows that sum to 1, and its transpose made so for the way back; `P^0` is the node itself.
    A learned adjacency joins as one more walk. Padded nodes send nothing and get zeros, whatever they hold.

    Args:
        units: size of the output.
        steps: longest walk.
        both_ways: whether the adjacency is walked against its edges as well.
        use_bias: whether a bias is added.
        kernel_initializer: initializer of the kernels.

    Call arguments:
        inputs: `(batch, nodes, features)` or `(batch, time, nodes, features)`.
        adjacency: weights of the edges, 0 or more: `(nodes, nodes)`, a row a node that edges leave, a column one that
            they reach; or with the axes of the inputs before these two, for a graph that changes.
        adaptive: a learned adjacency of the same form, see `AdaptiveAdjacency`, walked along its edges alone. At least
            one of the two has to be given.
        mask: boolean, the shape of the inputs without features; True means keep.
        inputs_mask: the same as Keras attaches it to the inputs; not used with `mask`.

    Output shape:
        `(..., nodes, units)`.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = DiffusionConvolution(32)(states, adaptive=AdaptiveAdjacency()(states))

    References:
        Li et al. 2018, Diffusion Convolutional Recurrent Neural Network; Wu et al. 2019, Graph WaveNet.
    """

    def __init__(
        self,
        units: int,
        steps: int = 2,
        both_ways: bool = True,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        # A half-precision compute dtype has no room for weights of edges, so Keras must not cast them on the way in.
        super().__init__(**{"autocast": False, **kwargs})
        if steps < 1 or units < 1:
            raise ConfigError(f"units and steps must be 1 or more. Received: units={units}, steps={steps}")
        self.units = units
        self.steps = steps
        self.both_ways = both_ways
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> None:
        if len(inputs_shape) not in (3, 4):
            raise ConfigError(
                "the input of a diffusion convolution must have the shape (batch, nodes, features) or (batch, time, "
                f"nodes, features). Received: shape {tuple(inputs_shape)}"
            )
        walks = (1 + self.both_ways) * (adjacency_shape is not None) + (adaptive_shape is not None)
        if not walks:
            raise ConfigError("a diffusion convolution needs an adjacency, a learned one or both")
        size = (1 + walks * self.steps) * inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(size, self.units), initializer=fresh(self.kernel_initializer)
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(
        self,
        inputs: Tensor,
        adjacency: Tensor | None = None,
        adaptive: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        mask = inputs_mask if mask is None else mask
        inputs = zero_masked(ops.cast(inputs, self.compute_dtype), mask)
        keep = keep_mask(mask, inputs)
        walks = [] if adjacency is None else [adjacency]
        if adjacency is not None and self.both_ways:
            walks.append(ops.swapaxes(adjacency, -1, -2))
        if adaptive is not None:
            walks.append(adaptive)
        reached = [inputs]
        for edges in walks:
            transition, here = self._transition(edges, keep, inputs.dtype), inputs
            for _ in range(self.steps):
                here = ops.matmul(transition, here)
                reached.append(here)
        outputs = ops.matmul(ops.concatenate(reached, axis=-1), ops.cast(self.kernel, inputs.dtype))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return ops.where(keep[..., None], outputs, ops.zeros_like(outputs))

    def _transition(self, edges: Tensor, keep: Tensor, dtype: str) -> Tensor:
        """Return the shares of the edges that leave a node for one that is there; 0 where none does."""
        edges = ops.cast(edges, "float32") * ops.cast(ops.expand_dims(keep, -2), "float32")
        total = ops.sum(edges, axis=-1, keepdims=True)
        return ops.cast(edges / ops.where(total > 0, total, 1.0), dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> Any:
        return (*inputs_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "steps": self.steps,
            "both_ways": self.both_ways,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
