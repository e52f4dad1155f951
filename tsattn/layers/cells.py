"""What the decoders need of any Keras recurrent cell."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor


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
