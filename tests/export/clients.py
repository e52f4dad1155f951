"""Runtimes and clients for exported models that do not use tsattn, as functions from inputs to outputs."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy_reference import Array
from shared_runtime import launch

Inputs = dict[str, Array]

ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def run(*command: Any, **options: Any) -> str:
    """Run a program, and return what it wrote to standard output."""
    parts = [str(part) for part in command]
    result = subprocess.run(parts, capture_output=True, text=True, check=False, env=ENVIRONMENT, **options)
    assert result.returncode == 0, f"{parts}: {result.stdout[-2000:]} {result.stderr[-3000:]}"
    return result.stdout


def tensorflow(version: Path, inputs: Inputs, folder: Path) -> Inputs:
    """TensorFlow in a separate process."""
    with launch("saved_model", None) as runtime:
        runtime.load(version)
        runtime.start({f"0/serving_default/{name}": x for name, x in inputs.items()})
        return {name.rpartition("/")[2]: x for name, x in runtime.finish().items()}


def saved_model_cli(version: Path, inputs: Inputs, folder: Path) -> Inputs:
    """TensorFlow's command saved_model_cli."""
    parts = []
    for name, x in inputs.items():
        np.save(folder / f"{name}.npy", x)
        parts.append(f"{name}={folder / name}.npy")
    command = [Path(sys.executable).with_name("saved_model_cli"), "run", "--dir", version, "--tag_set", "serve"]
    run(*command, "--signature_def", "serving_default", "--inputs", ";".join(parts), "--outdir", folder, "--overwrite")
    return {name: np.load(folder / f"{name}.npy") for name in ("forecast", "quantiles")}


def c_program(version: Path, inputs: Inputs) -> Inputs:
    """The C program of the client kit."""
    program = _built((version.parent / "kit" / "client.c").read_text())
    lines = []
    for name in sorted(inputs):
        x = inputs[name]
        values = [f"={value}" for value in x] if x.dtype.kind == "U" else [repr(value) for value in x.ravel().tolist()]
        lines += [f"{name} {x.ndim} {' '.join(map(str, x.shape))}", "\n".join(values)]
    words = run(program, version, input="\n".join(lines) + "\n").split("\n")
    made = {}
    for head, values in zip(words[0::2], words[1::2], strict=False):
        name, _, *shape = head.split()
        made[name] = np.array(values.split(), "float32").reshape([int(size) for size in shape])
    return made


@cache
def _built(source: str) -> Path:
    """Build the C program as its comment says; most models have the same source."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / "client.c").write_text(source)
    script = source.split("TF=$(")[1].partition("./client")[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["sh", "-ec", "TF=$(" + script]
    subprocess.run(command, check=True, cwd=folder, env={**ENVIRONMENT, "PATH": path})
    return folder / "client"


def onnxruntime(path: Path, inputs: Inputs) -> Inputs:
    """ONNX Runtime."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(path / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def openvino(path: Path, inputs: Inputs) -> Inputs:
    """OpenVINO."""
    import openvino as ov

    compiled = ov.Core().compile_model(str(path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled(inputs)
    return {name: answer[port] for port in compiled.outputs for name in port.get_names()}


def litert(path: Path, inputs: Inputs) -> Inputs:
    """LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    return dict(Interpreter(str(path / "model.tflite")).get_signature_runner("serving_default")(**inputs))


def rest_by_row(post: Callable[[str], Any], inputs: Inputs) -> Inputs:
    """TensorFlow Serving's REST API in row format."""
    columns = {name: x.tolist() for name, x in inputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    answer = post(json.dumps({"instances": rows}))["predictions"]
    return {name: np.array([row[name] for row in answer], "float32") for name in answer[0]}


def rest_by_column(post: Callable[[str], Any], inputs: Inputs) -> Inputs:
    """TensorFlow Serving's REST API in column format."""
    answer = post(json.dumps({"inputs": {name: x.tolist() for name, x in inputs.items()}}))["outputs"]
    return {name: np.array(x, "float32") for name, x in answer.items()}


def grpc(address: str, name: str, inputs: Inputs) -> Inputs:
    """TensorFlow Serving's gRPC API."""
    import grpc as rpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, x in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(x))
    with rpc.insecure_channel(address) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return {key: tf.make_ndarray(x) for key, x in answer.outputs.items()}
