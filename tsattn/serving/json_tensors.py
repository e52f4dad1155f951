"""Conversion between nested JSON lists and arrays."""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tsattn.data.precision import MIN_LARGE, lost_levels
from tsattn.serving.errors import bad_request, quote_value
from tsattn.serving.servable import Array, TensorInfo
from tsattn.timeseries.windows import PAST

_NON_NUMBERS = (b"true", b"false", b"null", b"Infinity")


def has_only_numbers(body: bytes) -> bool:
    """Return whether a body cannot hold a bool, null or infinity, so that NumPy may convert its lists unchecked."""
    return not any(word in body for word in _NON_NUMBERS)


def to_array(value: Any, info: TensorInfo, *, only_numbers: bool, shape: Sequence[int] = ()) -> Array:
    """Return nested lists as an array with the type of a tensor.

    Args:
        only_numbers: Result of `has_only_numbers`.
        shape: That of the tensor if the lists may be flat.
    """
    array = _to_strings(value, info) if info.dtype == "string" else _to_numbers(value, info, only_numbers, shape)
    missing = len(info.shape) - array.ndim
    if array.size == 0 and missing > 0:
        # An empty list has no inner lists with the sizes of the other axes.
        array = array.reshape(*array.shape, *((size or 0) for size in info.shape[array.ndim :]))
    return array


def _to_numbers(value: Any, info: TensorInfo, only_numbers: bool, shape: Sequence[int]) -> Array:
    if not only_numbers:
        _check_numbers(value, info)
    try:
        array = np.asarray(value)
    except ValueError:
        raise _ragged_error(info) from None
    except (OverflowError, RecursionError):
        raise bad_request(f'input "{info.name}": expected {info.type_text}, got another value') from None
    if array.size == 0:
        return array.astype(info.numpy)
    if array.dtype.kind == "O":
        # Integers of more than 64 bits are valid values of a float tensor.
        _check_numbers(value, info)
        array = _convert_large_integers(array, info)
    if array.dtype.kind == "f" and info.dtype != "float32":
        raise bad_request(f'input "{info.name}": expected integers ({info.dtype}), got {_first_float(value)}')
    if array.dtype.kind not in "iuf":
        _check_numbers(value, info)
    past = array.reshape(shape) if len(shape) == 3 and array.size == math.prod(shape) else array
    array = array if array.dtype == info.numpy else info.cast(array)
    if info.name == PAST and past.ndim > 1:
        _check_resolution(past)
    if only_numbers and array.dtype.kind == "f" and np.isinf(array).any():
        raise bad_request(f'input "{info.name}": got a number that is out of range for {info.dtype}')
    return array


def _check_resolution(past: Array) -> None:
    """Reject histories, [..., time, targets], whose steps float32 cannot hold."""
    if np.nanmax(np.abs(past), initial=0) < MIN_LARGE:
        return
    histories = np.moveaxis(past, -1, -2).reshape(-1, past.shape[-2]).astype(np.float64)
    count, steps = histories.shape
    if lost_levels(histories.ravel(), np.repeat(np.arange(count), steps), count).any():
        raise bad_request(
            f'input "{PAST}": most steps are below the resolution of float32 at this level: subtract a constant from '
            "each history and add it to the forecast, or send rows to /v1/forecast, which does that"
        )


def _convert_large_integers(array: Array, info: TensorInfo) -> Array:
    if info.dtype == "float32":
        with contextlib.suppress(OverflowError):
            return array.astype(np.float64)
    raise bad_request(f'input "{info.name}": expected {info.type_text}, got a number that is out of range')


def _check_numbers(value: Any, info: TensorInfo) -> None:
    """Reject values that NumPy would convert to numbers: bools, null, strings."""
    for leaf in _leaves(value):
        if type(leaf) is not float and type(leaf) is not int:
            raise bad_request(f'input "{info.name}": expected numbers ({info.dtype}), got {quote_value(leaf)}')


def _first_float(value: Any) -> Any:
    return next((quote_value(leaf) for leaf in _leaves(value) if type(leaf) is float), "other numbers")


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the values of nested lists in order."""
    stack = [iter((value,))]
    while stack:
        for part in stack[-1]:
            if type(part) is list:
                stack.append(iter(part))
                break
            yield part
        else:
            stack.pop()


def _ragged_error(info: TensorInfo) -> Exception:
    return bad_request(
        f'input "{info.name}": expected {info.type_text}, got lists of different lengths: '
        "pad the shorter ones, with NaN for missing numbers"
    )


def _to_strings(value: Any, info: TensorInfo) -> Array:
    level, shape = [value], []
    while level and type(level[0]) is list:
        sizes = {len(part) if type(part) is list else -1 for part in level}
        if len(sizes) > 1:
            raise _ragged_error(info)
        shape.append(len(level[0]))
        level = [leaf for part in level for leaf in part]
    array = np.empty(len(level), dtype=object)
    array[:] = [_to_string(leaf, info) for leaf in level]
    return array.reshape(shape)


def _to_string(value: Any, info: TensorInfo) -> str | bytes:
    """Return a string, or the bytes of ``{"b64": ...}``."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(f'input "{info.name}": expected base64, got {quote_value(value["b64"])}') from None
    raise bad_request(f'input "{info.name}": expected a string, got {quote_value(value)}')


def to_lists(array: Array) -> Any:
    """Return an array as nested JSON lists; bytes that are not UTF-8 become ``{"b64": ...}``."""
    if array.dtype.kind != "O":
        return array.tolist()
    flat = np.empty(array.size, dtype=object)
    flat[:] = [_from_bytes(value) for value in array.flat]
    return flat.reshape(array.shape).tolist()


def _from_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(bytes(value)).decode("ascii")}
