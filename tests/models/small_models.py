"""Small models with random weights, and raw histories to call them on. Runs on any Keras backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import with_random_weights
from numpy_reference import Array

from tsattn.models import BASELINES, resolve_options
from tsattn.models.forecast_model import ForecastGraph, build_graph, build_untrained
from tsattn.timeseries.windows import LENGTH, OBSERVED, PAST, WindowSpec

SPEC = WindowSpec(context=10, horizon=7, targets=("a", "b"), season=4, levels=(0.1, 0.5, 0.8, 0.9))

NETWORKS: dict[str, dict[str, Any]] = {
    "parallel": {"name": "seq2seq"},
    "autoregressive": {"name": "seq2seq", "decoder": "autoregressive", "rnn": "lstm", "scaling": "standard"},
    "stepwise": {"name": "seq2seq", "patch_length": 1, "attention": "scaled_dot"},
    "no_copy": {"name": "seq2seq", "attention": "additive", "copy_heads": 0},
    "no_attention": {"name": "seq2seq", "attention": "none"},
    "ensemble": {"name": "seq2seq", "ensemble_size": 2},
    "autoregressive_ensemble": {"name": "seq2seq", "ensemble_size": 2, "decoder": "autoregressive"},
    "context_scales": {"name": "seq2seq", "context_scales": 2},
    "joint_lookbacks_of_an_ensemble": {"name": "seq2seq", "context_scales": 3, "ensemble_size": 2, "channels": "joint"},
    "joint": {"name": "seq2seq", "channels": "joint"},
    "residual_branches": {"name": "seq2seq", "context_scales": 2, "mean_reversion": True, "linear_residual": True},
    "local": {"name": "seq2seq", "attention": "general", "alignment": "local", "local_window": 1.5},
    "monotonic": {"name": "seq2seq", "attention": "cosine", "alignment": "monotonic", "bidirectional": True},
    "after_the_cell": {
        "name": "seq2seq",
        "decoder": "autoregressive",
        "attention": "concat",
        "alignment": "coverage",
        "attend": "after",
        "bidirectional": True,
        "teacher_forcing": 1.0,
    },
    "joint_autoregressive": {"name": "seq2seq", "channels": "joint", "decoder": "autoregressive"},
    "transformer": {"name": "transformer", "heads": 2, "block_dropout": 0.0},
    "transformer_autoregressive": {
        "name": "transformer",
        "heads": 2,
        "block_dropout": 0.0,
        "decoder": "autoregressive",
    },
    "joint_transformer": {
        "name": "transformer",
        "heads": 4,
        "layers": 1,
        "channels": "joint",
        "decoder": "autoregressive",
        "norm": "post",
        "positions": "learned",
        "patch_length": 3,
        "context_scales": 2,
        "ensemble_size": 2,
    },
    "transformer_lookbacks": {
        "name": "transformer",
        "heads": 2,
        "norm": "post",
        "context_scales": 2,
        "ensemble_size": 2,
        "copy_heads": 0,
    },
    "attention_pooling": {"name": "attention_pooling", "patch_length": 3},
    "pooling_heads": {"name": "attention_pooling", "patch_length": 3, "heads": 2},
    "pooling_lookbacks": {"name": "attention_pooling", "patch_length": 3, "context_scales": 2},
    "tcn": {"name": "tcn", "patch_length": 3},
    "joint_tcn_step_by_step": {
        "name": "tcn",
        "patch_length": 1,
        "channels": "joint",
        "weight_norm": True,
        "copy_heads": 0,
    },
    "tcn_pooling": {"name": "tcn", "patch_length": 3, "pooling": "attention", "context_scales": 2, "copy_heads": 0},
    "graph": {"name": "graph_attention", "adjacency": "both"},
    "graph_lookbacks": {
        "name": "graph_attention",
        "adjacency": "given",
        "temporal": "tcn",
        "patch_length": 3,
        "context_scales": 2,
        "ensemble_size": 2,
    },
    "graph_diffusion": {"name": "graph_attention", "adjacency": "both", "mixing": "diffusion", "layers": 1},
    "without_a_graph": {"name": "graph_attention", "adjacency": "none"},
}


def make_graph(options: dict[str, Any], spec: WindowSpec = SPEC) -> ForecastGraph:
    """A graph of six units; its weights are the same at every call and on every backend."""
    entry, validated = resolve_options({"units": 6, **options})
    graph = build_graph(entry, validated, spec)
    with_random_weights(graph.inference())
    return graph


def make_model(name: str, spec: WindowSpec = SPEC) -> keras.Model:
    """A model by its name in `NETWORKS`, or a baseline."""
    if name in BASELINES:
        return build_untrained(resolve_options({"name": name})[0], spec)
    return make_graph(NETWORKS[name], spec).inference()


ALL = (*NETWORKS, *BASELINES)

FAST = ("parallel", "joint", "residual_branches", "after_the_cell", "transformer", "attention_pooling", "tcn", "graph")
"""Networks that differ most: each architecture, both decoders, and what combines several networks."""


def marked(names: Iterable[str], fast: Collection[str] = (*FAST, *BASELINES)) -> list[Any]:
    """Names as parameters of a test, those for which the slow tests will do marked so."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in fast)) for name in names]


@dataclass(frozen=True)
class Histories:
    """Raw histories of different lengths.

    Args:
        past: [batch, time, channels], NaN where missing, anything after the length.
        length: [batch].
    """

    past: Array
    length: Array

    def rows(self) -> list[Array]:
        """Each history alone, cut to its length."""
        return [past[:length] for past, length in zip(self.past, self.length, strict=True)]


def histories(lengths: list[int], time: int | None = None, channels: int = 2) -> Histories:
    """Seasonal series around a level, with gaps inside and (in the second channel) at the end."""
    time = time or max(lengths)
    rng = np.random.default_rng(4)
    steps = np.arange(time)[None, :, None]
    past = 50 + 10 * np.sin(steps * np.pi / 2 + np.arange(channels)) + rng.normal(size=(len(lengths), time, channels))
    missing = rng.random(past.shape) < 0.15
    missing[:, 0] = False
    past[missing] = np.nan
    for row, length in enumerate(lengths):
        if length > 2:
            past[row, length - 1, 1 % channels] = np.nan
        past[row, length:] = np.nan
    return Histories(past.astype("float32"), np.array(lengths, dtype="int32"))


def window(given: Histories, spec: WindowSpec = SPEC, content: float = 0.0) -> dict[str, Array]:
    """Fill a window by a loop, with ``content`` at unobserved steps.

    The window contract asks for 0 there, but models ignore unobserved values.
    """
    shape = (len(given.past), spec.context, given.past.shape[2])
    values, observed = np.full(shape, content, dtype="float32"), np.zeros(shape, dtype="float32")
    length = np.zeros(shape[0], dtype="int32")
    for row, history in enumerate(given.rows()):
        recent = history[-spec.context :]
        length[row] = len(recent)
        for step, channel in np.ndindex(*recent.shape):
            if np.isfinite(recent[step, channel]):
                values[row, step, channel], observed[row, step, channel] = recent[step, channel], 1
    return {PAST: values, OBSERVED: observed, LENGTH: length}


def spread(given: Histories) -> Array:
    """Standard deviation of each history [batch, 1, channels, 1], what errors are measured by.

    At least a twentieth of its level, as a window's scale is.
    """
    seen = [row[-SPEC.context :] for row in given.rows()]
    spreads = [np.maximum(np.nanstd(row, axis=0), np.abs(np.nanmean(row, axis=0)) / 20) for row in seen]
    return np.array(spreads)[:, None, :, None]
