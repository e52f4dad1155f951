"""Recurrent encoder-decoder with attention over segments of time."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.layers import Attention, AttentionDecoder, LocalAlignment, ParallelDecoder
from tsattn.layers.masking import Tensor
from tsattn.models import defaults as rules
from tsattn.models.architecture import Core, Decoded, Series, Weights
from tsattn.models.components import HorizonSegments, HorizonSteps, QuantileHead
from tsattn.models.copying import copying
from tsattn.models.options import Seq2SeqOptions
from tsattn.models.recurrent import Segments, rnn_cell, rnn_layer
from tsattn.timeseries.window_spec import WindowSpec


def _attention(options: Seq2SeqOptions) -> Attention:
    alignment = LocalAlignment(options.local_window) if options.alignment == "local" else options.alignment
    return Attention(str(options.attention), options.width, alignment, name="attention")


def _teacher_forcing(options: Seq2SeqOptions) -> Any:
    if not options.teacher_forcing_steps:
        return options.teacher_forcing
    return keras.optimizers.schedules.PolynomialDecay(options.teacher_forcing, options.teacher_forcing_steps, 0.0)


class _Seq2Seq:
    """The layers of both decoders' common part."""

    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        self.patch = options.patch_length or rules.patch_length(spec.season)
        self.count = -(-spec.horizon // self.patch)
        self.width = len(spec.targets) if options.channels == "joint" else 1
        self.attention = None if options.attention == "none" else _attention(options)
        self.segments = Segments(spec.context, self.patch, options.width)
        encoder = rnn_layer(options.rnn, options.width, portable=portable, return_state=True, name="encoder")
        if options.bidirectional:
            encoder = keras.layers.Bidirectional(encoder, name="bidirectional_encoder")
        self.encoder = encoder
        self.cell = rnn_cell(options.rnn, options.width)
        self.dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self.steps = HorizonSteps(spec.horizon, (self.width, len(spec.levels)), name="horizon_steps")
        self.output_size = self.patch * self.width * len(spec.levels)
        self.ahead_segments = HorizonSegments(self.patch, name="ahead_segments")
        self.embed_ahead = keras.layers.Dense(max(options.width // 2, 1), activation="relu", name="ahead_embedding")
        self.join_ahead = keras.layers.Concatenate(name="state_and_ahead")

    def ahead(self, series: Series, state: Tensor | None = None) -> list[Tensor]:
        """Return what is known of each segment of the horizon, `(rows, segments, features)`; empty if nothing is.

        Where a state of each segment is given, it is what the same day means for this series: a weekend for a shop or
        for an office.
        """
        if series.ahead is None:
            return []
        segments = self.ahead_segments(series.ahead)
        return [self.embed_ahead(segments if state is None else self.join_ahead([state, segments]))]

    def decoded(self, raw: Tensor, weights: Tensor) -> Decoded:
        attention = Weights(weights, self.segments.steps, self.patch) if self.attention else None
        return Decoded(self.steps(raw), attention)


class _Parallel(_Seq2Seq):
    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        super().__init__(options, spec, portable)
        self.decoder = ParallelDecoder(
            self.cell,
            self.count,
            query_units=max(options.width // 2, 1),
            attention=None if options.copy_heads else self.attention,
            bridge=options.bidirectional,
            name="decoder",
        )
        self.copy = copying(options, spec, self.segments, str(options.attention))
        self.join = keras.layers.Concatenate(name="state_and_context")
        self.head = QuantileHead(self.output_size, len(spec.levels), spec.median, name="head")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory, *state = self.encoder(cut.tokens, mask=cut.mask)
        read, weights = self.decoder(
            memory,
            initial_state=state,
            features=series.static,
            memory_mask=cut.mask,
            return_attention_scores=True,
        )
        ahead = self.ahead(series, read)
        if self.copy is None:
            read = self.join([read, *ahead]) if ahead else read
            return self.decoded(self.head(self.dropout(read)), weights)
        copied = self.copy(read, memory, cut)
        read = self.join([read, copied.context, *ahead])
        return self.copy.added(self.steps(self.head(self.dropout(read))), copied)


class _Autoregressive(_Seq2Seq):
    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        super().__init__(options, spec, portable)
        levels = len(spec.levels)
        self.decoder = AttentionDecoder(
            self.cell,
            self.count,
            self.output_size,
            attention=self.attention,
            attend=options.attend,
            bridge=options.bidirectional,
            feedback=range(spec.median, self.output_size, levels),
            teacher_forcing=_teacher_forcing(options),
            name="decoder",
        )
        self.target_segments = HorizonSegments(self.patch, name="target_segments")
        self.repeat = keras.layers.RepeatVector(self.count, name="repeat_static")
        self.join = keras.layers.Concatenate(name="features")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory, *state = self.encoder(self.dropout(cut.tokens), mask=cut.mask)
        features = [*([] if series.static is None else [self.repeat(series.static)]), *self.ahead(series)]
        raw, weights = self.decoder(
            memory,
            initial_state=state,
            targets=None if target is None else self.target_segments(target),
            features=self.join(features) if len(features) > 1 else features[0] if features else None,
            memory_mask=cut.mask,
            return_attention_scores=True,
        )
        return self.decoded(raw, weights)


def seq2seq(options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the encoder-decoder (Bahdanau et al. 2015; over segments: Lin et al. 2023)."""
    options = rules.resolve(options, spec.season)
    if options.decoder == "parallel":
        return _Parallel(options, spec, portable)
    return _Autoregressive(options, spec, portable)
