"""The loop over the steps of a decoder, which some programs can only read when it is written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

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
