"""Base class of the recurrent decoders, and the decoder of all steps at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention import Attention, Memory
from tsattn.layers.layer_utils import (
    check_dtype,
    check_positive,
    check_sequence,
    constructor_config,
    dense_options,
    set_weight_options,
)
from tsattn.layers.ops import Tensor


class RecurrentDecoder(keras.layers.Layer):
    """Base class of the decoders: a recurrent cell with attention to a memory.

    Args:
        cell: A Keras recurrent cell or `StackedRNNCells` that no other layer uses. If the decoder is created with a
            `dtype`, cell and attention get it.
        steps: Number of steps to decode.
        attention: `Attention` to the memory that no other layer uses. If None, the memory is not used.
        bridge: Whether to map the states of the encoder to the initial state by a dense layer.
        options: Initializers, regularizers and constraints of the dense layers, such as `kernel_initializer`.
    """

    def __init__(
        self,
        cell: Any,
        steps: int,
        attention: Attention | None,
        bridge: bool,
        options: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(steps=steps)
        if isinstance(cell, keras.layers.RNN) or not hasattr(cell, "state_size"):
            raise ConfigError(f"cell must be a recurrent cell, such as keras.layers.GRUCell(64). Received: {cell!r}")
        if not isinstance(attention, Attention | None):
            raise ConfigError(f"attention must be an Attention or None. Received: attention={attention!r}")
        for name, part in (("cell", cell), ("attention", attention)):
            if part is None:
                continue
            if kwargs.get("dtype") is not None and not part.built:
                for each in part._flatten_layers():
                    each.dtype_policy = self.dtype_policy
            check_dtype(self, name, part)
        self.supports_masking = True
        self.units = int(top_state(cell, cell.state_size))
        self.cell = cell
        self.steps = steps
        self.attention = attention
        self.bridge = bridge
        set_weight_options(self, **options)
        self._bridges = [
            keras.layers.Dense(size, activation=activation, name=f"bridge{number}", **dense_options(self))
            for number, (size, activation) in enumerate(_bridge_outputs(cell))
            if bridge
        ]

    def build_sublayers(self, memory_shape: Any, input_size: int, state_shape: Any) -> int:
        """Build attention, cell and bridge for the input size of the cell; return the size of state and context."""
        check_sequence("memory", memory_shape)
        if not self.cell.built:
            self.cell.build((memory_shape[0], input_size))
        if self.attention is not None and not self.attention.built:
            self.attention.build((memory_shape[0], self.steps, self.units), memory_shape)
        if self.bridge and state_shape is None:
            raise ConfigError("a decoder with a bridge requires an initial_state. Received: initial_state=None")
        for bridge in self._bridges:
            if not bridge.built:
                bridge.build((memory_shape[0], sum(_last_sizes(state_shape))))
        return self.units + self.context_size(memory_shape)

    def context_size(self, memory_shape: Any) -> int:
        """Return the size of the context; 0 without attention."""
        return 0 if self.attention is None else self.attention.context_size(int(memory_shape[-1]))

    def setup_memory(self, memory: Tensor, memory_mask: Tensor | None) -> Memory | None:
        """Project the memory for the attention; None without attention."""
        return None if self.attention is None else self.attention.setup_memory(memory, mask=memory_mask)

    def prepare_initial_state(self, initial_state: Any, batch: Any) -> Any:
        """Return the initial state in the structure of the cell; zeros if None.

        The states of a bidirectional encoder (forward, then backward) are concatenated.
        """
        if initial_state is None:
            return self.cell.get_initial_state(batch_size=batch)
        structure = _as_lists(self.cell.state_size)
        states = keras.tree.flatten(initial_state)
        if self._bridges:
            joined = ops.concatenate([ops.cast(state, self.compute_dtype) for state in states], -1)
            states = [bridge(joined) for bridge in self._bridges]
        expected = keras.tree.flatten(structure)
        count = len(expected)
        if len(states) == 2 * count:
            states = [ops.concatenate(both, -1) for both in zip(states[:count], states[count:], strict=True)]
        sizes = [state.shape[-1] for state in states]
        if sizes != expected:
            raise ConfigError(
                f"initial_state must have the sizes {expected} of the decoder's cell, unless bridge=True. "
                f"Received: {sizes}"
            )
        return keras.tree.pack_sequence_as(structure, states)

    def output_size(self, memory_shape: Any) -> int:
        """Return the size of the output of a step."""
        return self.units + self.context_size(memory_shape)

    def compute_output_shape(self, memory_shape: Any, *args: Any, **kwargs: Any) -> Any:
        return (memory_shape[0], self.steps, self.output_size(memory_shape))

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_spec(self, memory: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
        shape = self.compute_output_shape(memory.shape)
        outputs = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        keys = 1 if self.attention is None else memory.shape[1]
        return outputs, keras.KerasTensor((*shape[:2], keys), dtype=self.compute_dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        attention = config["attention"] and keras.layers.deserialize(config["attention"])
        # `StackedRNNCells.from_config` removes the cells from its argument.
        cell = keras.layers.deserialize(copy.deepcopy(config["cell"]))
        return cls(**{**config, "cell": cell, "attention": attention})


def _as_lists(size: Any) -> list[Any]:
    """Return the state sizes of a cell as plain lists: JAX rejects the lists that Keras tracks."""
    sizes = size if keras.tree.is_nested(size) else [size]
    return [_as_lists(part) if keras.tree.is_nested(part) else part for part in sizes]


def _bridge_outputs(cell: Any) -> list[tuple[int, str | None]]:
    """Return size and activation of each state of a cell: hidden states are in -1 to 1, cell states unbounded."""
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    sizes = [each.state_size if isinstance(each.state_size, list | tuple) else [each.state_size] for each in cells]
    return [(size, None if number else "tanh") for parts in sizes for number, size in enumerate(parts)]


def _last_sizes(shape: Any) -> list[int]:
    """Return the last size of a shape, or of each shape of a nested structure."""
    if all(size is None or isinstance(size, int) for size in shape):
        return [int(shape[-1])]
    return [size for part in shape for size in _last_sizes(part)]


def top_state(cell: Any, states: Any) -> Tensor:
    """Return the hidden state `(batch, units)` of a cell, or of the last cell of a stack."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        states = states[-1]
    return states[0] if isinstance(states, list | tuple) else states


