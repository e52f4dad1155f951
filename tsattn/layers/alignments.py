"""Alignments: what makes attention weights of scores, with or without a memory of the queries before."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import vector_initializer
from tsattn.layers.masking import Tensor, masked_softmax

State = tuple[Tensor, ...]


class Scored(NamedTuple):
    """Queries with their scores.

    Args:
        scores: `(batch, queries, keys)`.
        query: `(batch, queries, query_size)`.
        mask: boolean, broadcastable to the scores; True means keep.
        noise: what `Alignment.noise` drew, shaped as the scores; None outside of training.
        training: whether this is training.
    """

    scores: Tensor
    query: Tensor
    mask: Tensor
    noise: Tensor | None = None
    training: bool | None = None


@keras.saving.register_keras_serializable(package="tsattn")
class Alignment(keras.layers.Layer):
    """Base of the alignments; itself the softmax over all valid keys.

    An alignment turns the scores of a query into weights over the keys: 0 or more, 0 where masked, 1 in sum at most.
    One that remembers the queries before has a state, and `Attention` goes through the queries one after the other.
    To write one: derive from this class, register it with Keras, give it to `Attention(alignment=)`.
    """

    remembers: ClassVar[bool] = False
    """Whether the weights of a query depend on the queries before it."""

    def build(self, query_shape: Any, key_shape: Any) -> None:
        """Make the weights; `Attention` calls it with the shapes of query and projected key."""

    def initial_state(self, mask: Tensor) -> State:
        """Return the state before the first query; ``mask`` is boolean `(batch, keys)`."""
        return ()

    def keys(self, keys: Tensor, state: State) -> Tensor:
        """Return the projected keys `(batch, keys, size)` as they are to be scored."""
        return keys

    def noise(self, shape: Any) -> Tensor | None:
        """Draw what training needs at random, for all queries at once."""
        return None

    def align(self, scored: Scored, state: State) -> tuple[Tensor, State]:
        """Return the weights, shaped as the scores, and the new state.

        Args:
            scored: queries with their scores; one query of an alignment that remembers.
            state: what `initial_state` or the query before gave.
        """
        return masked_softmax(scored.scores, scored.mask), state

    def get_config(self) -> dict[str, Any]:
        # Keras wants it written where a dtype policy was given.
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="tsattn")
class HardmaxAlignment(Alignment):
    """All weight on the key of the highest score. In training the gradient is that of the softmax (straight-through).

    Reference:
        Bengio et al. 2013, Estimating or Propagating Gradients Through Stochastic Neurons.
    """

    def align(self, scored: Scored, state: State) -> tuple[Tensor, State]:
        soft = masked_softmax(scored.scores, scored.mask)
        hard = ops.one_hot(ops.argmax(soft, axis=-1), ops.shape(soft)[-1], dtype=soft.dtype)
        hard = ops.where(scored.mask, hard, ops.zeros_like(hard))
        return (soft + ops.stop_gradient(hard - soft) if scored.training else hard), state


@keras.saving.register_keras_serializable(package="tsattn")
class LocalAlignment(Alignment):
    """Softmax over a window around a place that each query predicts (local-p), falling off like a normal density.

    The place is `p = S sigmoid(v^T tanh(W q))` for `S` valid keys, counted without the masked ones; the window holds
    the keys within `window` of it, and the weights are multiplied by `exp(-(s - p)^2 / (window^2 / 2))`, so that they
    sum to less than 1.

    Args:
        window: keys on either side of the place, the paper's D; 1 or more.

    Reference:
        Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __init__(self, window: float = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if window < 1:
            raise ConfigError(f"the window of a local alignment must be 1 or more. Received: window={window}")
        self.window = window

    def build(self, query_shape: Any, key_shape: Any) -> None:
        size = query_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(size, size), initializer="glorot_uniform")
        self.vector = self.add_weight(name="vector", shape=(size,), initializer=vector_initializer(size))

    def align(self, scored: Scored, state: State) -> tuple[Tensor, State]:
        place = ops.matmul(ops.tanh(ops.matmul(scored.query, self.kernel)), self.vector)
        count = ops.cumsum(ops.cast(scored.mask, "float32"), axis=-1)
        place = count[..., -1] * ops.sigmoid(ops.cast(place, "float32"))
        distance = count - 1 - ops.expand_dims(place, -1)
        near = ops.logical_and(scored.mask, ops.abs(distance) <= self.window)
        weights = masked_softmax(scored.scores, near)
        # The standard deviation is half the window.
        return weights * ops.cast(ops.exp(-2 * ops.square(distance / self.window)), weights.dtype), state

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable(package="tsattn")
class MonotonicAlignment(Alignment):
    """Goes through the keys from first to last and never back: the weights are those of where it stops, on average.

    From where it stopped before, the first query from the first key, it stops at each key with the probability
    `sigmoid(score + r)` and else goes on, maybe past the end: then the weights sum to less than 1.

    Args:
        noise_stddev: standard deviation of the noise that is added to the scores in training, so that they learn to be
            large, and stopping a decision; needed for `hard`.
        hard: outside of training stops at the first key whose score and `r` are above 0 in sum; its weight is 1.
        initial_bias: start of the learned `r`. Below 0 it goes through more keys at first.

    Reference:
        Raffel et al. 2017, Online and Linear-Time Attention by Enforcing Monotonic Alignments. Their sums are computed
        here without the quotient of cumulative products that loses what lies behind many likely stops.
    """

    remembers = True

    def __init__(
        self, noise_stddev: float = 0.0, hard: bool = False, initial_bias: float = -1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if noise_stddev < 0:
            raise ConfigError(f"noise_stddev must be 0 or more. Received: noise_stddev={noise_stddev}")
        self.noise_stddev = noise_stddev
        self.hard = hard
        self.initial_bias = initial_bias
        self._seed = keras.random.SeedGenerator()

    def build(self, query_shape: Any, key_shape: Any) -> None:
        start = keras.initializers.Constant(self.initial_bias)
        self.bias = self.add_weight(name="bias", shape=(), initializer=start)

    def initial_state(self, mask: Tensor) -> State:
        first = ops.one_hot(ops.argmax(ops.cast(mask, "int32"), axis=-1), ops.shape(mask)[1], dtype="float32")
        return (ops.where(mask, first, 0.0),)

    def noise(self, shape: Any) -> Tensor | None:
        if not self.noise_stddev:
            return None
        return keras.random.normal(shape, stddev=self.noise_stddev, dtype="float32", seed=self._seed)

    def align(self, scored: Scored, state: State) -> tuple[Tensor, State]:
        energy = ops.cast(scored.scores, "float32") + ops.cast(self.bias, "float32")
        if scored.noise is not None:
            energy = energy + scored.noise
        stop = ops.cast(energy > 0, "float32") if self.hard and not scored.training else ops.sigmoid(energy)
        stop = ops.where(scored.mask, stop, 0.0)
        # At a key it is where it stopped before, or gone on from the key before.
        passed = ops.pad(1 - stop[:, :, :-1], [[0, 0], [0, 0], [1, 0]])
        weights = stop * linear_recurrence(passed, ops.expand_dims(state[0], 1))
        return ops.cast(weights, scored.scores.dtype), (ops.squeeze(weights, 1),)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "noise_stddev": self.noise_stddev,
            "hard": self.hard,
            "initial_bias": self.initial_bias,
        }


