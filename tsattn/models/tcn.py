"""Dilated causal convolutions over patches of time with a direct multi-horizon head."""

from __future__ import annotations

import keras

from tsattn.layers import TemporalConvBlock
from tsattn.layers.ops import Tensor
from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs, AttentionWeights
from tsattn.models.components import DirectHead, LastStep, PooledSegments, Segments
from tsattn.models.copying import copy_branch
from tsattn.models.defaults import default_patch_length, fill_options, tcn_depth
from tsattn.models.options import TCNOptions
from tsattn.timeseries.window_spec import WindowSpec


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
