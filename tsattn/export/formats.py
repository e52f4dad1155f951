"""Writers of the other formats, each from a graph in which the loops of decoders are written out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras

from tsattn._logging import quiet
from tsattn.errors import RunError
from tsattn.export.metadata import Description
from tsattn.export.saved_model import check_backend, write_plain_graph
from tsattn.export.signatures import SERVING, WindowReader, forecast_function
from tsattn.layers.masking import unrolled

OPSET = 18
"""Version of the operations of ONNX; the lowest one that has all of ours."""

MODULES = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "ai_edge_litert"}
"""What a format is written by, which comes with the extra of its name."""


def write_onnx(model: keras.Model, reader: WindowReader, folder: Path, description: Description) -> Path:
    """Write ``model.onnx``, with any number of rows and steps, and with its description among its metadata."""
    check_backend()
    convert = need("onnx").convert
    import tensorflow as tf

    signature = reader.signature()
    with unrolled(), quiet("tf2onnx"):
        function = tf.function(forecast_function(model, reader), input_signature=signature, autograph=False)
        handlers: dict[str, Any] = {"SelectV2": (_where, []), "FloorDiv": (_floor_division, [])}
        graph, _ = convert.from_function(function, signature, opset=OPSET, custom_op_handlers=handlers)
    _name_axes(graph.graph, description)
    graph.metadata_props.add(key="tsattn", value=description.to_json())
    path = folder / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


def _where(context: Any, node: Any, name: str, args: Any) -> None:
    """Choose: tf2onnx multiplies by 0 and 1 instead, and 0 x NaN is NaN."""
    node.type = "Where"


def _floor_division(context: Any, node: Any, name: str, args: Any) -> None:
    """Round down: ONNX divides whole numbers towards 0. What its Mod leaves over has the sign of the divisor."""
    (dividend, divisor), outputs = node.input, node.output
    dtype, shape = context.get_dtype(outputs[0]), context.get_shape(outputs[0])
    rest = context.make_node("Mod", [dividend, divisor]).output[0]
    whole = context.make_node("Sub", [dividend, rest]).output[0]
    context.remove_node(node.name)
    context.make_node("Div", [whole, divisor], outputs=outputs, name=node.name, dtypes=[dtype], shapes=[shape])


def _name_axes(graph: Any, description: Description) -> None:
    """Give the free axes of inputs and outputs their names, and say what stands in them."""
    known = {**description.inputs, **description.outputs[SERVING]}
    for value in (*graph.input, *graph.output):
        value.doc_string = known[value.name].meaning
        for size, axis in zip(value.type.tensor_type.shape.dim, known[value.name].shape, strict=True):
            if isinstance(axis, str):
                size.dim_param = axis


def write_openvino(
    model: keras.Model, reader: WindowReader, folder: Path, scratch: Path, description: Description
) -> Path:
    """Write ``model.xml`` and ``model.bin``, with any number of rows and steps; its description is in ``rt_info``."""
    openvino = need("openvino")
    write_plain_graph(model, reader, scratch)
    path = folder / "model.xml"
    converted = openvino.convert_model(str(scratch))
    converted.set_rt_info(description.to_json(), ["tsattn"])
    openvino.save_model(converted, str(path), compress_to_fp16=False)
    return path


def write_litert(
    model: keras.Model, reader: WindowReader, folder: Path, scratch: Path, batch: int | None, time: int | None
) -> Path:
    """Write ``model.tflite`` for one shape alone."""
    import tensorflow as tf

    write_plain_graph(model, reader, scratch, batch, time)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(scratch))
    path = folder / "model.tflite"
    with quiet():
        path.write_bytes(converter.convert())
    return path


def need(format: str) -> Any:
    """Return the module that a format is written by.

    Raises:
        RunError: it is not installed.
    """
    try:
        return importlib.import_module(MODULES[format])
    except ImportError:
        raise RunError(f"{format} needs packages that are not installed: pip install 'tsattn[{format}]'") from None
