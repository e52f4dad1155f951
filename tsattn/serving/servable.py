"""One version of a model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.errors import RunError
from tsattn.export.metadata import ASSETS, DESCRIPTION, WARMUP, Description
from tsattn.serving.errors import FAILED, UNAVAILABLE, ServingError, bad_request, shown
from tsattn.timeseries.window_spec import LENGTH

GRAPH = "saved_model.pb"

_WARM_UP_STEPS = 2


class Servable:
    """One version of a model, loaded.

    A SavedModel is a graph and its weights: no code of ours or of the one who wrote it is looked up by name.

    Args:
        folder: of the SavedModel.
        version: its number.

    Raises:
        RunError: it cannot be loaded.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.version = version
        self.description = Description.read(folder / ASSETS / DESCRIPTION)
        self.signatures: dict[str, Signature] = {}
        self.definitions = read_definitions(folder)
        self._functions: dict[str, Any] = {}
        self._load(folder)

    def _load(self, folder: Path) -> None:
        import tensorflow as tf

        try:
            # The functions belong to what was loaded, which has to be kept.
            self._loaded = tf.saved_model.load(str(folder))
            functions = dict(self._loaded.signatures)
        except Exception as error:
            # TensorFlow raises whatever the part of it that stumbled raises.
            raise RunError(f"{folder}: expected a SavedModel that can be loaded: {_first_line(error)}") from None
        for name, function in functions.items():
            inputs = _infos(function.structured_input_signature[1])
            outputs = _infos(function.structured_outputs)
            if inputs and all(info.shape and info.shape[0] is None for info in (*inputs.values(), *outputs.values())):
                self.signatures[name] = Signature(name, inputs, outputs, self.definitions[name].method_name)
                self._functions[name] = function
        if DEFAULT not in self.signatures:
            raise RunError(f'{folder}: expected a SavedModel with the signature "{DEFAULT}" and a batch axis, got none')

    def signature(self, name: str) -> Signature:
        """Return a signature by its name.

        Raises:
            ServingError: there is none of that name.
        """
        found = self.signatures.get(name)
        if found is None:
            raise bad_request(f"expected a signature out of {', '.join(self.signatures)}, got {shown(name)}")
        return found

    def run(self, signature: str, tensors: Tensors) -> Tensors:
        """Call a function of the graph.

        Args:
            signature: its name.
            tensors: checked by `Signature.check`.

        Raises:
            ServingError: the graph refuses them, or there is no room for them.
        """
        import tensorflow as tf

        try:
            given = {name: tf.constant(array) for name, array in tensors.items()}
            outputs = self._functions[signature](**given)
            return {name: outputs[name].numpy() for name in self.signatures[signature].outputs}
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(f"the model refuses these inputs: {_first_line(error)}") from None
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise ServingError(UNAVAILABLE, "there is no memory left for this request: send fewer rows") from None
        except tf.errors.OpError as error:
            raise ServingError(FAILED, f"the model failed: {_first_line(error)}") from None

    def warm_up(self, folder: Path) -> None:
        """Call every function, so that the first client need not wait for what TensorFlow does at a first call.

        Raises:
            RunError: the model cannot answer.
        """
        try:
            for name, tensors in self._warm_up_requests(folder / ASSETS / WARMUP):
                for _ in range(_WARM_UP_STEPS):
                    self.run(name, self.signature(name).check(tensors))
        except ServingError as error:
            raise RunError(f"{folder}: expected a model that answers its warm-up requests: {error}") from None

    def _warm_up_requests(self, path: Path) -> Iterator[tuple[str, Tensors]]:
        told = list(read_warm_up(path)) if path.is_file() else []
        yield from told
        for name in self.signatures.keys() - {name for name, _ in told}:
            yield name, made_up(self.signatures[name], self.description.context)


def made_up(signature: Signature, steps: int, rows: int = 1) -> Tensors:
    """Return a request of a signature that any model can answer."""
    tensors = {}
    for name, info in signature.inputs.items():
        shape = (rows, *(size if size is not None else steps for size in info.shape[1:]))
        empty = np.full(shape, "", dtype=object) if info.dtype == "string" else np.ones(shape, info.numpy)
        tensors[name] = np.full(shape, steps, info.numpy) if name == LENGTH else empty
    return tensors


def read_warm_up(path: Path) -> Iterator[tuple[str, Tensors]]:
    """Read the requests that TensorFlow Serving would be warmed up with.

    Raises:
        RunError: the file is no such file.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.HasField("predict_log"):
                request = log.predict_log.request
                tensors = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
                yield request.model_spec.signature_name or DEFAULT, tensors
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise RunError(f"{path}: expected warm-up requests of TensorFlow Serving: {_first_line(error)}") from None


def read_definitions(folder: Path) -> Mapping[str, Any]:
    """Return the SignatureDef of each signature, as it stands in the SavedModel.

    Raises:
        RunError: there is no SavedModel to be read.
    """
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
    """Return what an error says, without the graph that TensorFlow appends."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


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
