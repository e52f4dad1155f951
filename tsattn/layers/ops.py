"""Tensor operations that `keras.ops` lacks: masked softmax, batched gathers, loops that can be unrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
"""A tensor of the active Keras backend."""


_CAPTURE: ContextVar[bool] = ContextVar("capture", default=False)
_LARGE_BYTES = 1_000_000


@contextmanager
def captured_constants() -> Iterator[None]:
    """Keep large constants outside of the TensorFlow graphs that are traced inside the context.

    TensorFlow copies a graph many times while it optimizes, runs and saves it. Converters to other formats take such
    constants for inputs, therefore it is not the default.
    """
    token = _CAPTURE.set(True)
    try:
        yield
    finally:
        _CAPTURE.reset(token)


def _constant(values: Any) -> Any:
    """Return a large array inside `captured_constants` as a tensor outside of the graph, and anything else as it is."""
    if not (_CAPTURE.get() and isinstance(values, np.ndarray) and values.nbytes > _LARGE_BYTES):
        return values
    import tensorflow as tf

    with tf.init_scope():
        return tf.constant(values)


class SmallGraphOps:
    """`keras.ops`, except for gathers and products that take more than ten operations each in a TensorFlow graph.

    The forecasts without training have 60 of them: this halves the time to trace, save and load their graph. Indices
    must be 0 or more, while Keras corrects negative ones.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(ops, name)

    def take(self, values: Tensor, index: Any, axis: int) -> Tensor:
        """Gather along an axis."""
        if keras.backend.backend() != "tensorflow":
            return ops.take(values, index, axis=axis)
        import tensorflow as tf

        return tf.gather(_constant(values), index, axis=axis)

    def take_along_axis(self, values: Tensor, index: Tensor, axis: int) -> Tensor:
        """Gather from each row of a matrix; the axis must be 1."""
        if keras.backend.backend() != "tensorflow":
            return ops.take_along_axis(values, index, axis=axis)
        import tensorflow as tf

        return tf.gather(values, index, axis=axis, batch_dims=1)

    def matmul(self, first: Tensor, second: Any) -> Tensor:
        """Multiply matrices; a constant matrix multiplies all rows at once."""
        if not isinstance(second, np.ndarray):
            return ops.matmul(first, second)
        second = _constant(second)
        return apply_to_rows(lambda rows: ops.matmul(rows, second), first)


small_graph_ops = SmallGraphOps()


def apply_to_rows(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Apply a product or a dense layer to all rows at once, with a third of the operations of a TensorFlow graph.

    Args:
        function: Takes and returns a matrix, or tensors of any rank.
        inputs: `(batch, ..., features)`; passed as they are if another size than that of the batch is unknown.
    """
    if None in inputs.shape[1:]:
        return function(inputs)
    rows = function(ops.reshape(inputs, (-1, inputs.shape[-1])))
    return ops.reshape(rows, (-1, *inputs.shape[1:-1], rows.shape[-1]))


def to_float32(scores: Tensor) -> Tensor:
    """Cast scores to float32 unless they are wider; infinities of float16 become large finite numbers."""
    is_half = keras.backend.standardize_dtype(scores.dtype) == "float16"
    scores = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    # float16 overflows at 65,504, and a softmax of infinities is NaN. In float32 an infinity is a diverged training.
    return ops.where(ops.isinf(scores), ops.sign(scores) * 3e38, scores) if is_half else scores


_MAX_SOFTMAX_RANK = 5
"""Number of axes that the softmax of oneDNN accepts; TensorFlow uses it on some processors."""


def masked_softmax(scores: Tensor, mask: Tensor | None, dtype: str | None = None) -> Tensor:
    """Apply softmax along the last axis, in float32. Masked entries get exactly 0, as does a fully masked row.

    Args:
        scores: `(..., keys)`.
        mask: Boolean, broadcastable to the scores; True means keep. None keeps everything.
        dtype: Dtype of the weights. If None, that of the scores.
    """
    dtype = dtype or scores.dtype
    scores = to_float32(scores)
    if mask is None:
        return ops.cast(_softmax(scores), dtype)
    keep = ops.cast(mask, "bool")
    # Close to the lowest float32: scores of unscaled values can be lower than the customary -1e9.
    return ops.cast(ops.where(keep, _softmax(ops.where(keep, scores, -3e38)), 0.0), dtype)


def _softmax(scores: Tensor) -> Tensor:
    # Keras's softmax warns about a single key, which a short history may have. NaN stays NaN, and the gradient is 0.
    if scores.shape[-1] == 1:
        return ops.exp(scores - scores)
    if len(scores.shape) <= _MAX_SOFTMAX_RANK:
        return ops.softmax(scores, axis=-1)
    shape = ops.shape(scores)
    return ops.reshape(ops.softmax(ops.reshape(scores, (-1, shape[-1])), axis=-1), shape)


def max_or_zero(values: Tensor, axis: int, keepdims: bool = False) -> Tensor:
    """Return the maximum along an axis of values of 0 or more; 0 without any, and empty for an empty batch."""
    if 0 in values.shape:
        # PyTorch and JAX have no maximum of an empty tensor.
        return ops.sum(values, axis=axis, keepdims=keepdims)
    return ops.max(values, axis=axis, keepdims=keepdims, initial=0)


def first_true(mask: Tensor) -> Tensor:
    """Return a mask of the first True along the last axis; all False without any."""
    return ops.logical_and(mask, ops.cumsum(ops.cast(mask, "int32"), axis=-1) == 1)


def resolve_mask(mask: Tensor | None, values: Tensor) -> Tensor:
    """Return the mask of `values` as booleans; all True if `mask` is None.

    Args:
        mask: `(batch, time)`; further axes before the features are allowed.
        values: `(batch, time, features)`.
    """
    return ops.ones_like(values[..., 0], dtype="bool") if mask is None else ops.cast(mask, "bool")


def zero_masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set values to 0 where the mask is False, NaN included.

    Args:
        values: `(batch, time, features)`; further axes before the features are allowed.
        mask: `(batch, time)`. None masks nothing.
    """
    if mask is None:
        return values
    return ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), values, ops.zeros_like(values))


