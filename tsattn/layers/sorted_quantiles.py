"""Quantiles that cannot cross."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class SortedQuantiles(keras.layers.Layer):
    """Turns free numbers into ascending quantiles.

    The number at `median` is taken as it is; the levels above add, and those below subtract, a positive step each
    (softplus), so that the result is sorted by construction.

    Args:
        median: index of the level that is taken as it is.
        detach_median: whether the losses of the other levels leave the median alone: no gradient goes from them to it.

    Call arguments:
        inputs: `(..., levels)`.

    Output shape:
        The same.

    Example:
        >>> quantiles = SortedQuantiles(median=1)(keras.layers.Dense(3)(features))
    """

    def __init__(self, median: int, detach_median: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.median = median
        self.detach_median = detach_median
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        middle = inputs[..., self.median : self.median + 1]
        parts = [middle]
        middle = ops.stop_gradient(middle) if self.detach_median else middle
        if self.median > 0:
            below = ops.softplus(inputs[..., : self.median])
            parts.insert(0, middle - ops.flip(ops.cumsum(ops.flip(below, -1), -1), -1))
        if self.median < inputs.shape[-1] - 1:
            parts.append(middle + ops.cumsum(ops.softplus(inputs[..., self.median + 1 :]), -1))
        return ops.concatenate(parts, -1)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "median": self.median, "detach_median": self.detach_median}
