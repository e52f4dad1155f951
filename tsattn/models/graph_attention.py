"""Temporal encoder of each node, mixing of nodes over a graph, direct multi-horizon head."""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.layers import AdaptiveAdjacency, DiffusionConvolution, GraphAttention, TemporalConvBlock
from tsattn.layers.ops import Tensor
from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs
from tsattn.models.components import DirectHead, LastObserved, LastStep, Segments, rnn_layer
from tsattn.models.defaults import covering_blocks, default_patch_length
from tsattn.models.options import GraphAttentionOptions
from tsattn.timeseries.windows import WindowSpec


class _TemporalEncoder:
    """Encode the patches of the history of each node as one vector `(rows, units)`."""

    def __init__(self, options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> None:
        patch = options.patch_length or default_patch_length(spec.season)
        self.segments = Segments(spec.context, patch, options.width)
        self.layers: list[keras.layers.Layer]
        if options.temporal == "gru":
            self.layers = [rnn_layer("gru", options.width, portable=portable, name="encoder")]
        else:
            count = covering_blocks(options.kernel_size, self.segments.count)
            self.layers = [
                TemporalConvBlock(
                    options.width, options.kernel_size, 2**number, options.block_dropout, name=f"block_{number}"
                )
                for number in range(count)
            ]
        self.last = LastStep(name="last_segment")

    def __call__(self, inputs: ArchitectureInputs) -> Tensor:
        window = self.segments(inputs)
        memory = window.tokens
        for layer in self.layers:
            memory = layer(memory, mask=window.mask)
        return self.last(memory, mask=window.mask)


class _Mixing:
    """Mix nodes `(batch, nodes, units)` with their neighbours, with a residual connection."""

    def __init__(self, options: GraphAttentionOptions, graphs: tuple[str, ...], number: int) -> None:
        width = options.width
        self.diffusion: DiffusionConvolution | None = None
        self.attention: dict[str, GraphAttention] = {}
        if options.mixing == "diffusion":
            self.diffusion = DiffusionConvolution(width, name=f"diffusion_{number}")
        else:
            # One attention per graph: in a common softmax the dense learned graph would outweigh the given edges.
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
            # `attention_maps` reads the weights; they cost nothing if they are unused.
            mixed_by_graph = [
                layer(nodes, adjacency=adjacency[graph], mask=mask, return_attention_scores=True)[0]
                for graph, layer in self.attention.items()
            ]
            mixed = mixed_by_graph[0] if len(mixed_by_graph) == 1 else self.join(mixed_by_graph)
        return self.add([nodes, self.dropout(self.project(self.activation(mixed)))])


class _GraphAttention:
    def __init__(self, options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> None:
        nodes = len(spec.targets)
        graphs = options.graphs
        self.encoder = _TemporalEncoder(options, spec, portable)
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

    def set_adjacency(self, adjacency: npt.ArrayLike) -> None:
        if self.given is not None:
            self.given.fit(adjacency)

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        state = self.encoder(inputs)
        if self.mixing:
            state = self._mix(state, inputs)
        # The median is relative to the last value, a strong forecast for the first steps.
        return ArchitectureOutputs(self.head(state, inputs.static), base=self.last(inputs.values, inputs.observed))

    def _mix(self, state: Tensor, inputs: ArchitectureInputs) -> Tensor:
        """Return the states of the nodes after mixing; nodes without an observed value send nothing."""
        features = state if inputs.static is None else self.join_static([state, inputs.static])
        nodes, mask = self.unfold(self.state(features)), self.observed(inputs.observed)
        adjacency: dict[str, Any] = {}
        if self.given is not None:
            adjacency["given"] = self.given(nodes)
        if self.learned is not None:
            adjacency["learned"] = self.learned(nodes)
        for layer in self.mixing:
            nodes = layer(nodes, adjacency, mask)
        return self.fold(nodes)


def graph_attention(options: GraphAttentionOptions, spec: WindowSpec, portable: bool) -> Architecture:
    """Return the forecaster over a graph (Brody et al. 2022, GATv2; Li et al. 2018, DCRNN; Wu et al. 2019)."""
    return _GraphAttention(options, spec, portable)


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldNodes(keras.layers.Layer):
    """Unfold nodes from the batch: `(batch * nodes, features)` to `(batch, nodes, features)`."""

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, self.nodes, inputs.shape[1]))

    # Explicit, here and below: JAX cannot infer shapes that fold an unknown batch size.
    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, self.nodes, inputs.shape[1]), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class FoldNodes(keras.layers.Layer):
    """Fold nodes into the batch: `(batch, nodes, features)` to `(batch * nodes, features)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, inputs.shape[2]))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, inputs.shape[2]), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class ObservedNodes(keras.layers.Layer):
    """Mask of the nodes with an observed value: `(batch * nodes, context, 1)` to boolean `(batch, nodes)`."""

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def call(self, observed: Tensor) -> Tensor:
        return ops.reshape(ops.any(observed > 0, axis=(1, 2)), (-1, self.nodes))

    def compute_output_spec(self, observed: Any) -> Any:
        return keras.KerasTensor((None, self.nodes), dtype="bool")


@keras.saving.register_keras_serializable(package="tsattn")
class GivenAdjacency(keras.layers.Layer):
    """A given graph as a non-trainable weight, so that it is saved and exported with the model.

    The graph has no edges before `fit`.

    Args:
        nodes: Number of nodes.

    Call arguments:
        inputs: Any tensor; it is ignored.

    Output shape:
        `(nodes, nodes)`, float32; edges lead from the node of the row to that of the column.
    """

    def __init__(self, nodes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def build(self, inputs_shape: Any) -> None:
        # float32 under every dtype policy, as graph layers expect.
        self.adjacency = self.add_weight(
            name="adjacency", shape=(self.nodes, self.nodes), initializer="zeros", trainable=False, autocast=False
        )

    def fit(self, adjacency: npt.ArrayLike) -> None:
        """Set the edge weights, `(nodes, nodes)`, such as `tsattn.data.read_adjacency` returns."""
        if not self.built:
            self.build((None, self.nodes, 1))
        self.adjacency.assign(adjacency)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.convert_to_tensor(self.adjacency)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((self.nodes, self.nodes), dtype="float32")

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        return None
