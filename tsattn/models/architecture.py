"""What an architecture is given and gives back, whatever stands around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import keras
import numpy.typing as npt

from tsattn.layers.masking import Tensor


@dataclass(frozen=True)
class Series:
    """What a core is given, in scaled space; `rows` is batch times channels, or batch where they are joint.

    Args:
        values: `(rows, context, width)`, 0 where missing.
        observed: the same shape, 0 or 1.
        length: `(rows,)`.
        static: `(rows, size)`, learned vectors of the channel, where there are several, and of the static covariates.
        covariates: `(rows, context, features)`, scaled, where there are any.
        ahead: `(rows, horizon, features)`, those that are known ahead, where there are any.
    """

    values: Tensor
    observed: Tensor
    length: Tensor
    static: Tensor | None = None
    covariates: Tensor | None = None
    ahead: Tensor | None = None


@dataclass(frozen=True)
class Weights:
    """Attention weights and what they are between.

    Args:
        values: `(rows, queries, keys)`, or `(rows, heads, queries, keys)`.
        key_steps: layer from the lengths `(batch,)` to `(batch, keys, 2)`, first and last step of the window that
            each key stands for, -1 for padding.
        query_length: steps of the horizon that each query stands for.
    """

    values: Tensor
    key_steps: keras.layers.Layer
    query_length: int


@dataclass(frozen=True)
class Decoded:
    """What a core gives back.

    Args:
        raw: `(rows, horizon, width, levels)`, free numbers in scaled space; the median as it is. So many levels, and
            which is the median, is told by the window that the core was made for.
        weights: where the core attends, if it does.
        base: `(rows, horizon, width, 1)`, what the median is counted from; 0 if left out.
    """

    raw: Tensor
    weights: Weights | None = None
    base: Tensor | None = None


class Core(Protocol):
    """An architecture with its layers made: may be called more than once, sharing them."""

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        """Forecast; ``target`` `(rows, horizon, width)` in scaled space is there in training only."""
        ...


@runtime_checkable
class Connected(Protocol):
    """A core whose targets are the nodes of a graph."""

    def connect(self, adjacency: npt.ArrayLike) -> None:
        """Take the weights of the edges, `(targets, targets)`."""
        ...


class Member:
    """A core as a model of its own inside the graph, so that the layers of several may have the same names.

    Args:
        core: the architecture.
        name: what the member is called.
    """

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name

    def __call__(self, series: Series, target: Tensor | None = None) -> Decoded:
        given = {**vars(series), "target": target}
        given = {name: x for name, x in given.items() if x is not None}
        inner = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in given.items()}
        target = inner.get("target")
        decoded = self._core(Series(**{name: x for name, x in inner.items() if name != "target"}), target)
        weights = decoded.weights
        outputs = {"raw": decoded.raw, "base": decoded.base, "weights": weights and weights.values}
        model = keras.Model(inner, {name: x for name, x in outputs.items() if x is not None}, name=self._name)
        made = model(given)
        return Decoded(made["raw"], weights and replace(weights, values=made["weights"]), made.get("base"))