@keras.saving.register_keras_serializable(package="tsattn")
class CoverageAlignment(Alignment):
    """Softmax of scores that know where the queries before have looked: coverage, or location-sensitive attention.

    What earlier queries gave to the keys around each key, times a learned kernel, is added to the projected key before
    it is scored. With the additive score that is `v^T tanh(W q + U k + F * a + b)`.

    Args:
        kernel_size: keys that the kernel spans. 1 is the linguistic coverage of Tu et al. (without fertility).
        cumulative: whether `a` is the sum of the weights of all queries before, or, as Chorowski et al. have it, those
            of the last one.

    References:
        Tu et al. 2016, Modeling Coverage for Neural Machine Translation; Chorowski et al. 2015, Attention-Based Models
        for Speech Recognition.
    """

    remembers = True

    def __init__(self, kernel_size: int = 1, cumulative: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.cumulative = cumulative

    def build(self, query_shape: Any, key_shape: Any) -> None:
        self._location = keras.layers.Conv1D(
            key_shape[-1], self.kernel_size, padding="same", use_bias=False, dtype=self.dtype_policy, name="location"
        )
        self._location.build((None, None, 1))

    def initial_state(self, mask: Tensor) -> State:
        return (ops.zeros_like(mask, dtype="float32"),)

    def keys(self, keys: Tensor, state: State) -> Tensor:
        return keys + self._location(ops.cast(ops.expand_dims(state[0], -1), keys.dtype))

    def align(self, scored: Scored, state: State) -> tuple[Tensor, State]:
        weights = masked_softmax(scored.scores, scored.mask)
        given = ops.cast(ops.squeeze(weights, 1), "float32")
        return weights, (state[0] + given if self.cumulative else given,)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size, "cumulative": self.cumulative}


ALIGNMENTS: dict[str, type[Alignment]] = {
    "softmax": Alignment,
    "hardmax": HardmaxAlignment,
    "local": LocalAlignment,
    "monotonic": MonotonicAlignment,
    "coverage": CoverageAlignment,
}


def get_alignment(alignment: str | Alignment, dtype: Any) -> Alignment:
    """Return the alignment of a name, with its defaults, or the one that is given.

    Raises:
        ConfigError: there is none of that name.
    """
    if isinstance(alignment, Alignment):
        return alignment
    if alignment not in ALIGNMENTS:
        names = ", ".join(ALIGNMENTS)
        raise ConfigError(f"alignment must be one of {names}, or an Alignment. Received: alignment={alignment!r}")
    return ALIGNMENTS[alignment](dtype=dtype, name=f"{alignment}_alignment")


LONGEST = 2**16
"""Most keys of a recurrence whose length is not known before it runs."""


def linear_recurrence(factor: Tensor, added: Tensor) -> Tensor:
    """Solve `q[j] = factor[j] q[j - 1] + added[j]` along the last axis, from `q[-1] = 0`.

    By doubling (Hillis and Steele 1986), so that it takes a logarithm of steps, with no division; factors of 0 to 1
    keep it exact to rounding for any length, up to 65,536 where the length is unknown.
    """
    steps = ops.shape(added)[-1]
    place, shift = ops.arange(steps), 1
    while shift < (added.shape[-1] or LONGEST):
        there, before = place >= shift, ops.maximum(place - shift, 0)
        added = added + factor * ops.where(there, ops.take(added, before, axis=-1), 0.0)
        factor = factor * ops.where(there, ops.take(factor, before, axis=-1), 0.0)
        shift *= 2
    return added
