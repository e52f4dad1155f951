"""Each node's history read in time, then mixed with its neighbours' over a graph, direct multi-horizon head."""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.layers import AdaptiveAdjacency, DiffusionConvolution, GraphAttention, TemporalConvBlock
from tsattn.layers.masking import Tensor
from tsattn.models import defaults as rules
from tsattn.models.architecture import Core, Decoded, Series
from tsattn.models.components import LastObserved, LastStep
from tsattn.models.heads import DirectHead
from tsattn.models.options import GraphAttentionOptions
from tsattn.models.recurrent import Segments, rnn_layer
from tsattn.timeseries.window_spec import WindowSpec


class _Histories:
    """The history of each node as one vector `(rows, units)`, read from its segments."""

    def __init__(self, options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> None:
        patch = options.patch_length or rules.patch_length(spec.season)
        self.segments = Segments(spec.context, patch, options.width)
        self.layers: list[keras.layers.Layer]
        if options.temporal == "gru":
            self.layers = [rnn_layer("gru", options.width, portable=portable, name="encoder")]
        else:
            count = rules.covering_blocks(options.kernel_size, self.segments.count)
            self.layers = [
                TemporalConvBlock(
                    options.width, options.kernel_size, 2**number, options.block_dropout, name=f"block_{number}"
                )
                for number in range(count)
            ]
        self.last = LastStep(name="last_segment")

    def __call__(self, series: Series) -> Tensor:
        cut = self.segments(series)
        memory = cut.tokens
        for layer in self.layers:
            memory = layer(memory, mask=cut.mask)
        return self.last(memory, mask=cut.mask)


class _Mixing:
    """What nodes `(batch, nodes, units)` take from their neighbours, added to what they are."""

    def __init__(self, options: GraphAttentionOptions, graphs: tuple[str, ...], number: int) -> None:
        width = options.width
        self.diffusion: DiffusionConvolution | None = None
        self.attention: dict[str, GraphAttention] = {}
        if options.mixing == "diffusion":
            self.diffusion = DiffusionConvolution(width, name=f"diffusion_{number}")
        else:
            # Each graph has an attention of its own: in one softmax, edges of all to all would drown those given.
            units = -(-width // options.heads)
            self.attention = {
                graph: GraphAttention(units, options.heads, name=f"attention_{graph}_{number}") for graph in graphs
            }
        self.join = keras.layers.Concatenate(name=f"graphs_{number}")
        self.activation = keras.layers.Activation("relu", name=f"mixed_{number}")
        self.project = keras.layers.Dense(width, name=f"projection_{number}")
        self.dropout = keras.layers.Dropout(options.block_dropout, name=f"mixing_dropout_{number}")
        self.add = keras.layers.Add(name=f"nodes_{number}")

    def __call__(self, nodes: Tensor, adjacency: dict[str, Tensor], mask: Tensor) -> Tensor:
        if self.diffusion is not None:
            mixed = self.diffusion(
                nodes, adjacency=adjacency.get("given"), adaptive=adjacency.get("learned"), mask=mask
            )
        else:
            # The weights cost nothing where they are not read, and `attention_maps` finds them.
            taken = [
                layer(nodes, adjacency=adjacency[graph], mask=mask, return_attention_scores=True)[0]
                for graph, layer in self.attention.items()
            ]
            mixed = taken[0] if len(taken) == 1 else self.join(taken)
        return self.add([nodes, self.dropout(self.project(self.activation(mixed)))])


class _GraphAttention:
    def __init__(self, options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> None:
        nodes = len(spec.targets)
        graphs = options.graphs
        self.histories = _Histories(options, spec, portable)
        self.head = DirectHead(options, spec)
        self.last = LastObserved(name="last_observed")
        self.given = GivenAdjacency(nodes, name="given_adjacency") if "given" in graphs else None
        self.learned = AdaptiveAdjacency(name="learned_adjacency") if "learned" in graphs else None
        self.mixing = [_Mixing(options, graphs, number) for number in range(options.layers if graphs else 0)]
        self.unfold = UnfoldNodes(nodes, name="unfold_nodes")
        self.fold = FoldNodes(name="fold_nodes")
        self.observed = ObservedNodes(nodes, name="observed_nodes")
        self.join_static = keras.layers.Concatenate(name="state_and_static")
        self.state = keras.layers.Dense(options.width, name="node_state")

    def connect(self, adjacency: npt.ArrayLike) -> None:
        if self.given is not None:
            self.given.fit(adjacency)

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        read = self.histories(series)
        if self.mixing:
            read = self._mix(read, series)
        # The median is counted from the last value, which is hard to beat a few steps ahead.
        return Decoded(self.head(read, series.static), base=self.last(series.values, series.observed))

    def _mix(self, read: Tensor, series: Series) -> Tensor:
        """Return the states of the nodes with what they took from others; one without any history sends nothing."""
        known = read if series.static is None else self.join_static([read, series.static])
        nodes, mask = self.unfold(self.state(known)), self.observed(series.observed)
        adjacency: dict[str, Any] = {}
        if self.given is not None:
            adjacency["given"] = self.given(nodes)
        if self.learned is not None:
            adjacency["learned"] = self.learned(nodes)
        for layer in self.mixing:
            nodes = layer(nodes, adjacency, mask)
        return self.fold(nodes)


def graph_attention(options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the forecaster over a graph (Brody et al. 2022, GATv2; Li et al. 2018, DCRNN; Wu et al. 2019)."""
    return _GraphAttention(options, spec, portable)


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
