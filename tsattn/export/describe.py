"""From a fitted forecaster to what its exported model says of itself."""

from __future__ import annotations

import json
from importlib.metadata import version

from tsattn.export import Format
from tsattn.export.description import Description, TensorDescription
from tsattn.export.reader import DRAWN, SERVING, WindowReader, outputs_of
from tsattn.export.stamps import StampFeatures
from tsattn.fitted import FittedForecaster
from tsattn.layers.distribution_head import get_distribution
from tsattn.models import NetworkOptions, resolve_options
from tsattn.models.paths import has_paths
from tsattn.window import ATTENTION, PARAMETERS, QUANTILES

PACKAGES = ("tsattn", "keras", "tensorflow", "numpy")

CONVERTERS = {"onnx": ("tf2onnx", "onnx"), "openvino": ("openvino",), "litert": ("ai-edge-litert",)}
"""What else a format is written by."""


def reader_of(fitted: FittedForecaster, *, texts: bool = True, calendar: bool = True) -> WindowReader:
    """Return what makes the window of a forecaster from raw tensors.

    Args:
        fitted: a fitted forecaster.
        texts: whether categories come as text, else by their number.
        calendar: whether the graph makes the features of the calendar, where it can; else they are inputs.
    """
    schema = fitted.schema
    stamps = StampFeatures(schema) if calendar and StampFeatures.can_step(schema) else None
    return WindowReader(fitted.spec, stamps, texts=texts)


def head_of(fitted: FittedForecaster) -> str:
    """Return what is forecast, as ``model.head`` names it; of a baseline quantiles."""
    options = resolve_options(fitted.config.model)[1]
    return options.head if isinstance(options, NetworkOptions) else "quantiles"


def describe_keras(fitted: FittedForecaster, name: str) -> Description:
    """Return the description of a model without the graph around it, from window to quantiles."""
    spec = fitted.spec
    meaning = "a tensor of the window, see tsattn.window"
    inputs = {
        part: TensorDescription(dtype=spec.dtype(part), shape=("batch", *shape), meaning=meaning)
        for part, shape in spec.shapes().items()
    }
    whole = describe(fitted, reader_of(fitted), name, others=False)
    quantiles = {QUANTILES: whole.outputs[SERVING][QUANTILES]}
    if has_paths(fitted.model):
        names = get_distribution(whole.distribution).parameter_names
        quantiles[PARAMETERS] = TensorDescription(
            dtype="float32", shape=("batch", spec.horizon, len(spec.targets), len(names)), meaning=", ".join(names)
        )
    return whole.model_copy(update={"inputs": inputs, "outputs": {"call": quantiles}})


def describe(
    fitted: FittedForecaster, reader: WindowReader, name: str, *, others: bool = True, format: Format = "saved_model"
) -> Description:
    """Return the description of an exported model.

    Args:
        fitted: a fitted forecaster.
        reader: makes its window.
        name: what the model is called.
        others: whether the export has the signatures for attention and for paths, where the model has them.
        format: what it is written as.
    """
    spec = fitted.spec
    attention = others and ATTENTION in fitted.model.output
    sample = others and has_paths(fitted.model)
    return Description(
        name=name,
        model=fitted.config.model["name"],
        context=spec.context,
        horizon=spec.horizon,
        season=spec.season,
        frequency=fitted.schema.freq,
        targets=spec.targets,
        levels=spec.levels,
        past_covariates=reader.past_covariates,
        future_covariates=reader.future_covariates,
        static=reader.static,
        inputs=reader.inputs,
        distribution=head_of(fitted),
        drawn=DRAWN if sample else {},
        outputs=outputs_of(spec, attention=attention, sample=sample),
        reading=fitted.schema,
        versions={package: version(package) for package in (*PACKAGES, *CONVERTERS.get(format, ()))},
        training_data=fitted.training_data,
        calibration=fitted.calibration.to_dict(),
        # By way of JSON, which pandas writes without NaN.
        validation=tuple(json.loads(fitted.scores.to_json(orient="records"))),
    )
