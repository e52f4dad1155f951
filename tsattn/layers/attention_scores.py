"""Attention scores by name.

A score is one function of the query `(batch, queries, d_q)`, the key `(batch, keys, d_k)` and its own weights, giving
`(batch, queries, keys)`. ``weights`` says which weights it has, ``prepare`` does what concerns the key alone, once for
all queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, fresh

COSINE_SCALE = 10.0
"""What a fresh cosine score is multiplied by: bare cosines differ by 2 at most, a softmax of them can hardly focus."""


@dataclass(frozen=True)
class Weight:
    """A weight of a score.

    Args:
        shape: its shape.
        start: the number that it starts from everywhere; None draws it as the kernel of a dense layer.
    """

    shape: tuple[int, ...]
    start: float | None = None


Weights = Callable[[int, int], Mapping[str, Weight | tuple[int, ...]]]


@dataclass(frozen=True)
class Score:
    """A score function with what the layer has to know about it.

    Args:
        function: computes the scores from query, prepared key and the weights by name.
        weights: gives each weight, or its shape, from the sizes of query and key.
        same_size: whether query and key must have the same size.
        prepare: makes of key and weights what the function is given; None leaves the key as it is.
    """

    function: Callable[..., Tensor]
    weights: Weights
    same_size: bool
    prepare: Callable[..., Tensor] | None

    def build(self, layer: keras.layers.Layer, d_query: int, d_key: int, initializer: Any) -> dict[str, Any]:
        """Add the weights to a layer and return them by name.

        Args:
            layer: it owns them.
            d_query: size of the query.
            d_key: size of the key.
            initializer: that of matrices.
        """
        quote_list = self.weights(d_query, d_key)
        weights = {name: x if isinstance(x, Weight) else Weight(x) for name, x in quote_list.items()}
        return {
            name: layer.add_weight(name=name, shape=weight.shape, initializer=_initializer(weight, initializer))
            for name, weight in weights.items()
        }

    def keys(self, key: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the key as `scores` takes it, for many queries."""
        return key if self.prepare is None else self.prepare(key, **weights)

    def scores(self, query: Tensor, keys: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the scores `(batch, queries, keys)` of keys that went through `keys`."""
        return self.function(query, keys, **weights)


def _initializer(weight: Weight, initializer: Any) -> Any:
    if weight.start is not None:
        return keras.initializers.Constant(weight.start)
    if len(weight.shape) > 1:
        return fresh(keras.initializers.get(initializer))
    return vector_initializer(weight.shape[0])


def vector_initializer(size: int) -> Any:
    """Return the initializer of a vector that numbers are multiplied with and summed.

    Glorot counts a vector as both fan-in and fan-out; as the kernel of a one-unit layer it is this.
    """
    limit = math.sqrt(6.0 / (size + 1))
    return keras.initializers.RandomUniform(-limit, limit)


SCORES: dict[str, Score] = {}


def register_score(
    name: str,
    weights: Weights = lambda d_q, d_k: {},
    same_size: bool = True,
    prepare: Callable[..., Tensor] | None = None,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Make a score function usable by name in every attention layer.

    Args:
        name: what the layers call it.
        weights: gives the shape of each of its weights from the sizes of query and key; or a `Weight`.
        same_size: whether query and key must have the same size.
        prepare: what is done to the key once, whatever the query; it takes the same weights.

    Example:
        >>> @register_score("bilinear", weights=lambda d_q, d_k: {"kernel": (d_q, d_k)}, same_size=False)
        ... def bilinear(query, key, kernel):
        ...     return query @ kernel @ keras.ops.swapaxes(key, 1, 2)
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        SCORES[name] = Score(function, weights, same_size, prepare)
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


def _add_bias(key: Tensor, bias: Tensor, **weights: Tensor) -> Tensor:
    return key + bias


def _hidden(query: Tensor, key: Tensor) -> Tensor:
    return ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))


@register_score("additive", lambda d_q, d_k: {"vector": (d_k,), "bias": Weight((d_k,), 0.0)}, prepare=_add_bias)
def additive(query: Tensor, key: Tensor, vector: Tensor, bias: Tensor) -> Tensor:
    """v^T tanh(q + k + b) (Bahdanau et al. 2015)."""
    return ops.matmul(_hidden(query, key), vector)


@register_score(
    "normalized_additive",
    lambda d_q, d_k: {"vector": (d_k,), "gain": Weight((), d_k**-0.5), "bias": Weight((d_k,), 0.0)},
    prepare=_add_bias,
)
def normalized_additive(query: Tensor, key: Tensor, vector: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """g v^T / ||v|| tanh(q + k + b): additive with weight normalisation (Salimans and Kingma 2016)."""
    return ops.matmul(_hidden(query, key), gain * _unit_length(vector))


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


@register_score("scaled_general", lambda d_q, d_k: {"kernel": (d_q, d_k), "gain": Weight((), 1.0)}, same_size=False)
def scaled_general(query: Tensor, key: Tensor, kernel: Tensor, gain: Tensor) -> Tensor:
    """g q^T W k, with a learned scale g (Luong et al. 2015, as it is used in translation)."""
    return general(query * gain, key, kernel)


def _concat_key(key: Tensor, kernel: Tensor, vector: Tensor) -> Tensor:
    return ops.matmul(key, kernel[kernel.shape[0] - key.shape[-1] :])


@register_score(
    "concat", lambda d_q, d_k: {"kernel": (d_q + d_k, d_k), "vector": (d_k,)}, same_size=False, prepare=_concat_key
)
def concat(query: Tensor, key: Tensor, kernel: Tensor, vector: Tensor) -> Tensor:
    """v^T tanh(W [q; k]) (Luong et al. 2015)."""
    return ops.matmul(_hidden(ops.matmul(query, kernel[: query.shape[-1]]), key), vector)


def _unit_length(x: Tensor) -> Tensor:
    """`x` divided by its length along the last axis, in float32; 0 stays 0, with a gradient of 0."""
    wide = ops.cast(x, "float32")
    squares = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    known = squares > 1e-12
    return ops.cast(ops.where(known, wide * ops.rsqrt(ops.where(known, squares, 1.0)), 0.0), x.dtype)


@register_score(
    "cosine",
    lambda d_q, d_k: {"log_scale": Weight((), math.log(COSINE_SCALE))},
    prepare=lambda key, log_scale: _unit_length(key),
)
def cosine(query: Tensor, key: Tensor, log_scale: Tensor) -> Tensor:
    """s q^T k / (||q|| ||k||), with a learned scale s, the inverse of a temperature (Graves et al. 2014)."""
    return dot(_unit_length(query) * ops.exp(log_scale), key)
