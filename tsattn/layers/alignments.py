"""Alignments: how `Attention` turns scores into attention weights."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import vector_initializer
from tsattn.layers.layer_utils import (
    check_positive,
    constructor_config,
    dense_options,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, first_true, masked_softmax, max_or_zero

State = tuple[Tensor, ...]


class AlignmentInputs(NamedTuple):
    """Inputs of `Alignment.align`.

    Args:
        scores: `(batch, queries, keys)`.
        query: `(batch, queries, query_size)`.
        mask: Boolean, broadcastable to the scores; True means keep. None, if every key is valid, for a softmax only.
        noise: Result of `Alignment.sample_noise`, shaped as the scores; None outside of training.
        training: Whether this is training.
    """

    scores: Tensor
    query: Tensor
    mask: Tensor
    noise: Tensor | None = None
    training: bool | None = None


@keras.saving.register_keras_serializable(package="tsattn")
class Alignment(keras.layers.Layer):
    """Softmax over all valid keys, and base class of the alignments.

    An alignment maps the scores of a query to weights over the keys. Weights are non-negative, 0 for masked keys, and
    sum to at most 1. The weights of a stateful alignment depend on the previous queries: `Attention` processes its
    queries one by one.

    For an alignment of another kind, subclass this class, register it with Keras and pass it as
    `Attention(alignment=)`.
    """

    stateful: ClassVar[bool] = False
    """Whether the weights of a query depend on those of the previous queries."""

    def build(self, query_shape: Any, key_shape: Any) -> None:
        """Create the weights, given the shapes of the query and the projected key."""

    def initial_state(self, mask: Tensor) -> State:
        """Return the state before the first query; `mask` is boolean `(batch, keys)`."""
        return ()

    def condition_keys(self, keys: Tensor, state: State) -> Tensor:
        """Return the keys to score, given the projected keys `(batch, keys, size)` and the state."""
        return keys

    def sample_noise(self, shape: Any) -> Tensor | None:
        """Return the noise that `align` adds in training, for all queries at once."""
        return None

    def align(self, inputs: AlignmentInputs, state: State) -> tuple[Tensor, State]:
        """Return the weights, shaped as the scores, and the new state.

        Args:
            inputs: Scores of all queries; of a single query if the alignment is stateful.
            state: The state before these queries.
        """
        return masked_softmax(inputs.scores, inputs.mask), state

    def get_config(self) -> dict[str, Any]:
        # Keras cannot generate the config of a layer that was given a dtype policy object.
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="tsattn")
class HardmaxAlignment(Alignment):
    """All weight on the key with the highest score.

    In training the gradient is that of the softmax (straight-through estimator).

    Reference:
        Bengio et al. 2013, Estimating or Propagating Gradients Through Stochastic Neurons.
    """

    def align(self, inputs: AlignmentInputs, state: State) -> tuple[Tensor, State]:
        soft = masked_softmax(inputs.scores, inputs.mask)
        is_highest = ops.logical_and(soft == max_or_zero(soft, -1, keepdims=True), inputs.mask)
        hard = ops.cast(first_true(is_highest), soft.dtype)
        return (soft + ops.stop_gradient(hard - soft) if inputs.training else hard), state


@keras.saving.register_keras_serializable(package="tsattn")
class LocalAlignment(Alignment):
    """Softmax over a window around a position that each query predicts (local-p attention).

    The position is `p = S sigmoid(v^T tanh(W q))` for `S` valid keys; masked keys are not counted. The window holds
    the keys within `window` of it. Weights are multiplied by `exp(-(s - p)^2 / (window^2 / 2))`, so they sum to less
    than 1.

    Args:
        window: Number of keys on each side of the position (D in the paper); at least 1.
        kernel_initializer: Initializer of the matrix `W`.
        kernel_regularizer: Regularizer of the matrix `W`.
        kernel_constraint: Constraint of the matrix `W`.

    Reference:
        Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __init__(
        self,
        window: float = 10,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if window < 1:
            raise ConfigError(f"the window of a local alignment must be 1 or more. Received: window={window}")
        self.window = window
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )

    def build(self, query_shape: Any, key_shape: Any) -> None:
        size = query_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(size, size), **weight_options(self, "kernel"))
        self.vector = self.add_weight(name="vector", shape=(size,), initializer=vector_initializer(size))

    def align(self, inputs: AlignmentInputs, state: State) -> tuple[Tensor, State]:
        position = ops.matmul(ops.tanh(ops.matmul(inputs.query, self.kernel)), self.vector)
        valid = ops.cast(inputs.mask, "float32")
        count = ops.cumsum(valid, axis=-1)
        position = ops.sum(valid, axis=-1) * ops.sigmoid(ops.cast(position, "float32"))
        distance = count - 1 - ops.expand_dims(position, -1)
        in_window = ops.logical_and(inputs.mask, ops.abs(distance) <= self.window)
        weights = masked_softmax(inputs.scores, in_window)
        # The standard deviation is half the window.
        return weights * ops.cast(ops.exp(-2 * ops.square(distance / self.window)), weights.dtype), state

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, LocalAlignment)}


