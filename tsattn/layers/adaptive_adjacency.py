"""A graph between nodes that is learned."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.initializers import fresh
from tsattn.layers.masking import Tensor


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
