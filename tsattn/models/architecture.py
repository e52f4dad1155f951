"""Interface of an architecture: its inputs, its outputs and the ensemble member that wraps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import keras
import numpy.typing as npt

from tsattn.layers.ops import Tensor


@dataclass(frozen=True)
class ArchitectureInputs:
    """Scaled inputs of an architecture. `rows` is batch times channels, or batch if the channels are joint.

    Args:
        values: `(rows, context, width)`, 0 where missing.
        observed: `(rows, context, width)`, 0 or 1.
        length: `(rows,)`, number of valid steps.
        static: `(rows, size)`, embeddings of the channel, if there are several, and of the static covariates.
        covariates: `(rows, context, features)`, covariates of the context, if any; the future covariates come first.
        future_covariates: `(rows, horizon, features)`, covariates of the horizon, if any.
    """

    values: Tensor
    observed: Tensor
    length: Tensor
    static: Tensor | None = None
    covariates: Tensor | None = None
    future_covariates: Tensor | None = None


@dataclass(frozen=True)
class AttentionWeights:
    """Attention weights with the time steps of their queries and keys.

    Args:
        values: `(rows, queries, keys)` or `(rows, heads, queries, keys)`.
        key_steps: Layer from the lengths `(batch,)` to `(batch, keys, 2)`, the first and last step of the window that
            each key covers, -1 for padding.
        query_length: Steps of the horizon that each query covers.
    """

    values: Tensor
    key_steps: keras.layers.Layer
    query_length: int


@dataclass(frozen=True)
class ArchitectureOutputs:
    """Outputs of an architecture.

    Args:
        raw: `(rows, horizon, width, levels)`, unconstrained outputs in scaled space; the median is used as it is. The
            window of the architecture defines the number of levels and which is the median.
        weights: Attention weights, if the architecture has any.
        base: `(rows, horizon, width, 1)`, added to the median; 0 if left out.
    """

    raw: Tensor
    weights: AttentionWeights | None = None
    base: Tensor | None = None


class Architecture(Protocol):
    """A network with its layers created. Repeated calls use the same weights."""

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        """Forecast; ``target`` `(rows, horizon, width)` in scaled space is passed in training only."""
        ...


@runtime_checkable
class GraphArchitecture(Protocol):
    """An architecture whose targets are the nodes of a graph."""

    def set_adjacency(self, adjacency: npt.ArrayLike) -> None:
        """Set the edge weights, `(targets, targets)`."""
        ...


class EnsembleMember:
    """An architecture as a nested Keras model, so that several can have layers of the same names.

    Args:
        architecture: The architecture.
        name: Name of the nested model.
    """

    def __init__(self, architecture: Architecture, name: str) -> None:
        self._architecture = architecture
        self._name = name

    def __call__(self, inputs: ArchitectureInputs, target: Tensor | None = None) -> ArchitectureOutputs:
        given = {**vars(inputs), "target": target}
        given = {name: x for name, x in given.items() if x is not None}
        inner = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in given.items()}
        target = inner.get("target")
        fields = {name: x for name, x in inner.items() if name != "target"}
        outputs = self._architecture(ArchitectureInputs(**fields), target)
        weights = outputs.weights
        tensors = {"raw": outputs.raw, "base": outputs.base, "weights": weights and weights.values}
        model = keras.Model(inner, {name: x for name, x in tensors.items() if x is not None}, name=self._name)
        result = model(given)
        weights = weights and replace(weights, values=result["weights"])
        return ArchitectureOutputs(result["raw"], weights, result.get("base"))
