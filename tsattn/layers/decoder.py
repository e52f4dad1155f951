"""What the recurrent decoders share."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import ops

from tsattn.layers.attention import Attention
from tsattn.layers.cells import load_cell, top_state
from tsattn.layers.masking import Tensor


class AttentiveDecoder(keras.layers.Layer):
    """Base of the decoders: a recurrent cell that reads a memory through attention.

    Args:
        cell: any Keras recurrent cell, or `StackedRNNCells`.
        steps: number of steps to decode.
        score: attention score by name, see `Attention`; None reads no memory.
        units: size of the attention's projections, see `Attention`.
        dropout: share of the attention weights dropped in training.
    """

    def __init__(
        self, cell: Any, steps: int, score: str | None, units: int | None, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.cell = cell
        self.steps = steps
        self.score = score
        self.units = units
        self.dropout = dropout
        self._attention = None if score is None else Attention(score, units, dropout=dropout, dtype=self.dtype_policy)

    def build_parts(self, memory_shape: Any, input_size: int) -> int:
        """Build attention and cell for an input of that size; return the size of state and context side by side."""
        size = int(top_state(self.cell, self.cell.state_size))
        if not self.cell.built:
            self.cell.build((memory_shape[0], input_size))
        if self._attention is not None and not self._attention.built:
            self._attention.build((memory_shape[0], self.steps, size), memory_shape)
        return size + self.context_size(memory_shape)

    def context_size(self, memory_shape: Any) -> int:
        """Return the size of the context, 0 where no memory is read."""
        return 0 if self._attention is None else int(memory_shape[-1])

    def project(self, memory: Tensor, memory_mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return the keys of the memory, projected once, and the mask over them."""
        key = None if self._attention is None else self._attention.project_key(memory)
        return key, None if memory_mask is None else ops.expand_dims(memory_mask, 1)

    def states(self, initial_state: Any, batch: Any) -> Any:
        """Return the state to begin with as a list, zeros if none is given."""
        if initial_state is None:
            return self.cell.get_initial_state(batch_size=batch)
        return list(initial_state) if keras.tree.is_nested(initial_state) else [initial_state]

    def output_size(self, memory: Any) -> int:
        """Return the size of a step's output."""
        return int(top_state(self.cell, self.cell.state_size)) + self.context_size(memory.shape)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_spec(self, memory: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
        shape = (memory.shape[0], self.steps)
        outputs = keras.KerasTensor((*shape, self.output_size(memory)), dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        keys = 1 if self._attention is None else memory.shape[1]
        return outputs, keras.KerasTensor((*shape, keys), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell": keras.layers.serialize(self.cell),
            "steps": self.steps,
            "score": self.score,
            "units": self.units,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "cell": load_cell(config["cell"])})
