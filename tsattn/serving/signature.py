"""What the tensors of a request have to be, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.serving.errors import ServingError, bad_request, shown

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

PREDICT = "tensorflow/serving/predict"
DEFAULT = "serving_default"

_NUMPY: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
}
_OBJECT: np.dtype[Any] = np.dtype(object)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a signature.

    Args:
        name: its name.
        dtype: "float32", "int32", "int64" or "string".
        shape: sizes of the axes, None where free; the first is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The type of the array; texts are Python objects."""
        return _NUMPY.get(self.dtype, _OBJECT)

    @cached_property
    def has_time(self) -> bool:
        """Whether the second axis is as long as the histories."""
        return len(self.shape) > 1 and self.shape[1] is None

    @cached_property
    def expected(self) -> str:
        """The type and shape as a message tells them."""
        sizes = ("batch", "time")
        shape = ", ".join(
            str(size) if size is not None else sizes[axis] if axis < 2 else "any"
            for axis, size in enumerate(self.shape)
        )
        return f"{self.dtype} [{shape}]"

    def check(self, array: Array) -> Array:
        """Return the array in the type of the tensor.

        Raises:
            ServingError: its type or shape is another.
        """
        sizes = array.shape
        if len(sizes) != len(self.shape) or any(
            size is not None and size != given for size, given in zip(self.shape, sizes, strict=True)
        ):
            raise bad_request(
                f'input "{self.name}": expected {self.expected}, got the shape {list(sizes)}: '
                "give the axes that GET .../metadata tells"
            )
        return array if array.dtype == self.numpy and self.dtype != "string" else self.cast(array)

    def cast(self, array: Array) -> Array:
        """Return the array in the type of the tensor, whatever its shape.

        Raises:
            ServingError: it is of another kind, or a value does not fit the type.
        """
        if self.dtype == "string":
            return _texts(self.name, array)
        wanted, kinds = self.numpy, "iuf" if self.dtype == "float32" else "iu"
        if array.dtype.kind not in kinds:
            raise bad_request(f'input "{self.name}": expected {self.expected}, got values of the type {array.dtype}')
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(wanted)
        if wanted.kind == "f":
            fits = np.isfinite(cast) | ~np.isfinite(array)
        else:
            fits = (array >= np.iinfo(wanted).min) & (array <= np.iinfo(wanted).max)
        if not fits.all():
            value = array[~fits].flat[0]
            raise bad_request(f'input "{self.name}": expected {self.dtype}, got {value}, which does not fit it')
        return cast


def _texts(name: str, array: Array) -> Array:
    """Return texts as the bytes that a graph takes."""
    if array.dtype.kind not in "OUS":
        raise bad_request(f'input "{name}": expected texts, got values of the type {array.dtype}')
    texts = np.empty(array.shape, dtype=object)
    for place, value in enumerate(array.flat):
        if isinstance(value, bytes):
            texts.flat[place] = value
            continue
        if not isinstance(value, str):
            raise bad_request(f'input "{name}": expected a text, got {shown(value)}')
        try:
            texts.flat[place] = value.encode()
        except UnicodeEncodeError:
            raise bad_request(f'input "{name}": expected a text in Unicode, got half a surrogate pair') from None
    return texts


@dataclass(frozen=True)
class Signature:
    """One function of a model.

    Args:
        name: its name.
        inputs: what it takes, by name.
        outputs: what it gives, by name.
        method: what it is to TensorFlow Serving.
    """

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method: str = PREDICT

    def check(self, tensors: Mapping[str, Array]) -> Tensors:
        """Return the tensors of a request in the types of the signature.

        Raises:
            ServingError: one is missing, unknown, or of another type or shape, or they do not fit each other.
        """
        if tensors.keys() != self.inputs.keys():
            raise self._names_error(tensors)
        checked = {name: info.check(tensors[name]) for name, info in self.inputs.items()}
        first = next(iter(checked))
        rows = len(checked[first])
        time: tuple[str, int] | None = None
        for name, info in self.inputs.items():
            if len(checked[name]) != rows:
                raise bad_request(
                    f'expected as many rows in all inputs, got {rows} in "{first}" and {len(checked[name])} in "{name}"'
                )
            if info.has_time:
                steps = checked[name].shape[1]
                if time is not None and steps != time[1]:
                    raise bad_request(
                        f"expected as many steps of time in all inputs, got {time[1]} "
                        f'in "{time[0]}" and {steps} in "{name}": pad the shorter one'
                    )
                time = (name, steps)
        if rows == 0:
            raise bad_request("expected at least one row, got none")
        return checked

    def _names_error(self, tensors: Mapping[str, Array]) -> ServingError:
        wanted = ", ".join(f"{name} {info.expected}" for name, info in self.inputs.items())
        missing = [name for name in self.inputs if name not in tensors]
        unknown = [shown(name) for name in tensors if name not in self.inputs]
        came = [f"without {', '.join(missing)}"] if missing else []
        came += [f"with {', '.join(unknown[:5])}"] if unknown else []
        return bad_request(f'signature "{self.name}": expected the inputs {wanted}; came {" and ".join(came)}')
