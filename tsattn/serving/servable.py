"""One version of a model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tsattn.errors import RunError
from tsattn.export.description import ASSETS, DESCRIPTION, WARMUP, Description
from tsattn.serving.errors import FAILED, UNAVAILABLE, ServingError, bad_request, shown
from tsattn.serving.signature import DEFAULT, Signature, TensorInfo, Tensors
from tsattn.window import LENGTH

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
