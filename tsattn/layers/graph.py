"""Attention between the nodes of a graph."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_same,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, masked_softmax, resolve_mask, to_float32, zero_masked

NEGATIVE_SLOPE = 0.2
"""Slope of the leaky ReLU below 0."""


def check_adjacency(name: str, shape: Any, inputs_shape: Any) -> None:
    """Raise a `ConfigError` unless an adjacency is square, with as many nodes as the input and its leading axes."""
    if shape is None:
        return
    if len(shape) not in (2, len(inputs_shape)):
        raise ConfigError(
            f"{name} must have the shape (nodes, nodes), or the leading axes of the input before it. "
            f"Received: shape {tuple(shape)}"
        )
    check_same("nodes", inputs=inputs_shape[-2], **{f"rows of {name}": shape[-2], f"columns of {name}": shape[-1]})


@keras.saving.register_keras_serializable(package="tsattn")
class GraphAttention(keras.layers.Layer):
    """Graph attention whose weights depend on both nodes of an edge (GATv2).

    Node `j` scores each node `i` with an edge from `i` to `j` by `a^T LeakyReLU(W_q x_j + W_k x_i)`. Its output is the
    weighted mean of `W_k x_i` over these neighbors. Unlike in the original graph attention, the ranking of two
    neighbors may differ between nodes. The weight of an edge multiplies the exponential of its score, so equal edge
    weights have no effect and a learned adjacency gets a gradient. Each head has its own scores and weights.

    Masked nodes are ignored, whatever their content, and their outputs are 0, as is that of a node without neighbors.

    Args:
        units: Size of the output per head.
        num_heads: Number of attention heads.
        concat: Whether to concatenate the heads; if False, they are averaged.
        self_loops: Whether each node is its own neighbor, with an edge weight of 1 unless the adjacency has one.
        dropout: Dropout rate of the attention weights.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the projections and of the vectors `a`.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the projections and of the vectors `a`.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the projections and of the vectors `a`.
        bias_constraint: Constraint of the biases.
        seed: Seed of the dropout.

    Call arguments:
        inputs: `(batch, nodes, features)` or `(batch, time, nodes, features)`.
        adjacency: Edge weights of 0 or more, `(nodes, nodes)`, from the node of the row to the node of the column, as
            returned by `tsattn.data.read_adjacency`; 0 means no edge. With the leading axes of the inputs if the graph
            changes. Defaults to a complete graph.
        mask: Boolean, the shape of the inputs without features; True means keep.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.
        return_attention_scores: Whether to return the attention weights as well.

    Output shape:
        `(..., nodes, num_heads * units)`, or `(..., nodes, units)` without `concat`. With `return_attention_scores`,
        also the weights `(..., num_heads, nodes, nodes)`: the row is the attending node, the column its neighbor.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = GraphAttention(8, num_heads=2)(states, adjacency=roads)

    References:
        Brody et al. 2022, How Attentive are Graph Attention Networks?; Velickovic et al. 2018, Graph Attention
        Networks.
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 1,
        concat: bool = True,
        self_loops: bool = True,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Edge weights can overflow or underflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        check_positive(units=units, num_heads=num_heads)
        check_rate(dropout=dropout)
        self.units = units
        self.num_heads = num_heads
        self.concat = concat
        self.self_loops = self_loops
        self.dropout = dropout
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
        self.seed = seed
        self.supports_masking = True
        self._drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="dropout")

    def build(self, inputs_shape: Any, adjacency_shape: Any = None) -> None:
        if len(inputs_shape) not in (3, 4):
            raise ConfigError(
                "the input of a graph attention must have the shape (batch, nodes, features) or (batch, time, nodes, "
                f"features). Received: shape {tuple(inputs_shape)}"
            )
        check_adjacency("adjacency", adjacency_shape, inputs_shape)
        shape = (inputs_shape[-1], self.num_heads * self.units)
        self.query_kernel = self._kernel("query_kernel", shape)
        self.key_kernel = self._kernel("key_kernel", shape)
        self.score = self._kernel("score", (self.num_heads, self.units))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self._output_size(),), **weight_options(self, "bias"))

    def _kernel(self, name: str, shape: tuple[int, int]) -> Any:
        return self.add_weight(name=name, shape=shape, **weight_options(self, "kernel"))

    def _output_size(self) -> int:
        return self.num_heads * self.units if self.concat else self.units

    def call(
        self,
        inputs: Tensor,
        adjacency: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        inputs_mask: Tensor | None = None,
    ) -> Any:
        mask = inputs_mask if mask is None else mask
        inputs = zero_masked(ops.cast(inputs, self.compute_dtype), mask)
        keep = resolve_mask(mask, inputs)
        query, key = (self._project(inputs, kernel) for kernel in (self.query_kernel, self.key_kernel))
        scores = self._scores(query, key)
        edges = self._edge_weights(adjacency, inputs)
        # LiteRT supports neither `[..., None]` nor a reshape to the shape of a product, if the number of nodes is free.
        pairs = ops.logical_and(ops.expand_dims(keep, -1), ops.expand_dims(keep, -2))
        has_edge = ops.logical_and(edges > 0, pairs)
        log_edges = ops.log(ops.where(has_edge, edges, 1.0))
        # In float32: small edge weights underflow in half precision.
        scores = to_float32(scores) + ops.expand_dims(log_edges, -3)
        weights = masked_softmax(scores, ops.expand_dims(has_edge, -3), self.compute_dtype)
        context = ops.matmul(self._drop(weights, training=training), key)
        outputs = self._merge_heads(context)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        outputs = ops.where(ops.any(has_edge, -1, keepdims=True), outputs, ops.zeros_like(outputs))
        return (outputs, weights) if return_attention_scores else outputs

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Return `a^T LeakyReLU(q + k)` of all pairs, `(..., heads, attending nodes, neighbors)`."""
        # The units precede the pairs, so that a matrix product sums them: three times as fast on TensorFlow.
        query, key = ops.swapaxes(query, -1, -2), ops.swapaxes(key, -1, -2)
        hidden = ops.leaky_relu(ops.expand_dims(query, -1) + ops.expand_dims(key, -2), NEGATIVE_SLOPE)
        shape = ops.shape(hidden)
        pairs = ops.reshape(hidden, (*shape[:-2], shape[-2] * shape[-1]))
        scores = ops.matmul(ops.expand_dims(ops.cast(self.score, hidden.dtype), 1), pairs)
        return ops.reshape(scores, (*shape[:-3], *shape[-2:]))

    def _project(self, inputs: Tensor, kernel: Any) -> Tensor:
        """Return the projection to all heads, `(..., heads, nodes, units)`."""
        values = ops.matmul(inputs, ops.cast(kernel, inputs.dtype))
        split = ops.reshape(values, (*ops.shape(inputs)[:-1], self.num_heads, self.units))
        return ops.swapaxes(split, -2, -3)

    def _merge_heads(self, values: Tensor) -> Tensor:
        """Concatenate or average the heads of `(..., heads, nodes, units)`."""
        if not self.concat:
            return ops.mean(values, axis=-3)
        values = ops.swapaxes(values, -2, -3)
        return ops.reshape(values, (*ops.shape(values)[:-2], self.num_heads * self.units))

    def _edge_weights(self, adjacency: Tensor | None, inputs: Tensor) -> Tensor:
        """Return the edge weights in float32, `(..., attending nodes, neighbors)`."""
        nodes = ops.shape(inputs)[-2]
        if adjacency is None:
            return ops.ones((nodes, nodes), "float32")
        edges = ops.swapaxes(ops.cast(adjacency, "float32"), -1, -2)
        if not self.self_loops:
            return edges
        # OpenVINO does not support `eye`.
        is_self = ops.expand_dims(ops.arange(nodes), 1) == ops.expand_dims(ops.arange(nodes), 0)
        return ops.where(ops.logical_and(is_self, edges <= 0), ops.ones_like(edges), edges)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, adjacency_shape: Any = None) -> Any:
        return (*inputs_shape[:-1], self._output_size())

    def compute_output_spec(
        self,
        inputs: Any,
        adjacency: Any = None,
        mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        inputs_mask: Any = None,
    ) -> Any:
        outputs = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        nodes = inputs.shape[-2]
        shape = (*inputs.shape[:-2], self.num_heads, nodes, nodes)
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, GraphAttention)}
