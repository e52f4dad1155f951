"""Export of fitted forecasters to formats that other programs run."""

from typing import Literal

Format = Literal["saved_model", "onnx", "openvino", "litert", "keras"]
"""Formats of `tsattn.export.exporter.export`."""
