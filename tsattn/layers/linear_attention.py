"""Linear attention with a gated delta rule: a recurrence over matrices, computed in chunks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import l2_normalize
from tsattn.layers.layer_utils import (
    check_positive,
    check_sequence,
    constructor_config,
    dense_options,
    set_weight_options,
)
from tsattn.layers.ops import Tensor, resolve_mask, scan, zero_masked

INITIAL_GATE_BIAS = 4.0
"""Initial bias of the forget gate: 0.98 of the state remains after a step."""


@keras.saving.register_keras_serializable(package="tsattn")
class LinearAttention(keras.layers.Layer):
    """Causal attention in linear time: a matrix per head is the memory of all previous steps.

    Step i writes its value under its key and reads with its query, in float32:
    `S_i = a_i S_{i-1} + b_i k_i (v_i - a_i S_{i-1}^T k_i)^T` and `o_i = S_i^T q_i`. Keys and queries have length 1; the
    forget gate `a` and the writing strength `b` are sigmoids of the input, per head. The delta rule replaces the value
    that is stored under a key; without it, values are added, `S_i = a_i S_{i-1} + b_i k_i v_i^T`. The outputs are
    normalized per head (RMS) and projected.

    Steps are processed in chunks, whose size has no effect on the outputs but for rounding. For autoregressive
    inference, call `step` repeatedly, starting from `initial_state`. Masked steps leave the state unchanged, whatever
    their content, and their outputs are 0. The output carries the mask of the input.

    Args:
        num_heads: Number of heads.
        key_units: Size of query and key per head.
        value_units: Size of the value per head. If None, `key_units`.
        output_units: Size of the output. If None, that of the input.
        delta_rule: Whether to replace values instead of adding them.
        gated: Whether to forget; if False, `a` is 1.
        chunk_size: Number of steps that are computed at once.
        kernel_initializer: Initializer of the projections.
        kernel_regularizer: Regularizer of the projections.
        kernel_constraint: Constraint of the projections.
        epsilon: Added to the mean square in the normalization.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep.

    Output shape:
        `(batch, time, output_units)`.

    Example:
        >>> x = x + LinearAttention(num_heads=4)(keras.layers.LayerNormalization()(x), mask=mask)

    References:
        Katharopoulos et al. 2020, Transformers are RNNs; Yang et al. 2024, Parallelizing Linear Transformers with the
        Delta Rule over Sequence Length; Yang et al. 2025, Gated Delta Networks.
    """

    def __init__(
        self,
        num_heads: int = 4,
        key_units: int = 16,
        value_units: int | None = None,
        output_units: int | None = None,
        delta_rule: bool = True,
        gated: bool = True,
        chunk_size: int = 64,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads, key_units=key_units, chunk_size=chunk_size)
        check_positive(value_units=value_units, output_units=output_units)
        self.num_heads = num_heads
        self.key_units = key_units
        self.value_units = value_units
        self.output_units = output_units
        self.delta_rule = delta_rule
        self.gated = gated
        self.chunk_size = chunk_size
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.epsilon = epsilon
        self.supports_masking = True
        # XLA on TensorFlow cannot differentiate a scan.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self._value_size = value_units or key_units
        sizes = {"query": key_units, "key": key_units, "value": self._value_size}
        self._projections = [self._dense(name, num_heads * size, use_bias=False) for name, size in sizes.items()]
        self._strength = self._dense("strength", num_heads)
        bias = keras.initializers.Constant(INITIAL_GATE_BIAS)
        self._gate = self._dense("gate", num_heads, bias_initializer=bias) if gated else None
        self._norm = keras.layers.RMSNormalization(epsilon=epsilon, dtype="float32", name="norm")

    def _dense(self, name: str, units: int, **options: Any) -> keras.layers.Dense:
        return keras.layers.Dense(units, name=name, **dense_options(self), **options)

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a linear attention", inputs_shape)
        gates = [self._strength] if self._gate is None else [self._strength, self._gate]
        for dense in (*self._projections, *gates):
            if not dense.built:
                dense.build(inputs_shape)
        self._out = self._dense("out", self.output_units or inputs_shape[-1], use_bias=False)
        self._out.build((*inputs_shape[:-1], self.num_heads * self._value_size))
        self._norm.build((*inputs_shape[:-1], self.num_heads, self._value_size))

    def _parts(self, inputs: Tensor, keep: Tensor) -> list[Tensor]:
        """Return query, key, value, strength and the logarithm of the gate, `(batch, heads, time, ...)` in float32."""
        shape = (*ops.shape(inputs)[:2], self.num_heads)
        parts = [
            ops.reshape(ops.cast(dense(inputs), "float32"), (*shape, dense.units // self.num_heads))
            for dense in self._projections
        ]
        query, key, value = (ops.swapaxes(part, 1, 2) for part in parts)
        strength = ops.sigmoid(ops.cast(self._strength(inputs), "float32"))
        gate = ops.zeros_like(strength)
        if self._gate is not None:
            gate = ops.log_sigmoid(ops.cast(self._gate(inputs), "float32"))
        strength, gate = (ops.swapaxes(zero_masked(part, keep), 1, 2) for part in (strength, gate))
        return [l2_normalize(query), l2_normalize(key), value, strength, gate]

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        inputs, keep = zero_masked(inputs, mask), resolve_mask(mask, inputs)
        parts, time = self._parts(inputs, keep), ops.shape(inputs)[1]
        size = min(self.chunk_size, max(inputs.shape[1] or self.chunk_size, 1))
        chunks = -(-time // size)

        def cut(part: Tensor) -> Tensor:
            """Return the chunks `(batch, heads, chunks, size, ...)`; padding does not change the state."""
            after = [[0, 0]] * (len(part.shape) - 3)
            padded = ops.pad(part, [[0, 0], [0, 0], [0, size - 1], *after])[:, :, : chunks * size]
            batch = ops.shape(part)[0]
            return ops.reshape(padded, (batch, self.num_heads, chunks, size, *part.shape[3:]))

        states = self._scan(self._chunk_terms(*map(cut, parts)), ops.shape(inputs)[0], chunks)
        outputs = ops.reshape(states, (ops.shape(inputs)[0], self.num_heads, chunks * size, self._value_size))
        return zero_masked(self._project(ops.swapaxes(outputs[:, :, :time], 1, 2), inputs.dtype), keep)

    def _chunk_terms(self, query: Tensor, key: Tensor, value: Tensor, strength: Tensor, gate: Tensor) -> list[Tensor]:
        """Return what the recurrence over chunks needs, computed for all chunks at once.

        A chunk with the initial state `S` writes `u = written - erased S` under its keys, and reads
        `reading S + pairs u`. Its last state is `decay S + writing^T u`.
        """
        total = ops.cumsum(gate, axis=-1)
        step = ops.arange(gate.shape[-1])
        order = ops.expand_dims(step, 1) - ops.expand_dims(step, 0)
        difference = ops.expand_dims(total, -1) - ops.expand_dims(total, -2)
        # The exponential of a masked pair can overflow, which would make its gradient NaN.
        decay = ops.where(order >= 0, ops.exp(ops.where(order >= 0, difference, 0.0)), 0.0)
        keys = ops.swapaxes(key, -1, -2)
        written = ops.expand_dims(strength, -1) * value
        erased = ops.zeros_like(key)
        if self.delta_rule:
            own = ops.matmul(key, keys) * decay * ops.expand_dims(strength, -1)
            triangular = ops.where(order > 0, own, ops.cast(order == 0, "float32"))
            erased = ops.expand_dims(strength * ops.exp(total), -1) * key
            solved = ops.solve_triangular(triangular, ops.concatenate([written, erased], -1), lower=True)
            written, erased = solved[..., : value.shape[-1]], solved[..., value.shape[-1] :]
        reading = query * ops.expand_dims(ops.exp(total), -1)
        writing = key * ops.expand_dims(ops.exp(total[..., -1:] - total), -1)
        return [reading, ops.matmul(query, keys) * decay, written, erased, writing, ops.exp(total[..., -1:])]

    def _scan(self, terms: list[Tensor], batch: Any, chunks: Any) -> Tensor:
        """Return the outputs of all chunks, `(batch, heads, chunks, size, value_size)`."""
        terms = [ops.moveaxis(term, 2, 0) for term in terms]

        # Keras on TensorFlow cannot scan over several tensors of unknown length, but it can over their index.
        def step(carry: Any, number: Any) -> Any:
            reading, pairs, written, erased, writing, decay = (ops.take(term, number, axis=0) for term in terms)
            state = carry[0]
            update = written - ops.matmul(erased, state)
            output = ops.matmul(reading, state) + ops.matmul(pairs, update)
            state = ops.expand_dims(decay, -1) * state + ops.matmul(ops.swapaxes(writing, -1, -2), update)
            # TensorFlow requires the output of a step to have the structure of the carry.
            return (state, output), (state, output)

        output = ops.zeros((batch, self.num_heads, terms[0].shape[3], self._value_size), "float32")
        _, (_, outputs) = scan(step, (self.initial_state(batch), output), ops.arange(chunks), chunks)
        return ops.moveaxis(outputs, 0, 2)

    def _project(self, outputs: Tensor, dtype: str) -> Tensor:
        """Normalize and project outputs `(batch, time, heads, value_size)`."""
        flat = ops.reshape(self._norm(outputs), (*ops.shape(outputs)[:2], self.num_heads * self._value_size))
        return self._out(ops.cast(flat, dtype))

    def initial_state(self, batch: Any) -> Tensor:
        """Return the state before the first step, zeros `(batch, heads, key_units, value_units)` in float32."""
        return ops.zeros((batch, self.num_heads, self.key_units, self._value_size), "float32")

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Process one step.

        Args:
            inputs: `(batch, features)`.
            state: Result of `initial_state` or of the previous step.

        Returns:
            The output `(batch, output_units)` and the new state.

        Raises:
            ConfigError: The layer is not built, neither by a call nor by `build(inputs_shape)`.
        """
        if not self.built:
            raise ConfigError("step requires a built layer: call it, or build(inputs_shape), first")
        inputs = ops.expand_dims(ops.cast(inputs, self.compute_dtype), 1)
        query, key, value, strength, gate = self._parts(inputs, resolve_mask(None, inputs))
        state = state * ops.expand_dims(ops.exp(gate), -1)
        if self.delta_rule:
            value = value - ops.matmul(key, state)
        state = state + ops.matmul(ops.swapaxes(key * ops.expand_dims(strength, -1), -1, -2), value)
        output = ops.swapaxes(ops.matmul(query, state), 1, 2)
        return ops.squeeze(self._project(output, inputs.dtype), 1), state

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:-1], self.output_units or inputs_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, LinearAttention)}
