"""The client kit: configuration files and clients for serving a SavedModel without tsattn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tsattn.atomic_io import replace_directory
from tsattn.export.metadata import SERVING
from tsattn.export.reference_requests import ReferenceRequest

KIT = "kit"
"""Folder of the kit, next to the versions."""

_TYPES = {1: "TF_FLOAT", 3: "TF_INT32", 9: "TF_INT64", 7: "TF_STRING"}
"""Names of the TensorFlow dtypes in C."""


def write_kit(folder: Path, version: Path, name: str, sample: ReferenceRequest) -> None:
    """Write the kit next to the versions of a SavedModel, replacing an older one.

    Args:
        version: Folder of the version that the C program runs.
    """
    inputs, outputs = _ports(version)
    values = {"NAME": name, "VERSION": version.name, "INPUTS": _rows(inputs), "OUTPUTS": _rows(outputs)}
    with replace_directory(folder / KIT) as temporary:
        for file in files("tsattn.export").joinpath("kit_files").iterdir():
            if file.is_file():
                text = _fill(file.read_text(encoding="utf-8"), values)
                (temporary / file.name).write_text(text, encoding="utf-8")
        (temporary / "request.json").write_text(format_row_request(sample.inputs), encoding="utf-8")
        (temporary / "request.txt").write_text(
            format_text_request({port: sample.inputs[port] for port in inputs}), encoding="utf-8"
        )


def format_row_request(inputs: Mapping[str, Any]) -> str:
    """Return the body of a TensorFlow Serving request in row format, where NaN is a valid token."""
    columns = {name: np.asarray(x).tolist() for name, x in inputs.items()}
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json.dumps({"signature_name": SERVING, "instances": instances}) + "\n"


def format_text_request(inputs: Mapping[str, Any]) -> str:
    """Return a request in the text format of the C program."""
    lines = []
    for name, x in inputs.items():
        lines.append(" ".join([name, str(x.ndim), *map(str, x.shape)]))
        if x.dtype.kind in "OU":
            # One string per line, so line breaks within a string become spaces.
            lines.extend(f"={' '.join(str(value).splitlines())}" for value in x)
        else:
            lines.append(" ".join(map(_format_number, x.flat)))
    return "\n".join(lines) + "\n"


def _format_number(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, np.floating) else str(int(value))


def _fill(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _ports(version: Path) -> tuple[dict[str, tuple[str, int, str]], dict[str, tuple[str, int, str]]]:
    """Return operation, output index and C type of the inputs and outputs of a SavedModel by name."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((version / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def[SERVING]

    def ports(tensors: Any) -> dict[str, tuple[str, int, str]]:
        parts = {name: tensors[name].name.rpartition(":") for name in sorted(tensors)}
        return {name: (op, int(index), _TYPES[tensors[name].dtype]) for name, (op, _, index) in parts.items()}

    return ports(signature.inputs), ports(signature.outputs)


def _rows(ports: Mapping[str, tuple[str, int, str]]) -> str:
    return "\n".join(f'    {{"{name}", "{op}", {index}, {kind}}},' for name, (op, index, kind) in ports.items())
