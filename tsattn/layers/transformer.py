"""The blocks of a Transformer: self-attention, cross-attention and a feed-forward network, each beside a residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, check_sequence, zero_masked
from tsattn.layers.multi_head_attention import MultiHeadAttention

Read = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""A sublayer: of what it is given makes what is added to it, and attention weights if it has any."""


class _TransformerBlock(keras.layers.Layer):
    """What encoder and decoder blocks share.

    Args:
        units: size of a step; that of the input.
        heads: number of attention heads, of `units / heads` each, rounded up.
        feedforward_units: hidden units of the feed-forward network; four times `units` if None.
        dropout: share dropped in training of attention weights, hidden units and what a sublayer adds.
        norm: where a layer normalisation stands: `"pre"`, before each sublayer, or `"post"`, after its residual.
        activation: of the hidden units.
    """

    attentions: tuple[str, ...] = ()

    def __init__(
        self,
        units: int,
        heads: int = 4,
        feedforward_units: int | None = None,
        dropout: float = 0.0,
        norm: Literal["pre", "post"] = "pre",
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("units", units), ("heads", heads), ("feedforward_units", feedforward_units or 1)):
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more. Received: {name}={value}")
        if norm not in ("pre", "post"):
            raise ConfigError(f"norm must be pre or post. Received: norm={norm!r}")
        self.units = units
        self.heads = heads
        self.feedforward_units = feedforward_units
        self.dropout = dropout
        self.norm = norm
        self.activation = keras.activations.get(activation)
        self.supports_masking = True
        policy = self.dtype_policy
        size = -(-units // heads)
        self._attentions = [
            MultiHeadAttention(heads, size, dropout=dropout, dtype=policy, name=name) for name in self.attentions
        ]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name=f"{name}_norm")
            for name in (*self.attentions, "feedforward")
        ]
        self._hidden = keras.layers.Dense(
            feedforward_units or 4 * units, activation=self.activation, dtype=policy, name="hidden"
        )
        self._out = keras.layers.Dense(units, dtype=policy, name="out")
        self._dropout = keras.layers.Dropout(dropout, dtype=policy)

    def _build_parts(self, name: str, shape: Any, values: list[Any]) -> None:
        """Build all parts for an input and what each attention reads."""
        check_sequence(name, shape)
        if shape[-1] != self.units:
            raise ConfigError(
                f"{name} must have the size of the block's units, which are added to it: a Dense layer makes it so. "
                f"Received: size {shape[-1]}, units={self.units}"
            )
        for attention, value in zip(self._attentions, values, strict=True):
            if not attention.built:
                attention.build(shape, value)
        for norm in self._norms:
            if not norm.built:
                norm.build(shape)
        if not self._hidden.built:
            self._hidden.build(shape)
            self._out.build((*shape[:-1], self._hidden.units))

    def _sublayer(self, number: int, x: Tensor, read: Read, training: bool | None) -> tuple[Tensor, Tensor | None]:
        """Add to `x` what a sublayer makes of it; return its attention weights as well."""
        norm = self._norms[number]
        made, weights = read(norm(x) if self.norm == "pre" else x)
        x = x + self._dropout(made, training=training)
        return x if self.norm == "pre" else norm(x), weights

    def _feedforward(self, x: Tensor, training: bool | None) -> Tensor:
        def read(x: Tensor) -> tuple[Tensor, None]:
            return self._out(self._dropout(self._hidden(x), training=training)), None

        return self._sublayer(len(self._norms) - 1, x, read, training)[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "heads": self.heads,
            "feedforward_units": self.feedforward_units,
            "dropout": self.dropout,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="tsattn")
