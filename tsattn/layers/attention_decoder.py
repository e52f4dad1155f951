"""Recurrent decoders that attend to a memory at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from tsattn.errors import ConfigError
from tsattn.layers.alignments import State
from tsattn.layers.attention import Attention, Memory
from tsattn.layers.decoders import AttentiveDecoder, draw_dropout, forget_dropout, top_state
from tsattn.layers.masking import Tensor, check_sequence, scan


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionDecoder(AttentiveDecoder):
    """Recurrent decoder that attends to the memory at every step and feeds its own output back.

    It attends before the cell (Bahdanau et al. 2015): the previous state is the query, the context joins the previous
    output as input of the cell, a dense head makes the output from the new state and the context. Or after it (Luong et
    al. 2015): the new state is the query, state and context become `tanh(W [context; state])`, of which the head makes
    the output, and which joins the input of the next step (input feeding).

    The memory is projected once. In training, `targets` take the place of the previous output: at every step (teacher
    forcing), at a share of them (scheduled sampling), or never (free running). Masked memory gets a weight of exactly
    0. The output carries no mask.

    Args:
        cell: any Keras recurrent cell, or `StackedRNNCells`.
        steps: number of steps to decode.
        output_units: size of the output of a step.
        attention: how the memory is read, such as `BahdanauAttention(64)`; None reads none, so that the initial state
            is all that the decoder knows (Sutskever et al. 2014). Neither it nor the cell may be another layer's too.
        attend: `"before"` the cell, or `"after"` it.
        attentional_units: size of what is made of state and context after the cell; that of the cell if None.
        input_feeding: whether it joins the input of the next step; only after the cell.
        bridge: whether the initial state goes through a dense layer (tanh), which makes one of any encoder's states:
            of other sizes, numbers and directions.
        feedback: which of the output's numbers are fed back; all of them if None.
        teacher_forcing: share of the steps that are fed `targets` in training, drawn for each row and step; 0 trains
            the decoder as it will run, on its own outputs. Or a Keras schedule from training steps to shares, such as
            `keras.optimizers.schedules.PolynomialDecay(1.0, 1000, 0.0)`.

    Call arguments:
        memory: `(batch, keys, features)`, such as the encoder's outputs.
        initial_state: state of the cell, such as the encoder's last one, of one or both directions; zeros if left out.
        start: `(batch, feedback)`, what the first step is fed; a learned vector if left out.
        targets: `(batch, steps, feedback)`, fed back instead of the outputs in training.
        features: `(batch, steps, size)`, joins the input of every step.
        memory_mask: boolean `(batch, keys)`; True means keep.
        return_attention_scores: whether to return the weights as well.
        training: whether to force `targets` and apply dropout.
        mask: another name of `memory_mask`, by which Keras hands on the mask of a memory that is the only tensor.

    Output shape:
        `(batch, steps, output_units)`; with `return_attention_scores` also the weights `(batch, steps, keys)`.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, steps, attention, bridge, **kwargs)
        if attend not in ("before", "after"):
            raise ConfigError(f"attend must be before or after. Received: attend={attend!r}")
        if attend == "after" and attention is None:
            raise ConfigError("a decoder that attends after its cell needs an attention. Received: attention=None")
        if attend == "before" and (attentional_units is not None or not input_feeding):
            raise ConfigError('attentional_units and input_feeding need attend="after". Received: attend="before"')
        if feedback is not None and not (feedback and all(0 <= each < output_units for each in feedback)):
            raise ConfigError(f"feedback must name some of {output_units} outputs. Received: feedback={list(feedback)}")
        if not callable(teacher_forcing) and not 0 <= teacher_forcing <= 1:
            raise ConfigError(f"teacher_forcing must lie between 0 and 1. Received: teacher_forcing={teacher_forcing}")
        self.output_units = output_units
        self.attend = attend
        self.attentional_units = attentional_units
        self.input_feeding = input_feeding
        self.feedback = None if feedback is None else list(feedback)
        self.teacher_forcing = teacher_forcing
        self._fed = list(range(output_units)) if self.feedback is None else self.feedback
        # XLA on TensorFlow cannot train through a scan.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self._seed = keras.random.SeedGenerator()
        self._head = keras.layers.Dense(output_units, dtype=self.dtype_policy)
        size = attentional_units or self.units
        self._join = (
            keras.layers.Dense(size, activation="tanh", use_bias=False, dtype=self.dtype_policy, name="attentional")
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
        self._check_steps("targets", targets_shape, len(self._fed))
        self._check_steps("features", features_shape)
        self._features = features_shape is not None
        d_features = 0 if features_shape is None else features_shape[-1]
        d_joined = self.context_size(memory_shape)
        if self._join is not None:
            d_joined = self._join.units if self.input_feeding else 0
        d_read = self.build_parts(memory_shape, len(self._fed) + d_joined + d_features, initial_state_shape)
        if self._join is not None and not self._join.built:
            self._join.build((memory_shape[0], d_read))
        if not self._head.built:
            self._head.build((memory_shape[0], d_read if self._join is None else self._join.units))
        # Only where it is used: a weight without a gradient makes Keras warn at every training.
        if start_shape is None:
            self.learned_start = self.add_weight(name="start", shape=(len(self._fed),), initializer="zeros")
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
            raise ConfigError("features must be given in every call of a decoder, or in none")
        if start is None and not hasattr(self, "learned_start"):
            raise ConfigError("start must be given in every call of a decoder that was built with one")
        if start is None:
            learned = ops.cast(self.learned_start, self.compute_dtype)
            start = ops.broadcast_to(learned[None, :], (batch, len(self._fed)))
        read = self.remember(memory, memory_mask)
        given = {"number": ops.arange(self.steps)}
        if features is not None:
            given["features"] = ops.swapaxes(ops.cast(features, self.compute_dtype), 0, 1)
        # Nothing may be drawn inside the scan: the generator's state would change in a scope that is gone after it.
        if targets is not None and training:
            given.update(self._forcing(start, targets))
        alignment: State = ()
        if self.attention is not None and read is not None:
            given["drawn"] = self.attention.draw(self.steps, read, training)
            alignment = self.attention.initial_state(read)
        if training:
            draw_dropout(self.cell, batch)

        def step(carry: Any, x: Any) -> Any:
            carry = self._step(carry, x, read, training)
            return carry, carry

        first = {
            "states": self.states(initial_state, batch),
            "output": ops.zeros((batch, self.output_units), self.compute_dtype),
            "fed": ops.cast(start, self.compute_dtype),
            "joined": ops.zeros((batch, 0 if self._join is None else self._join.units), self.compute_dtype),
            "alignment": alignment,
            "weights": ops.zeros((batch, 1 if self.attention is None else ops.shape(memory)[1]), self.compute_dtype),
        }
        _, made = scan(step, first, given, self.steps)
        forget_dropout(self.cell)
        outputs = ops.swapaxes(made["output"], 0, 1)
        return (outputs, ops.swapaxes(made["weights"], 0, 1)) if return_attention_scores else outputs

    def _check_steps(self, name: str, shape: Any, size: int | None = None) -> None:
        if shape is None:
            return
        check_sequence(name, shape)
        if shape[1] not in (None, self.steps) or (size is not None and shape[2] != size):
            known = "size" if size is None else size
            raise ConfigError(f"{name} must have the shape (batch, {self.steps}, {known}). Received: {tuple(shape)}")

    def _forcing(self, start: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return what each step is forced to be fed, and which rows of it are, `steps` first."""
        share = self.teacher_forcing
        if callable(share):
            share = ops.cast(share(ops.convert_to_tensor(self.iterations)), "float32")
            self.iterations.assign(self.iterations + 1)
        elif share == 0:
            return {}
        targets = ops.cast(targets, self.compute_dtype)
        shifted = ops.concatenate([ops.expand_dims(ops.cast(start, targets.dtype), 1), targets[:, :-1]], axis=1)
        drawn = keras.random.uniform((self.steps, ops.shape(targets)[0], 1), dtype="float32", seed=self._seed)
        return {"previous": ops.swapaxes(shifted, 0, 1), "forced": drawn < share}

    def _step(
        self, carry: dict[str, Any], given: dict[str, Any], memory: Memory | None, training: bool | None
    ) -> dict[str, Any]:
        previous = ops.where(given["forced"], given["previous"], carry["fed"]) if "forced" in given else carry["fed"]
        states, alignment, weights, joined = (carry[name] for name in ("states", "alignment", "weights", "joined"))
        parts, context = [previous], None
        features = [given["features"]] if "features" in given else []

        def attend(query: Tensor) -> tuple[Tensor, Tensor, State]:
            assert self.attention is not None and memory is not None
            return self.attention.step(query, memory, alignment, training, given["drawn"])

        if self._join is None and memory is not None:
            context, weights, alignment = attend(top_state(self.cell, states))
            parts.append(context)
        elif self._join is not None and self.input_feeding:
            parts.append(joined)
        hidden, states = self.cell(ops.concatenate([*parts, *features], -1), states, training=training)
        if self._join is not None:
            context, weights, alignment = attend(hidden)
            joined = hidden = self._join(ops.concatenate([context, hidden], -1))
        elif context is not None:
            hidden = ops.concatenate([hidden, context], -1)
        output = self._head(hidden)
        fed = output if self.feedback is None else ops.take(output, self.feedback, axis=-1)
        made = (states, output, fed, joined, alignment, weights)
        return dict(zip(("states", "output", "fed", "joined", "alignment", "weights"), made, strict=True))

    def output_size(self, memory: Any) -> int:
        """Return the size of a step's output."""
        return self.output_units

    def get_config(self) -> dict[str, Any]:
        share = self.teacher_forcing
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "attend": self.attend,
            "attentional_units": self.attentional_units,
            "input_feeding": self.input_feeding,
            "feedback": self.feedback,
            "teacher_forcing": keras.optimizers.schedules.serialize(share) if callable(share) else share,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        share = config["teacher_forcing"]
        if isinstance(share, dict):
            config = {**config, "teacher_forcing": keras.optimizers.schedules.deserialize(share)}
        return super().from_config(config)
