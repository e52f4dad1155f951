"""Diffusion convolution over a graph, and a learned adjacency matrix."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.graph import check_adjacency
from tsattn.layers.layer_utils import check_positive, constructor_config, set_weight_options, weight_options
from tsattn.layers.ops import Tensor, resolve_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class DiffusionConvolution(keras.layers.Layer):
    """Diffusion convolution: combines the states of the nodes that random walks reach, `sum_k P^k X W_k`.

    `P` is the row-normalized adjacency and, for walks against the edges, its row-normalized transpose; `P^0` is the
    node itself. A learned adjacency adds one more walk. Masked nodes are ignored, whatever their content, and their
    outputs are 0.

    The first walk follows the edges: a node takes the mean of the states of the nodes that its edges lead to. The
    `DConv` of PyTorch Geometric Temporal sends states along the edges instead, `P^T X`, in Chebyshev polynomials; with
    transposed edges it has the neighbors of this layer, but other weights.

    Args:
        units: Size of the output.
        steps: Maximum number of steps of a walk.
        both_ways: Whether to walk against the edges of the adjacency as well.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.

    Call arguments:
        inputs: `(batch, nodes, features)` or `(batch, time, nodes, features)`.
        adjacency: Edge weights of 0 or more, `(nodes, nodes)`, from the node of the row to the node of the column.
            With the leading axes of the inputs if the graph changes.
        adaptive: A learned adjacency of the same shape, see `AdaptiveAdjacency`, walked along its edges only. At least
            one of the two is required.
        mask: Boolean, the shape of the inputs without features; True means keep.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.

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
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        # Edge weights can overflow or underflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        check_positive(units=units, steps=steps)
        self.units = units
        self.steps = steps
        self.both_ways = both_ways
        self.use_bias = use_bias
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.supports_masking = True

    def build(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> None:
        if len(inputs_shape) not in (3, 4):
            raise ConfigError(
                "the input of a diffusion convolution must have the shape (batch, nodes, features) or (batch, time, "
                f"nodes, features). Received: shape {tuple(inputs_shape)}"
            )
        check_adjacency("adjacency", adjacency_shape, inputs_shape)
        check_adjacency("adaptive", adaptive_shape, inputs_shape)
        walks = (1 + self.both_ways) * (adjacency_shape is not None) + (adaptive_shape is not None)
        if not walks:
            raise ConfigError("a diffusion convolution requires an adjacency, a learned one or both")
        size = (1 + walks * self.steps) * inputs_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(size, self.units), **weight_options(self, "kernel"))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), **weight_options(self, "bias"))

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
        keep = resolve_mask(mask, inputs)
        walks = [] if adjacency is None else [adjacency]
        if adjacency is not None and self.both_ways:
            walks.append(ops.swapaxes(adjacency, -1, -2))
        if adaptive is not None:
            walks.append(adaptive)
        states = [inputs]
        for edges in walks:
            transition, state = self._transition(edges, keep, inputs.dtype), inputs
            for _ in range(self.steps):
                state = ops.matmul(transition, state)
                states.append(state)
        outputs = ops.matmul(ops.concatenate(states, axis=-1), ops.cast(self.kernel, inputs.dtype))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return ops.where(keep[..., None], outputs, ops.zeros_like(outputs))

    def _transition(self, edges: Tensor, keep: Tensor, dtype: str) -> Tensor:
        """Return the transition probabilities between valid nodes; 0 for a node without edges."""
        edges = ops.cast(edges, "float32") * ops.cast(ops.expand_dims(keep, -2), "float32")
        total = ops.sum(edges, axis=-1, keepdims=True)
        return ops.cast(edges / ops.where(total > 0, total, 1.0), dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> Any:
        return (*inputs_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, DiffusionConvolution)}


@keras.saving.register_keras_serializable(package="tsattn")
class AdaptiveAdjacency(keras.layers.Layer):
    """Learned adjacency matrix, `softmax(relu(E_1 E_2^T))`, whose rows sum to 1.

    Every node has two learned embeddings, one as source and one as target of edges. The matrix does not depend on the
    content of the input, nor on its mask.

    Args:
        units: Size of the embeddings.
        embeddings_initializer: Initializer of the embeddings.
        embeddings_regularizer: Regularizer of the embeddings.
        embeddings_constraint: Constraint of the embeddings.

    Call arguments:
        inputs: `(..., nodes, features)`. Only the number of nodes is used, which must be static.

    Output shape:
        `(nodes, nodes)`, from the node of the row to the node of the column.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = GraphAttention(8)(states, adjacency=AdaptiveAdjacency()(states))

    Reference:
        Wu et al. 2019, Graph WaveNet for Deep Spatial-Temporal Graph Modeling.
    """

    def __init__(
        self,
        units: int = 10,
        embeddings_initializer: Any = "random_normal",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(units=units)
        self.units = units
        set_weight_options(
            self,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )

    def build(self, inputs_shape: Any) -> None:
        if len(inputs_shape) < 3 or inputs_shape[-2] is None:
            raise ConfigError(
                "the input of an adaptive adjacency must have the shape (..., nodes, features) with a known number of "
                f"nodes. Received: shape {tuple(inputs_shape)}"
            )
        shape = (inputs_shape[-2], self.units)
        self.leaving = self._embeddings("leaving", shape)
        self.reached = self._embeddings("reached", shape)

    def _embeddings(self, name: str, shape: tuple[int, int]) -> Any:
        return self.add_weight(name=name, shape=shape, **weight_options(self, "embeddings"))

    def call(self, inputs: Tensor) -> Tensor:
        # As `masked_softmax`, in float32.
        leaving, reached = (ops.cast(part, "float32") for part in (self.leaving, self.reached))
        scores = ops.relu(ops.matmul(leaving, ops.transpose(reached)))
        return ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[-2], inputs_shape[-2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, AdaptiveAdjacency)}
