"""Recurrent encoder-decoder with attention over segments of time."""

from __future__ import annotations

import keras

from tsattn.layers import AttentionDecoder, ParallelDecoder
from tsattn.layers.masking import Tensor
from tsattn.models import rules
from tsattn.models.graph import Core, Decoded, Series, Weights
from tsattn.models.options import Seq2SeqOptions
from tsattn.models.plumbing import HorizonSegments, HorizonSteps
from tsattn.models.recurrent import Segments, rnn_cell, rnn_layer
from tsattn.window import WindowSpec


class _Seq2Seq:
    """The layers of both decoders' common part."""

    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        self.patch = options.patch_length or rules.patch_length(spec.season)
        self.count = -(-spec.horizon // self.patch)
        self.width = len(spec.targets) if options.channels == "joint" else 1
        self.score = None if options.attention == "none" else options.attention
        self.segments = Segments(spec.context, self.patch, options.units)
        self.encoder = rnn_layer(options.rnn, options.units, portable=portable, return_state=True, name="encoder")
        self.cell = rnn_cell(options.rnn, options.units)
        self.dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self.steps = HorizonSteps(spec.horizon, (self.width, len(spec.levels)), name="horizon_steps")
        self.output_size = self.patch * self.width * len(spec.levels)

    def decoded(self, raw: Tensor, weights: Tensor) -> Decoded:
        attention = Weights(weights, self.segments.steps, self.patch) if self.score else None
        return Decoded(self.steps(raw), attention)


class _Parallel(_Seq2Seq):
    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        super().__init__(options, spec, portable)
        self.decoder = ParallelDecoder(
            self.cell,
            self.count,
            query_units=max(options.units // 2, 1),
            score=self.score,
            units=options.units,
            name="decoder",
        )
        self.head = keras.layers.Dense(self.output_size, name="head")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        tokens, mask = self.segments(series)
        memory, *state = self.encoder(tokens, mask=mask)
        read, weights = self.decoder(
            memory,
            initial_state=state,
            features=series.channel,
            memory_mask=mask,
            return_attention_scores=True,
        )
        return self.decoded(self.head(self.dropout(read)), weights)


class _Autoregressive(_Seq2Seq):
    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        super().__init__(options, spec, portable)
        levels = len(spec.levels)
        self.decoder = AttentionDecoder(
            self.cell,
            self.count,
            self.output_size,
            score=self.score,
            units=options.units,
            feedback=range(spec.median, self.output_size, levels),
            name="decoder",
        )
        self.target_segments = HorizonSegments(self.patch, name="target_segments")
        self.repeat = keras.layers.RepeatVector(self.count, name="repeat_channel")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        tokens, mask = self.segments(series)
        memory, *state = self.encoder(self.dropout(tokens), mask=mask)
        raw, weights = self.decoder(
            memory,
            initial_state=state,
            targets=None if target is None else self.target_segments(target),
            features=None if series.channel is None else self.repeat(series.channel),
            memory_mask=mask,
            return_attention_scores=True,
        )
        return self.decoded(raw, weights)


def seq2seq(options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the encoder-decoder (Bahdanau et al. 2015; over segments: Lin et al. 2023)."""
    if options.decoder == "parallel":
        return _Parallel(options, spec, portable)
    return _Autoregressive(options, spec, portable)
