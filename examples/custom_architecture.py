"""Forecast with an architecture of your own: a dilated convolution over patches, pooled by attention.

Scaling, covariates, calibration and export are those of tsattn; see docs/own-models.md.
"""

import keras
import numpy as np
import pandas as pd
from pydantic import Field

from tsattn import Forecaster
from tsattn.layers import AttentionPooling, TemporalConvBlock
from tsattn.models import ArchitectureOutputs, DirectHead, NetworkOptions, Segments, register


class PooledOptions(NetworkOptions):
    """Options in addition to those of every network."""

    depth: int = Field(2, ge=1, description="number of convolutions")


@register("pooled_convolutions", "dilated convolutions over patches, attention pooling, direct head", PooledOptions)
class PooledConvolutions:
    """Maps a window in scaled space to unconstrained outputs."""

    def __init__(self, options, spec, portable):
        self.segments = Segments(spec.context, options.patch_length, options.width)
        self.blocks = [TemporalConvBlock(options.width, 2, dilation_rate=2**i) for i in range(options.depth)]
        self.pooling = AttentionPooling(options.width)
        self.head = DirectHead(options, spec)

    def __call__(self, inputs, target=None):
        window = self.segments(inputs)
        tokens = window.tokens
        for block in self.blocks:
            tokens = block(tokens, mask=window.mask)
        return ArchitectureOutputs(self.head(self.pooling(tokens, mask=window.mask), inputs.static))


keras.utils.set_random_seed(0)
days = pd.date_range("2024-01-01", periods=300)
rng = np.random.default_rng(0)
frame = pd.DataFrame({"ds": days, "y": 50 + 10 * np.sin(np.arange(300) * 2 * np.pi / 7) + rng.normal(0, 1, 300)})
training = {"epochs": 12, "learning_rate": 0.01}  # for a fast example; leave it out
forecaster = Forecaster("pooled_convolutions", horizon=7, options={"units": 32}, training=training).fit(frame)
print(forecaster.scores_.round(2).to_string(index=False))
print(forecaster.predict())
