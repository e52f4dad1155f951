"""Files for the clients of an export: the model card, and a kit of configurations and clients without tsattn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tsattn._text import quote_list
from tsattn.atomic_io import replace_directory
from tsattn.errors import escape_controls
from tsattn.export.metadata import SERVING, ModelMetadata, TensorMetadata
from tsattn.export.verification import ReferenceRequest
from tsattn.scoring.metrics import displayed_metrics

MODEL_CARD_FILE = "MODEL_CARD.md"
"""Name of the model card."""

_SCORES = {"mase": "MASE", "skill": "skill", "smape": "sMAPE %", "mae": "MAE", "rmse": "RMSE", "wql": "WQL"}

_DISTRIBUTIONS = {
    "normal": " of normal distributions",
    "student_t": " of Student's t distributions",
    "negative_binomial": " of negative binomial distributions",
}

KIT = "kit"
"""Folder of the kit, next to the versions."""

_TYPES = {1: "TF_FLOAT", 3: "TF_INT32", 9: "TF_INT64", 7: "TF_STRING"}
"""Names of the TensorFlow dtypes in C."""


def format_model_card(metadata: ModelMetadata) -> str:
    """Return the model card as Markdown."""
    data = metadata.training_data
    distribution = _DISTRIBUTIONS.get(metadata.distribution, "")
    levels = ", ".join(f"{level:g}" for level in metadata.levels)
    parts = [
        f"# {metadata.name}",
        f"Forecasts {_list_names(metadata.targets)} for the next {metadata.horizon} steps (frequency "
        f"{metadata.frequency}), as quantiles ({levels}){distribution} in the units of the data. The model is "
        f"`{metadata.model}` of tsattn. It uses the last {metadata.context} steps of a history, which may have gaps, "
        "and scales them itself.",
        "## Training data",
        f"{data['series']} series with {data['steps']} steps in total and {data['observed']} observed values, from "
        f"{data['first']} to {data['last']}. Fingerprint: `{data['fingerprint']}`.",
        "## Accuracy",
        "Measured on the last part of each series, which was held out from training, together with naive baselines. "
        "MASE below 1 is better than a seasonal naive forecast of the training part; skill is the reduction of MASE "
        "relative to a seasonal naive forecast of the same values; coverage is the fraction of values within the "
        "widest interval.",
        _format_scores(metadata.validation),
        metadata.calibration["summary"],
        "## Inputs",
        _format_tensors(metadata.inputs),
        *_list_columns(metadata),
        *(["Additional inputs of `sample`:", _format_tensors(metadata.drawn)] if metadata.drawn else []),
        "## Outputs",
        *(f"`{name}`:\n\n{_format_tensors(outputs)}" for name, outputs in metadata.outputs.items()),
        "## Limitations",
        "Forecasts continue the patterns of the training data. A change that the history does not show cannot be "
        "predicted. The coverage above shows how reliable the intervals are. Forecasts of short histories, or of "
        "series unlike the training data, are less accurate.",
        "## Provenance",
        _format_table(("package", "version"), metadata.versions.items()),
        _format_agreement(metadata),
    ]
    return escape_controls("\n\n".join(parts)) + "\n"


def _format_agreement(metadata: ModelMetadata) -> str:
    agreement = metadata.agreement
    assert agreement is not None
    layers = "with the layers of tsattn" if agreement["runtime"] == "keras" else "without tsattn"
    return (
        f"The exported model was loaded in a separate process {layers} and compared with the Python model on "
        f"{agreement['rows']} histories of different lengths with gaps. The largest difference is "
        f"{agreement['largest_difference']:.1e} of the window's scale."
    )


def _list_columns(metadata: ModelMetadata) -> list[str]:
    """Return the names along the last axis of the covariates."""
    names = {"past_covariates": metadata.past_covariates, "future_covariates": metadata.future_covariates}
    return [f"Last axis of `{name}`: {_list_names(columns)}." for name, columns in names.items() if columns]


def _format_tensors(tensors: dict[str, TensorMetadata]) -> str:
    rows = [
        (f"`{name}`", part.dtype, f"[{', '.join(str(axis) for axis in part.shape)}]", part.meaning)
        for name, part in tensors.items()
    ]
    return _format_table(("tensor", "type", "shape", "meaning"), rows)


def _format_scores(scores: Sequence[dict[str, Any]]) -> str:
    metrics = displayed_metrics(scores[0]) if scores else ()
    rows = [[str(row["model"]), *("-" if row[m] is None else f"{row[m]:.4g}" for m in metrics)] for row in scores]
    names = (_SCORES.get(metric, metric.replace("-", " of ") + " %") for metric in metrics)
    return _format_table(("model", *names), rows)


def _format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escape_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape_cell(text: str) -> str:
    """Return the text of a cell, in which the name of a column is neither markup nor the end of a line or cell."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _list_names(names: Sequence[str]) -> str:
    return quote_list((" ".join(name.split()) for name in names), max_items=20, quote="`")


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
