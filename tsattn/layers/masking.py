"""Masks and the one masked softmax that every layer of the package uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError

Tensor = Any
"""A tensor of the active Keras backend."""


def in_float32(scores: Tensor) -> Tensor:
    """Return scores in float32, those that are infinite in float16 as very large ones."""
    half = keras.backend.standardize_dtype(scores.dtype) == "float16"
    scores = ops.cast(scores, "float32")
    # Beyond 65,504 they are infinite, which a softmax makes NaN of. In float32 that is a training that diverged.
    return ops.where(ops.isinf(scores), ops.sign(scores) * 3e38, scores) if half else scores


def masked_softmax(scores: Tensor, mask: Tensor | None, dtype: str | None = None) -> Tensor:
    """Softmax over the last axis that gives masked entries exactly 0, and a fully masked row nothing but 0.

    Computed in float32.

    Args:
        scores: `(..., keys)`.
        mask: boolean, broadcastable to the scores; True means keep. None keeps everything.
        dtype: of the weights; that of the scores if None.
    """
    dtype = dtype or scores.dtype
    scores = in_float32(scores)
    keep = ops.ones_like(scores, dtype="bool") if mask is None else ops.cast(mask, "bool")
    # About the least float32: a score of values that were not scaled may lie below the customary -1e9.
    scores = ops.where(keep, scores, -3e38)
    # Written out, because Keras's own softmax warns of a single key, which a short history has by right.
    weights = ops.where(keep, ops.exp(scores - ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))), 0.0)
    total = ops.sum(weights, axis=-1, keepdims=True)
    return ops.cast(weights / ops.where(total > 0, total, 1.0), dtype)


def keep_mask(mask: Tensor | None, values: Tensor) -> Tensor:
    """Return a mask `(batch, time)` as booleans; all True for `values` `(batch, time, features)` without one.

    There may be further axes before the features.
    """
    return ops.ones_like(values[..., 0], dtype="bool") if mask is None else ops.cast(mask, "bool")


def check_sequence(name: str, shape: Any, hint: str = "") -> None:
    """Raise a `ConfigError` unless a shape is `(batch, time, features)`."""
    if len(shape) != 3:
        end = f": {hint}" if hint else ""
        raise ConfigError(f"{name} must have the shape (batch, time, features){end}. Received: shape {tuple(shape)}")


def check_dtype(layer: Any, name: str, part: Any) -> None:
    """Raise a `ConfigError` unless a part of a layer computes in the layer's dtype."""
    if part.compute_dtype != layer.compute_dtype:
        raise ConfigError(
            f"{name} must compute in the dtype of its layer: make both with the same dtype, or under the same policy. "
            f"Received: {part.compute_dtype} in a layer of {layer.compute_dtype}"
        )


def zero_masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set `values` `(batch, time, features)` to 0 where `mask` `(batch, time)` is False, NaN included.

    There may be further axes before the features.
    """
    if mask is None:
        return values
    return ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), values, ops.zeros_like(values))


def sequence_mask(length: Tensor, steps: Tensor | int) -> Tensor:
    """Boolean `(batch, steps)`: True where the step is below `length` `(batch,)`."""
    return ops.arange(steps, dtype="int32")[None, :] < ops.cast(length, "int32")[:, None]


_UNROLLED: ContextVar[bool] = ContextVar("unrolled", default=False)


@contextmanager
def unrolled() -> Iterator[None]:
    """Write out every loop whose number of steps is known while a graph is traced inside.

    `keras.ops.scan` on TensorFlow carries its state in lists of tensors, which ONNX and LiteRT do not have.
    """
    token = _UNROLLED.set(True)
    try:
        yield
    finally:
        _UNROLLED.reset(token)


def scan(step: Callable[[Any, Any], tuple[Any, Any]], first: Any, given: Any, length: Any) -> tuple[Any, Any]:
    """Return the last carry and what every step gave, stacked; as `keras.ops.scan`, inside `unrolled` written out.

    Args:
        step: from what is carried and a step of ``given`` to what is carried on and what it gives.
        first: what is carried to the first step.
        given: tensors whose first axis is the steps.
        length: number of steps, a tensor where it is not known.
    """
    if not (_UNROLLED.get() and isinstance(length, int)):
        last, stacked = ops.scan(step, first, given, length=length if isinstance(length, int) else None)
        return last, stacked
    carry, made = first, []
    for number in range(length):
        carry, result = step(carry, keras.tree.map_structure(lambda part, n=number: part[n], given))
        made.append(result)
    return carry, keras.tree.map_structure(lambda *parts: ops.stack(parts), *made)


def loop(count: int, body: Callable[[Any, Any], Any], first: Any) -> Any:
    """Return what is carried out of so many steps; as `keras.ops.fori_loop`, inside `unrolled` written out.

    Unlike `scan` it keeps nothing of the steps between, and on JAX it is for what is not trained.

    Args:
        count: number of steps.
        body: from the number of a step and what is carried to what is carried on.
        first: what is carried to the first step.
    """
    if not _UNROLLED.get():
        return ops.fori_loop(0, count, body, first)
    carry = first
    for number in range(count):
        carry = body(number, carry)
    return carry


def fresh(initializer: Any) -> Any:
    """Return an initializer for one more weight: a Keras initializer without a seed gives the same numbers twice.

    A plain function draws as it likes.
    """
    return initializer.clone() if hasattr(initializer, "clone") else initializer
