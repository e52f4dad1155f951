"""Transformer encoder and decoder blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_sequence,
    constructor_config,
    dense_options,
    derived_seed,
    set_weight_options,
)
from tsattn.layers.multi_head_attention import MultiHeadAttention
from tsattn.layers.ops import Tensor, zero_masked

Sublayer = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Maps an input to a residual and attention weights, if any."""


class _TransformerBlock(keras.layers.Layer):
    """Base class of the Transformer blocks; for the arguments see `TransformerEncoderBlock`."""

    attentions: tuple[str, ...] = ()

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        intermediate_dim: int | None = None,
        dropout: float = 0.0,
        normalize_first: bool = True,
        activation: Any = "relu",
        epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(units=units, num_heads=num_heads, intermediate_dim=intermediate_dim)
        check_rate(dropout=dropout)
        self.units = units
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.normalize_first = normalize_first
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.seed = seed
        self.supports_masking = True
        policy = self.dtype_policy
        size = -(-units // num_heads)
        self._attentions = [
            MultiHeadAttention(
                num_heads, size, dropout=dropout, seed=derived_seed(seed, number), name=name, **dense_options(self)
            )
            for number, name in enumerate(self.attentions, 1)
        ]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name=f"{name}_norm")
            for name in (*self.attentions, "feedforward")
        ]
        hidden_units = intermediate_dim or 4 * units
        self._hidden = keras.layers.Dense(
            hidden_units, activation=self.activation, name="hidden", **dense_options(self)
        )
        self._out = keras.layers.Dense(units, name="out", **dense_options(self))
        self._dropout = keras.layers.Dropout(dropout, seed=seed, dtype=policy, name="dropout")

    def _build_sublayers(self, name: str, shape: Any, values: list[Any]) -> None:
        """Build all sublayers, given the shapes of the input and of the values of each attention."""
        check_sequence(name, shape)
        if shape[-1] != self.units:
            raise ConfigError(
                f"{name} must have the size of the block's units: project it with a Dense layer. "
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

    def _apply_sublayer(
        self, number: int, x: Tensor, sublayer: Sublayer, training: bool | None
    ) -> tuple[Tensor, Tensor | None]:
        """Apply a sublayer with normalization, dropout and residual connection; return its attention weights too."""
        norm = self._norms[number]
        residual, weights = sublayer(norm(x) if self.normalize_first else x)
        x = x + self._dropout(residual, training=training)
        return x if self.normalize_first else norm(x), weights

    def _attention(
        self,
        number: int,
        value: Tensor | None,
        mask: Tensor | None,
        value_mask: Tensor | None,
        scores: bool,
        **options: Any,
    ) -> Sublayer:
        """Return the attention to a value, or of the input to itself, as a sublayer; with its weights if `scores`."""

        def sublayer(x: Tensor) -> tuple[Tensor, Tensor | None]:
            masks = {"query_mask": mask, "value_mask": value_mask, "return_attention_scores": scores}
            result = self._attentions[number](x, x if value is None else value, **masks, **options)
            return result if scores else (result, None)

        return sublayer

    def _feedforward(self, x: Tensor, training: bool | None) -> Tensor:
        def sublayer(x: Tensor) -> tuple[Tensor, None]:
            return self._out(self._dropout(self._hidden(x), training=training)), None

        return self._apply_sublayer(len(self._norms) - 1, x, sublayer, training)[0]

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **constructor_config(self, _TransformerBlock), "activation": activation}


