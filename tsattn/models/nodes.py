"""Small layers between rows of channels and the nodes of a graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.layers.masking import Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldNodes(keras.layers.Layer):
    """Rows to the nodes of each window: `(batch * nodes, features)` to `(batch, nodes, features)`."""

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, self.nodes, inputs.shape[1]))

    # Told, here and below, because JAX cannot infer shapes that fold an unknown batch.
    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, self.nodes, inputs.shape[1]), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nodes": self.nodes}


@keras.saving.register_keras_serializable(package="tsattn")
class FoldNodes(keras.layers.Layer):
    """Undoes `UnfoldNodes`: `(batch, nodes, features)` to `(batch * nodes, features)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, inputs.shape[2]))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, inputs.shape[2]), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class ObservedNodes(keras.layers.Layer):
    """Which nodes have an observed value: `(batch * nodes, context, 1)`, 0 or 1, to boolean `(batch, nodes)`."""

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def call(self, observed: Tensor) -> Tensor:
        return ops.reshape(ops.any(observed > 0, axis=(1, 2)), (-1, self.nodes))

    def compute_output_spec(self, observed: Any) -> Any:
        return keras.KerasTensor((None, self.nodes), dtype="bool")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nodes": self.nodes}


@keras.saving.register_keras_serializable(package="tsattn")
class GivenAdjacency(keras.layers.Layer):
    """A graph that is given, as a weight that is not trained, so that it is saved and exported with the others.

    There are no edges before `fit`.

    Args:
        nodes: number of nodes.

    Call arguments:
        inputs: any tensor; nothing is taken from it.

    Output shape:
        `(nodes, nodes)`, float32: a row a node that edges leave, a column one that they reach.
    """

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def build(self, inputs_shape: Any) -> None:
        # In float32 under every policy, as graph layers take it.
        self.adjacency = self.add_weight(
            name="adjacency", shape=(self.nodes, self.nodes), initializer="zeros", trainable=False, autocast=False
        )

    def fit(self, adjacency: npt.ArrayLike) -> None:
        """Take the weights of the edges, `(nodes, nodes)`; as `tsattn.data.read_adjacency` gives them."""
        if not self.built:
            self.build((None, self.nodes, 1))
        self.adjacency.assign(adjacency)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.convert_to_tensor(self.adjacency)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((self.nodes, self.nodes), dtype="float32")

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nodes": self.nodes}
