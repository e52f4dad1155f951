"""The model card of an export, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tsattn.export.metadata import Description, TensorDescription
from tsattn.scoring.metrics import selection

CARD = "MODEL_CARD.md"
"""Name of the file."""

_SCORES = {"mase": "MASE", "skill": "skill", "smape": "sMAPE %", "mae": "MAE", "rmse": "RMSE", "wql": "WQL"}

_DISTRIBUTIONS = {
    "normal": " of normal distributions",
    "student_t": " of Student's t distributions",
    "negative_binomial": " of negative binomial distributions",
}


def model_card(description: Description) -> str:
    """Return the card of a model as Markdown."""
    data = description.training_data
    made = _DISTRIBUTIONS.get(description.distribution, "")
    bounds = ", ".join(f"{level:g}" for level in description.levels)
    parts = [
        f"# {description.name}",
        f"Forecasts {_listed(description.targets)} {description.horizon} steps of {description.frequency} ahead, as "
        f"quantiles ({bounds}){made} in the units of the data. The model is `{description.model}` of tsattn; it sees "
        f"the last {description.context} steps of a history, with gaps, and scales them by itself.",
        "## Trained on",
        f"{data['series']} series of {data['steps']} steps in all, {data['observed']} values observed, from "
        f"{data['first']} to {data['last']}. Fingerprint: `{data['fingerprint']}`.",
        "## How good it was",
        "On the last part of each series, which it was not trained on when it was measured, beside naive baselines. "
        "MASE below 1 is better than a seasonal naive forecast of the training part; skill is the share of its MASE on "
        "the same values that is saved; coverage is the share of values within the widest interval.",
        _scores(description.validation),
        description.calibration["told"],
        "## What it takes",
        _tensors(description.inputs),
        *_columns(description),
        *(["`sample` takes besides:", _tensors(description.drawn)] if description.drawn else []),
        "## What it gives",
        *(f"`{name}`:\n\n{_tensors(outputs)}" for name, outputs in description.outputs.items()),
        "## What to bear in mind",
        "Forecasts go on as the training data went; a break that the history does not show cannot be foreseen. "
        "Intervals are as good as the coverage above. A history of few steps, or of a kind that training did not see, "
        "is answered as well, and less surely.",
        "## Where it comes from",
        _table(("package", "version"), description.versions.items()),
        _agreement(description),
    ]
    return "\n\n".join(parts) + "\n"


def _agreement(description: Description) -> str:
    found = description.agreement
    assert found is not None
    layers = "with the layers of tsattn" if found["runtime"] == "keras" else "without tsattn"
    return (
        f"Loaded in a fresh process {layers} and compared with the model in Python on histories of different "
        f"length with gaps ({found['rows']} in all): they differ by {found['largest_difference']:.1e} of the window's "
        "scale at most."
    )


def _columns(description: Description) -> list[str]:
    """Return what stands along the last axis of the covariates."""
    names = {"past_covariates": description.past_covariates, "future_covariates": description.future_covariates}
    return [f"Along the last axis of `{name}`: {_listed(columns)}." for name, columns in names.items() if columns]


def _tensors(tensors: dict[str, TensorDescription]) -> str:
    rows = [
        (f"`{name}`", part.dtype, f"[{', '.join(str(axis) for axis in part.shape)}]", part.meaning)
        for name, part in tensors.items()
    ]
    return _table(("tensor", "type", "shape", "meaning"), rows)


def _scores(scores: Sequence[dict[str, Any]]) -> str:
    shown = selection(scores[0]) if scores else ()
    rows = [[str(row["model"]), *("-" if row[m] is None else f"{row[m]:.4g}" for m in shown)] for row in scores]
    return _table(("model", *(_SCORES.get(metric, metric.replace("-", " of ") + " %") for metric in shown)), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
