"""A script that loads and runs an exported model without tsattn, as other programs do.

Only Keras models need tsattn, for its layers.

Arguments are the kind of the model and, for Keras, the module that registers its layers. Each line of standard input is
JSON: the path of a model to load, or a list of two paths, the requests for this model and the file for the outputs. The
script imports its packages before it reads a line, while the model is still being written.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
SERVING = "serving_default"

# Operations of one kind of device, or of Python.
DEVICE_OPS = ("Cudnn", "XlaLaunch", "XlaCallModule", "Nccl", "Collective", "TPU", "PyFunc", "EagerPyFunc", "TRTEngine")


def saved_model() -> Callable[[str], Call]:
    """Return a loader for SavedModels, with TensorFlow."""
    import tensorflow as tf

    def load(path: str) -> Call:
        check_portable(path)
        signatures = tf.saved_model.load(path).signatures

        def warm_up(function: Any) -> None:
            specs = function.structured_input_signature[1]
            with suppress(tf.errors.OpError):
                function(
                    **{name: tf.zeros([size or 1 for size in spec.shape], spec.dtype) for name, spec in specs.items()}
                )

        # The first call of a signature optimizes its graph on one core, which takes longer than all requests. The
        # process that writes the requests computes their expected outputs meanwhile.
        with ThreadPoolExecutor() as pool:
            list(pool.map(warm_up, signatures.values()))

        def call(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
            outputs = signatures[signature](**{name: tf.constant(x) for name, x in inputs.items()})
            return {name: x.numpy() for name, x in outputs.items()}

        return call

    return load


def check_portable(path: str) -> None:
    """Raise a ValueError if a SavedModel has operations or devices that another machine may not have."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    graph = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        graph.ParseFromString(file.read())
    meta = graph.meta_graphs[0].graph_def
    nodes = [*meta.node, *(node for function in meta.library.function for node in function.node_def)]
    functions = {function.signature.name for function in meta.library.function}
    for node in nodes:
        known = node.op in functions or op_def_registry.get(node.op) is not None
        if (node.device and "CPU" not in node.device) or not known or node.op.lstrip("_").startswith(DEVICE_OPS):
            raise ValueError(f"{node.name} is {node.op} {node.device}, which does not run on every machine")


def onnx() -> Callable[[str], Call]:
    """Return a loader for ONNX models, with onnxruntime."""
    import onnxruntime

    def load(path: str) -> Call:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda _, inputs: dict(zip(names, session.run(names, inputs), strict=True))

    return load


def openvino() -> Callable[[str], Call]:
    """Return a loader for OpenVINO models."""
    import openvino as ov

    def load(path: str) -> Call:
        # The default is half precision on some processors.
        compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def call(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
            outputs = compiled(inputs)
            return {name: outputs[port] for port in compiled.outputs for name in port.get_names()}

        return call

    return load


def litert() -> Callable[[str], Call]:
    """Return a loader for LiteRT models."""
    from ai_edge_litert.interpreter import Interpreter

    def load(path: str) -> Call:
        runner = Interpreter(model_path=path).get_signature_runner(SERVING)
        return lambda _, inputs: dict(runner(**inputs))

    return load


def keras() -> Callable[[str], Call]:
    """Return a loader for Keras models, after registering their layers."""
    import keras

    from tsattn.models.registry import register_layers

    register_layers()
    for module in sys.argv[2:]:
        importlib.import_module(module)

    def load(path: str) -> Call:
        model = keras.models.load_model(path, safe_mode=True)
        return lambda _, inputs: {name: np.asarray(x) for name, x in model(inputs, training=False).items()}

    return load


LOADERS = {"saved_model": saved_model, "onnx": onnx, "openvino": openvino, "litert": litert, "keras": keras}


def answer(kind: str, load: Callable[[str], Call], line: str, call: Call | None) -> Call:
    """Load the model that a line names, or run the loaded one on the requests that it names; return the model."""
    if kind != "keras" and "tsattn" in sys.modules:
        raise RuntimeError("expected a process without tsattn")
    message = json.loads(line)
    if isinstance(message, str):
        return load(message)
    assert call is not None
    run_requests(call, *message)
    return call


def run_requests(call: Call, requests_path: str, outputs_path: str) -> None:
    """Run a model on the requests of a file and write the outputs."""
    with np.load(requests_path) as arrays:
        requests = dict(arrays)
    outputs = {}
    for key in dict.fromkeys(name.rpartition("/")[0] for name in requests):
        inputs = {name.rpartition("/")[2]: x for name, x in requests.items() if name.rpartition("/")[0] == key}
        for name, x in call(key.partition("/")[2], inputs).items():
            outputs[f"{key}/{name}"] = x
    np.savez(outputs_path, **outputs)


def main() -> None:
    """Load the runtime and answer lines until there are no more; errors go to standard error."""
    kind = sys.argv[1]
    load, call = LOADERS[kind](), None
    for line in sys.stdin:
        call = answer(kind, load, line, call)


if __name__ == "__main__":
    main()
