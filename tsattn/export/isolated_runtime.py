"""Run by itself, in a process without tsattn: loads an exported model as any program would, and calls it.

Only a Keras model needs our layers.

It takes the kind of the model, and a module that knows its layers. It reads a line with a JSON list of three paths from
standard input, which gives it time to load what it needs while the model is still being written: the model, the
requests and the file for the answers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
SERVING = "serving_default"

# Devices of one kind only have operations of their own; what is not TensorFlow's would have to be loaded first.
BOUND = ("Cudnn", "XlaLaunch", "XlaCallModule", "Nccl", "Collective", "TPU", "PyFunc", "EagerPyFunc", "TRTEngine")


def saved_model() -> Callable[[str], Call]:
    """Return a loader by TensorFlow."""
    import tensorflow as tf

    def load(path: str) -> Call:
        check_portable(path)
        signatures = tf.saved_model.load(path).signatures

        def call(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
            answer = signatures[signature](**{name: tf.constant(x) for name, x in inputs.items()})
            return {name: x.numpy() for name, x in answer.items()}

        return call

    return load


def check_portable(path: str) -> None:
    """Raise a ValueError where a SavedModel holds operations or devices that another machine may not have."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    graph = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        graph.ParseFromString(file.read())
    meta = graph.meta_graphs[0].graph_def
    nodes = [*meta.node, *(node for function in meta.library.function for node in function.node_def)]
    own = {function.signature.name for function in meta.library.function}
    for node in nodes:
        known = node.op in own or op_def_registry.get(node.op) is not None
        if (node.device and "CPU" not in node.device) or not known or node.op.lstrip("_").startswith(BOUND):
            raise ValueError(f"{node.name} is {node.op} {node.device}, which not every machine can run")


def onnx() -> Callable[[str], Call]:
    """Return a loader by onnxruntime."""
    import onnxruntime

    def load(path: str) -> Call:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda _, inputs: dict(zip(names, session.run(names, inputs), strict=True))

    return load


def openvino() -> Callable[[str], Call]:
    """Return a loader by OpenVINO."""
    import openvino as ov

    def load(path: str) -> Call:
        # Some processors would calculate with half the digits.
        compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def call(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
            answer = compiled(inputs)
            return {name: answer[port] for port in compiled.outputs for name in port.get_names()}

        return call

    return load


def litert() -> Callable[[str], Call]:
    """Return a loader by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    def load(path: str) -> Call:
        runner = Interpreter(model_path=path).get_signature_runner(SERVING)
        return lambda _, inputs: dict(runner(**inputs))

    return load


def keras() -> Callable[[str], Call]:
    """Return a loader by Keras, which has to know the layers."""
    import keras

    from tsattn.models.registry import register_layers

    register_layers()
    for module in sys.argv[2:]:
        importlib.import_module(module)

    def load(path: str) -> Call:
        model = keras.models.load_model(path, safe_mode=True)
        return lambda _, inputs: {name: np.asarray(x) for name, x in model(inputs, training=False).items()}

    return load


KINDS = {"saved_model": saved_model, "onnx": onnx, "openvino": openvino, "litert": litert, "keras": keras}


def answer(kind: str, load: Callable[[str], Call], line: str) -> None:
    """Load the model that a line asks for, and write its answers down."""
    if kind != "keras" and "tsattn" in sys.modules:
        raise RuntimeError("expected a process without tsattn")
    path, given, made = json.loads(line)
    with np.load(given) as arrays:
        requests = dict(arrays)
    call, answers = load(path), {}
    for key in dict.fromkeys(name.rpartition("/")[0] for name in requests):
        inputs = {name.rpartition("/")[2]: x for name, x in requests.items() if name.rpartition("/")[0] == key}
        for name, x in call(key.partition("/")[2], inputs).items():
            answers[f"{key}/{name}"] = x
    np.savez(made, **answers)


def main() -> None:
    """Load, answer, and tell what went wrong on standard error."""
    kind = sys.argv[1]
    load = KINDS[kind]()
    answer(kind, load, sys.stdin.readline())


if __name__ == "__main__":
    main()
