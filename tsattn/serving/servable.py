"""A loaded version of a model, its signatures, and the checks of their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.errors import RunError
from tsattn.export.metadata import ASSETS, METADATA_FILE, SERVING, WARMUP_FILE, ModelMetadata
from tsattn.serving.errors import FAILED, UNAVAILABLE, ServingError, bad_request, quote_value
from tsattn.timeseries.windows import LENGTH

GRAPH = "saved_model.pb"

_WARMUP_CALLS = 2


class Servable:
    """One loaded version of a model.

    A SavedModel holds a graph and its weights; loading it runs no Python code of its author.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.version = version
        self.metadata = ModelMetadata.read(folder / ASSETS / METADATA_FILE)
        self.signatures: dict[str, Signature] = {}
        self.definitions = read_definitions(folder)
        self._functions: dict[str, Any] = {}
        self._load(folder)

    def _load(self, folder: Path) -> None:
        import tensorflow as tf

        try:
            # The functions need the loaded object, which holds the variables.
            self._loaded = tf.saved_model.load(str(folder))
            functions = dict(self._loaded.signatures)
        except Exception as error:
            # TensorFlow raises many kinds of exceptions.
            raise RunError(f"{folder}: the SavedModel cannot be loaded: {_first_line(error)}") from None
        for name, function in functions.items():
            inputs = _infos(function.structured_input_signature[1])
            outputs = _infos(function.structured_outputs)
            if inputs and all(info.shape and info.shape[0] is None for info in (*inputs.values(), *outputs.values())):
                self.signatures[name] = Signature(name, inputs, outputs, self.definitions[name].method_name)
                self._functions[name] = function
        if SERVING not in self.signatures:
            raise RunError(f'{folder}: the SavedModel has no signature "{SERVING}" with a batch axis')

    def signature(self, name: str) -> Signature:
        """Return a signature by its name."""
        signature = self.signatures.get(name)
        if signature is None:
            raise bad_request(f"signature: expected one of {', '.join(self.signatures)}, got {quote_value(name)}")
        return signature

    def run(self, signature: str, tensors: Tensors) -> Tensors:
        """Return the outputs of a signature.

        Args:
            tensors: Inputs that `Signature.check` returned.

        Raises:
            ServingError: The graph rejects the inputs, or the memory is not sufficient.
        """
        import tensorflow as tf

        try:
            outputs = self._functions[signature](**{name: tf.constant(array) for name, array in tensors.items()})
            return {name: outputs[name].numpy() for name in self.signatures[signature].outputs}
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(f"the model rejects the inputs: {_first_line(error)}") from None
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise ServingError(UNAVAILABLE, "not enough memory for this request: send fewer rows") from None
        except tf.errors.OpError as error:
            raise ServingError(FAILED, f"the model failed: {_first_line(error)}") from None

    def warm_up(self, folder: Path) -> None:
        """Call every signature, because TensorFlow is slow at the first call."""
        try:
            for name, tensors in self._warmup_requests(folder / ASSETS / WARMUP_FILE):
                for _ in range(_WARMUP_CALLS):
                    self.run(name, self.signature(name).check(tensors))
        except ServingError as error:
            raise RunError(f"{folder}: the model fails at its warm-up requests: {error}") from None

    def _warmup_requests(self, path: Path) -> Iterator[tuple[str, Tensors]]:
        requests = list(read_warmup_requests(path)) if path.is_file() else []
        yield from requests
        for name in self.signatures.keys() - {name for name, _ in requests}:
            yield name, make_dummy_request(self.signatures[name], self.metadata.context)


def load_servable(folder: Path, version: int) -> Servable:
    """Load a version and call its signatures once."""
    servable = Servable(folder, version)
    servable.warm_up(folder)
    return servable


def make_dummy_request(signature: Signature, steps: int, rows: int = 1) -> Tensors:
    """Return inputs for a signature that every model accepts."""
    tensors = {}
    for name, info in signature.inputs.items():
        shape = (rows, *(size if size is not None else steps for size in info.shape[1:]))
        empty = np.full(shape, "", dtype=object) if info.dtype == "string" else np.ones(shape, info.numpy)
        tensors[name] = np.full(shape, steps, info.numpy) if name == LENGTH else empty
    return tensors


def read_warmup_requests(path: Path) -> Iterator[tuple[str, Tensors]]:
    """Read the signature names and inputs of TensorFlow Serving's warm-up requests."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.HasField("predict_log"):
                request = log.predict_log.request
                tensors = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
                yield request.model_spec.signature_name or SERVING, tensors
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise RunError(f"{path}: expected TensorFlow Serving's warm-up requests: {_first_line(error)}") from None


def read_definitions(folder: Path) -> Mapping[str, Any]:
    """Read the SignatureDef of each signature of a SavedModel."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        graph = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
        return dict(graph.meta_graphs[0].signature_def)
    except (OSError, DecodeError, IndexError):
        raise RunError(f"{folder / GRAPH}: expected a SavedModel, but it cannot be read") from None


