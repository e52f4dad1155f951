"""Writers of SavedModels, and of ONNX, OpenVINO and LiteRT models from a graph with unrolled decoder loops.

A SavedModel takes raw histories and returns forecasts in original units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tsattn._logging import quiet
from tsattn.errors import RunError, import_extra
from tsattn.export.metadata import SERVING, ModelMetadata
from tsattn.export.signatures import (
    SAMPLE,
    ServingPreprocessor,
    build_forecast_function,
    build_output_function,
    build_sample_function,
)
from tsattn.layers.ops import captured_constants, unroll_loops
from tsattn.models.forecast_model import can_sample
from tsattn.timeseries.windows import ATTENTION, FORECAST, KEY_STEPS, QUANTILES, QUERY_STEPS, WEIGHTS

OPSET = 18
"""ONNX operator set version, the lowest with all operations that the models need."""

CONVERTER_MODULES = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "ai_edge_litert"}
"""Module that writes a format; the extra of the same name installs it."""


def write_saved_model(model: keras.Model, preprocessor: ServingPreprocessor, path: Path) -> None:
    """Write a SavedModel with preprocessing, model and postprocessing.

    Signature ``serving_default``:

    - Inputs: ``past`` [batch, time, targets] float32, in original units, right-padded, NaN where missing, of any length
      (cropped to the last ``context`` valid steps); ``length`` [batch] int32.
    - Outputs: ``forecast`` [batch, horizon, targets] and ``quantiles`` [batch, horizon, targets, levels].

    Signature ``attention``, with the same inputs: ``attention`` [batch, targets or 1, heads, queries, keys];
    ``key_steps`` [batch, keys, 2], the first and last step of ``past`` of each key, -1 for padding; ``query_steps``
    [batch, queries, 2], the first and last step of the horizon of each query.

    Signature ``weights``, for a model that combines several methods: ``weights`` [batch, horizon,
    targets, methods].

    Signature ``sample``, for distributions, with the additional scalars ``num_samples`` and ``seed`` int32: ``samples``
    [batch, samples, horizon, targets].

    Additional inputs of models with covariates, NaN where unknown: ``past_covariates`` [batch, time, features], for the
    steps of ``past``, with the past values of future covariates first; ``future_covariates`` [batch, horizon,
    features]; ``static_NAME`` [batch] for each static covariate, float32, or string for a category. A preprocessor
    that computes the calendar features takes ``last_time`` [batch] int64 instead of them: the timestamp of the last
    valid step, in seconds of local time since 1970-01-01.

    Args:
        path: Folder to write, such as ``saved_model/1``.

    Raises:
        RunError: Keras does not run on TensorFlow.
    """
    import tensorflow as tf

    inputs = preprocessor.signature()
    # Traced once. Each signature calls it, and TensorFlow leaves out what the outputs of a signature do not need.
    compute = tf.function(build_output_function(model, preprocessor), input_signature=inputs, autograph=False)
    names: dict[str, tuple[str, ...]] = {SERVING: (FORECAST, QUANTILES)}
    if ATTENTION in model.output:
        names[ATTENTION] = (ATTENTION, KEY_STEPS, QUERY_STEPS)
    if WEIGHTS in model.output:
        names[WEIGHTS] = (WEIGHTS,)
    endpoints: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        name: (partial(_select, compute, outputs), inputs) for name, outputs in names.items()
    }
    if can_sample(model):
        endpoints[SAMPLE] = (build_sample_function(model, preprocessor), preprocessor.signature(sample=True))
    with captured_constants():
        _write(endpoints, path)


def _select(compute: Callable[..., Any], names: tuple[str, ...], *tensors: Any) -> dict[str, Any]:
    outputs = compute(*tensors)
    return {name: outputs[name] for name in names}


def _write_plain_graph(
    model: keras.Model, preprocessor: ServingPreprocessor, path: Path, batch: int | None = None, time: int | None = None
) -> None:
    """Write a SavedModel for converters, with one signature and unrolled decoder loops.

    Args:
        batch: Fixed number of series; any number by default.
        time: Fixed number of time steps; any number by default.
    """
    with unroll_loops():
        _write({SERVING: (build_forecast_function(model, preprocessor), preprocessor.signature(batch, time))}, path)


def _write(endpoints: Mapping[str, tuple[Callable[..., Any], list[Any]]], path: Path) -> None:
    """Write a SavedModel from a function and its input tensors for each signature.

    `keras.export.ExportArchive` traces it at least twice and writes the layers as well,
    which takes more than twice as long.
    """
    check_tensorflow_backend()
    import tensorflow as tf

    with quiet():
        signatures = {
            name: tf.function(function, input_signature=inputs, autograph=False).get_concrete_function()
            for name, (function, inputs) in endpoints.items()
        }
        module = tf.Module()
        used = {id(variable): variable for part in signatures.values() for variable in part.variables}
        # TensorFlow lists them in random order, by which the files of equal models would differ.
        module.used_variables = sorted(used.values(), key=lambda variable: variable.name)
        tf.saved_model.save(module, str(path), signatures=signatures)


def embed_metadata(path: Path, metadata: ModelMetadata) -> None:
    """Write the metadata into the graph, as a ``google.protobuf.Struct`` in ``meta_info_def.any_info``."""
    from google.protobuf import json_format, struct_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    file, saved = path / "saved_model.pb", saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    packed = json_format.Parse(metadata.to_json(), struct_pb2.Struct())
    for graph in saved.meta_graphs:
        graph.meta_info_def.any_info.Pack(packed)
    file.write_bytes(saved.SerializeToString(deterministic=True))


def check_tensorflow_backend() -> None:
    """Raise a RunError if the Keras backend is not TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise RunError(
            f"export needs the Keras backend tensorflow, got {keras.backend.backend()}",
            "load the run with KERAS_BACKEND=tensorflow and export it there",
        )


