"""What the recurrent decoders share."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention import Attention, Memory
from tsattn.layers.cells import load_cell, top_state
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
