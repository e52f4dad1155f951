"""The pretrained network as a model that is trained: inputs, targets and loss of many forecast origins at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers.pretrained_network import PretrainedNetwork
from tsattn.pretrained.features import (
    CANDIDATES,
    LEVELS,
    MAX_CANDIDATE,
    PATCH_FEATURES,
    QUERY_FEATURES,
    Array,
    Layout,
    compute_features,
)

MIN_VALUES = 3
"""Observed values before an origin from which its targets count."""
TYPICAL_DISTANCE = 6.0
"""Mean distance of the targets of an origin from the centre, in units of the scale, at which their weight is half."""


def training_network(network: PretrainedNetwork) -> keras.Model:
    """Return a model of the inputs of a network, by which it is trained."""
    sizes = {"patches": PATCH_FEATURES, "queries": QUERY_FEATURES, "candidates": len(CANDIDATES)}
    inputs = {"patches": keras.Input((None, sizes["patches"]), name="patches")}
    for name in ("queries", "candidates", "available"):
        inputs[name] = keras.Input((None, None, sizes.get(name, len(CANDIDATES))), name=name)
    for name in ("attends", "last_patch"):
        inputs[name] = keras.Input((None, None), name=name)
    return keras.Model(inputs, network(**inputs), name="pretraining")


def training_example(series: Array, observed: Array, layout: Layout) -> tuple[dict[str, Array], Array]:
    """Return the inputs of the network and its targets, `(N, origins, steps, 2)`: value and weight.

    Targets are relative to centre and scale of their origin. The weight is 0 where a target is not observed, and falls
    with the mean distance of the targets of an origin from the centre.

    Args:
        series: `(N, time)`, the window of the layout and the targets after it.
        observed: The same shape, bool.
        layout: Season lengths, origins and steps.
    """
    parts = compute_features(np, series[:, : layout.length], observed[:, : layout.length], layout)
    targets = np.take(series, layout.targets, axis=1)
    seen = np.take(observed, layout.targets, axis=1)
    known = np.take(np.cumsum(observed, axis=1), layout.origin_ends, axis=1) >= MIN_VALUES
    scale = parts.scale[:, :, None]
    relative = np.where(scale > 0, (targets - parts.centre[:, :, None]) / np.where(scale > 0, scale, 1.0), 0.0)
    weight = np.where(seen & known[:, :, None] & (scale > 0), 1.0, 0.0)
    total = (np.abs(relative) * weight).sum(axis=2, keepdims=True)
    weight = weight / (1 + total / np.maximum(weight.sum(axis=2, keepdims=True), 1) / TYPICAL_DISTANCE)
    size = len(series)
    inputs = {
        "patches": parts.patches,
        "queries": parts.queries,
        "candidates": parts.candidates,
        "available": parts.available,
        "attends": np.broadcast_to(layout.attends, (size, *layout.attends.shape)),
        "last_patch": np.broadcast_to(layout.last_patch, (size, *layout.last_patch.shape)),
    }
    values = np.stack([np.clip(relative, -MAX_CANDIDATE, MAX_CANDIDATE), weight], axis=-1)
    return {name: part.astype("float32") for name, part in inputs.items()}, values.astype("float32")


@keras.saving.register_keras_serializable(package="tsattn")
def weighted_pinball(targets: Any, quantiles: Any) -> Any:
    """Return the mean pinball loss over all levels; the last axis of the targets is (value, weight)."""
    levels = ops.convert_to_tensor(LEVELS, "float32")
    deviation = targets[..., :1] - quantiles
    loss = ops.mean(ops.maximum(levels * deviation, (levels - 1) * deviation), axis=-1)
    return ops.sum(loss * targets[..., 1]) / ops.maximum(ops.sum(targets[..., 1]), 1.0)