def _infos(specs: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, spec.dtype.name, tuple(spec.shape.as_list()) if spec.shape.rank is not None else ())
        for name, spec in sorted(specs.items())
    }


def _first_line(error: BaseException) -> str:
    """Return the message of an error without the graph that TensorFlow appends."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


Array = npt.NDArray[Any]
Tensors = dict[str, Array]

PREDICT_METHOD = "tensorflow/serving/predict"

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
        dtype: "float32", "int32", "int64" or "string".
        shape: Sizes of the axes, None for dynamic ones; the first is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """Type of the array; strings are Python objects."""
        return _NUMPY.get(self.dtype, _OBJECT)

    @cached_property
    def has_time(self) -> bool:
        """Whether the second axis is the time of the histories."""
        return len(self.shape) > 1 and self.shape[1] is None

    @cached_property
    def type_text(self) -> str:
        """Type and shape for messages."""
        sizes = ("batch", "time")
        shape = ", ".join(
            str(size) if size is not None else sizes[axis] if axis < 2 else "any"
            for axis, size in enumerate(self.shape)
        )
        return f"{self.dtype} [{shape}]"

    def check(self, array: Array) -> Array:
        """Return the array with the type of the tensor."""
        sizes = array.shape
        if len(sizes) != len(self.shape) or any(
            size is not None and size != actual for size, actual in zip(self.shape, sizes, strict=True)
        ):
            raise bad_request(
                f'input "{self.name}": expected {self.type_text}, got the shape {list(sizes)}: '
                "GET .../metadata returns the axes"
            )
        array = array if array.dtype == self.numpy and self.dtype != "string" else self.cast(array)
        if array.dtype.kind == "f" and np.isinf(array).any():
            raise bad_request(f'input "{self.name}": expected numbers, or NaN where missing, got an infinity')
        return array

    def cast(self, array: Array) -> Array:
        """Return the array with the type of the tensor, without a check of its shape."""
        if self.dtype == "string":
            return _encode_strings(self.name, array)
        dtype, kinds = self.numpy, "iuf" if self.dtype == "float32" else "iu"
        if array.dtype.kind not in kinds:
            raise bad_request(f'input "{self.name}": expected {self.type_text}, got values of the type {array.dtype}')
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(dtype)
        if dtype.kind == "f":
            fits = np.isfinite(cast) | ~np.isfinite(array)
        else:
            fits = (array >= np.iinfo(dtype).min) & (array <= np.iinfo(dtype).max)
        if not fits.all():
            value = array[~fits].flat[0]
            raise bad_request(f'input "{self.name}": expected {self.dtype}, got {value}, which is out of range')
        return cast


def _encode_strings(name: str, array: Array) -> Array:
    """Return strings as bytes, which the graph takes."""
    if array.dtype.kind not in "OUS":
        raise bad_request(f'input "{name}": expected strings, got values of the type {array.dtype}')
    encoded = np.empty(array.shape, dtype=object)
    for index, value in enumerate(array.flat):
        if isinstance(value, bytes):
            encoded.flat[index] = value
            continue
        if not isinstance(value, str):
            raise bad_request(f'input "{name}": expected a string, got {quote_value(value)}')
        try:
            encoded.flat[index] = value.encode()
        except UnicodeEncodeError:
            raise bad_request(f'input "{name}": expected valid Unicode, got an unpaired surrogate') from None
    return encoded


@dataclass(frozen=True)
class Signature:
    """One function of a model.

    Args:
        method: Method name of TensorFlow Serving.
    """

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method: str = PREDICT_METHOD

    def check(self, tensors: Mapping[str, Array]) -> Tensors:
        """Return the inputs of a request with the types of the signature.

        Raises:
            ServingError: Inputs are missing or unknown, or their types or shapes do not match.
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
                    f"expected the same number of rows in all inputs, got {rows} "
                    f'in "{first}" and {len(checked[name])} in "{name}"'
                )
            if info.has_time:
                steps = checked[name].shape[1]
                if time is not None and steps != time[1]:
                    raise bad_request(
                        f"expected the same number of time steps in all inputs, got {time[1]} "
                        f'in "{time[0]}" and {steps} in "{name}": pad the shorter one'
                    )
                time = (name, steps)
        if rows == 0:
            raise bad_request("expected at least one row, got none")
        return checked

    def _names_error(self, tensors: Mapping[str, Array]) -> ServingError:
        expected = ", ".join(f"{name} {info.type_text}" for name, info in self.inputs.items())
        missing = [name for name in self.inputs if name not in tensors]
        unknown = [quote_value(name) for name in tensors if name not in self.inputs]
        found = [f"missing: {', '.join(missing)}"] if missing else []
        found += [f"unknown: {', '.join(unknown[:5])}"] if unknown else []
        return bad_request(f'signature "{self.name}": expected the inputs {expected}; {"; ".join(found)}')
