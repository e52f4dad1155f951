"""What the recurrent architectures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from tsattn.layers import Patching
from tsattn.layers.masking import Tensor
from tsattn.models.architecture import Series
from tsattn.models.components import SegmentMask, SegmentSteps


def rnn_layer(kind: str, units: int, *, portable: bool, **kwargs: Any) -> keras.layers.Layer:
    """Return a GRU or LSTM layer whose padded outputs are 0 on every device."""
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[kind]
    return layer(
        units,
        return_sequences=True,
        zero_output_for_mask=True,
        use_cudnn=False if portable else "auto",
        **kwargs,
    )


def rnn_cell(kind: str, units: int) -> keras.layers.Layer:
    """Return a GRU or LSTM cell."""
    return {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}[kind](units)


@dataclass(frozen=True)
class Cut:
    """A window in segments.

    Args:
        tokens: `(rows, segments, units)`.
        values: `(rows, segments, patch_length * width)`, 0 where missing.
        observed: the same shape, 0 or 1.
        mask: boolean `(rows, segments)`.
    """

    tokens: Tensor
    values: Tensor
    observed: Tensor
    mask: Tensor


class Segments:
    """Segments of a window as embedded tokens, with their mask and the steps that they stand for.

    Args:
        context: steps of the window.
        patch_length: steps of a segment.
        units: size of a token.
    """

    def __init__(self, context: int, patch_length: int, units: int) -> None:
        count = -(-context // patch_length)
        self._patching = Patching(patch_length, name="patching")
        self._join = keras.layers.Concatenate(name="values_and_observed")
        self.count = count
        self.patch = patch_length
        self._embed = keras.layers.Dense(units, activation="relu", name="segment_embedding")
        self._mask = SegmentMask(count, patch_length, name="segment_mask")
        self.steps = SegmentSteps(count, patch_length, name="segment_steps")
        self._step_mask = SegmentMask(context, 1, name="step_mask")

    def __call__(self, series: Series) -> Cut:
        mask = self._step_mask(series.length)
        parts = (series.values, series.observed, *([] if series.covariates is None else [series.covariates]))
        cut = [self._patching(x, mask=mask) for x in parts]
        return Cut(self._embed(self._join(cut)), cut[0], cut[1], self._mask(series.length))
