"""A small network with an option that makes it diverge and one that it refuses, and daily data for it."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd
from pydantic import Field

from tsattn.errors import ConfigError
from tsattn.models import ArchitectureOutputs, DirectHead, NetworkOptions, Segments, register
from tsattn.tuning import Choice, Range


class SmallOptions(NetworkOptions):
    units: int | None = Field(4)
    dropout: float = Field(0.0)
    patch_length: int | None = Field(None)
    scaling: Any = Field("last")
    gain: Annotated[float, Choice(1.0, 1000.0)] = Field(1.0, description="factor of the forecast")
    bias: Annotated[float, Range(0.0, 0.1)] = Field(0.0, description="term added to the forecast")
    odd: Annotated[bool, Choice(False, True)] = Field(False, description="refused if true")


@register("small", "the mean of embedded segments", SmallOptions)
class Small:
    def __init__(self, options: Any, spec: Any, portable: bool) -> None:
        if options.odd:
            raise ConfigError("odd options are refused")
        self.options = options
        self.segments = Segments(spec.context, options.patch_length, options.width)
        self.head = DirectHead(options, spec)

    def __call__(self, series: Any, target: Any = None) -> ArchitectureOutputs:
        tokens = self.segments(series).tokens
        raw = self.head(keras.ops.mean(tokens, axis=1), series.static)
        return ArchitectureOutputs(raw * self.options.gain + self.options.bias)


QUICK = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 8, "learning_rate": 0.01, "patience": 1}
"""A short training without searched options."""


def days(steps: int = 120) -> pd.DataFrame:
    """Return daily data with a weekly season and noise."""
    noise = np.random.default_rng(0).normal(0, 1, steps)
    values = 50 + 10 * np.sin(np.arange(steps) * 2 * np.pi / 7) + noise
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps), "y": values})
