"""Quantiles moved by what they were off on windows after the training."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor

Support = Literal["real", "positive", "count"]


@keras.saving.register_keras_serializable(package="tsattn")
class CalibratedQuantiles(keras.layers.Layer):
    """Moves each quantile by an offset of its step, channel and level, in units of the window's scale.

    The offsets are weights that are not trained: 0 until `fit` sets them, as conformalised quantile regression finds
    them (`tsattn.evaluation.calibration`). The level at `median` is the forecast and is not moved. Moved levels do not
    cross it, nor one another: one that would takes the value of its neighbour. Then all are brought into the support.

    Args:
        median: index of the level that is not moved.
        support: what values there can be: `"real"`, `"positive"` (0 or more), or `"count"` (0, 1, 2, ...).

    Call arguments:
        inputs: list of the quantiles `(batch, horizon, channels, levels)`, ascending and in original units, and the
            scale `(batch, 1, channels)` of each window.

    Output shape:
        That of the quantiles, float32.

    Example:
        >>> quantiles = CalibratedQuantiles(median=1)([quantiles, scale])

    References:
        Romano et al. 2019, Conformalized Quantile Regression.
    """

    def __init__(self, median: int, support: Support = "real", **kwargs: Any) -> None:
        # Values in original units may overflow a half-precision compute dtype.
        super().__init__(**{"autocast": False, **kwargs})
        if support not in get_args(Support):
            raise ConfigError(f"support must be one of {', '.join(get_args(Support))}. Received: support={support!r}")
        self.median = median
        self.support = support

    def build(self, inputs_shape: Any) -> None:
        # In float32 under every policy.
        self.offsets = self.add_weight(
            name="offsets", shape=inputs_shape[0][1:], initializer="zeros", trainable=False, dtype="float32"
        )

    def fit(self, offsets: npt.ArrayLike) -> None:
        """Set the offsets, `(horizon, channels, levels)`, in units of the window's scale."""
        self.offsets.assign(offsets)

    def call(self, inputs: list[Tensor]) -> Tensor:
        quantiles, scale = (ops.cast(x, "float32") for x in inputs)
        moved = quantiles + ops.convert_to_tensor(self.offsets)[None] * ops.expand_dims(scale, -1)
        levels = [moved[..., level] for level in range(quantiles.shape[-1])]
        levels[self.median] = quantiles[..., self.median]
        for level in range(self.median + 1, len(levels)):
            levels[level] = ops.maximum(levels[level], levels[level - 1])
        for level in range(self.median - 1, -1, -1):
            levels[level] = ops.minimum(levels[level], levels[level + 1])
        made = ops.stack(levels, axis=-1)
        if self.support == "real":
            return made
        made = ops.maximum(made, 0.0)
        return ops.round(made) if self.support == "count" else made

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "median": self.median, "support": self.support}
