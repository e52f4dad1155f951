"""Score functions of attention, by name.

A score function maps a query `(batch, queries, d_q)`, a key `(batch, keys, d_k)` and its own weights to scores
`(batch, queries, keys)`. The part that depends on the key alone (`prepare`) is computed once for all queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import weight_options
from tsattn.layers.ops import Tensor

INITIAL_COSINE_SCALE = 10.0
"""Initial scale of the cosine score. Unscaled cosines differ by at most 2: their softmax is nearly uniform."""


@dataclass(frozen=True)
class WeightSpec:
    """A weight of a score.

    Args:
        shape: Shape of the weight.
        initial_value: Constant initial value. If None, matrices use the initializer, regularizer and constraint of
            the kernels of the layer, and vectors `vector_initializer`.
    """

    shape: tuple[int, ...]
    initial_value: float | None = None


WeightSpecs = Callable[[int, int], Mapping[str, WeightSpec | tuple[int, ...]]]


@dataclass(frozen=True)
class Score:
    """A registered score function; the arguments are those of `register_score`."""

    function: Callable[..., Tensor]
    weights: WeightSpecs
    same_size: bool
    prepare: Callable[..., Tensor] | None

    def build(self, layer: keras.layers.Layer, d_query: int, d_key: int) -> dict[str, Any]:
        """Add the weights to a layer, by unique names, and return them by the names of the score.

        Args:
            layer: Layer that owns the weights. Its initializer, regularizer and constraint of kernels are those of the
                matrices.
            d_query: Size of the query.
            d_key: Size of the key.
        """
        specs = {
            name: spec if isinstance(spec, WeightSpec) else WeightSpec(spec)
            for name, spec in self.weights(d_query, d_key).items()
        }
        return {
            name: layer.add_weight(name=f"score_{name}", shape=spec.shape, **_options(spec, layer))
            for name, spec in specs.items()
        }

    def prepare_keys(self, key: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the keys that `compute_scores` takes."""
        return key if self.prepare is None else self.prepare(key, **weights)

    def compute_scores(self, query: Tensor, keys: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the scores `(batch, queries, keys)` of prepared keys."""
        return self.function(query, keys, **weights)


def _options(spec: WeightSpec, layer: keras.layers.Layer) -> dict[str, Any]:
    if spec.initial_value is not None:
        return {"initializer": keras.initializers.Constant(spec.initial_value)}
    if len(spec.shape) > 1:
        return weight_options(layer, "kernel")
    return {"initializer": vector_initializer(spec.shape[0])}


def vector_initializer(size: int) -> Any:
    """Return Glorot's uniform initializer for a vector in a dot product: the kernel of a dense layer of one unit.

    Keras's own counts the size of a vector as both fan-in and fan-out.
    """
    limit = math.sqrt(6.0 / (size + 1))
    return keras.initializers.RandomUniform(-limit, limit)


SCORES: dict[str, Score] = {}


def register_score(
    name: str,
    weights: WeightSpecs = lambda d_q, d_k: {},
    same_size: bool = True,
    prepare: Callable[..., Tensor] | None = None,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a score function under a name, for the `score` argument of every attention layer.

    Args:
        name: Name of the score.
        weights: Maps the sizes of query and key to the shape, or `WeightSpec`, of each weight by name. The function
            takes the weights as keyword arguments.
        same_size: Whether query and key must have the same size.
        prepare: Function of the key and the weights, applied once per call. The score function gets its result as key.

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
        ConfigError: The name is unknown.
    """
    if name not in SCORES:
        raise ConfigError(f"score must be one of {', '.join(sorted(SCORES))}. Received: score={name!r}")
    return SCORES[name]


def _add_bias(key: Tensor, bias: Tensor, **weights: Tensor) -> Tensor:
    return key + bias


def _hidden(query: Tensor, key: Tensor) -> Tensor:
    return ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))


@register_score("additive", lambda d_q, d_k: {"vector": (d_k,), "bias": WeightSpec((d_k,), 0.0)}, prepare=_add_bias)
def additive(query: Tensor, key: Tensor, vector: Tensor, bias: Tensor) -> Tensor:
    """Compute `v^T tanh(q + k + b)` (Bahdanau et al. 2015)."""
    return ops.matmul(_hidden(query, key), vector)


@register_score(
    "normalized_additive",
    lambda d_q, d_k: {"vector": (d_k,), "gain": WeightSpec((), d_k**-0.5), "bias": WeightSpec((d_k,), 0.0)},
    prepare=_add_bias,
)
def normalized_additive(query: Tensor, key: Tensor, vector: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Compute `g v^T / ||v|| tanh(q + k + b)`: weight normalization (Salimans and Kingma 2016)."""
    return ops.matmul(_hidden(query, key), gain * l2_normalize(vector))


@register_score("dot")
def dot(query: Tensor, key: Tensor) -> Tensor:
    """Compute `q^T k` (Luong et al. 2015)."""
    return ops.matmul(query, ops.swapaxes(key, -1, -2))


@register_score("scaled_dot")
def scaled_dot(query: Tensor, key: Tensor) -> Tensor:
    """Compute `q^T k / sqrt(d)` (Vaswani et al. 2017)."""
    return dot(query * float(key.shape[-1]) ** -0.5, key)


@register_score("general", lambda d_q, d_k: {"kernel": (d_q, d_k)}, same_size=False)
def general(query: Tensor, key: Tensor, kernel: Tensor) -> Tensor:
    """Compute `q^T W k` (Luong et al. 2015)."""
    return dot(ops.matmul(query, kernel), key)


@register_score("scaled_general", lambda d_q, d_k: {"kernel": (d_q, d_k), "gain": WeightSpec((), 1.0)}, same_size=False)
def scaled_general(query: Tensor, key: Tensor, kernel: Tensor, gain: Tensor) -> Tensor:
    """Compute `g q^T W k` with a learned scale g (Luong et al. 2015, as used in machine translation)."""
    return general(query * gain, key, kernel)


def _project_key(key: Tensor, kernel: Tensor, vector: Tensor) -> Tensor:
    return ops.matmul(key, kernel[kernel.shape[0] - key.shape[-1] :])


@register_score(
    "concat", lambda d_q, d_k: {"kernel": (d_q + d_k, d_k), "vector": (d_k,)}, same_size=False, prepare=_project_key
)
def concat(query: Tensor, key: Tensor, kernel: Tensor, vector: Tensor) -> Tensor:
    """Compute `v^T tanh(W [q; k])` (Luong et al. 2015)."""
    return ops.matmul(_hidden(ops.matmul(query, kernel[: query.shape[-1]]), key), vector)


def l2_normalize(x: Tensor) -> Tensor:
    """Divide by the L2 norm along the last axis, in float32. A zero vector stays zero and has a zero gradient."""
    wide = ops.cast(x, "float32")
    squares = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    is_nonzero = squares > 1e-12
    return ops.cast(ops.where(is_nonzero, wide * ops.rsqrt(ops.where(is_nonzero, squares, 1.0)), 0.0), x.dtype)


@register_score(
    "cosine",
    lambda d_q, d_k: {"log_scale": WeightSpec((), math.log(INITIAL_COSINE_SCALE))},
    prepare=lambda key, log_scale: l2_normalize(key),
)
def cosine(query: Tensor, key: Tensor, log_scale: Tensor) -> Tensor:
    """Compute `s q^T k / (||q|| ||k||)` with a learned inverse temperature s (Graves et al. 2014)."""
    return dot(l2_normalize(query) * ops.exp(log_scale), key)