def write_onnx(model: keras.Model, preprocessor: ServingPreprocessor, folder: Path, metadata: ModelMetadata) -> Path:
    """Write ``model.onnx``, with dynamic batch and time axes and with the metadata in ``metadata_props``."""
    check_tensorflow_backend()
    convert = import_converter("onnx").convert
    import tensorflow as tf

    signature = preprocessor.signature()
    with unroll_loops(), quiet("tf2onnx"):
        function = tf.function(build_forecast_function(model, preprocessor), input_signature=signature, autograph=False)
        handlers: dict[str, Any] = {name: (convert_node, []) for name, convert_node in NODE_CONVERTERS.items()}
        graph, _ = convert.from_function(function, signature, opset=OPSET, custom_op_handlers=handlers)
    _name_axes(graph.graph, metadata)
    graph.metadata_props.add(key="tsattn", value=metadata.to_json())
    path = folder / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


def _where(context: Any, node: Any, name: str, args: Any) -> None:
    """Convert to Where: tf2onnx multiplies by 0 and 1 instead, and 0 x NaN is NaN."""
    node.type = "Where"


def _floor_division(context: Any, node: Any, name: str, args: Any) -> None:
    """Divide and round down: ONNX rounds integers towards 0. The result of its Mod has the sign of the divisor."""
    (dividend, divisor), outputs = node.input, node.output
    dtype, shape = context.get_dtype(outputs[0]), context.get_shape(outputs[0])
    remainder = context.make_node("Mod", [dividend, divisor]).output[0]
    multiple = context.make_node("Sub", [dividend, remainder]).output[0]
    context.remove_node(node.name)
    context.make_node("Div", [multiple, divisor], outputs=outputs, name=node.name, dtypes=[dtype], shapes=[shape])


def _complementary_error(context: Any, node: Any, name: str, args: Any) -> None:
    """Compute 1 - Erf, since ONNX lacks the complementary error function, which Keras computes a GELU by."""
    inputs, outputs = node.input, node.output
    dtype, shape = context.get_dtype(outputs[0]), context.get_shape(outputs[0])
    error = context.make_node("Erf", inputs).output[0]
    one = context.make_const(f"{node.name}/one", np.float32(1)).output[0]
    context.remove_node(node.name)
    context.make_node("Sub", [one, error], outputs=outputs, name=node.name, dtypes=[dtype], shapes=[shape])


NODE_CONVERTERS = {"SelectV2": _where, "FloorDiv": _floor_division, "Erfc": _complementary_error}
"""Converters of TensorFlow operations that tf2onnx does not convert, or not correctly."""


def _name_axes(graph: Any, metadata: ModelMetadata) -> None:
    """Name the dynamic axes of inputs and outputs and document the tensors."""
    tensors = {**metadata.inputs, **metadata.outputs[SERVING]}
    for value in (*graph.input, *graph.output):
        value.doc_string = tensors[value.name].meaning
        for size, axis in zip(value.type.tensor_type.shape.dim, tensors[value.name].shape, strict=True):
            if isinstance(axis, str):
                size.dim_param = axis


def write_openvino(
    model: keras.Model, preprocessor: ServingPreprocessor, folder: Path, scratch: Path, metadata: ModelMetadata
) -> Path:
    """Write ``model.xml`` and ``model.bin``, with dynamic batch and time axes and with the metadata in ``rt_info``."""
    openvino = import_converter("openvino")
    _write_plain_graph(model, preprocessor, scratch)
    path = folder / "model.xml"
    converted = openvino.convert_model(str(scratch))
    converted.set_rt_info(metadata.to_json(), ["tsattn"])
    openvino.save_model(converted, str(path), compress_to_fp16=False)
    return path


def write_litert(
    model: keras.Model,
    preprocessor: ServingPreprocessor,
    folder: Path,
    scratch: Path,
    batch: int | None,
    time: int | None,
) -> Path:
    """Write ``model.tflite``, with one fixed shape."""
    import tensorflow as tf

    _write_plain_graph(model, preprocessor, scratch, batch, time)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(scratch))
    path = folder / "model.tflite"
    with quiet():
        path.write_bytes(converter.convert())
    return path


def import_converter(format: str) -> Any:
    """Return the module that writes a format.

    Raises:
        RunError: It is not installed.
    """
    return import_extra(CONVERTER_MODULES[format], format, f"the format {format}")
