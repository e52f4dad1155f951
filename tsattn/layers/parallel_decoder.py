"""Recurrent decoder of all steps at once."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.attention import Attention
from tsattn.layers.layer_utils import check_positive, constructor_config
from tsattn.layers.ops import Tensor
from tsattn.layers.recurrent_decoder import RecurrentDecoder, reset_dropout_masks


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
