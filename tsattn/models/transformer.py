"""Transformer encoder-decoder over segments of time."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.layers import PositionalEncoding, TransformerDecoderBlock, TransformerEncoderBlock
from tsattn.layers.masking import Tensor
from tsattn.models import rules
from tsattn.models.copying import copying
from tsattn.models.core import Core, Decoded, Series, Weights
from tsattn.models.options import TransformerOptions
from tsattn.models.plumbing import HorizonSegments, HorizonSteps, QuantileHead
from tsattn.models.recurrent import Cut, Segments
from tsattn.models.transformer_decoder import LearnedQueries, TransformerDecoder
from tsattn.window import WindowSpec


class _Transformer:
    """The encoder, and what both decoders share."""

    def __init__(self, options: TransformerOptions, spec: WindowSpec) -> None:
        self.patch = options.patch_length or rules.patch_length(spec.season)
        self.count = -(-spec.horizon // self.patch)
        self.levels = len(spec.levels)
        width = len(spec.targets) if options.channels == "joint" else 1
        self.output_size = self.patch * width * self.levels
        self.block: dict[str, Any] = {
            "units": options.width,
            "heads": options.heads,
            "feedforward_units": options.feedforward * options.width,
            "dropout": options.block_dropout,
            "norm": options.norm,
        }
        self.segments = Segments(spec.context, self.patch, options.width)
        self.positions = self.encoding(options, self.segments.count, name="positions")
        self.encoder = [
            TransformerEncoderBlock(**self.block, name=f"encoder_{number}") for number in range(options.layers)
        ]
        self.encoder_norm = _last_norm(options, "encoder_norm")
        self.steps = HorizonSteps(spec.horizon, (width, self.levels), name="horizon_steps")
        self.ahead_segments = HorizonSegments(self.patch, name="ahead_segments")
        self.embed_ahead = keras.layers.Dense(max(options.width // 2, 1), activation="relu", name="ahead_embedding")
        self.repeat = keras.layers.RepeatVector(self.count, name="repeat_static")
        self.join = keras.layers.Concatenate(name="features")

    @staticmethod
    def encoding(options: TransformerOptions, steps: int, **kwargs: Any) -> PositionalEncoding:
        return PositionalEncoding(options.positions, steps if options.positions == "learned" else None, **kwargs)

    def remember(self, cut: Cut) -> Tensor:
        """Return the memory `(rows, segments, units)`."""
        x = self.positions(cut.tokens, mask=cut.mask)
        for block in self.encoder:
            # The weights cost nothing where they are not read, and `attention_maps` finds them.
            x, _ = block(x, mask=cut.mask, return_attention_scores=True)
        return x if self.encoder_norm is None else self.encoder_norm(x)

    def features(self, series: Series) -> list[Tensor]:
        """Return what is known of each segment of the horizon, `(rows, segments, features)`; empty if nothing is."""
        static = [] if series.static is None else [self.repeat(series.static)]
        ahead = [] if series.ahead is None else [self.embed_ahead(self.ahead_segments(series.ahead))]
        return static + ahead

    def decoded(self, raw: Tensor, weights: Tensor) -> Decoded:
        return Decoded(self.steps(raw), Weights(weights, self.segments.steps, self.patch))


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
        self.copy = copying(options, spec, self.segments)
        self.join_context = keras.layers.Concatenate(name="state_and_context")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory, features = self.remember(cut), self.features(series)
        x = self.queries(memory)
        x = self.query_positions(self.embed_queries(self.join([x, *features])) if features else x)
        weights = None
        for block in self.decoder:
            # No segment is made of another, so that each may see them all.
            x, _, weights = block(x, memory, memory_mask=cut.mask, use_causal_mask=False, return_attention_scores=True)
        x = x if self.decoder_norm is None else self.decoder_norm(x)
        if self.copy is None:
            return self.decoded(self.head(self.dropout(x)), weights)
        copied = self.copy(x, memory, cut)
        x = self.join_context([x, copied.context])
        return self.copy.added(self.steps(self.head(self.dropout(x))), copied)


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

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory, features = self.remember(cut), self.features(series)
        raw, weights = self.decoder(
            memory,
            targets=None if target is None else self.target_segments(target),
            features=self.join(features) if len(features) > 1 else features[0] if features else None,
            memory_mask=cut.mask,
        )
        return self.decoded(raw, weights)


def _last_norm(options: TransformerOptions, name: str) -> keras.layers.Layer | None:
    """Return the normalisation behind a stack of blocks that normalise before their sublayers."""
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name) if options.norm == "pre" else None


def transformer(options: TransformerOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the encoder-decoder (Vaswani et al. 2017; over segments: Nie et al. 2023, PatchTST)."""
    options = rules.resolve(options, spec.season)
    return _Parallel(options, spec) if options.decoder == "parallel" else _Autoregressive(options, spec)
