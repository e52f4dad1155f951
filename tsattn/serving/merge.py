"""Several requests as one call of the graph, and its answer as theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsattn.serving.signature import Array, Signature, Tensors
from tsattn.window import KEY_STEPS, LENGTH


def cropped(tensors: Tensors, signature: Signature, context: int) -> tuple[Tensors, Array | None]:
    """Return a request without the steps that the graph would not look at, so that no long history pads the others.

    Args:
        tensors: a request, checked by the signature.
        signature: its signature.
        context: steps of history that the graph takes.

    Returns:
        The request, and the step of the history that each row now begins at; None where all begin as they did.
    """
    timed = [name for name, info in signature.inputs.items() if info.has_time]
    if not timed or LENGTH not in tensors:
        return tensors, None
    time = tensors[timed[0]].shape[1]
    # In a batch the array may be longer: then a length beyond its own array would count the padding.
    length = np.clip(tensors[LENGTH], 0, time)
    if time <= context:
        return {**tensors, LENGTH: length}, None
    first = np.maximum(length - context, 0)
    steps = first[:, None] + np.arange(context)
    made = {name: tensors[name][np.arange(len(steps))[:, None], steps] for name in timed}
    return {**tensors, **made, LENGTH: (length - first).astype(tensors[LENGTH].dtype)}, first


def merged(requests: Sequence[Tensors], signature: Signature) -> Tensors:
    """Return requests as one, padded to the longest."""
    if len(requests) == 1:
        return requests[0]
    made: Tensors = {}
    for name, info in signature.inputs.items():
        parts = [request[name] for request in requests]
        if not info.has_time or len({part.shape[1] for part in parts}) == 1:
            made[name] = np.concatenate(parts)
            continue
        rows, time = sum(len(part) for part in parts), max(part.shape[1] for part in parts)
        shape = (rows, time, *parts[0].shape[2:])
        whole = np.full(shape, np.nan if info.numpy.kind == "f" else 0, info.numpy)
        begin = 0
        for part in parts:
            whole[begin : begin + len(part), : part.shape[1]] = part
            begin += len(part)
        made[name] = whole
    return made


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Return the outputs of each request."""
    if len(rows) == 1:
        return [outputs]
    ends = np.cumsum(rows)
    return [
        {name: value[end - count : end] for name, value in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def shifted(outputs: Tensors, first: Array | None) -> Tensors:
    """Return outputs whose steps of the history are counted from where the request began, see `cropped`."""
    if first is None or KEY_STEPS not in outputs:
        return outputs
    steps = outputs[KEY_STEPS]
    moved = np.where(steps >= 0, steps + first[:, None, None].astype(steps.dtype), steps)
    return {**outputs, KEY_STEPS: moved}