@keras.saving.register_keras_serializable(package="tsattn")
class MonotonicAlignment(Alignment):
    """Expected alignment of a process that scans the keys from left to right and never moves back.

    Each query continues at the key where the previous one stopped; the first starts at the first key. The scan stops
    at a key with probability `sigmoid(score + r)` and otherwise moves on. It may pass the last key, so weights sum to
    at most 1.

    Args:
        noise_stddev: Standard deviation of noise added to the scores in training. It drives the probabilities to 0 or
            1, which `hard` requires.
        hard: Whether to stop, outside of training, at the first key with `score + r > 0`, with weight 1.
        initial_bias: Initial value of the learned bias `r`. Negative values start with long scans.
        seed: Seed of the noise.

    Reference:
        Raffel et al. 2017, Online and Linear-Time Attention by Enforcing Monotonic Alignments. The recurrence is
        solved here without the paper's quotient of cumulative products, which underflows after many likely stops.
    """

    stateful = True

    def __init__(
        self,
        noise_stddev: float = 0.0,
        hard: bool = False,
        initial_bias: float = -1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if noise_stddev < 0:
            raise ConfigError(f"noise_stddev must be 0 or more. Received: noise_stddev={noise_stddev}")
        self.noise_stddev = noise_stddev
        self.hard = hard
        self.initial_bias = initial_bias
        self.seed = seed
        self._seed = keras.random.SeedGenerator(seed)

    def build(self, query_shape: Any, key_shape: Any) -> None:
        initializer = keras.initializers.Constant(self.initial_bias)
        self.bias = self.add_weight(name="bias", shape=(), initializer=initializer)

    def initial_state(self, mask: Tensor) -> State:
        return (ops.cast(first_true(mask), "float32"),)

    def sample_noise(self, shape: Any) -> Tensor | None:
        if not self.noise_stddev:
            return None
        return keras.random.normal(shape, stddev=self.noise_stddev, dtype="float32", seed=self._seed)

    def align(self, inputs: AlignmentInputs, state: State) -> tuple[Tensor, State]:
        energy = ops.cast(inputs.scores, "float32") + ops.cast(self.bias, "float32")
        if inputs.noise is not None:
            energy = energy + inputs.noise
        stop = ops.cast(energy > 0, "float32") if self.hard and not inputs.training else ops.sigmoid(energy)
        stop = ops.where(inputs.mask, stop, 0.0)
        # Key j is reached if the previous query stopped there, or if the scan moved on from key j - 1.
        move_on = ops.pad(1 - stop[:, :, :-1], [[0, 0], [0, 0], [1, 0]])
        weights = stop * linear_recurrence(move_on, ops.expand_dims(state[0], 1))
        return ops.cast(weights, inputs.scores.dtype), (ops.squeeze(weights, 1),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, MonotonicAlignment)}


