"""Between lists of JSON and arrays."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tsattn.serving.errors import bad_request, shown
from tsattn.serving.signature import Array, TensorInfo

_BOOLS = (b"true", b"false", b"null", b"Infinity")


def is_plain(body: bytes) -> bool:
    """Tell whether a body can hold no bool, null or infinity, so that NumPy may be trusted with its lists."""
    return not any(word in body for word in _BOOLS)


def to_array(value: Any, info: TensorInfo, *, plain: bool) -> Array:
    """Return nested lists as an array in the type of a tensor.

    Args:
        value: what stood in the JSON.
        info: the tensor.
        plain: whether there is no bool, null or infinity in the text, see `is_plain`.

    Raises:
        ServingError: something in it is of another type, or the lists are of different lengths.
    """
    array = _texts(value, info) if info.dtype == "string" else _numbers(value, info, plain)
    missing = len(info.shape) - array.ndim
    if array.size == 0 and missing > 0:
        # Lists cannot tell the axes behind one of length 0.
        array = array.reshape(*array.shape, *((size or 0) for size in info.shape[array.ndim :]))
    return array


def _numbers(value: Any, info: TensorInfo, plain: bool) -> Array:
    if not plain:
        _check_numbers(value, info)
    try:
        array = np.asarray(value)
    except ValueError:
        raise _ragged(info) from None
    except (OverflowError, RecursionError):
        raise bad_request(f'input "{info.name}": expected {info.expected}, got something else') from None
    if array.size == 0:
        return array.astype(info.numpy)
    if array.dtype.kind == "O":
        # Whole numbers beyond 64 bits; where a float is wanted they are numbers like others.
        _check_numbers(value, info)
        array = _wide(array, info)
    if array.dtype.kind == "f" and info.dtype != "float32":
        raise bad_request(f'input "{info.name}": expected whole numbers ({info.dtype}), got {_first_float(value)}')
    if array.dtype.kind not in "iuf":
        _check_numbers(value, info)
    array = array if array.dtype == info.numpy else info.cast(array)
    if plain and array.dtype.kind == "f" and np.isinf(array).any():
        raise bad_request(f'input "{info.name}": got a number that does not fit {info.dtype}')
    return array


def _wide(array: Array, info: TensorInfo) -> Array:
    if info.dtype == "float32":
        with contextlib.suppress(OverflowError):
            return array.astype(np.float64)
    raise bad_request(f'input "{info.name}": expected {info.expected}, got a number that does not fit it')


def _check_numbers(value: Any, info: TensorInfo) -> None:
    """Refuse what NumPy would take for a number: bools, null, texts."""
    for leaf in _leaves(value):
        if type(leaf) is not float and type(leaf) is not int:
            raise bad_request(f'input "{info.name}": expected numbers ({info.dtype}), got {shown(leaf)}')


def _first_float(value: Any) -> Any:
    return next((shown(leaf) for leaf in _leaves(value) if type(leaf) is float), "others")


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested lists, in order."""
    stack = [iter((value,))]
    while stack:
        for part in stack[-1]:
            if type(part) is list:
                stack.append(iter(part))
                break
            yield part
        else:
            stack.pop()


def _ragged(info: TensorInfo) -> Exception:
    return bad_request(
        f'input "{info.name}": expected {info.expected}, got lists of different lengths: '
        "pad shorter ones, with NaN where numbers are missing"
    )


def _texts(value: Any, info: TensorInfo) -> Array:
    level, shape = [value], []
    while level and type(level[0]) is list:
        sizes = {len(part) if type(part) is list else -1 for part in level}
        if len(sizes) > 1:
            raise _ragged(info)
        shape.append(len(level[0]))
        level = [leaf for part in level for leaf in part]
    array = np.empty(len(level), dtype=object)
    array[:] = [_text(leaf, info) for leaf in level]
    return array.reshape(shape)


def _text(value: Any, info: TensorInfo) -> str | bytes:
    """Return a text, or bytes that were given as ``{"b64": ...}``."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(f'input "{info.name}": expected base64, got {shown(value["b64"])}') from None
    raise bad_request(f'input "{info.name}": expected a text, got {shown(value)}')


def to_lists(array: Array) -> Any:
    """Return an array as nested lists of what JSON has; texts that are no UTF-8 become ``{"b64": ...}``."""
    if array.dtype.kind != "O":
        return array.tolist()
    flat = np.empty(array.size, dtype=object)
    flat[:] = [_shown_bytes(value) for value in array.flat]
    return flat.reshape(array.shape).tolist()


def _shown_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(bytes(value)).decode("ascii")}
