"""Recurrent decoder with attention to a memory at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from tsattn.errors import ConfigError
from tsattn.layers.alignments import State
from tsattn.layers.attention import Attention, Memory
from tsattn.layers.layer_utils import check_positive, check_sequence, constructor_config, dense_options
from tsattn.layers.ops import Tensor, scan
from tsattn.layers.recurrent_decoder import RecurrentDecoder, reset_dropout_masks, sample_dropout_masks, top_state


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionDecoder(RecurrentDecoder):
    """Recurrent decoder that attends to the memory at every step and feeds its output back.

    `attend="before"` (Bahdanau et al. 2015): the previous state is the query. The cell takes the previous output and
    the context; a dense head maps the new state and the context to the output.

    `attend="after"` (Luong et al. 2015): the new state is the query. The head maps the attentional vector
    `tanh(W [context; state])` to the output, and the cell takes this vector in the next step (input feeding).

    The memory is projected once. In training, `targets` replace the previous output: at every step (teacher forcing),
    at a fraction of the steps (scheduled sampling) or never. Masked memory gets a weight of exactly 0. The output
    carries no mask.

    Args:
        cell: A Keras recurrent cell or `StackedRNNCells` that no other layer uses.
        steps: Number of steps to decode.
        output_units: Size of the output of a step.
        attention: Attention to the memory that no other layer uses, such as `BahdanauAttention(64)`. If None, the
            initial state is the only input from the encoder (Sutskever et al. 2014).
        attend: Whether to attend `"before"` or `"after"` the cell.
        attentional_units: Size of the attentional vector; only with `attend="after"`. If None, that of the cell.
        input_feeding: Whether the cell takes the previous attentional vector; only with `attend="after"`.
        bridge: Whether to map the states of the encoder, of any number, size and direction, to the initial state by a
            dense layer (tanh).
        feedback: Indices of the outputs that are fed back. If None, all of them.
        teacher_forcing: Fraction of the steps that take `targets` in training, sampled per row and step. 0 trains the
            decoder on its own outputs, as at inference. Or a Keras schedule from training steps to fractions, such as
            `keras.optimizers.schedules.PolynomialDecay(1.0, 1000, 0.0)`.
        unroll: Whether to unroll the loop over the steps: faster for few steps, and required by ONNX and LiteRT.
        kernel_initializer: Initializer of the kernels of the head, the attentional vector and the bridge.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels of the head, the attentional vector and the bridge.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels of the head, the attentional vector and the bridge.
        bias_constraint: Constraint of the biases.
        seed: Seed of the scheduled sampling.

    Call arguments:
        memory: `(batch, keys, features)`, such as the outputs of an encoder.
        initial_state: Initial state of the cell, such as the last state of an encoder, of one or both directions.
            Defaults to zeros.
        start: `(batch, feedback)`, the feedback of the first step. Defaults to a learned vector.
        targets: `(batch, steps, feedback)`, fed back instead of the outputs in training.
        features: `(batch, steps, size)`, additional input of every step.
        memory_mask: Boolean `(batch, keys)`; True means keep.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to use `targets` and apply dropout.
        mask: Mask that Keras passes if `memory` is the only tensor argument; `memory_mask` takes precedence.

    Output shape:
        `(batch, steps, output_units)`. With `return_attention_scores`, also the weights `(batch, steps, keys)`.

    Example:
        >>> encoded, *state = keras.layers.LSTM(64, return_sequences=True, return_state=True)(x, mask=mask)
        >>> decoder = AttentionDecoder(keras.layers.LSTMCell(64), 24, output_units=1, attention=BahdanauAttention(64))
        >>> forecast = decoder(encoded, initial_state=state, memory_mask=mask)

    References:
        Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate; Luong et al. 2015,
        Effective Approaches to Attention-based Neural Machine Translation; Bengio et al. 2015, Scheduled Sampling for
        Sequence Prediction with Recurrent Neural Networks.
    """

    def __init__(
        self,
        cell: Any,
        steps: int,
        output_units: int,
        attention: Attention | None,
        attend: Literal["before", "after"] = "before",
        attentional_units: int | None = None,
        input_feeding: bool = True,
        bridge: bool = False,
        feedback: Sequence[int] | None = None,
        teacher_forcing: float | LearningRateSchedule = 1.0,
        unroll: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
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
        check_positive(output_units=output_units, attentional_units=attentional_units)
        if attend not in ("before", "after"):
            raise ConfigError(f"attend must be before or after. Received: attend={attend!r}")
        if attend == "after" and attention is None:
            raise ConfigError('attend="after" requires an attention. Received: attention=None')
        if attend == "before" and (attentional_units is not None or not input_feeding):
            raise ConfigError('attentional_units and input_feeding require attend="after". Received: attend="before"')
        if feedback is not None and not (feedback and all(0 <= each < output_units for each in feedback)):
            raise ConfigError(
                f"feedback must be indices of the {output_units} outputs. Received: feedback={list(feedback)}"
            )
        if not callable(teacher_forcing) and not 0 <= teacher_forcing <= 1:
            raise ConfigError(f"teacher_forcing must be between 0 and 1. Received: teacher_forcing={teacher_forcing}")
        self.output_units = output_units
        self.attend = attend
        self.attentional_units = attentional_units
        self.input_feeding = input_feeding
        self.feedback = None if feedback is None else list(feedback)
        self.teacher_forcing = teacher_forcing
        self.unroll = unroll
        self._feedback_indices = list(range(output_units)) if self.feedback is None else self.feedback
        # XLA on TensorFlow cannot differentiate a scan.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.seed = seed
        self._seed = keras.random.SeedGenerator(seed)
        self._head = keras.layers.Dense(output_units, name="head", **dense_options(self))
        size = attentional_units or self.units
        self._join = (
            keras.layers.Dense(size, activation="tanh", use_bias=False, name="attentional", **dense_options(self))
            if attend == "after"
            else None
        )

    def build(
        self,
        memory_shape: Any,
        initial_state_shape: Any = None,
        start_shape: Any = None,
        targets_shape: Any = None,
        features_shape: Any = None,
    ) -> None:
        self._check_steps("targets", targets_shape, len(self._feedback_indices))
        self._check_steps("features", features_shape)
        self._features = features_shape is not None
        d_features = 0 if features_shape is None else features_shape[-1]
        d_joined = self.context_size(memory_shape)
        if self._join is not None:
            d_joined = self._join.units if self.input_feeding else 0
        d_input = len(self._feedback_indices) + d_joined + d_features
        d_hidden = self.build_sublayers(memory_shape, d_input, initial_state_shape)
        if self._join is not None and not self._join.built:
            self._join.build((memory_shape[0], d_hidden))
        if not self._head.built:
            self._head.build((memory_shape[0], d_hidden if self._join is None else self._join.units))
        # Only where it is used: Keras warns about weights without a gradient.
        if start_shape is None:
            self.learned_start = self.add_weight(
                name="start", shape=(len(self._feedback_indices),), initializer="zeros"
            )
        if callable(self.teacher_forcing):
            self.iterations = self.add_weight(
                name="iterations", shape=(), initializer="zeros", dtype="int32", trainable=False
            )

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
        mask: Tensor | None = None,
    ) -> Any:
        memory_mask = mask if memory_mask is None else memory_mask
        batch = ops.shape(memory)[0]
        if (features is not None) != self._features:
            raise ConfigError("features must be passed in every call of a decoder, or in none")
        if start is None and not hasattr(self, "learned_start"):
            raise ConfigError("start must be passed in every call of a decoder that was built with it")
        if start is None:
            learned = ops.cast(self.learned_start, self.compute_dtype)
            start = ops.broadcast_to(learned[None, :], (batch, len(self._feedback_indices)))
        projected = self.setup_memory(memory, memory_mask)
        inputs = {"number": ops.arange(self.steps)}
        if features is not None:
            inputs["features"] = ops.swapaxes(ops.cast(features, self.compute_dtype), 0, 1)
        # Random numbers are sampled before the scan: inside, the state of a generator would leave its scope.
        if targets is not None and training:
            inputs.update(self._sample_forcing(start, targets))
        alignment: State = ()
        if self.attention is not None and projected is not None:
            inputs["noise"] = self.attention.sample_noise(self.steps, projected, training)
            alignment = self.attention.initial_state(projected)
        if training:
            sample_dropout_masks(self.cell, batch)

        def step(carry: Any, x: Any) -> Any:
            carry = self._step(carry, x, projected, training)
            return carry, carry

        initial = {
            "states": self.prepare_initial_state(initial_state, batch),
            "output": ops.zeros((batch, self.output_units), self.compute_dtype),
            "feedback": ops.cast(start, self.compute_dtype),
            "joined": ops.zeros((batch, 0 if self._join is None else self._join.units), self.compute_dtype),
            "alignment": alignment,
            "weights": ops.zeros((batch, 1 if self.attention is None else ops.shape(memory)[1]), self.compute_dtype),
        }
        _, collected = scan(step, initial, inputs, self.steps, self.unroll)
        reset_dropout_masks(self.cell)
        outputs = ops.swapaxes(collected["output"], 0, 1)
        return (outputs, ops.swapaxes(collected["weights"], 0, 1)) if return_attention_scores else outputs

    def _check_steps(self, name: str, shape: Any, size: int | None = None) -> None:
        if shape is None:
            return
        check_sequence(name, shape)
        if shape[1] not in (None, self.steps) or (size is not None and shape[2] != size):
            expected = "size" if size is None else size
            raise ConfigError(f"{name} must have the shape (batch, {self.steps}, {expected}). Received: {tuple(shape)}")

    def _sample_forcing(self, start: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the targets to feed back and a mask of the rows that take them, with `steps` as first axis."""
        fraction = self.teacher_forcing
        if callable(fraction):
            fraction = ops.cast(fraction(ops.convert_to_tensor(self.iterations)), "float32")
            self.iterations.assign(self.iterations + 1)
        elif fraction == 0:
            return {}
        targets = ops.cast(targets, self.compute_dtype)
        shifted = ops.concatenate([ops.expand_dims(ops.cast(start, targets.dtype), 1), targets[:, :-1]], axis=1)
        uniform = keras.random.uniform((self.steps, ops.shape(targets)[0], 1), dtype="float32", seed=self._seed)
        return {"previous": ops.swapaxes(shifted, 0, 1), "forced": uniform < fraction}

    def _step(
        self, carry: dict[str, Any], inputs: dict[str, Any], memory: Memory | None, training: bool | None
    ) -> dict[str, Any]:
        previous = carry["feedback"]
        if "forced" in inputs:
            previous = ops.where(inputs["forced"], inputs["previous"], previous)
        states, alignment, weights, joined = (carry[name] for name in ("states", "alignment", "weights", "joined"))
        parts, context = [previous], None

        def attend(query: Tensor) -> tuple[Tensor, Tensor, State]:
            assert self.attention is not None and memory is not None
            return self.attention.step(query, memory, alignment, training, inputs["noise"])

        if self._join is None and memory is not None:
            context, weights, alignment = attend(top_state(self.cell, states))
            parts.append(context)
        elif self._join is not None and self.input_feeding:
            parts.append(joined)
        if "features" in inputs:
            parts.append(inputs["features"])
        hidden, states = self.cell(ops.concatenate(parts, -1), states, training=training)
        if self._join is not None:
            context, weights, alignment = attend(hidden)
            joined = hidden = self._join(ops.concatenate([context, hidden], -1))
        elif context is not None:
            hidden = ops.concatenate([hidden, context], -1)
        output = self._head(hidden)
        return {
            "states": states,
            "output": output,
            "feedback": output if self.feedback is None else ops.take(output, self.feedback, axis=-1),
            "joined": joined,
            "alignment": alignment,
            "weights": weights,
        }

    def output_size(self, memory_shape: Any) -> int:
        """Return the size of the output of a step."""
        return self.output_units

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, AttentionDecoder)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        fraction = config["teacher_forcing"]
        if isinstance(fraction, dict):
            config = {**config, "teacher_forcing": keras.optimizers.schedules.deserialize(fraction)}
        return super().from_config(config)
