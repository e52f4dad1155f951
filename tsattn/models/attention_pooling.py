"""Recurrent encoder, attention pooling, direct multi-horizon head."""

from __future__ import annotations

import keras

from tsattn.layers import AttentionPooling
from tsattn.layers.masking import Tensor
from tsattn.models import rules
from tsattn.models.graph import Core, Decoded, Series, Weights
from tsattn.models.options import AttentionPoolingOptions
from tsattn.models.plumbing import HorizonSteps, QuantileHead
from tsattn.models.recurrent import Segments, rnn_layer
from tsattn.window import WindowSpec


class _Pooling:
    def __init__(self, options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> None:
        patch = options.patch_length or rules.patch_length(spec.season)
        item = (len(spec.targets) if options.channels == "joint" else 1, len(spec.levels))
        self.horizon = spec.horizon
        self.segments = Segments(spec.context, patch, options.width)
        encoder = rnn_layer(options.rnn, options.width, portable=portable, name="encoder")
        if options.bidirectional:
            encoder = keras.layers.Bidirectional(encoder, name="bidirectional_encoder")
        self.encoder = encoder
        self.pooling = AttentionPooling(options.width, options.heads, name="pooling")
        self.head_maps = keras.layers.Reshape((options.heads, 1, self.segments.count), name="head_maps")
        self.one_query = keras.layers.Reshape((1, -1), name="one_query")
        self.join = keras.layers.Concatenate(name="pooled_and_static")
        self.dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self.head = QuantileHead(spec.horizon * item[0] * item[1], item[1], spec.median, name="head")
        self.steps = HorizonSteps(spec.horizon, item, name="horizon_steps")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory = self.encoder(cut.tokens, mask=cut.mask)
        pooled, weights = self.pooling(memory, mask=cut.mask, return_attention_scores=True)
        if series.static is not None:
            pooled = self.join([pooled, series.static])
        raw = self.steps(self.one_query(self.head(self.dropout(pooled))))
        return Decoded(raw, Weights(self.head_maps(weights), self.segments.steps, self.horizon))


def attention_pooling(options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the pooling forecaster (pooling of Yang et al. 2016)."""
    return _Pooling(options, spec, portable)
