"""Attention scores by name.

A score is one function of the query `(batch, queries, d_q)`, the key `(batch, keys, d_k)` and its own weights, giving
`(batch, queries, keys)`. ``weights`` says which weights it has and their shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor

WeightShapes = Callable[[int, int], dict[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Score:
    """A score function with what the layer has to know about it.

    Args:
        function: computes the scores from query, key and the weights by name.
        weights: gives the shape of each weight from the sizes of query and key.
        same_size: whether query and key must have the same size.
    """

    function: Callable[..., Tensor]
    weights: WeightShapes
    same_size: bool


SCORES: dict[str, Score] = {}


def register_score(
    name: str, weights: WeightShapes = lambda d_q, d_k: {}, same_size: bool = True
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Make a score function usable by name in every attention layer."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        SCORES[name] = Score(function, weights, same_size)
        return function

    return register


def get_score(name: str) -> Score:
    """Return the score registered under `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in SCORES:
        raise ConfigError(f"score must be one of {', '.join(sorted(SCORES))}. Received: score={name!r}")
    return SCORES[name]


@register_score("additive", lambda d_q, d_k: {"vector": (d_k,), "bias": (d_k,)})
def additive(query: Tensor, key: Tensor, vector: Tensor, bias: Tensor) -> Tensor:
    """v^T tanh(q + k + b) (Bahdanau et al. 2015)."""
    hidden = ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key + bias, 1))
    return ops.matmul(hidden, vector)


@register_score("dot")
def dot(query: Tensor, key: Tensor) -> Tensor:
    """q^T k (Luong et al. 2015)."""
    return ops.matmul(query, ops.swapaxes(key, -1, -2))


@register_score("scaled_dot")
def scaled_dot(query: Tensor, key: Tensor) -> Tensor:
    """q^T k / sqrt(d) (Vaswani et al. 2017)."""
    return dot(query * float(key.shape[-1]) ** -0.5, key)


@register_score("general", lambda d_q, d_k: {"kernel": (d_q, d_k)}, same_size=False)
def general(query: Tensor, key: Tensor, kernel: Tensor) -> Tensor:
    """q^T W k (Luong et al. 2015)."""
    return dot(ops.matmul(query, kernel), key)
