"""Attention of queries over keys and values, exact under masks."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.alignments import Alignment, AlignmentInputs, State, get_alignment
from tsattn.layers.attention_scores import get_score
from tsattn.layers.layer_utils import (
    check_dtype,
    check_positive,
    check_rate,
    check_same,
    check_sequence,
    constructor_config,
    dense_options,
    set_weight_options,
)
from tsattn.layers.ops import Tensor, resolve_mask, scan, zero_masked


class Memory(NamedTuple):
    """Keys and values, projected once for many queries; see `Attention.setup_memory`.

    Args:
        key: `(batch, keys, size)`, projected and prepared for the score.
        value: `(batch, keys, value_size)`, projected, 0 where masked.
        mask: Boolean `(batch, keys)`; None if all keys are valid.
    """

    key: Tensor
    value: Tensor
    mask: Tensor | None

    @property
    def valid(self) -> Tensor:
        """The mask, all True if it is None."""
        return resolve_mask(self.mask, self.value)


@keras.saving.register_keras_serializable(package="tsattn")
class Attention(keras.layers.Layer):
    """Attention with a choice of score function and alignment.

    Masked values get a weight of exactly 0, whatever their content (NaN included). If all values of a row are masked,
    its output is 0, not the mean of the padding. Outputs of masked queries are 0, and a masked query leaves the state
    of a stateful alignment unchanged. The output carries the Keras mask of the query.

    To attend with one query at a time, as a decoder does, call `setup_memory` once, then `step` from its
    `initial_state`. `AttentionDecoder` does so for any recurrent cell.

    Args:
        score: `"additive"` (Bahdanau et al. 2015), `"dot"`, `"general"`, `"concat"` (Luong et al. 2015),
            `"scaled_dot"` (Vaswani et al. 2017), `"cosine"` (Graves et al. 2014; with a learned temperature),
            `"normalized_additive"` (Salimans and Kingma 2016), `"scaled_general"`, or a name passed to
            `register_score`.
        units: Size of the learned projections of query and key. If None, they are not projected.
        alignment: How scores become weights: `"softmax"`, `"local"` (Luong et al. 2015), `"monotonic"` (Raffel et al.
            2017), `"coverage"` (Tu et al. 2016), `"hardmax"`, or an `Alignment` that no other layer uses. For the
            stateful ones (monotonic, coverage) the queries are successive time steps.
        value_units: Size of a learned projection of the value. If None, it is not projected.
        dropout: Dropout rate of the attention weights.
        kernel_initializer: Initializer of the projections and of the matrices of the score.
        kernel_regularizer: Regularizer of the same matrices.
        kernel_constraint: Constraint of the same matrices.
        seed: Seed of the dropout.
        unroll: Whether to unroll the loop over the queries of a stateful alignment, whose number must be known: faster
            for few queries, required by ONNX and LiteRT.

    Call arguments:
        query: `(batch, queries, query_size)`; or a list of query, value and optionally key, with a list of their masks
            as `mask`, as in `keras.layers.Attention`.
        value: `(batch, keys, value_size)`.
        key: `(batch, keys, key_size)`. Defaults to the value.
        query_mask: Boolean `(batch, queries)`; True means keep.
        value_mask: Boolean `(batch, keys)`; True means keep.
        key_mask: Boolean `(batch, keys)`, combined with `value_mask` by a logical and.
        return_attention_scores: Whether to return the attention weights as well.
        use_causal_mask: Whether query i attends to keys 0 to i only.
        training: Whether to apply dropout and the noise of the alignment.

    Output shape:
        `(batch, queries, value_units or value_size)`. With `return_attention_scores`, also the weights
        `(batch, queries, keys)`.

    Example:
        >>> layer = Attention(score="additive", units=32)
        >>> context = layer(query, value, value_mask=mask)
    """

    def __init__(
        self,
        score: str = "additive",
        units: int | None = None,
        alignment: str | Alignment = "softmax",
        value_units: int | None = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        seed: int | None = None,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        for name in {"score_mode", "use_scale"} & set(kwargs):
            raise ConfigError(
                f"{name} of keras.layers.Attention is the score here: score='dot', 'concat', 'scaled_general' (a "
                f"learned scale) or another. Received: {name}={kwargs[name]!r}"
            )
        super().__init__(**kwargs)
        check_positive(units=units, value_units=value_units)
        check_rate(dropout=dropout)
        self.score = score
        self.units = units
        self.alignment = get_alignment(alignment, self.dtype_policy)
        check_dtype(self, "alignment", self.alignment)
        self.value_units = value_units
        self.dropout = dropout
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.seed = seed
        self.unroll = unroll
        self.supports_masking = True
        # XLA on TensorFlow cannot differentiate a scan.
        self.supports_jit = not (self.alignment.stateful and keras.backend.backend() == "tensorflow")
        self._score = get_score(score)
        self._dropout = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="dropout")
        self._query_projection = self._projection("query", units)
        self._key_projection = self._projection("key", units)
        self._value_projection = self._projection("value", value_units)

    def _projection(self, name: str, units: int | None) -> keras.layers.Dense | None:
        if units is None:
            return None
        return keras.layers.Dense(units, use_bias=False, name=f"{name}_projection", **dense_options(self))

    def __call__(self, query: Any, *args: Any, mask: Any = None, **kwargs: Any) -> Any:
        """Call the layer; lists as of `keras.layers.Attention` become separate arguments."""
        if not isinstance(query, list | tuple):
            if mask is not None:
                raise ConfigError(
                    "mask takes the masks of a list of query and value: pass query_mask and value_mask with separate "
                    "tensors. Received: mask with separate tensors"
                )
            return super().__call__(query, *args, **kwargs)
        masks = [] if mask is None else list(mask)
        if not 2 <= len(query) <= 3 or len(masks) > len(query):
            raise ConfigError(
                "a list must be of query, value and optionally key, with a mask for each. "
                f"Received: {len(query)} tensors, {len(masks)} masks"
            )
        named = dict(zip(("query_mask", "value_mask", "key_mask"), masks, strict=False))
        return super().__call__(*query, *args, **named, **kwargs)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = key_shape or value_shape
        check_sequence("query", query_shape, "x[:, None] is a single query, and step() takes one")
        check_sequence("value", value_shape)
        check_sequence("key", key_shape)
        check_same("steps", value=value_shape[1], key=key_shape[1])
        shapes = (query_shape, key_shape, value_shape)
        projections = (self._query_projection, self._key_projection, self._value_projection)
        for projection, shape in zip(projections, shapes, strict=True):
            if projection is not None and not projection.built:
                projection.build(shape)
        d_query, d_key = self.units or query_shape[-1], self.units or key_shape[-1]
        if self.unroll and self.alignment.stateful and query_shape[1] is None:
            raise ConfigError(
                f"unroll=True requires a known number of queries. Received: query shape {tuple(query_shape)}"
            )
        if self._score.same_size and d_query != d_key:
            raise ConfigError(
                f"score {self.score!r} requires query and key of the same size: set units to project both. "
                f"Received: query size {d_query}, key size {d_key}"
            )
        self._score_weights = self._score.build(self, d_query, d_key)
        if not self.alignment.built:
            self.alignment.build(query_shape, (*key_shape[:-1], d_key))

    def context_size(self, value_size: int) -> int:
        """Return the size of the context for a given size of the value."""
        return self.value_units or value_size

    def setup_memory(self, value: Tensor, key: Tensor | None = None, mask: Tensor | None = None) -> Memory:
        """Project keys and values once, for many calls of `step` or `attend`.

        Args:
            value: `(batch, keys, value_size)`.
            key: `(batch, keys, key_size)`. Defaults to the value.
            mask: Boolean `(batch, keys)`; True means keep.

        Raises:
            ConfigError: The layer is not built, neither by a call nor by `build(query_shape, value_shape)`.
        """
        if not self.built:
            raise ConfigError("setup_memory requires a built layer: call it, or build(query_shape, value_shape), first")
        # Keras casts the arguments of `call` only.
        value, key = (ops.cast(x, self.compute_dtype) for x in (value, value if key is None else key))
        key, value = zero_masked(key, mask), zero_masked(value, mask)
        key = key if self._key_projection is None else self._key_projection(key)
        value = value if self._value_projection is None else self._value_projection(value)
        keys = self._score.prepare_keys(key, self._cast_score_weights())
        return Memory(keys, value, None if mask is None else ops.cast(mask, "bool"))

    def _cast_score_weights(self) -> dict[str, Tensor]:
        return {name: ops.cast(weight, self.compute_dtype) for name, weight in self._score_weights.items()}

    def initial_state(self, memory: Memory) -> State:
        """Return the alignment state before the first step: tensors `(batch, keys)`, or an empty tuple."""
        return self.alignment.initial_state(memory.valid)

    def step(
        self,
        query: Tensor,
        memory: Memory,
        state: State,
        training: bool | None = None,
        noise: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Attend with one query.

        Args:
            query: `(batch, query_size)`.
            memory: Result of `setup_memory`.
            state: Result of `initial_state` or of the previous step.
            training: Whether to apply dropout and the noise of the alignment.
            noise: One step of the result of `sample_noise`, which must be called outside of a loop.

        Returns:
            The context `(batch, value_size)`, the weights `(batch, keys)` and the new state.
        """
        mask = self._pair_mask(memory)
        if noise is None:
            noise = {name: x[0] for name, x in self.sample_noise(1, memory, training).items()}
        context, weights, state = self._attend(ops.expand_dims(query, 1), memory, mask, state, training, noise)
        return ops.squeeze(context, 1), ops.squeeze(weights, 1), state

    def sample_noise(self, steps: int, memory: Memory, training: bool | None) -> dict[str, Tensor]:
        """Sample dropout masks and alignment noise, each `(steps, batch, 1, keys)`; empty outside of training."""
        if not training:
            return {}
        batch, keys = ops.shape(memory.value)[:2]
        shape = (steps, batch, 1, keys)
        noise = self.alignment.sample_noise(shape)
        sampled = {} if noise is None else {"alignment": noise}
        if self.dropout > 0:
            sampled["dropout"] = self._dropout(ops.ones(shape, self.compute_dtype), training=True)
        return sampled

    def _attend(
        self,
        query: Tensor,
        memory: Memory,
        mask: Tensor | None,
        state: State,
        training: bool | None,
        noise: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, State]:
        """Attend with queries `(batch, queries, size)` under a mask `(batch, 1 or queries, keys)`."""
        query = ops.cast(query, self.compute_dtype)
        projected = query if self._query_projection is None else self._query_projection(query)
        keys = self.alignment.condition_keys(memory.key, state)
        scores = self._score.compute_scores(projected, keys, self._cast_score_weights())
        inputs = AlignmentInputs(scores, query, mask, noise.get("alignment"), training)
        weights, state = self.alignment.align(inputs, state)
        dropped = weights * noise["dropout"] if "dropout" in noise else weights
        return ops.matmul(dropped, memory.value), weights, state

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        training: bool | None = None,
    ) -> Any:
        if key_mask is not None:
            value_mask = ops.logical_and(resolve_mask(value_mask, value), ops.cast(key_mask, "bool"))
        memory = self.setup_memory(value, key, value_mask)
        query = zero_masked(query, query_mask)
        context, weights = self.attend(query, memory, query_mask, use_causal_mask, training)
        context = zero_masked(context, query_mask)
        return (context, zero_masked(weights, query_mask)) if return_attention_scores else context

    def attend(
        self,
        query: Tensor,
        memory: Memory,
        query_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend with all queries `(batch, queries, query_size)`; one by one if the alignment is stateful.

        Returns:
            The context `(batch, queries, value_size)` and the weights `(batch, queries, keys)`.
        """
        mask = self._pair_mask(memory)
        if use_causal_mask:
            queries, keys = ops.shape(query)[1], ops.shape(memory.value)[1]
            causal = ops.arange(queries)[None, :, None] >= ops.arange(keys)[None, None, :]
            mask = causal if mask is None else ops.logical_and(mask, causal)
        if self.alignment.stateful:
            return self._attend_one_by_one(query, memory, mask, query_mask, training)
        noise = {
            name: ops.swapaxes(ops.squeeze(x, 2), 0, 1)
            for name, x in self.sample_noise(ops.shape(query)[1], memory, training).items()
        }
        return self._attend(query, memory, mask, self.initial_state(memory), training, noise)[:2]

    def _pair_mask(self, memory: Memory) -> Tensor | None:
        """Return the mask `(batch, 1, keys)`; None if all keys are valid, where the alignment takes that."""
        if memory.mask is None and type(self.alignment) is Alignment:
            return None
        return ops.expand_dims(memory.valid, 1)

    def _attend_one_by_one(
        self, query: Tensor, memory: Memory, mask: Tensor, query_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        steps = ops.shape(query)[1]
        batch, keys = ops.shape(memory.value)[:2]
        mask = ops.broadcast_to(mask, (batch, steps, keys))
        sequences = {"query": query, "mask": mask, "valid": resolve_mask(query_mask, query)}
        inputs = {name: ops.swapaxes(x, 0, 1) for name, x in sequences.items()}
        inputs["noise"] = self.sample_noise(steps, memory, training)

        # Keras on TensorFlow cannot scan over several tensors of unknown length, but it can over their index.
        def step(carry: Any, number: Any) -> Any:
            x = keras.tree.map_structure(lambda part: ops.take(part, number, axis=0), inputs)
            old, query = carry[0], ops.expand_dims(x["query"], 1)
            result = self._attend(query, memory, ops.expand_dims(x["mask"], 1), old, training, x["noise"])
            context, weights, new = result
            state = tuple(ops.where(x["valid"][:, None], a, b) for a, b in zip(new, old, strict=True))
            # TensorFlow requires the output of a step to have the structure of the carry.
            carry = (state, ops.squeeze(context, 1), ops.squeeze(weights, 1))
            return carry, carry

        zeros = tuple(ops.zeros((batch, size), self.compute_dtype) for size in (memory.value.shape[2], keys))
        initial = (self.initial_state(memory), *zeros)
        _, (_, context, weights) = scan(step, initial, ops.arange(steps), steps, self.unroll)
        return ops.swapaxes(context, 0, 1), ops.swapaxes(weights, 0, 1)

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        return (*query_shape[:-1], self.context_size(value_shape[-1]))

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        return_attention_scores: bool = False,
        **kwargs: Any,
    ) -> Any:
        context = keras.KerasTensor(self.compute_output_shape(query.shape, value.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return context
        weights = keras.KerasTensor((*query.shape[:-1], value.shape[1]), dtype=self.compute_dtype)
        return context, weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, Attention)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "alignment": keras.layers.deserialize(config["alignment"])})
