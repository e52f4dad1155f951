"""The learned graph between the targets of a graph model."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd

from tsattn.forecasting.fitted import FittedForecaster
from tsattn.layers import AdaptiveAdjacency


def learned_graph(fitted: FittedForecaster) -> pd.DataFrame | None:
    """Return the learned edges between the targets, averaged over the members of an ensemble.

    Returns:
        ``source``, ``target``, ``weight``, largest first; the weights from a source have the sum 1. None for a model
        without a learned graph.
    """
    names = fitted.spec.targets
    nodes = np.zeros((1, len(names), 1), dtype="float32")
    found = [keras.ops.convert_to_numpy(layer(nodes)) for layer in _adjacency_layers(fitted.model)]
    if not found:
        return None
    weights = np.mean(found, axis=0)
    source, target = np.divmod(np.arange(weights.size), len(names))
    labels = np.asarray(names, dtype=object)
    frame = pd.DataFrame({"source": labels[source], "target": labels[target], "weight": weights.ravel()})
    return frame.sort_values("weight", ascending=False, kind="stable", ignore_index=True)


def _adjacency_layers(model: keras.Model) -> Iterator[AdaptiveAdjacency]:
    for layer in model.layers:
        if isinstance(layer, AdaptiveAdjacency):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _adjacency_layers(layer)
