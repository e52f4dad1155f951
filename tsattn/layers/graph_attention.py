"""Attention between the nodes of a graph."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.initializers import fresh
from tsattn.layers.masking import Tensor, in_float32, keep_mask, masked_softmax, zero_masked

SLOPE = 0.2
"""Of the leaky rectifier, below 0."""


@keras.saving.register_keras_serializable(package="tsattn")
class GraphAttention(keras.layers.Layer):
    """Each node of a graph takes the mean of its neighbours, weighted by attention that depends on both (GATv2).

    Node `j` scores node `i`, from which an edge leads to it, by `a^T LeakyReLU(W_q x_j + W_k x_i)`, and takes the mean
    of `W_k x_i`. Unlike in the first graph attention, which of two neighbours counts more may differ from node to node.
    The weight of an edge multiplies the exponential of its score: edges of one weight count by their score alone, and a
    learned adjacency is trained with the layer. Several heads each have scores and weights of their own.

    Masked nodes send nothing and get zeros, whatever they hold. So does a node without neighbours.

    Args:
        units: size of a head.
        heads: number of heads.
        concat: whether the heads stand side by side; their mean is taken else.
        self_loops: whether each node is a neighbour of itself, with a weight of 1, where the adjacency does not say so.
        dropout: share of the weights that are dropped in training.
        use_bias: whether a bias is added.
        kernel_initializer: initializer of the projections.

    Call arguments:
        inputs: `(batch, nodes, features)` or `(batch, time, nodes, features)`.
        adjacency: weights of the edges, 0 or more, 0 where there is none: `(nodes, nodes)`, a row a node that edges
            leave, a column one that they reach, as `tsattn.data.read_adjacency` gives it; or with the axes of the
            inputs before these two, for a graph that changes from step to step. None: all lead to all.
        mask: boolean, the shape of the inputs without features; True means keep.
        inputs_mask: the same as Keras attaches it to the inputs; not used with `mask`.
        return_attention_scores: whether to return the weights as well.

    Output shape:
        `(..., nodes, heads * units)`, or `(..., nodes, units)` without `concat`; with `return_attention_scores` also
        the weights `(..., heads, nodes, nodes)`: a row a node that takes, a column one that gives.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = GraphAttention(8, heads=2)(states, adjacency=roads)

    References:
        Brody et al. 2022, How Attentive are Graph Attention Networks?; Velickovic et al. 2018, Graph Attention
        Networks.
    """

    def __init__(
        self,
        units: int,
        heads: int = 1,
        concat: bool = True,
        self_loops: bool = True,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        # A half-precision compute dtype has no room for weights of edges, so Keras must not cast them on the way in.
        super().__init__(**{"autocast": False, **kwargs})
        if heads < 1 or units < 1:
            raise ConfigError(f"units and heads must be 1 or more. Received: units={units}, heads={heads}")
        self.units = units
        self.heads = heads
        self.concat = concat
        self.self_loops = self_loops
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        self._drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, inputs_shape: Any, adjacency_shape: Any = None) -> None:
        if len(inputs_shape) not in (3, 4):
            raise ConfigError(
                "the input of a graph attention must have the shape (batch, nodes, features) or (batch, time, nodes, "
                f"features). Received: shape {tuple(inputs_shape)}"
            )
        shape = (inputs_shape[-1], self.heads * self.units)
        self.query_kernel = self._kernel("query_kernel", shape)
        self.key_kernel = self._kernel("key_kernel", shape)
        self.score = self._kernel("score", (self.heads, self.units))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self._width(),), initializer="zeros")

    def _kernel(self, name: str, shape: tuple[int, int]) -> Any:
        return self.add_weight(name=name, shape=shape, initializer=fresh(self.kernel_initializer))

    def _width(self) -> int:
        return self.heads * self.units if self.concat else self.units

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
        keep = keep_mask(mask, inputs)
        query = self._heads(ops.matmul(inputs, ops.cast(self.query_kernel, inputs.dtype)))
        key = self._heads(ops.matmul(inputs, ops.cast(self.key_kernel, inputs.dtype)))
        scores = self._scores(query, key)
        edges = self._edges(adjacency, inputs)
        linked = ops.logical_and(edges > 0, ops.logical_and(keep[..., None], ops.expand_dims(keep, -2)))
        prior = ops.log(ops.where(linked, edges, 1.0))
        # In float32: a tiny weight has no logarithm in half of it.
        scores = in_float32(scores) + ops.expand_dims(prior, -3)
        weights = masked_softmax(scores, ops.expand_dims(linked, -3), self.compute_dtype)
        taken = ops.matmul(self._drop(weights, training=training), key)
        outputs = self._joined(taken)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        outputs = ops.where(ops.any(linked, -1)[..., None], outputs, ops.zeros_like(outputs))
        return (outputs, weights) if return_attention_scores else outputs

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        """`a^T LeakyReLU(q + k)` of all pairs, `(..., heads, takes, gives)`."""
        # The units stand before the pairs, so that a matrix product sums them: three times as fast in TensorFlow as
        # with them last (140 ms against 470 ms for 8 x 4 heads x 207 nodes x 32 units, gradient included).
        query, key = ops.swapaxes(query, -1, -2), ops.swapaxes(key, -1, -2)
        hidden = ops.leaky_relu(ops.expand_dims(query, -1) + ops.expand_dims(key, -2), SLOPE)
        shape = ops.shape(hidden)
        pairs = ops.reshape(hidden, (*shape[:-2], shape[-2] * shape[-1]))
        scores = ops.matmul(ops.cast(self.score, hidden.dtype)[:, None, :], pairs)
        return ops.reshape(scores, (*shape[:-3], *shape[-2:]))

    def _heads(self, values: Tensor) -> Tensor:
        """`(..., nodes, heads * units)` as `(..., heads, nodes, units)`."""
        split = ops.reshape(values, (*ops.shape(values)[:-1], self.heads, self.units))
        return ops.swapaxes(split, -2, -3)

    def _joined(self, values: Tensor) -> Tensor:
        """Undo `_heads`, or return the mean of the heads."""
        if not self.concat:
            return ops.mean(values, axis=-3)
        values = ops.swapaxes(values, -2, -3)
        return ops.reshape(values, (*ops.shape(values)[:-2], self.heads * self.units))

    def _edges(self, adjacency: Tensor | None, inputs: Tensor) -> Tensor:
        """Return the weights of edges in float32, `(..., takes, gives)`; they broadcast to the inputs."""
        nodes = ops.shape(inputs)[-2]
        if adjacency is None:
            return ops.ones((nodes, nodes), "float32")
        edges = ops.swapaxes(ops.cast(adjacency, "float32"), -1, -2)
        if not self.self_loops:
            return edges
        # No `eye`, for which OpenVINO has no rule.
        own = ops.arange(nodes)[:, None] == ops.arange(nodes)[None, :]
        return ops.where(ops.logical_and(own, edges <= 0), ops.ones_like(edges), edges)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, adjacency_shape: Any = None) -> Any:
        return (*inputs_shape[:-1], self._width())

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
        shape = (*inputs.shape[:-2], self.heads, nodes, nodes)
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "heads": self.heads,
            "concat": self.concat,
            "self_loops": self.self_loops,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
