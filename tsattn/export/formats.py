"""Writers of ONNX, OpenVINO and LiteRT models, from a graph with unrolled decoder loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from tsattn._logging import quiet
from tsattn.errors import import_extra
from tsattn.export.metadata import SERVING, ModelMetadata
from tsattn.export.saved_model import check_tensorflow_backend, write_plain_graph
from tsattn.export.signatures import ServingPreprocessor, build_forecast_function
from tsattn.layers.ops import unroll_loops

OPSET = 18
"""ONNX operator set version, the lowest with all operations that the models need."""

CONVERTER_MODULES = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "ai_edge_litert"}
"""Module that writes a format; the extra of the same name installs it."""


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
    write_plain_graph(model, preprocessor, scratch)
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

    write_plain_graph(model, preprocessor, scratch, batch, time)
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
