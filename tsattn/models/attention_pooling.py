"""Recurrent encoder, attention pooling, direct multi-horizon head."""

from __future__ import annotations

import keras

from tsattn.layers.masking import Tensor
from tsattn.models import defaults as rules
from tsattn.models.architecture import Core, Decoded, Series
from tsattn.models.heads import DirectHead, PooledSegments
from tsattn.models.options import AttentionPoolingOptions
from tsattn.models.recurrent import Segments, rnn_layer
from tsattn.timeseries.window_spec import WindowSpec


class _Pooling:
    def __init__(self, options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> None:
        patch = options.patch_length or rules.patch_length(spec.season)
        self.segments = Segments(spec.context, patch, options.width)
        encoder = rnn_layer(options.rnn, options.width, portable=portable, name="encoder")
        if options.bidirectional:
            encoder = keras.layers.Bidirectional(encoder, name="bidirectional_encoder")
        self.encoder = encoder
        self.pooling = PooledSegments(options.width, options.heads, self.segments, spec.horizon)
        self.head = DirectHead(options, spec)

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        pooled, weights = self.pooling(self.encoder(cut.tokens, mask=cut.mask), cut.mask)
        return Decoded(self.head(pooled, series.static), weights)


def attention_pooling(options: AttentionPoolingOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the pooling forecaster (pooling of Yang et al. 2016)."""
    return _Pooling(options, spec, portable)
