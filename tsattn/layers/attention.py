"""Query, key and value attention, exact under masks."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.alignments import Alignment, Scored, State, get_alignment
from tsattn.layers.attention_scores import get_score
from tsattn.layers.masking import Tensor, check_dtype, check_sequence, fresh, keep_mask, scan, zero_masked


class Memory(NamedTuple):
    """What attention reads, projected once for many queries; see `Attention.remember`.

    Args:
        key: `(batch, keys, size)`, projected.
        value: `(batch, keys, value_size)`, 0 where masked.
        mask: boolean `(batch, keys)`.
    """

    key: Tensor
    value: Tensor
    mask: Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class Attention(keras.layers.Layer):
    """Attention of a query over a value, with score and alignment chosen by name.

    Masked values get a weight of exactly 0, whatever they hold (NaN included); a row whose values are all masked
    gives zeros, not the mean of its padding. Masked queries give zeros, and are nothing to the queries after them. The
    output carries the mask that Keras has attached to the query.

    One query at a time, as in a decoder: `remember` the memory once, then from its `initial_state` take one `step`
    after the other. `AttentionDecoder` does that around any recurrent cell.

    Args:
        score: `"additive"` (Bahdanau et al. 2015), `"dot"`, `"general"`, `"concat"` (Luong et al. 2015),
            `"scaled_dot"` (Vaswani et al. 2017), `"cosine"` (Graves et al. 2014; with a learned temperature),
            `"normalized_additive"` (Salimans and Kingma 2016), `"scaled_general"`, or one's own, see `register_score`.
        units: size of the learned projections of query and key; None projects nothing.
        alignment: what makes weights of the scores: `"softmax"`, `"local"` (Luong et al. 2015), `"monotonic"` (Raffel
            et al. 2017), `"coverage"` (Tu et al. 2016), `"hardmax"`, or an `Alignment`, for other arguments than its
            defaults, and not shared with another layer. With those that remember what came before (monotonic,
            coverage) the queries are steps in time.
        value_units: size of a learned projection of the value; None projects nothing.
        dropout: share of the attention weights dropped in training.
        kernel_initializer: initializer of the projections and of the score's matrices.

    Call arguments:
        query: `(batch, queries, query_size)`.
        value: `(batch, keys, value_size)`.
        key: `(batch, keys, key_size)`; the value if left out.
        query_mask: boolean `(batch, queries)`; True means keep.
        value_mask: boolean `(batch, keys)`; True means keep.
        key_mask: the same of the key; a step is kept where both keep it.
        return_attention_scores: whether to return the weights as well.
        use_causal_mask: whether query i sees keys 0 to i only.
        training: whether to apply dropout, and the noise of an alignment.

    Output shape:
        `(batch, queries, value_units or value_size)`; with `return_attention_scores` also the weights
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.score = score
        self.units = units
        self.alignment = get_alignment(alignment, self.dtype_policy)
        check_dtype(self, "alignment", self.alignment)
        self.value_units = value_units
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        # XLA on TensorFlow cannot train through a scan.
        self.supports_jit = not (self.alignment.remembers and keras.backend.backend() == "tensorflow")
        self._score = get_score(score)
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self._query_projection = self._projection("query", units)
        self._key_projection = self._projection("key", units)
        self._value_projection = self._projection("value", value_units)

    def _projection(self, name: str, units: int | None) -> keras.layers.Dense | None:
        if units is None:
            return None
        kernel = fresh(self.kernel_initializer)
        return keras.layers.Dense(
            units, use_bias=False, kernel_initializer=kernel, dtype=self.dtype_policy, name=f"{name}_projection"
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = key_shape or value_shape
        check_sequence("query", query_shape, "x[:, None] is a single query, and step() takes one")
        check_sequence("value", value_shape)
        check_sequence("key", key_shape)
        shapes = (query_shape, key_shape, value_shape)
        projections = (self._query_projection, self._key_projection, self._value_projection)
        for projection, shape in zip(projections, shapes, strict=True):
            if projection is not None and not projection.built:
                projection.build(shape)
        d_query, d_key = self.units or query_shape[-1], self.units or key_shape[-1]
        if self._score.same_size and d_query != d_key:
            raise ConfigError(
                f"score {self.score!r} needs query and key of one size: set units to project both. "
                f"Received: query size {d_query}, key size {d_key}"
            )
        self._score_weights = self._score.build(self, d_query, d_key, self.kernel_initializer)
        if not self.alignment.built:
            self.alignment.build(query_shape, (*key_shape[:-1], d_key))

    def value_size(self, value_size: int) -> int:
        """Return the size of the context, from that of the value."""
        return self.value_units or value_size

    def remember(self, value: Tensor, key: Tensor | None = None, mask: Tensor | None = None) -> Memory:
        """Project keys and values once, for many calls of `step`.

        Args:
            value: `(batch, keys, value_size)`.
            key: `(batch, keys, key_size)`; the value if left out.
            mask: boolean `(batch, keys)`; True means keep.

        Raises:
            ConfigError: the layer was not built, by a call or by `build(query_shape, value_shape)`.
        """
        if not self.built:
            raise ConfigError("an attention remembers only after build(query_shape, value_shape), or a call")
        # Nothing does so where this is called by itself, outside a layer's call.
        value, key = (ops.cast(x, self.compute_dtype) for x in (value, value if key is None else key))
        key, value = zero_masked(key, mask), zero_masked(value, mask)
        keep = keep_mask(mask, value)
        key = key if self._key_projection is None else self._key_projection(key)
        value = value if self._value_projection is None else self._value_projection(value)
        return Memory(self._score.keys(key, self._weights_to_compute()), value, keep)

    def _weights_to_compute(self) -> dict[str, Tensor]:
        return {name: ops.cast(weight, self.compute_dtype) for name, weight in self._score_weights.items()}

    def initial_state(self, memory: Memory) -> State:
        """Return the state before the first step: tensors `(batch, keys)`, or none."""
        return self.alignment.initial_state(memory.mask)

    def step(
        self,
        query: Tensor,
        memory: Memory,
        state: State,
        training: bool | None = None,
        drawn: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Attend with one query.

        Args:
            query: `(batch, query_size)`.
            memory: what `remember` gave.
            state: what `initial_state` or the step before gave.
            training: whether to apply dropout, and the noise of an alignment.
            drawn: one step of what `draw` drew before a loop, in which nothing may be drawn.

        Returns:
            The context `(batch, value_size)`, the weights `(batch, keys)` and the new state.
        """
        mask = ops.expand_dims(memory.mask, 1)
        if drawn is None:
            drawn = {name: x[0] for name, x in self.draw(1, memory, training).items()}
        context, weights, state = self._attend(ops.expand_dims(query, 1), memory, mask, state, training, drawn)
        return ops.squeeze(context, 1), ops.squeeze(weights, 1), state

    def draw(self, steps: int, memory: Memory, training: bool | None) -> dict[str, Tensor]:
        """Draw what `steps` steps need at random, each `(steps, batch, 1, keys)`; nothing outside of training."""
        if not training:
            return {}
        shape = (steps, ops.shape(memory.mask)[0], 1, ops.shape(memory.mask)[1])
        noise = self.alignment.noise(shape)
        drawn = {} if noise is None else {"noise": noise}
        if self.dropout > 0:
            # 0, or more than 1 to make up for those.
            drawn["kept"] = self._dropout(ops.ones(shape, self.compute_dtype), training=True)
        return drawn

    def _attend(
        self,
        query: Tensor,
        memory: Memory,
        mask: Tensor,
        state: State,
        training: bool | None,
        drawn: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, State]:
        """Attend with queries `(batch, queries, size)` under a mask `(batch, 1 or queries, keys)`."""
        query = ops.cast(query, self.compute_dtype)
        projected = query if self._query_projection is None else self._query_projection(query)
        scores = self._score.scores(projected, self.alignment.keys(memory.key, state), self._weights_to_compute())
        weights, state = self.alignment.align(Scored(scores, query, mask, drawn.get("noise"), training), state)
        used = weights * drawn["kept"] if "kept" in drawn else weights
        return ops.matmul(used, memory.value), weights, state

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
            value_mask = ops.logical_and(keep_mask(value_mask, value), ops.cast(key_mask, "bool"))
        memory = self.remember(value, key, value_mask)
        query = zero_masked(query, query_mask)
        context, weights = self.read(query, memory, query_mask, use_causal_mask, training)
        context = zero_masked(context, query_mask)
        return (context, zero_masked(weights, query_mask)) if return_attention_scores else context

    def read(
        self,
        query: Tensor,
        memory: Memory,
        query_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend with many queries `(batch, queries, query_size)`, in the order of time where the alignment remembers.

        Returns:
            The context `(batch, queries, value_size)` and the weights `(batch, queries, keys)`.
        """
        mask = ops.expand_dims(memory.mask, 1)
        if use_causal_mask:
            queries, keys = ops.shape(query)[1], ops.shape(memory.mask)[1]
            causal = ops.arange(queries)[None, :, None] >= ops.arange(keys)[None, None, :]
            mask = ops.logical_and(mask, causal)
        if not self.alignment.remembers:
            drawn = self._draw_at_once(query, memory, training)
            return self._attend(query, memory, mask, self.initial_state(memory), training, drawn)[:2]
        return self._scan(query, memory, mask, query_mask, training)

    def _draw_at_once(self, query: Tensor, memory: Memory, training: bool | None) -> dict[str, Tensor]:
        drawn = self.draw(ops.shape(query)[1], memory, training)
        return {name: ops.swapaxes(ops.squeeze(x, 2), 0, 1) for name, x in drawn.items()}

    def _scan(
        self, query: Tensor, memory: Memory, mask: Tensor, query_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        steps = ops.shape(query)[1]
        mask = ops.broadcast_to(mask, (ops.shape(mask)[0], steps, ops.shape(mask)[2]))
        each = {"query": query, "mask": mask, "valid": keep_mask(query_mask, query)}
        given = {name: ops.swapaxes(x, 0, 1) for name, x in each.items()}
        given["drawn"] = self.draw(steps, memory, training)

        # Keras cannot scan over several tensors of unknown length on TensorFlow: over their index it can.
        def step(carry: Any, number: Any) -> Any:
            x = keras.tree.map_structure(lambda part: ops.take(part, number, axis=0), given)
            old, query = carry[0], ops.expand_dims(x["query"], 1)
            result = self._attend(query, memory, ops.expand_dims(x["mask"], 1), old, training, x["drawn"])
            context, weights, new = result
            kept = tuple(ops.where(x["valid"][:, None], a, b) for a, b in zip(new, old, strict=True))
            # TensorFlow wants what a step gives to look like what it carries.
            carry = (kept, ops.squeeze(context, 1), ops.squeeze(weights, 1))
            return carry, carry

        zeros = (ops.zeros_like(memory.value[:, 0]), ops.zeros_like(memory.mask, dtype=self.compute_dtype))
        _, (_, context, weights) = scan(step, (self.initial_state(memory), *zeros), ops.arange(steps), steps)
        return ops.swapaxes(context, 0, 1), ops.swapaxes(weights, 0, 1)

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        return (*query_shape[:-1], self.value_size(value_shape[-1]))

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
        return {
            **super().get_config(),
            "score": self.score,
            "units": self.units,
            "alignment": keras.layers.serialize(self.alignment),
            "value_units": self.value_units,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "alignment": keras.layers.deserialize(config["alignment"])})


@keras.saving.register_keras_serializable(package="tsattn")
class BahdanauAttention(Attention):
    """Additive attention, `v^T tanh(W q + U k + b)`: `Attention` of that score, with all its other arguments.

    Args:
        units: size of the learned projections of query and key.
        normalize: whether `v` is `g v / ||v||`, with a learned length g.

    Example:
        >>> context = BahdanauAttention(32)(query, value, value_mask=mask)

    Reference:
        Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate.
    """

    def __init__(self, units: int, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__("normalized_additive" if normalize else "additive", units, **kwargs)
        self.normalize = normalize

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "normalize": self.normalize}
        del config["score"]
        return config


@keras.saving.register_keras_serializable(package="tsattn")
class LuongAttention(Attention):
    """Multiplicative attention: `Attention` of one of the scores of Luong et al., with all its other arguments.

    Args:
        score: `"general"` (`q^T W k`), `"dot"` or `"concat"`.
        scale: whether the general score is multiplied by a learned number.

    Example:
        >>> context = LuongAttention(alignment="local")(query, value, value_mask=mask)

    Reference:
        Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __init__(self, score: str = "general", scale: bool = False, **kwargs: Any) -> None:
        if score not in ("general", "dot", "concat"):
            raise ConfigError(f"the score of Luong's attention must be general, dot or concat. Received: {score!r}")
        if scale and score != "general":
            raise ConfigError(f"scale needs the general score. Received: score={score!r}")
        super().__init__("scaled_general" if scale else score, **kwargs)
        self.scale = scale

    def get_config(self) -> dict[str, Any]:
        score = "general" if self.scale else self.score
        return {**super().get_config(), "score": score, "scale": self.scale}