def sample_dropout_masks(cell: Any, batch: Any) -> None:
    """Sample the dropout masks of a built cell before a loop over time steps, which all use the same masks."""
    reset_dropout_masks(cell)
    for each in _dropout_cells(cell):
        each.get_dropout_mask(ops.zeros((batch, each.kernel.shape[0]), each.compute_dtype))
        each.get_recurrent_dropout_mask(ops.zeros((batch, each.units), each.compute_dtype))


def reset_dropout_masks(cell: Any) -> None:
    """Clear the dropout masks that a cell caches, so that the next batch gets new ones."""
    for each in _dropout_cells(cell):
        each.reset_dropout_mask()
        each.reset_recurrent_dropout_mask()


def _dropout_cells(cell: Any) -> Iterator[Any]:
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    return (each for each in cells if hasattr(each, "get_dropout_mask"))


@keras.saving.register_keras_serializable(package="tsattn")
class ParallelDecoder(RecurrentDecoder):
    """Decoder that computes all steps in parallel, each from the initial state and a learned query.

    No output is fed back, so errors do not accumulate (parallel multi-step forecasting of SegRNN). The new state of
    each step then attends to the memory.

    Masked memory gets a weight of exactly 0. The output carries no mask.

    Args:
        cell: A Keras recurrent cell or `StackedRNNCells` that no other layer uses.
        steps: Number of steps to decode.
        query_units: Size of the learned query of a step.
        attention: Attention to the memory that no other layer uses, such as `BahdanauAttention(64)`. If None, the
            memory is not used.
        bridge: Whether to map the states of the encoder to the initial state by a dense layer.
        kernel_initializer: Initializer of the kernels of the bridge.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels of the bridge.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels of the bridge.
        bias_constraint: Constraint of the biases.

    Call arguments:
        memory: `(batch, keys, features)`, such as the outputs of an encoder.
        initial_state: Initial state of the cell, such as the last state of an encoder. Defaults to zeros.
        features: `(batch, size)`, concatenated to the query of every step.
        memory_mask: Boolean `(batch, keys)`; True means keep.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to apply dropout.
        mask: Mask that Keras passes if `memory` is the only tensor argument; `memory_mask` takes precedence.

    Output shape:
        `(batch, steps, cell_units + features)`: state and context; `(batch, steps, cell_units)` without attention.
        With `return_attention_scores`, also the weights `(batch, steps, keys)`.

    Example:
        >>> encoded, state = keras.layers.GRU(64, return_sequences=True, return_state=True)(patches, mask=mask)
        >>> decoder = ParallelDecoder(keras.layers.GRUCell(64), 4, query_units=32, attention=BahdanauAttention(64))
        >>> forecast = keras.layers.Dense(24)(decoder(encoded, initial_state=[state], memory_mask=mask))

    Reference:
        Lin et al. 2023, SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting.
    """

    def __init__(
        self,
        cell: Any,
        steps: int,
        query_units: int,
        attention: Attention | None,
        bridge: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        options = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "bias_constraint": bias_constraint,
        }
        super().__init__(cell, steps, attention, bridge, options, **kwargs)
        check_positive(query_units=query_units)
        self.query_units = query_units

    def build(self, memory_shape: Any, initial_state_shape: Any = None, features_shape: Any = None) -> None:
        self.queries = self.add_weight(
            name="queries",
            shape=(self.steps, self.query_units),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        d_features = 0 if features_shape is None else features_shape[-1]
        self.build_sublayers(memory_shape, self.query_units + d_features, initial_state_shape)

    def call(
        self,
        memory: Tensor,
        initial_state: Any = None,
        features: Tensor | None = None,
        memory_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        memory_mask = mask if memory_mask is None else memory_mask
        batch = ops.shape(memory)[0]
        query = ops.cast(self.queries, self.compute_dtype)[None]
        query = ops.broadcast_to(query, (batch, self.steps, self.query_units))
        if features is not None:
            repeated = ops.repeat(ops.expand_dims(ops.cast(features, self.compute_dtype), 1), self.steps, 1)
            query = ops.concatenate([query, repeated], -1)
        states = self.prepare_initial_state(initial_state, batch)
        states = keras.tree.map_structure(lambda state: ops.repeat(state, self.steps, axis=0), states)
        flat = ops.reshape(query, (-1, query.shape[-1]))
        hidden, _ = self.cell(flat, states, training=training)
        reset_dropout_masks(self.cell)
        hidden = ops.reshape(hidden, (-1, self.steps, hidden.shape[-1]))
        projected = self.setup_memory(memory, memory_mask)
        if self.attention is None or projected is None:
            weights = ops.zeros((batch, self.steps, 1), self.compute_dtype)
            return (hidden, weights) if return_attention_scores else hidden
        context, weights = self.attention.attend(hidden, projected, training=training)
        outputs = ops.concatenate([hidden, context], -1)
        return (outputs, weights) if return_attention_scores else outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, ParallelDecoder)}
