"""Copy attention inside a network: forecast patches of the history, so that the network learns the difference."""

from __future__ import annotations

from dataclasses import dataclass

from tsattn.layers import CopyAttention
from tsattn.layers.ops import Tensor
from tsattn.models.architecture import ArchitectureOutputs, AttentionWeights
from tsattn.models.components import HorizonSteps, LevelDropout, SegmentedWindow, Segments
from tsattn.models.options import CopyingOptions
from tsattn.timeseries.window_spec import WindowSpec


@dataclass(frozen=True)
class CopyOutput:
    """Output of the copy attention.

    Args:
        context: `(rows, queries, size of the memory)`, the attended memory.
        base: `(rows, horizon, width, 1)`, the copied patches.
        weights: Attention weights.
    """

    context: Tensor
    base: Tensor
    weights: AttentionWeights


class CopyBranch:
    """Attention from the patches of the forecast to those of the history, whose values it copies.

    Args:
        options: Options of the network, with at least one copy head.
        spec: The window.
        segments: Patches of the history.
        score: Name of the attention score.
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
        rate = options.copy_only_rate or 0.0
        self._copy_only = LevelDropout(spec.median, rate, name="path_dropout") if rate else None

    def __call__(self, query: Tensor, memory: Tensor, window: SegmentedWindow) -> CopyOutput:
        context, copied, weights = self._attention(
            query, memory, window.values, window.observed, memory_mask=window.mask, return_attention_scores=True
        )
        weights = AttentionWeights(weights, self._segments.steps, self._segments.patch)
        return CopyOutput(context, self._steps(copied), weights)

    def combine(self, raw: Tensor, copied: CopyOutput) -> ArchitectureOutputs:
        """Return outputs `raw` `(rows, horizon, width, levels)` on top of the copied patches."""
        raw = raw if self._copy_only is None else self._copy_only(raw)
        return ArchitectureOutputs(raw, copied.weights, copied.base)


def copy_branch(
    options: CopyingOptions, spec: WindowSpec, segments: Segments, score: str = "scaled_dot"
) -> CopyBranch | None:
    """Return the copy attention of a network, or None without copy heads."""
    return CopyBranch(options, spec, segments, score) if options.copy_heads else None