def sequence_mask(length: Tensor, steps: Tensor | int) -> Tensor:
    """Return a boolean mask `(batch, steps)` that is True at the first `length` `(batch,)` steps."""
    return ops.arange(steps, dtype="int32")[None, :] < ops.cast(length, "int32")[:, None]


def batched_take(values: Tensor, index: Tensor) -> Tensor:
    """Gather steps of each row: a faster `take_along_axis` over time.

    Args:
        values: `(batch, time, features)`.
        index: `(batch, steps)`, int32 in 0 to time - 1.
    """
    batch, time = ops.shape(values)[0], ops.shape(values)[1]
    flat_index = ops.arange(batch, dtype="int32")[:, None] * time + index
    return ops.take(ops.reshape(values, (batch * time, values.shape[2])), flat_index, axis=0)


def shift_right(values: Tensor, shift: Tensor) -> Tensor:
    """Shift each row towards the end, fill with zeros from the left and drop steps that leave on the right.

    Args:
        values: `(batch, time, features)`.
        shift: `(batch,)`, int32, 0 or more.
    """
    index = ops.arange(ops.shape(values)[1], dtype="int32")[None, :] - shift[:, None]
    return zero_masked(batched_take(values, ops.maximum(index, 0)), index >= 0)


def last_window(inputs: Tensor, observed: Tensor | None, mask: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
    """Return the last steps of each channel and which are observed, bool, both `(batch * channels, length)`.

    Args:
        inputs: `(batch, time, channels)`.
        observed: The same shape, 0 where a value is missing. None is all observed.
        mask: `(batch, time)`, False at padding, on either side. None masks nothing.
        length: Steps to return; those before the first are zeros and not observed.
    """
    values = ops.cast(inputs, "float32")
    valid = resolve_mask(mask, values)
    seen = ops.ones_like(values) if observed is None else ops.cast(observed, "float32")
    seen = seen * ops.cast(valid, "float32")[..., None]
    time = ops.shape(values)[1]
    end = max_or_zero(ops.arange(1, time + 1, dtype="int32") * ops.cast(valid, "int32"), 1)

    both = ops.concatenate([values, seen], axis=-1)
    both = ops.pad(shift_right(both, time - end), ((0, 0), (length, 0), (0, 0)))[:, -length:]
    values, seen = (ops.reshape(ops.transpose(part, (0, 2, 1)), (-1, length)) for part in ops.split(both, 2, axis=-1))
    return values, seen > 0


def unfold_channels(rows: Tensor, channels: int) -> Tensor:
    """Return `(batch * channels, steps, levels)`, the order of `last_window`, as `(batch, steps, channels, levels)`."""
    return ops.transpose(ops.reshape(rows, (-1, channels, *rows.shape[1:])), (0, 2, 1, 3))


def last_observed(values: Tensor, observed: Tensor) -> Tensor:
    """Return the last observed value of each channel, `(batch, 1, channels)`; 0 without any.

    Args:
        values: `(batch, time, channels)`.
        observed: The same shape, 0 where a value is missing or padded.
    """
    step = ops.arange(1, ops.shape(values)[1] + 1, dtype="float32")[None, :, None] * ops.cast(observed, "float32")
    is_last = ops.logical_and(step == max_or_zero(step, 1, keepdims=True), step > 0)
    return ops.sum(ops.where(is_last, values, ops.zeros_like(values)), axis=1, keepdims=True)


_UNROLL: ContextVar[bool] = ContextVar("unroll", default=False)


@contextmanager
def unroll_loops() -> Iterator[None]:
    """Unroll every `scan` and `fori_loop` of static length that is traced inside the context.

    `keras.ops.scan` on TensorFlow uses tensor lists, which ONNX and LiteRT do not support.
    """
    token = _UNROLL.set(True)
    try:
        yield
    finally:
        _UNROLL.reset(token)


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]], initial: Any, inputs: Any, length: Any, unroll: bool = False
) -> tuple[Any, Any]:
    """Return the final carry and the stacked outputs, as `keras.ops.scan`; unrolled inside `unroll_loops`.

    Args:
        step: Maps a carry and one step of the inputs to the next carry and an output.
        initial: The initial carry.
        inputs: Tensors with the steps on the first axis.
        length: Number of steps; a tensor if dynamic.
        unroll: Whether to unroll the loop in any case; requires a static length of 1 or more.
    """
    if not ((unroll or _UNROLL.get()) and isinstance(length, int) and length):
        carry, outputs = ops.scan(step, initial, inputs, length=length if isinstance(length, int) else None)
        return carry, outputs
    carry, collected = initial, []
    for number in range(length):
        carry, output = step(carry, keras.tree.map_structure(lambda part, n=number: part[n], inputs))
        collected.append(output)
    return carry, keras.tree.map_structure(lambda *parts: ops.stack(parts), *collected)


def fori_loop(count: int, body: Callable[[Any, Any], Any], initial: Any) -> Any:
    """Return the final carry, as `keras.ops.fori_loop` from 0 to `count`; unrolled inside `unroll_loops`.

    Unlike `scan` it has no outputs per step. JAX cannot differentiate it.
    """
    if not _UNROLL.get():
        return ops.fori_loop(0, count, body, initial)
    carry = initial
    for number in range(count):
        carry = body(number, carry)
    return carry
