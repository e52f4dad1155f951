"""Transformer encoder-decoder over patches of time."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from tsattn.layers import PositionalEncoding, TransformerDecoderBlock, TransformerEncoderBlock
from tsattn.layers.ops import Tensor, fori_loop
from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs, AttentionWeights
from tsattn.models.components import HorizonSegments, HorizonSteps, QuantileHead, SegmentedWindow, Segments, copy_branch
from tsattn.models.defaults import default_patch_length, fill_options
from tsattn.models.options import TransformerOptions
from tsattn.timeseries.windows import WindowSpec


class _Transformer:
    """The encoder, and layers that both decoders need."""

    def __init__(self, options: TransformerOptions, spec: WindowSpec) -> None:
        self.patch = options.patch_length or default_patch_length(spec.season)
        self.count = -(-spec.horizon // self.patch)
        self.levels = len(spec.levels)
        width = len(spec.targets) if options.channels == "joint" else 1
        self.output_size = self.patch * width * self.levels
        self.block: dict[str, Any] = {
            "units": options.width,
            "num_heads": options.heads,
            "intermediate_dim": options.feedforward * options.width,
            "dropout": options.block_dropout,
            "normalize_first": options.norm == "pre",
        }
        self.segments = Segments(spec.context, self.patch, options.width)
        self.positions = self.encoding(options, self.segments.count, name="positions")
        self.encoder = [
            TransformerEncoderBlock(**self.block, name=f"encoder_{number}") for number in range(options.layers)
        ]
        self.encoder_norm = _last_norm(options, "encoder_norm")
        self.steps = HorizonSteps(spec.horizon, (width, self.levels), name="horizon_steps")
        self.future_segments = HorizonSegments(self.patch, name="ahead_segments")
        self.embed_future = keras.layers.Dense(max(options.width // 2, 1), activation="relu", name="ahead_embedding")
        self.repeat = keras.layers.RepeatVector(self.count, name="repeat_static")
        self.join = keras.layers.Concatenate(name="features")

    @staticmethod
    def encoding(options: TransformerOptions, steps: int, **kwargs: Any) -> PositionalEncoding:
        return PositionalEncoding(options.positions, steps if options.positions == "learned" else None, **kwargs)

    def encode(self, window: SegmentedWindow) -> Tensor:
        """Return the memory `(rows, segments, units)`."""
        x = self.positions(window.tokens, mask=window.mask)
        for block in self.encoder:
            # `attention_maps` reads the weights; they cost nothing if they are unused.
            x, _ = block(x, mask=window.mask, return_attention_scores=True)
        return x if self.encoder_norm is None else self.encoder_norm(x)

    def features(self, inputs: ArchitectureInputs) -> list[Tensor]:
        """Return the features of each patch of the horizon, `(rows, segments, features)`; empty without any."""
        static = [] if inputs.static is None else [self.repeat(inputs.static)]
        if inputs.future_covariates is None:
            return static
        return [*static, self.embed_future(self.future_segments(inputs.future_covariates))]

    def outputs(self, raw: Tensor, weights: Tensor) -> ArchitectureOutputs:
        return ArchitectureOutputs(self.steps(raw), AttentionWeights(weights, self.segments.steps, self.patch))


class _Parallel(_Transformer):
    def __init__(self, options: TransformerOptions, spec: WindowSpec) -> None:
        super().__init__(options, spec)
        self.queries = LearnedQueries(self.count, options.width, name="queries")
        self.embed_queries = keras.layers.Dense(options.width, name="query_embedding")
        self.query_positions = self.encoding(options, self.count, ahead=True, name="query_positions")
        self.decoder = [
            TransformerDecoderBlock(**self.block, name=f"decoder_{number}") for number in range(options.layers)
        ]
        self.decoder_norm = _last_norm(options, "decoder_norm")
        self.dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self.head = QuantileHead(self.output_size, self.levels, spec.median, name="head")
        self.copy = copy_branch(options, spec, self.segments)
        self.join_context = keras.layers.Concatenate(name="state_and_context")

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        memory, features = self.encode(window), self.features(inputs)
        x = self.queries(memory)
        x = self.query_positions(self.embed_queries(self.join([x, *features])) if features else x)
        weights = None
        for block in self.decoder:
            # Queries do not depend on earlier outputs, so each may attend to all of them.
            x, _, weights = block(
                x, memory, memory_mask=window.mask, use_causal_mask=False, return_attention_scores=True
            )
        x = x if self.decoder_norm is None else self.decoder_norm(x)
        if self.copy is None:
            return self.outputs(self.head(self.dropout(x)), weights)
        copied = self.copy(x, memory, window)
        x = self.join_context([x, copied.context])
        return self.copy.combine(self.steps(self.head(self.dropout(x))), copied)


class _Autoregressive(_Transformer):
    def __init__(self, options: TransformerOptions, spec: WindowSpec) -> None:
        super().__init__(options, spec)
        self.target_segments = HorizonSegments(self.patch, name="target_segments")
        self.decoder = TransformerDecoder(
            self.count,
            self.output_size,
            self.levels,
            spec.median,
            layers=options.layers,
            head_dropout=options.dropout,
            positions=options.positions,
            **self.block,
            name="decoder",
        )

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        memory, features = self.encode(window), self.features(inputs)
        raw, weights = self.decoder(
            memory,
            targets=None if target is None else self.target_segments(target),
            features=self.join(features) if len(features) > 1 else features[0] if features else None,
            memory_mask=window.mask,
        )
        return self.outputs(raw, weights)


def _last_norm(options: TransformerOptions, name: str) -> keras.layers.Layer | None:
    """Return the final layer normalization of a stack of pre-norm blocks, or None for post-norm blocks."""
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name) if options.norm == "pre" else None


def transformer(options: TransformerOptions, spec: WindowSpec, portable: bool) -> Architecture:
    """Return the encoder-decoder (Vaswani et al. 2017; over segments: Nie et al. 2023, PatchTST)."""
    options = fill_options(options, spec.season)
    return _Parallel(options, spec) if options.decoder == "parallel" else _Autoregressive(options, spec)


@keras.saving.register_keras_serializable(package="tsattn")
class LearnedQueries(keras.layers.Layer):
    """Learned vectors, the same for each row of the inputs: `(batch, ...)` to `(batch, count, units)`."""

    def __init__(self, count: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count
        self.units = units
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        self.queries = self.add_weight(
            name="queries", shape=(self.count, self.units), initializer=keras.initializers.RandomNormal(stddev=1.0)
        )

    def call(self, inputs: Tensor) -> Tensor:
        queries = ops.cast(self.queries, self.compute_dtype)[None]
        return ops.broadcast_to(queries, (ops.shape(inputs)[0], self.count, self.units))

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], self.count, self.units)


@keras.saving.register_keras_serializable(package="tsattn")
class TransformerDecoder(keras.layers.Layer):
    """Transformer decoder that decodes patch after patch, each from the previous medians and a memory.

    In training the decoder is fed the `targets`, all patches at once under a causal mask (teacher forcing). Otherwise
    it is fed its own output, one patch after the other; keys and values of the self-attention are cached.

    Masked memory gets a weight of exactly 0. The outputs carry no mask.

    Args:
        steps: Number of patches to decode.
        output_units: Outputs per segment: its steps, values and levels, the levels last.
        levels: Number of quantile levels.
        median: Index of the level that is fed back.
        units: Width of the blocks.
        num_heads: Attention heads.
        layers: Number of blocks.
        intermediate_dim: Hidden units of the feed-forward network of each block.
        dropout: Dropout rate inside the blocks.
        head_dropout: Dropout rate of the features before the head.
        normalize_first: See `TransformerDecoderBlock`.
        positions: `"sinusoidal"` or `"learned"`, see `PositionalEncoding`.

    Call arguments:
        memory: `(batch, keys, features)`, such as the outputs of an encoder.
        targets: `(batch, steps, output_units / levels)`, fed in training.
        features: `(batch, steps, size)`, features of each patch.
        memory_mask: Boolean `(batch, keys)`; True means keep.
        training: Whether to use `targets` and apply dropout.

    Output shape:
        `(batch, steps, output_units)`, and the last block's weights over the memory `(batch, heads, steps, keys)`.

    Reference:
        Vaswani et al. 2017, Attention Is All You Need.
    """

    def __init__(
        self,
        steps: int,
        output_units: int,
        levels: int,
        median: int,
        units: int,
        num_heads: int,
        layers: int,
        intermediate_dim: int,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        normalize_first: bool = True,
        positions: Literal["sinusoidal", "learned"] = "sinusoidal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps = steps
        self.output_units = output_units
        self.levels = levels
        self.median = median
        self.units = units
        self.num_heads = num_heads
        self.layers = layers
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.head_dropout = head_dropout
        self.normalize_first = normalize_first
        self.positions = positions
        self.supports_masking = True
        policy = self.dtype_policy
        self._fed = output_units // levels
        self._embed = keras.layers.Dense(units, dtype=policy, name="embedding")
        self._positions = PositionalEncoding(
            positions, steps if positions == "learned" else None, ahead=True, dtype=policy, name="positions"
        )
        self._blocks = [
            TransformerDecoderBlock(
                units,
                num_heads,
                intermediate_dim,
                dropout,
                normalize_first,
                dtype=policy,
                name=f"block_{number}",
            )
            for number in range(layers)
        ]
        last_norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name="norm")
        self._norm = last_norm if normalize_first else None
        self._dropout = keras.layers.Dropout(head_dropout, dtype=policy, name="dropout")
        self._head = QuantileHead(output_units, levels, median, dtype=policy, name="head")

    def build(self, memory_shape: Any, targets_shape: Any = None, features_shape: Any = None) -> None:
        batch = memory_shape[0]
        query = (batch, self.steps, self.units)
        size = self._fed + (0 if features_shape is None else features_shape[-1])
        self._embed.build((batch, self.steps, size))
        self._positions.build(query)
        for block in self._blocks:
            block.build(query, memory_shape)
        if self._norm is not None:
            self._norm.build(query)
        self._head.build(query)
        self.start = self.add_weight(name="start", shape=(self._fed,), initializer="zeros")

    def call(
        self,
        memory: Tensor,
        targets: Tensor | None = None,
        features: Tensor | None = None,
        memory_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        features = None if features is None else ops.cast(features, self.compute_dtype)
        if targets is None or not training:
            return self._decode_stepwise(features, memory, memory_mask)
        x, maps = self._decode_parallel(targets, features, memory, memory_mask, training)
        x = x if self._norm is None else self._norm(x)
        return self._head(self._dropout(x, training=training)), maps[-1][1]

    def attention(
        self, outputs: Tensor, memory: Tensor, features: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the attention weights of every block, from the outputs and inputs of the decoder.

        Fed with its own outputs, the parallel pass computes the weights of the stepwise one.

        Returns:
            For each block the weights over the previous patches, `(batch, heads, steps, steps)`, and over the memory.
        """
        medians = ops.reshape(outputs, (-1, self.steps, self._fed, self.levels))[..., self.median]
        features = None if features is None else ops.cast(features, self.compute_dtype)
        return self._decode_parallel(medians, features, memory, memory_mask, False)[1]

    def _start(self, batch: Any) -> Tensor:
        return ops.broadcast_to(ops.cast(self.start, self.compute_dtype), (batch, self._fed))

    def _decode_parallel(
        self,
        targets: Tensor,
        features: Tensor | None,
        memory: Tensor,
        memory_mask: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the output of the blocks for all patches under a causal mask, and the weights of each block."""
        targets = ops.cast(targets, self.compute_dtype)
        start = ops.expand_dims(self._start(ops.shape(targets)[0]), 1)
        fed = ops.concatenate([start, targets[:, :-1]], axis=1)
        x, maps = self._positions(self._embed(_concatenate(fed, features))), []
        for block in self._blocks:
            x, own, over = block(x, memory, memory_mask=memory_mask, return_attention_scores=True, training=training)
            maps.append((own, over))
        return x, maps

    def _decode_stepwise(
        self, features: Tensor | None, memory: Tensor, memory_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        batch, keys = ops.shape(memory)[0], ops.shape(memory)[1]
        positions = self._positions(ops.zeros((1, self.steps, self.units), self.compute_dtype))
        steps = ops.arange(self.steps, dtype="int32")

        def put(whole: Tensor, part: Tensor, number: Any, axis: int) -> Tensor:
            at = ops.reshape(
                steps == ops.cast(number, "int32"), [-1 if i == axis else 1 for i in range(len(whole.shape))]
            )
            return ops.where(at, ops.expand_dims(part, axis), whole)

        def body(number: Any, carry: Any) -> Any:
            fed, outputs, maps, caches = carry
            x = self._embed(_concatenate(fed, None if features is None else ops.take(features, number, axis=1)))
            x = x + ops.take(positions, number, axis=1)
            new_caches, weights = [], None
            for block, cache in zip(self._blocks, caches, strict=True):
                x, cache, weights = block.step(x, cache, number, memory, memory_mask)
                new_caches.append(cache)
            output = self._head(x if self._norm is None else self._norm(x))
            fed = ops.reshape(output, (-1, self._fed, self.levels))[:, :, self.median]
            return fed, put(outputs, output, number, 1), put(maps, weights, number, 2), tuple(new_caches)

        initial = (
            self._start(batch),
            ops.zeros((batch, self.steps, self.output_units), self.compute_dtype),
            ops.zeros((batch, self.num_heads, self.steps, keys), self.compute_dtype),
            tuple(block.initial_cache(batch, self.steps) for block in self._blocks),
        )
        _, outputs, maps, _ = fori_loop(self.steps, body, initial)
        return outputs, maps

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_spec(self, memory: Any, *args: Any, **kwargs: Any) -> Any:
        batch, keys, _ = memory.shape
        shapes = ((batch, self.steps, self.output_units), (batch, self.num_heads, self.steps, keys))
        return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes)


class DecoderAttention(keras.layers.Layer):
    """`TransformerDecoder.attention` as a layer, for `attention_maps`. It cannot be saved."""

    def __init__(self, decoder: TransformerDecoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._decoder = decoder

    def call(
        self, outputs: Tensor, memory: Tensor, features: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        return self._decoder.attention(outputs, memory, features, memory_mask)


def _concatenate(fed: Tensor, features: Tensor | None) -> Tensor:
    return fed if features is None else ops.concatenate([fed, features], axis=-1)
