"""Networks over patches of time: recurrent encoder-decoder, attention pooling, dilated causal convolutions."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.layers import Attention, AttentionDecoder, LocalAlignment, ParallelDecoder, TemporalConvBlock
from tsattn.layers.ops import Tensor
from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs, AttentionWeights
from tsattn.models.components import (
    DirectHead,
    HorizonSegments,
    HorizonSteps,
    LastStep,
    PooledSegments,
    QuantileHead,
    Segments,
    copy_branch,
    rnn_cell,
    rnn_layer,
)
from tsattn.models.defaults import default_patch_length, fill_options, tcn_depth
from tsattn.models.options import AttentionPoolingOptions, Seq2SeqOptions, TCNOptions
from tsattn.timeseries.windows import WindowSpec


def _attention(options: Seq2SeqOptions) -> Attention:
    alignment = LocalAlignment(options.local_window) if options.alignment == "local" else options.alignment
    return Attention(str(options.attention), options.width, alignment, name="attention")


def _teacher_forcing(options: Seq2SeqOptions) -> Any:
    if not options.teacher_forcing_steps:
        return options.teacher_forcing
    return keras.optimizers.schedules.PolynomialDecay(options.teacher_forcing, options.teacher_forcing_steps, 0.0)


class _Seq2Seq:
    """Layers that both decoders need."""

    def __init__(self, options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> None:
        self.patch = options.patch_length or default_patch_length(spec.season)
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
        self.future_segments = HorizonSegments(self.patch, name="ahead_segments")
        self.embed_future = keras.layers.Dense(max(options.width // 2, 1), activation="relu", name="ahead_embedding")
        self.join_future = keras.layers.Concatenate(name="state_and_ahead")

    def future(self, inputs: ArchitectureInputs, state: Tensor | None = None) -> list[Tensor]:
        """Return the embedded future covariates of each patch, `(rows, segments, features)`; empty without any.

        With the state of each patch the embedding depends on the series: a weekend means one thing for a shop and
        another for an office.
        """
        if inputs.future_covariates is None:
            return []
        segments = self.future_segments(inputs.future_covariates)
        return [self.embed_future(segments if state is None else self.join_future([state, segments]))]

    def outputs(self, raw: Tensor, weights: Tensor) -> ArchitectureOutputs:
        attention = AttentionWeights(weights, self.segments.steps, self.patch) if self.attention else None
        return ArchitectureOutputs(self.steps(raw), attention)


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
        self.copy = copy_branch(options, spec, self.segments, str(options.attention))
        self.join = keras.layers.Concatenate(name="state_and_context")
        self.head = QuantileHead(self.output_size, len(spec.levels), spec.median, name="head")

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        memory, *state = self.encoder(window.tokens, mask=window.mask)
        decoded, weights = self.decoder(
            memory,
            initial_state=state,
            features=inputs.static,
            memory_mask=window.mask,
            return_attention_scores=True,
        )
        future = self.future(inputs, decoded)
        if self.copy is None:
            decoded = self.join([decoded, *future]) if future else decoded
            return self.outputs(self.head(self.dropout(decoded)), weights)
        copied = self.copy(decoded, memory, window)
        decoded = self.join([decoded, copied.context, *future])
        return self.copy.combine(self.steps(self.head(self.dropout(decoded))), copied)


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

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        memory, *state = self.encoder(self.dropout(window.tokens), mask=window.mask)
        features = [*([] if inputs.static is None else [self.repeat(inputs.static)]), *self.future(inputs)]
        raw, weights = self.decoder(
            memory,
            initial_state=state,
            targets=None if target is None else self.target_segments(target),
            features=self.join(features) if len(features) > 1 else features[0] if features else None,
            memory_mask=window.mask,
            return_attention_scores=True,
        )
        return self.outputs(raw, weights)


def seq2seq(options: Seq2SeqOptions, spec: WindowSpec, portable: bool) -> Architecture:
    """Return the encoder-decoder (Bahdanau et al. 2015; over segments: Lin et al. 2023)."""
    options = fill_options(options, spec.season)
    if options.decoder == "parallel":
        return _Parallel(options, spec, portable)
    return _Autoregressive(options, spec, portable)


class _AttentionPooling:
    def __init__(self, options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> None:
        patch = options.patch_length or default_patch_length(spec.season)
        self.segments = Segments(spec.context, patch, options.width)
        encoder = rnn_layer(options.rnn, options.width, portable=portable, name="encoder")
        if options.bidirectional:
            encoder = keras.layers.Bidirectional(encoder, name="bidirectional_encoder")
        self.encoder = encoder
        self.pooling = PooledSegments(options.width, options.heads, self.segments, spec.horizon)
        self.head = DirectHead(options, spec)

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        pooled, weights = self.pooling(self.encoder(window.tokens, mask=window.mask), window.mask)
        return ArchitectureOutputs(self.head(pooled, inputs.static), weights)


def attention_pooling(options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> Architecture:
    """Return the forecaster with attention pooling (Yang et al. 2016)."""
    return _AttentionPooling(options, spec, portable)


class _TCN:
    def __init__(self, options: TCNOptions, spec: WindowSpec) -> None:
        patch = options.patch_length or default_patch_length(spec.season)
        self.segments = Segments(spec.context, patch, options.width)
        self.blocks = [
            TemporalConvBlock(
                options.width,
                options.kernel_size,
                2**number,
                options.block_dropout,
                options.weight_norm,
                name=f"block_{number}",
            )
            for number in range(tcn_depth(options, self.segments.count))
        ]
        pooled = options.pooling == "attention"
        self.pooling = PooledSegments(options.width, 1, self.segments, spec.horizon) if pooled else None
        self.last = LastStep(name="last_segment")
        self.head = DirectHead(options, spec)
        self.copy = copy_branch(options, spec, self.segments)
        self.queries = keras.layers.RepeatVector(-(-spec.horizon // patch), name="queries")

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        window = self.segments(inputs)
        memory = window.tokens
        for block in self.blocks:
            memory = block(memory, mask=window.mask)
        weights: AttentionWeights | None = None
        if self.pooling is None:
            state = self.last(memory, mask=window.mask)
        else:
            state, weights = self.pooling(memory, window.mask)
        raw = self.head(state, inputs.static)
        if self.copy is None:
            return ArchitectureOutputs(raw, weights)
        return self.copy.combine(raw, self.copy(self.queries(state), memory, window))


def tcn(options: TCNOptions, spec: WindowSpec, portable: bool) -> Architecture:
    """Return the convolutional forecaster (blocks of Bai et al. 2018)."""
    return _TCN(fill_options(options, spec.season), spec)