@keras.saving.register_keras_serializable(package="tsattn")
class CoverageAlignment(Alignment):
    """Softmax of scores that depend on previous weights: coverage, or location-sensitive attention.

    A convolution of the previous attention weights is added to the projected keys before they are scored. With the
    additive score this is `v^T tanh(W q + U k + F * a + b)`.

    Args:
        kernel_size: Width of the convolution over the keys. 1 is the linguistic coverage of Tu et al., without
            fertility.
        cumulative: Whether `a` is the sum of the weights of all previous queries. If False, it holds the weights of
            the last query, as in Chorowski et al.
        kernel_initializer: Initializer of the convolution.
        kernel_regularizer: Regularizer of the convolution.
        kernel_constraint: Constraint of the convolution.

    References:
        Tu et al. 2016, Modeling Coverage for Neural Machine Translation; Chorowski et al. 2015, Attention-Based Models
        for Speech Recognition.
    """

    stateful = True

    def __init__(
        self,
        kernel_size: int = 1,
        cumulative: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(kernel_size=kernel_size)
        self.kernel_size = kernel_size
        self.cumulative = cumulative
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )

    def build(self, query_shape: Any, key_shape: Any) -> None:
        self._location = keras.layers.Conv1D(
            key_shape[-1], self.kernel_size, padding="same", use_bias=False, name="location", **dense_options(self)
        )
        self._location.build((None, None, 1))

    def initial_state(self, mask: Tensor) -> State:
        return (ops.zeros_like(mask, dtype="float32"),)

    def condition_keys(self, keys: Tensor, state: State) -> Tensor:
        if keys.shape[1] == 0:
            return keys  # PyTorch has no convolution of an empty sequence
        return keys + self._location(ops.cast(ops.expand_dims(state[0], -1), keys.dtype))

    def align(self, inputs: AlignmentInputs, state: State) -> tuple[Tensor, State]:
        weights = masked_softmax(inputs.scores, inputs.mask)
        current = ops.cast(ops.squeeze(weights, 1), "float32")
        return weights, (state[0] + current if self.cumulative else current,)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, CoverageAlignment)}


ALIGNMENTS: dict[str, type[Alignment]] = {
    "softmax": Alignment,
    "hardmax": HardmaxAlignment,
    "local": LocalAlignment,
    "monotonic": MonotonicAlignment,
    "coverage": CoverageAlignment,
}


def get_alignment(alignment: str | Alignment, dtype: Any) -> Alignment:
    """Return an alignment by name, with default arguments; an `Alignment` is returned unchanged.

    Raises:
        ConfigError: The name is unknown.
    """
    if isinstance(alignment, Alignment):
        return alignment
    if alignment not in ALIGNMENTS:
        names = ", ".join(ALIGNMENTS)
        raise ConfigError(f"alignment must be one of {names}, or an Alignment. Received: alignment={alignment!r}")
    return ALIGNMENTS[alignment](dtype=dtype, name=f"{alignment}_alignment")


def linear_recurrence(factor: Tensor, term: Tensor) -> Tensor:
    """Solve `q[j] = factor[j] q[j - 1] + term[j]` along the last axis, with `q[-1] = 0`.

    Parallel scan by recursive doubling (Hillis and Steele 1986): a logarithmic number of steps and no division.
    Accurate to rounding for factors of 0 to 1, at any length.
    """
    length = ops.shape(term)[-1]
    position = ops.arange(length)

    def double(shift: Any, factor: Tensor, term: Tensor) -> tuple[Any, Tensor, Tensor]:
        is_inside, previous = position >= shift, ops.maximum(position - shift, 0)
        term = term + factor * ops.where(is_inside, ops.take(term, previous, axis=-1), 0.0)
        factor = factor * ops.where(is_inside, ops.take(factor, previous, axis=-1), 0.0)
        return shift * 2, factor, term

    if term.shape[-1] is None:
        # Only TensorFlow has unknown lengths, and it differentiates the loop.
        state = (ops.ones((), "int32"), factor, term)
        return ops.while_loop(lambda shift, *_: shift < length, double, state)[2]
    shift: Any = 1
    while shift < length:
        shift, factor, term = double(shift, factor, term)
    return term
