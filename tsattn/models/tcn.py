"""Dilated causal convolutions over segments of time, direct multi-horizon head."""

from __future__ import annotations

import keras

from tsattn.layers import TemporalConvBlock
from tsattn.layers.masking import Tensor
from tsattn.models import defaults as rules
from tsattn.models.architecture import Core, Decoded, Series, Weights
from tsattn.models.components import LastStep
from tsattn.models.copying import copying
from tsattn.models.heads import DirectHead, PooledSegments
from tsattn.models.options import TCNOptions
from tsattn.models.recurrent import Segments
from tsattn.timeseries.window_spec import WindowSpec


class _TCN:
    def __init__(self, options: TCNOptions, spec: WindowSpec) -> None:
        patch = options.patch_length or rules.patch_length(spec.season)
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
            for number in range(rules.depth(options, self.segments.count))
        ]
        pooled = options.pooling == "attention"
        self.pooling = PooledSegments(options.width, 1, self.segments, spec.horizon) if pooled else None
        self.last = LastStep(name="last_segment")
        self.head = DirectHead(options, spec)
        self.copy = copying(options, spec, self.segments)
        self.queries = keras.layers.RepeatVector(-(-spec.horizon // patch), name="queries")

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        cut = self.segments(series)
        memory = cut.tokens
        for block in self.blocks:
            memory = block(memory, mask=cut.mask)
        weights: Weights | None = None
        if self.pooling is None:
            read = self.last(memory, mask=cut.mask)
        else:
            read, weights = self.pooling(memory, cut.mask)
        raw = self.head(read, series.static)
        if self.copy is None:
            return Decoded(raw, weights)
        return self.copy.added(raw, self.copy(self.queries(read), memory, cut))


def tcn(options: TCNOptions, spec: WindowSpec, portable: bool) -> Core:
    """Return the convolutional forecaster (blocks of Bai et al. 2018)."""
    return _TCN(rules.resolve(options, spec.season), spec)
