"""Segments of the history, copied into the forecast: what a network then learns is what differs from the past."""

from __future__ import annotations

from dataclasses import dataclass

from tsattn.layers import CopyAttention
from tsattn.layers.masking import Tensor
from tsattn.models.architecture import Decoded, Weights
from tsattn.models.components import HorizonSteps, LevelDropout
from tsattn.models.options import CopyingOptions
from tsattn.models.recurrent import Cut, Segments
from tsattn.timeseries.window_spec import WindowSpec


@dataclass(frozen=True)
class Copied:
    """What was copied.

    Args:
        context: `(rows, queries, size of the memory)`.
        base: `(rows, horizon, width, 1)`, what the median is counted from.
        weights: where it was copied from.
    """

    context: Tensor
    base: Tensor
    weights: Weights


class Copying:
    """An attention from the segments of the forecast to those of the history, which copies them.

    Args:
        options: those of the network; at least one head copies.
        spec: the window.
        segments: the segments of the history.
        score: the attention's score by name.
    """

    def __init__(
        self, options: CopyingOptions, spec: WindowSpec, segments: Segments, score: str = "scaled_dot"
    ) -> None:
        self._segments = segments
        self._attention = CopyAttention(
            segments.count,
            options.copy_heads or 0,
            score,
            period=max(round(spec.season / segments.patch), 1),
            dropout=options.copy_dropout or 0.0,
            name="copy_attention",
        )
        width = len(spec.targets) if options.channels == "joint" else 1
        self._steps = HorizonSteps(spec.horizon, (width, 1), name="base_steps")
        rate = options.path_dropout or 0.0
        self._path_dropout = LevelDropout(spec.median, rate, name="path_dropout") if rate else None

    def __call__(self, query: Tensor, memory: Tensor, cut: Cut) -> Copied:
        context, copied, weights = self._attention(
            query, memory, cut.values, cut.observed, memory_mask=cut.mask, return_attention_scores=True
        )
        return Copied(context, self._steps(copied), Weights(weights, self._segments.steps, self._segments.patch))

    def added(self, raw: Tensor, copied: Copied) -> Decoded:
        """Return the forecast `raw` `(rows, horizon, width, levels)`, counted from what was copied."""
        raw = raw if self._path_dropout is None else self._path_dropout(raw)
        return Decoded(raw, copied.weights, copied.base)


def copying(options: CopyingOptions, spec: WindowSpec, segments: Segments, score: str = "scaled_dot") -> Copying | None:
    """Return what copies, or None where no head does."""
    return Copying(options, spec, segments, score) if options.copy_heads else None
