"""The serving kit: what it takes to serve a SavedModel and to ask it, in files that need no tsattn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tsattn.atomic_io import swapped
from tsattn.export.reference_requests import Probe
from tsattn.export.signatures import SERVING

KIT = "kit"
"""Folder of the kit, beside the versions."""

_TYPES = {1: "TF_FLOAT", 3: "TF_INT32", 9: "TF_INT64", 7: "TF_STRING"}
"""Names of C for the types of a signature."""


def write_kit(folder: Path, version: Path, name: str, sample: Probe) -> None:
    """Write the kit beside the versions of a SavedModel; one that is there is replaced.

    Args:
        folder: of the versions.
        version: the folder of the one that the C program is made for.
        name: what the model is called.
        sample: the sample request.
    """
    inputs, outputs = _ports(version)
    known = {"NAME": name, "VERSION": version.name, "INPUTS": _rows(inputs), "OUTPUTS": _rows(outputs)}
    with swapped(folder / KIT) as temporary:
        for file in files("tsattn.export").joinpath("kit_files").iterdir():
            if file.is_file():
                (temporary / file.name).write_text(_filled(file.read_text(encoding="utf-8"), known), encoding="utf-8")
        (temporary / "request.json").write_text(row_request(sample.inputs), encoding="utf-8")
        (temporary / "request.txt").write_text(
            text_request({port: sample.inputs[port] for port in inputs}), encoding="utf-8"
        )


def row_request(inputs: Mapping[str, Any]) -> str:
    """Return the body of a request by row, as TensorFlow Serving takes it; NaN is a token of its own there."""
    columns = {name: np.asarray(x).tolist() for name, x in inputs.items()}
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json.dumps({"signature_name": SERVING, "instances": instances}) + "\n"


def text_request(inputs: Mapping[str, Any]) -> str:
    """Return a request as the C program of the kit reads it."""
    lines = []
    for name, x in inputs.items():
        lines.append(" ".join([name, str(x.ndim), *map(str, x.shape)]))
        texts = x.dtype.kind in "OU"
        # A line is a text there, so that a line break would begin the next one.
        rows = (f"={' '.join(str(value).splitlines())}" for value in x) if texts else ()
        lines.append("\n".join(rows) if texts else " ".join(map(_text, x.flat)))
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, np.floating) else str(int(value))


def _filled(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"@{name}@", value)
    return text


def _ports(version: Path) -> tuple[dict[str, tuple[str, int, str]], dict[str, tuple[str, int, str]]]:
    """Return operation, index and type of the inputs and outputs of a SavedModel by name."""
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
