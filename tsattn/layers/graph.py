"""Attention between the nodes of a graph."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, fresh, in_float32, keep_mask, masked_softmax, zero_masked

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


@keras.saving.register_keras_serializable(package="tsattn")
class AdaptiveAdjacency(keras.layers.Layer):
    """Learns a graph between nodes: `softmax(relu(E_1 E_2^T))`, each row of which sums to 1.

    Every node has a learned embedding as one that edges leave and another as one that they reach.

    Args:
        units: size of the embeddings.
        embeddings_initializer: their initializer.

    Call arguments:
        inputs: `(..., nodes, features)`; only the number of nodes is taken from it, which has to be known.

    Output shape:
        `(nodes, nodes)`: a row a node that edges leave, a column one that they reach.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = GraphAttention(8)(states, adjacency=AdaptiveAdjacency()(states))

    References:
        Wu et al. 2019, Graph WaveNet for Deep Spatial-Temporal Graph Modeling.
    """

    def __init__(self, units: int = 10, embeddings_initializer: Any = "random_normal", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ConfigError(f"units must be 1 or more. Received: units={units}")
        self.units = units
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

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
        return self.add_weight(name=name, shape=shape, initializer=fresh(self.embeddings_initializer))

    def call(self, inputs: Tensor) -> Tensor:
        # In float32, as every softmax here.
        leaving, reached = (ops.cast(part, "float32") for part in (self.leaving, self.reached))
        scores = ops.relu(ops.matmul(leaving, ops.transpose(reached)))
        return ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[-2], inputs_shape[-2])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
