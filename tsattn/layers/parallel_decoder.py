"""Decoder that makes all its steps at once."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.attention import Attention
from tsattn.layers.cells import forget_dropout
from tsattn.layers.decoder import AttentiveDecoder
from tsattn.layers.masking import Tensor


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
