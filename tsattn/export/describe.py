"""From a fitted forecaster to what its exported model says of itself."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

from tsattn.export import Format
from tsattn.export.description import Description, TensorDescription
from tsattn.export.reader import DRAWN, SERVING, WindowReader, outputs_of
from tsattn.export.stamps import StampFeatures
from tsattn.layers.distribution_head import get_distribution
from tsattn.models import NetworkOptions, resolve_options
from tsattn.models.paths import has_paths
from tsattn.window import ATTENTION, PARAMETERS, QUANTILES

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster

PACKAGES = ("tsattn", "keras", "tensorflow", "numpy")

CONVERTERS = {"onnx": ("tf2onnx", "onnx"), "openvino": ("openvino",), "litert": ("ai-edge-litert",)}
"""What else a format is written by."""


def reader_of(forecaster: Forecaster, *, texts: bool = True, calendar: bool = True) -> WindowReader:
    """Return what makes the window of a forecaster from raw tensors.

    Args:
        forecaster: a fitted one.
        texts: whether categories come as text, else by their number.
        calendar: whether the graph makes the features of the calendar, where it can; else they are inputs.
    """
    schema = forecaster.schema_
    stamps = StampFeatures(schema) if calendar and StampFeatures.can_step(schema) else None
    return WindowReader(forecaster.spec_, stamps, texts=texts)


def head_of(forecaster: Forecaster) -> str:
    """Return what is forecast, as ``model.head`` names it; of a baseline quantiles."""
    options = resolve_options(forecaster.config_.model)[1]
    return options.head if isinstance(options, NetworkOptions) else "quantiles"


def describe_keras(forecaster: Forecaster, name: str) -> Description:
    """Return the description of a model without the graph around it, from window to quantiles."""
    spec = forecaster.spec_
    meaning = "a tensor of the window, see tsattn.window"
    inputs = {
        part: TensorDescription(dtype=spec.dtype(part), shape=("batch", *shape), meaning=meaning)
        for part, shape in spec.shapes().items()
    }
    whole = describe(forecaster, reader_of(forecaster), name, others=False)
    quantiles = {QUANTILES: whole.outputs[SERVING][QUANTILES]}
    if has_paths(forecaster.model_):
        names = get_distribution(whole.distribution).parameter_names
        quantiles[PARAMETERS] = TensorDescription(
            dtype="float32", shape=("batch", spec.horizon, len(spec.targets), len(names)), meaning=", ".join(names)
        )
    return whole.model_copy(update={"inputs": inputs, "outputs": {"call": quantiles}})


def describe(
    forecaster: Forecaster, reader: WindowReader, name: str, *, others: bool = True, format: Format = "saved_model"
) -> Description:
    """Return the description of an exported model.

    Args:
        forecaster: a fitted one.
        reader: makes its window.
        name: what the model is called.
        others: whether the export has the signatures for attention and for paths, where the model has them.
        format: what it is written as.
    """
    spec = forecaster.spec_
    attention = others and ATTENTION in forecaster.model_.output
    sample = others and has_paths(forecaster.model_)
    return Description(
        name=name,
        model=forecaster.config_.model["name"],
        context=spec.context,
        horizon=spec.horizon,
        season=spec.season,
        frequency=forecaster.schema_.freq,
        targets=spec.targets,
        levels=spec.levels,
        past_covariates=reader.past_covariates,
        future_covariates=reader.future_covariates,
        static=reader.static,
        inputs=reader.inputs,
        distribution=head_of(forecaster),
        drawn=DRAWN if sample else {},
        outputs=outputs_of(spec, attention=attention, sample=sample),
        reading=forecaster.schema_,
        versions={package: version(package) for package in (*PACKAGES, *CONVERTERS.get(format, ()))},
        training_data=forecaster.training_data_,
        calibration=forecaster.calibration_.to_dict(),
        # By way of JSON, which pandas writes without NaN.
        validation=tuple(json.loads(forecaster.scores_.to_json(orient="records"))),
    )