class TransformerEncoderBlock(_TransformerBlock):
    """Self-attention, then a feed-forward network at each step.

    Masked steps are never looked at, whatever they hold (NaN included), and give zeros. The output carries the mask
    that Keras has attached to the inputs. Blocks are stacked by calling one after the other; behind a stack of `"pre"`
    stands one more `keras.layers.LayerNormalization`, as in every such network.

    Args:
        units: size of a step; that of the input.
        heads: number of attention heads, of `units / heads` each, rounded up.
        feedforward_units: hidden units of the feed-forward network; four times `units` if None.
        dropout: share dropped in training of attention weights, hidden units and what a sublayer adds.
        norm: where a layer normalisation stands: `"pre"`, before each sublayer, or `"post"`, after its residual, as in
            the paper.
        activation: of the hidden units.

    Call arguments:
        inputs: `(batch, time, units)`.
        mask: boolean `(batch, time)`; True means keep.
        use_causal_mask: whether step i sees steps 0 to i only.
        return_attention_scores: whether to return the weights as well.
        training: whether to apply dropout.

    Output shape:
        `(batch, time, units)`; with `return_attention_scores` also the weights `(batch, heads, time, time)`.

    Example:
        >>> x = PositionalEncoding()(keras.layers.Dense(64)(segments), mask=mask)
        >>> x, weights = TransformerEncoderBlock(64, heads=4)(x, mask=mask, return_attention_scores=True)

    References:
        Vaswani et al. 2017, Attention Is All You Need; Xiong et al. 2020, On Layer Normalization in the Transformer
        Architecture (`"pre"`).
    """

    attentions = ("attention",)

    def build(self, inputs_shape: Any) -> None:
        self._build_parts("the input of an encoder block", inputs_shape, [inputs_shape])

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        def read(x: Tensor) -> tuple[Tensor, Tensor]:
            options = {"return_attention_scores": True, "use_causal_mask": use_causal_mask, "training": training}
            context, weights = self._attentions[0](x, x, query_mask=mask, value_mask=mask, **options)
            return context, weights

        x, weights = self._sublayer(0, zero_masked(inputs, mask), read, training)
        x = zero_masked(self._feedforward(x, training), mask)
        return (x, weights) if return_attention_scores else x

    def compute_output_spec(self, inputs: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        batch, time, _ = inputs.shape
        return outputs, keras.KerasTensor((batch, self.heads, time, time), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class TransformerDecoderBlock(_TransformerBlock):
    """Causal self-attention, attention to a memory, then a feed-forward network at each step.

    A step sees itself and those before it, never a later one, and all of the memory. Masked steps of either are never
    looked at, whatever they hold (NaN included); masked queries give zeros, and a memory that is all masked adds
    nothing. The output carries the mask that Keras has attached to the query.

    One step after the other, as in a forecast that is fed back: from an `initial_cache` take one `step` after the
    other. That gives what the whole sequence at once does.

    Args:
        units: size of a step; that of the query.
        heads: number of attention heads, of `units / heads` each, rounded up.
        feedforward_units: hidden units of the feed-forward network; four times `units` if None.
        dropout: share dropped in training of attention weights, hidden units and what a sublayer adds.
        norm: where a layer normalisation stands: `"pre"`, before each sublayer, or `"post"`, after its residual, as in
            the paper.
        activation: of the hidden units.

    Call arguments:
        query: `(batch, queries, units)`.
        memory: `(batch, keys, features)`, such as an encoder's outputs.
        query_mask: boolean `(batch, queries)`; True means keep.
        memory_mask: boolean `(batch, keys)`; True means keep.
        use_causal_mask: whether the self-attention is causal; where all queries are known at once it need not be.
        return_attention_scores: whether to return the weights as well.
        training: whether to apply dropout.

    Output shape:
        `(batch, queries, units)`; with `return_attention_scores` also the weights of the self-attention
        `(batch, heads, queries, queries)` and those over the memory `(batch, heads, queries, keys)`.

    Example:
        >>> block = TransformerDecoderBlock(64, heads=4)
        >>> x, own, over_memory = block(x, memory, memory_mask=mask, return_attention_scores=True)

    References:
        Vaswani et al. 2017, Attention Is All You Need; Xiong et al. 2020, On Layer Normalization in the Transformer
        Architecture (`"pre"`).
    """

    attentions = ("self_attention", "cross_attention")

    def build(self, query_shape: Any, memory_shape: Any) -> None:
        check_sequence("memory", memory_shape)
        self._build_parts("the query of a decoder block", query_shape, [query_shape, memory_shape])

    def call(
        self,
        query: Tensor,
        memory: Tensor,
        query_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        use_causal_mask: bool = True,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        def read(x: Tensor) -> tuple[Tensor, Tensor]:
            options = {"return_attention_scores": True, "use_causal_mask": use_causal_mask, "training": training}
            context, weights = self._attentions[0](x, x, query_mask=query_mask, value_mask=query_mask, **options)
            return context, weights

        x, own = self._sublayer(0, zero_masked(query, query_mask), read, training)
        x, across = self._across(x, memory, query_mask, memory_mask, training)
        return (x, own, across) if return_attention_scores else x

    def _across(
        self, x: Tensor, memory: Tensor, mask: Tensor | None, memory_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        """Everything behind the self-attention."""

        def read(x: Tensor) -> tuple[Tensor, Tensor]:
            options = {"return_attention_scores": True, "training": training}
            context, weights = self._attentions[1](x, memory, query_mask=mask, value_mask=memory_mask, **options)
            return context, weights

        x, weights = self._sublayer(1, x, read, training)
        return zero_masked(self._feedforward(x, training), mask), weights

    def initial_cache(self, batch: Any, steps: int) -> Tensor:
        """Return what `step` fills: what the self-attention may read of so many steps, `(batch, steps, units)`."""
        return ops.zeros((batch, steps, self.units), self.compute_dtype)

    def step(
        self, query: Tensor, cache: Tensor, number: Any, memory: Tensor, memory_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step of inference.

        Args:
            query: `(batch, units)`.
            cache: what `initial_cache` or the step before gave.
            number: of the step, from 0 on.
            memory: `(batch, keys, features)`.
            memory_mask: boolean `(batch, keys)`; True means keep.

        Returns:
            The output `(batch, units)`, the new cache, and the weights over the memory `(batch, heads, keys)`.

        Raises:
            ConfigError: the layer was not built, by a call or by `build(query_shape, memory_shape)`.
        """
        if not self.built:
            raise ConfigError("a decoder block steps only after build(query_shape, memory_shape), or a call")
        # Nothing does so where this is called by itself, outside a layer's call.
        query, memory = (ops.cast(x, self.compute_dtype) for x in (query, memory))
        steps = ops.arange(cache.shape[1], dtype="int32")[None, :]
        number = ops.cast(number, "int32")
        filled = cache

        def read(x: Tensor) -> tuple[Tensor, None]:
            nonlocal filled
            filled = ops.where(ops.expand_dims(steps == number, -1), x, cache)
            seen = ops.expand_dims(steps <= number, 1)
            return self._attentions[0](x, filled, attention_mask=seen), None

        x, _ = self._sublayer(0, ops.expand_dims(query, 1), read, False)
        x, weights = self._across(x, memory, None, memory_mask, False)
        return ops.squeeze(x, 1), filled, ops.squeeze(weights, 2)

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_spec(
        self, query: Any, memory: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        outputs = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        batch, queries, _ = query.shape
        shapes = [(batch, self.heads, queries, keys) for keys in (queries, memory.shape[1])]
        return outputs, *(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes)
