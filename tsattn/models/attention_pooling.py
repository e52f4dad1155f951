"""Recurrent encoder with attention pooling and a direct multi-horizon head."""

from __future__ import annotations

import keras

from tsattn.layers.ops import Tensor
from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs
from tsattn.models.components import DirectHead, PooledSegments, Segments, rnn_layer
from tsattn.models.defaults import default_patch_length
from tsattn.models.options import AttentionPoolingOptions
from tsattn.timeseries.window_spec import WindowSpec


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
