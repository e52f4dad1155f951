"""What the recurrent decoders share."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention import Attention, Memory
from tsattn.layers.masking import Tensor, check_dtype, check_sequence


class AttentiveDecoder(keras.layers.Layer):
    """Base of the decoders: a recurrent cell that reads a memory through attention.

    Args:
        cell: any Keras recurrent cell, or `StackedRNNCells`; not shared with another layer.
        steps: number of steps to decode.
        attention: how the memory is read, not shared with another layer; None reads none.
        bridge: whether the initial state goes through a dense layer, which makes one of any encoder's states.
    """

    def __init__(self, cell: Any, steps: int, attention: Attention | None, bridge: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if steps < 1:
            raise ConfigError(f"steps must be 1 or more. Received: steps={steps}")
        if isinstance(cell, keras.layers.RNN) or not hasattr(cell, "state_size"):
            raise ConfigError(f"cell must be a recurrent cell, such as keras.layers.GRUCell(64). Received: {cell!r}")
        if not isinstance(attention, Attention | None):
            raise ConfigError(f"attention must be an Attention or None. Received: attention={attention!r}")
        parts = {"cell": cell} if attention is None else {"cell": cell, "attention": attention}
        for name, part in parts.items():
            check_dtype(self, name, part)
        self.supports_masking = True
        self.units = int(top_state(cell, cell.state_size))
        self.cell = cell
        self.steps = steps
        self.attention = attention
        self.bridge = bridge
        self._bridges = [
            keras.layers.Dense(size, activation=activation, dtype=self.dtype_policy, name=f"bridge{number}")
            for number, (size, activation) in enumerate(_state_parts(cell))
            if bridge
        ]

    def build_parts(self, memory_shape: Any, input_size: int, state_shape: Any) -> int:
        """Build attention, cell and bridge for an input of that size; return the size of state and context together."""
        check_sequence("memory", memory_shape)
        if not self.cell.built:
            self.cell.build((memory_shape[0], input_size))
        if self.attention is not None and not self.attention.built:
            self.attention.build((memory_shape[0], self.steps, self.units), memory_shape)
        if self.bridge and state_shape is None:
            raise ConfigError("a decoder with a bridge needs an initial_state. Received: initial_state=None")
        for bridge in self._bridges:
            if not bridge.built:
                bridge.build((memory_shape[0], sum(_last_sizes(state_shape))))
        return self.units + self.context_size(memory_shape)

    def context_size(self, memory_shape: Any) -> int:
        """Return the size of the context, 0 where no memory is read."""
        return 0 if self.attention is None else self.attention.value_size(int(memory_shape[-1]))

    def remember(self, memory: Tensor, memory_mask: Tensor | None) -> Memory | None:
        """Return the memory as the attention reads it, projected once."""
        return None if self.attention is None else self.attention.remember(memory, mask=memory_mask)

    def states(self, initial_state: Any, batch: Any) -> Any:
        """Return the state to begin with as a list: what is given, joined or bridged; zeros if nothing is.

        An encoder of two directions gives the states of each, one after the other: those of a part are put side by
        side.
        """
        if initial_state is None:
            return self.cell.get_initial_state(batch_size=batch)
        wanted = _as_lists(self.cell.state_size)
        given = keras.tree.flatten(initial_state)
        if self._bridges:
            joined = ops.concatenate([ops.cast(part, self.compute_dtype) for part in given], -1)
            given = [bridge(joined) for bridge in self._bridges]
        count = len(keras.tree.flatten(wanted))
        if len(given) == 2 * count:
            given = [ops.concatenate(both, -1) for both in zip(given[:count], given[count:], strict=True)]
        sizes, needed = [part.shape[-1] for part in given], keras.tree.flatten(wanted)
        if sizes != needed:
            raise ConfigError(
                f"initial_state must have the sizes {needed}, those of the decoder's cell, or bridge=True which makes "
                f"them so. Received: {sizes}"
            )
        return keras.tree.pack_sequence_as(wanted, given)

    def output_size(self, memory: Any) -> int:
        """Return the size of a step's output."""
        return self.units + self.context_size(memory.shape)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_spec(self, memory: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
        shape = (memory.shape[0], self.steps)
        outputs = keras.KerasTensor((*shape, self.output_size(memory)), dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        keys = 1 if self.attention is None else memory.shape[1]
        return outputs, keras.KerasTensor((*shape, keys), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell": keras.layers.serialize(self.cell),
            "steps": self.steps,
            "attention": None if self.attention is None else keras.layers.serialize(self.attention),
            "bridge": self.bridge,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        attention = config["attention"] and keras.layers.deserialize(config["attention"])
        return cls(**{**config, "cell": load_cell(config["cell"]), "attention": attention})


def _as_lists(size: Any) -> list[Any]:
    """Sizes of a cell's state as plain lists: JAX does not take those that Keras tracks."""
    sizes = size if keras.tree.is_nested(size) else [size]
    return [_as_lists(part) if keras.tree.is_nested(part) else part for part in sizes]


def _state_parts(cell: Any) -> list[tuple[int, str | None]]:
    """Size and range of each part of a cell's state: what a cell puts out lies in -1 to 1, its memory anywhere."""
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    sizes = [each.state_size if isinstance(each.state_size, list | tuple) else [each.state_size] for each in cells]
    return [(size, None if number else "tanh") for parts in sizes for number, size in enumerate(parts)]


def _last_sizes(shape: Any) -> list[int]:
    """Sizes of a shape, or of each of a nested structure of shapes."""
    if all(size is None or isinstance(size, int) for size in shape):
        return [int(shape[-1])]
    return [size for part in shape for size in _last_sizes(part)]


@keras.saving.register_keras_serializable(package="tsattn")
class ParallelDecoder(AttentiveDecoder):
    """Decoder of one recurrent step per output step, each from the same state and a learned query of its own.

    Nothing is fed back, so no error accumulates and all steps are computed at once (the parallel multi-step
    forecasting of SegRNN). The new state of each step then attends to the memory.

    Masked memory gets a weight of exactly 0. The output carries no mask.

    Args:
        cell: any Keras recurrent cell, or `StackedRNNCells`; neither it nor the attention may be another layer's too.
        steps: number of steps to decode.
        query_units: size of the learned query of a step.
        attention: how the memory is read, such as `BahdanauAttention(64)`; None reads none.
        bridge: whether the initial state goes through a dense layer, which makes one of any encoder's states.

    Call arguments:
        memory: `(batch, keys, features)`, such as the encoder's outputs.
        initial_state: state of the cell, such as the encoder's last one; zeros if left out.
        features: `(batch, size)`, joins the query of every step.
        memory_mask: boolean `(batch, keys)`; True means keep.
        return_attention_scores: whether to return the weights as well.
        training: whether to apply dropout.
        mask: another name of `memory_mask`, by which Keras hands on the mask of a memory that is the only tensor.

    Output shape:
        `(batch, steps, cell_units + features)`, state and context side by side (`cell_units` without attention);
        with `return_attention_scores` also the weights `(batch, steps, keys)`.

    Example:
        >>> encoded, state = keras.layers.GRU(64, return_sequences=True, return_state=True)(segments, mask=mask)
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
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, steps, attention, bridge, **kwargs)
        self.query_units = query_units

    def build(self, memory_shape: Any, initial_state_shape: Any = None, features_shape: Any = None) -> None:
        self.queries = self.add_weight(
            name="queries",
            shape=(self.steps, self.query_units),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        d_features = 0 if features_shape is None else features_shape[-1]
        self.build_parts(memory_shape, self.query_units + d_features, initial_state_shape)

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
        states = self.states(initial_state, batch)
        states = keras.tree.map_structure(lambda state: ops.repeat(state, self.steps, axis=0), states)
        flat = ops.reshape(query, (-1, query.shape[-1]))
        hidden, _ = self.cell(flat, states, training=training)
        forget_dropout(self.cell)
        hidden = ops.reshape(hidden, (-1, self.steps, hidden.shape[-1]))
        read = self.remember(memory, memory_mask)
        if self.attention is None or read is None:
            weights = ops.zeros((batch, self.steps, 1), self.compute_dtype)
            return (hidden, weights) if return_attention_scores else hidden
        context, weights = self.attention.read(hidden, read, training=training)
        outputs = ops.concatenate([hidden, context], -1)
        return (outputs, weights) if return_attention_scores else outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "query_units": self.query_units}


def load_cell(config: dict[str, Any]) -> Any:
    """Return the cell of a serialized configuration, and leave that as it is."""
    # `StackedRNNCells.from_config` takes the cells out of the configuration that it is given.
    return keras.layers.deserialize(copy.deepcopy(config))


def top_state(cell: Any, states: Any) -> Tensor:
    """Return the hidden state of a cell, `(batch, units)`; of the topmost one of a stack."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        states = states[-1]
    return states[0] if isinstance(states, list | tuple) else states


def draw_dropout(cell: Any, batch: Any) -> None:
    """Draw the dropout masks of a built cell before a loop over its steps, which all share them."""
    forget_dropout(cell)
    for each in _dropout_cells(cell):
        each.get_dropout_mask(ops.zeros((batch, each.kernel.shape[0]), each.compute_dtype))
        each.get_recurrent_dropout_mask(ops.zeros((batch, each.units), each.compute_dtype))


def forget_dropout(cell: Any) -> None:
    """Forget the dropout masks, which a cell keeps until it is told: the next batch gets its own."""
    for each in _dropout_cells(cell):
        each.reset_dropout_mask()
        each.reset_recurrent_dropout_mask()


def _dropout_cells(cell: Any) -> Iterator[Any]:
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    return (each for each in cells if hasattr(each, "get_dropout_mask"))
