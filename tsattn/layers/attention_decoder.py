"""Recurrent decoders that attend to a memory at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tsattn.layers.cells import draw_dropout, forget_dropout, top_state
from tsattn.layers.decoder import AttentiveDecoder
from tsattn.layers.masking import Tensor, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionDecoder(AttentiveDecoder):
    """Recurrent decoder that attends to the memory at every step and feeds its own output back.

    At each step the previous state of the cell is the query; the context joins the previous output as input of the
    cell; a dense head makes the output from the new state and the context (Bahdanau et al. 2015). The memory is
    projected once. In training, `targets` take the place of the previous output (teacher forcing), of every step or of
    a share of them.

    Masked memory gets a weight of exactly 0. The output carries no mask.

    Args:
        cell: any Keras recurrent cell, or `StackedRNNCells`.
        steps: number of steps to decode.
        output_units: size of the output of a step.
        score: attention score by name, see `Attention`; None reads no memory, so that the initial state is all
            that the decoder knows (Sutskever et al. 2014).
        units: size of the attention's projections, see `Attention`.
        feedback: which of the output's numbers are fed back; all of them if None.
        dropout: share of the attention weights dropped in training.
        teacher_forcing: share of the steps that are fed `targets` in training, drawn for each row and step; 0 trains
            the decoder as it will run, on its own outputs.

    Call arguments:
        memory: `(batch, keys, features)`, such as the encoder's outputs.
        initial_state: state of the cell, such as the encoder's last one; zeros if left out.
        start: `(batch, feedback)`, what the first step is fed; a learned vector if left out.
        targets: `(batch, steps, feedback)`, fed back instead of the outputs in training.
        features: `(batch, steps, size)`, joins the input of every step.
        memory_mask: boolean `(batch, keys)`; True means keep.
        return_attention_scores: whether to return the weights as well.
        training: whether to force `targets` and apply dropout.

    Output shape:
        `(batch, steps, output_units)`; with `return_attention_scores` also the weights `(batch, steps, keys)`.

    Example:
        >>> encoded, *state = keras.layers.LSTM(64, return_sequences=True, return_state=True)(x, mask=mask)
        >>> decoder = AttentionDecoder(keras.layers.LSTMCell(64), steps=24, output_units=1, units=64)
        >>> forecast = decoder(encoded, initial_state=state, memory_mask=mask)

    References:
        Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate; Bengio et al. 2015,
        Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks (a share of the steps).
    """

    def __init__(
        self,
        cell: Any,
        steps: int,
        output_units: int,
        score: str | None = "additive",
        units: int | None = None,
        feedback: Sequence[int] | None = None,
        dropout: float = 0.0,
        teacher_forcing: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, steps, score, units, dropout, **kwargs)
        if not 0 <= teacher_forcing <= 1:
            raise ValueError(f"teacher_forcing must lie between 0 and 1. Received: teacher_forcing={teacher_forcing}")
        self.teacher_forcing = teacher_forcing
        self._seed = keras.random.SeedGenerator()
        self.output_units = output_units
        self.feedback = None if feedback is None else list(feedback)
        self._fed = self.feedback or list(range(output_units))
        self._head = keras.layers.Dense(output_units, dtype=self.dtype_policy)

    def build(
        self,
        memory_shape: Any,
        initial_state_shape: Any = None,
        start_shape: Any = None,
        targets_shape: Any = None,
        features_shape: Any = None,
    ) -> None:
        d_features = 0 if features_shape is None else features_shape[-1]
        d_input = len(self._fed) + self.context_size(memory_shape) + d_features
        d_read = self.build_parts(memory_shape, d_input)
        if not self._head.built:
            self._head.build((memory_shape[0], d_read))
        # Only where it is used: a weight without a gradient makes Keras warn at every training.
        if start_shape is None:
            self.start = self.add_weight(name="start", shape=(len(self._fed),), initializer="zeros")

    def call(
        self,
        memory: Tensor,
        initial_state: Any = None,
        start: Tensor | None = None,
        targets: Tensor | None = None,
        features: Tensor | None = None,
        memory_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        memory = zero_masked(memory, memory_mask)
        batch = ops.shape(memory)[0]
        key, mask = self.project(memory, memory_mask)
        if start is None:
            start = ops.broadcast_to(ops.cast(self.start, self.compute_dtype)[None, :], (batch, len(self._fed)))
        states = self.states(initial_state, batch)
        given = {"number": ops.arange(self.steps)}
        if features is not None:
            given["features"] = ops.swapaxes(ops.cast(features, self.compute_dtype), 0, 1)
        # Nothing may be drawn inside the scan: the generator's state would change in a scope that is gone after it.
        if targets is not None and training and self.teacher_forcing > 0:
            targets = ops.cast(targets, self.compute_dtype)
            shifted = ops.concatenate([ops.expand_dims(start, 1), targets[:, :-1]], axis=1)
            given["previous"] = ops.swapaxes(shifted, 0, 1)
            drawn = keras.random.uniform((self.steps, batch, 1), seed=self._seed)
            given["forced"] = drawn < self.teacher_forcing
        keys = ops.shape(memory)[1] if self._attention is not None else 1
        if self._attention is not None and training and self.dropout > 0:
            given["kept"] = self._attention.draw_kept((self.steps, batch, 1, keys))
        if training:
            draw_dropout(self.cell, batch)

        def step(carry: Any, x: Any) -> Any:
            states, output, previous, _ = carry
            if "forced" in x:
                previous = ops.where(x["forced"], x["previous"], previous)
            output, states, weights = self._step(previous, states, x, memory, key, mask, training)
            fed = output if self.feedback is None else ops.take(output, self.feedback, axis=-1)
            carry = (states, output, fed, weights)
            return carry, carry

        first = (
            states,
            ops.zeros((batch, self.output_units), self.compute_dtype),
            ops.cast(start, self.compute_dtype),
            ops.zeros((batch, keys), self.compute_dtype),
        )
        _, (_, outputs, _, weights) = ops.scan(step, first, given, length=self.steps)
        forget_dropout(self.cell)
        outputs = ops.swapaxes(outputs, 0, 1)
        return (outputs, ops.swapaxes(weights, 0, 1)) if return_attention_scores else outputs

    def _step(
        self,
        previous: Tensor,
        states: Any,
        given: dict[str, Tensor],
        memory: Tensor,
        key: Tensor | None,
        mask: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, Any, Tensor]:
        parts = [previous]
        weights = ops.zeros((ops.shape(memory)[0], 1), self.compute_dtype)
        context = None
        if self._attention is not None:
            query = ops.expand_dims(top_state(self.cell, states), 1)
            context, weights = self._attention.attend(query, key, memory, mask, training, given.get("kept"))
            context, weights = ops.squeeze(context, 1), ops.squeeze(weights, 1)
            parts.append(context)
        if "features" in given:
            parts.append(given["features"])
        hidden, states = self.cell(ops.concatenate(parts, -1), states, training=training)
        read = hidden if context is None else ops.concatenate([hidden, context], -1)
        return self._head(read), states, weights

    def output_size(self, memory: Any) -> int:
        """Return the size of a step's output."""
        return self.output_units

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "feedback": self.feedback,
            "teacher_forcing": self.teacher_forcing,
        }