@keras.saving.register_keras_serializable(package="tsattn")
class TransformerEncoderBlock(_TransformerBlock):
    """Transformer encoder block: self-attention and a feed-forward network.

    Masked steps are ignored, whatever their content (NaN included), and their outputs are 0. The output carries the
    mask of the input. One more `keras.layers.LayerNormalization` follows a stack of blocks with `normalize_first`.

    Args:
        units: Size of a step of the input and output.
        num_heads: Number of attention heads, of size `units / num_heads`, rounded up.
        intermediate_dim: Hidden units of the feed-forward network. If None, `4 * units`.
        dropout: Dropout rate of attention weights, hidden units and outputs of sublayers.
        normalize_first: Whether layer normalization precedes each sublayer. If False, it follows each residual
            connection, as in the paper.
        activation: Activation of the hidden units.
        epsilon: Added to the variance in layer normalization.
        kernel_initializer: Initializer of all matrices.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of all matrices.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of all matrices.
        bias_constraint: Constraint of the biases.
        seed: Seed of the dropouts.

    Call arguments:
        inputs: `(batch, time, units)`.
        mask: Boolean `(batch, time)`; True means keep.
        use_causal_mask: Whether step i attends to steps 0 to i only.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to apply dropout.

    Output shape:
        `(batch, time, units)`. With `return_attention_scores`, also the weights `(batch, num_heads, time, time)`.

    Example:
        >>> x = PositionalEncoding()(keras.layers.Dense(64)(patches), mask=mask)
        >>> x, weights = TransformerEncoderBlock(64, num_heads=4)(x, mask=mask, return_attention_scores=True)

    References:
        Vaswani et al. 2017, Attention Is All You Need; Xiong et al. 2020, On Layer Normalization in the Transformer
        Architecture (`normalize_first`).
    """

    attentions = ("attention",)

    def build(self, inputs_shape: Any) -> None:
        self._build_sublayers("the input of an encoder block", inputs_shape, [inputs_shape])

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        options = {"use_causal_mask": use_causal_mask, "training": training}
        sublayer = self._attention(0, None, mask, mask, return_attention_scores, **options)
        x, weights = self._apply_sublayer(0, zero_masked(inputs, mask), sublayer, training)
        x = zero_masked(self._feedforward(x, training), mask)
        return (x, weights) if return_attention_scores else x

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def compute_output_spec(self, inputs: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        batch, time, _ = inputs.shape
        return outputs, keras.KerasTensor((batch, self.num_heads, time, time), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class TransformerDecoderBlock(_TransformerBlock):
    """Transformer decoder block: causal self-attention, cross-attention to a memory and a feed-forward network.

    Masked steps of query and memory are ignored, whatever their content (NaN included). Outputs of masked queries are
    0, and a fully masked memory adds nothing. The output carries the Keras mask of the query.

    For autoregressive inference, call `step` repeatedly, starting from `initial_cache`: the results are those of a
    call with the whole sequence.

    Args:
        units: Size of a step of the input and output.
        num_heads: Number of attention heads, of size `units / num_heads`, rounded up.
        intermediate_dim: Hidden units of the feed-forward network. If None, `4 * units`.
        dropout: Dropout rate of attention weights, hidden units and outputs of sublayers.
        normalize_first: Whether layer normalization precedes each sublayer. If False, it follows each residual
            connection, as in the paper.
        activation: Activation of the hidden units.
        epsilon: Added to the variance in layer normalization.
        kernel_initializer: Initializer of all matrices.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of all matrices.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of all matrices.
        bias_constraint: Constraint of the biases.
        seed: Seed of the dropouts.

    Call arguments:
        query: `(batch, queries, units)`.
        memory: `(batch, keys, features)`, such as the outputs of an encoder.
        query_mask: Boolean `(batch, queries)`; True means keep.
        memory_mask: Boolean `(batch, keys)`; True means keep.
        use_causal_mask: Whether query i attends to queries 0 to i only.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to apply dropout.

    Output shape:
        `(batch, queries, units)`. With `return_attention_scores`, also the weights of the self-attention
        `(batch, num_heads, queries, queries)` and of the cross-attention `(batch, num_heads, queries, keys)`.

    Example:
        >>> block = TransformerDecoderBlock(64, num_heads=4)
        >>> x, self_weights, cross_weights = block(x, memory, memory_mask=mask, return_attention_scores=True)

    References:
        Vaswani et al. 2017, Attention Is All You Need; Xiong et al. 2020, On Layer Normalization in the Transformer
        Architecture (`normalize_first`).
    """

    attentions = ("self_attention", "cross_attention")

    def build(self, query_shape: Any, memory_shape: Any) -> None:
        check_sequence("memory", memory_shape)
        self._build_sublayers("the query of a decoder block", query_shape, [query_shape, memory_shape])

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
        options = {"use_causal_mask": use_causal_mask, "training": training}
        sublayer = self._attention(0, None, query_mask, query_mask, return_attention_scores, **options)
        x, self_weights = self._apply_sublayer(0, zero_masked(query, query_mask), sublayer, training)
        x, cross_weights = self._cross_attend(x, memory, query_mask, memory_mask, training, return_attention_scores)
        return (x, self_weights, cross_weights) if return_attention_scores else x

    def _cross_attend(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None,
        memory_mask: Tensor | None,
        training: bool | None,
        scores: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the cross-attention and the feed-forward network."""
        sublayer = self._attention(1, memory, mask, memory_mask, scores, training=training)
        x, weights = self._apply_sublayer(1, x, sublayer, training)
        return zero_masked(self._feedforward(x, training), mask), weights

    def initial_cache(self, batch: Any, steps: int) -> Tensor:
        """Return an empty cache of the inputs of the self-attention, `(batch, steps, units)`."""
        return ops.zeros((batch, steps, self.units), self.compute_dtype)

    def step(
        self, query: Tensor, cache: Tensor, number: Any, memory: Tensor, memory_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode one step, at inference only.

        Args:
            query: `(batch, units)`.
            cache: Result of `initial_cache` or of the previous step.
            number: Index of the step, from 0.
            memory: `(batch, keys, features)`.
            memory_mask: Boolean `(batch, keys)`; True means keep.

        Returns:
            The output `(batch, units)`, the new cache, and the cross-attention weights `(batch, num_heads, keys)`.

        Raises:
            ConfigError: The layer is not built, neither by a call nor by `build(query_shape, memory_shape)`.
        """
        if not self.built:
            raise ConfigError("step requires a built layer: call it, or build(query_shape, memory_shape), first")
        # Keras casts the arguments of `call` only.
        query, memory = (ops.cast(x, self.compute_dtype) for x in (query, memory))
        steps = ops.arange(cache.shape[1], dtype="int32")[None, :]
        number = ops.cast(number, "int32")
        updated = cache

        def sublayer(x: Tensor) -> tuple[Tensor, None]:
            nonlocal updated
            updated = ops.where(ops.expand_dims(steps == number, -1), x, cache)
            causal_mask = ops.expand_dims(steps <= number, 1)
            return self._attentions[0](x, updated, attention_mask=causal_mask), None

        x, _ = self._apply_sublayer(0, ops.expand_dims(query, 1), sublayer, False)
        x, weights = self._cross_attend(x, memory, None, memory_mask, False, True)
        return ops.squeeze(x, 1), updated, ops.squeeze(weights, 2)

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, query_shape: Any, memory_shape: Any) -> Any:
        return query_shape

    def compute_output_spec(
        self, query: Any, memory: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        outputs = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        batch, queries, _ = query.shape
        shapes = [(batch, self.num_heads, queries, keys) for keys in (queries, memory.shape[1])]
        return outputs, *(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes)
