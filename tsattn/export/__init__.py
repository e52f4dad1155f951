"""Trained forecasters in forms that other programs run."""

from typing import Literal

Format = Literal["saved_model", "onnx", "openvino", "litert", "keras"]
"""What `tsattn.export.exporter.export` writes."""
