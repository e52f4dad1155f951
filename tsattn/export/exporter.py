"""Exporting: a graph is written, checked in a fresh process, described, and put in place as the next version."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import keras

from tsattn.atomic_io import add_version
from tsattn.errors import ConfigError
from tsattn.export import Format, formats
from tsattn.export.client_kit import write_kit
from tsattn.export.metadata import ASSETS, DESCRIPTION, Description, TensorDescription
from tsattn.export.model_card import CARD, model_card
from tsattn.export.reference_requests import Prober
from tsattn.export.saved_model import check_backend, label_saved_model, write_description, write_saved_model
from tsattn.export.signatures import DRAWN, SERVING, StampFeatures, WindowReader, outputs_of
from tsattn.export.verification import check_twin, launcher, write_warmup
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.layers.distribution_layers import get_distribution
from tsattn.models import NetworkOptions, get_model, resolve_options
from tsattn.models.sampling import can_sample
from tsattn.timeseries.window_spec import ATTENTION, PARAMETERS, QUANTILES


@dataclass(frozen=True)
class Export:
    """One export.

    Args:
        fitted: a fitted forecaster.
        name: what the model is called.
        batch: number of rows, for a format that has to know it.
        time: number of steps of the arrays, for the same.
    """

    fitted: FittedForecaster
    name: str
    batch: int | None = None
    time: int | None = None

    @cached_property
    def model(self) -> keras.Model:
        """The model that is exported: a twin that is bound to no device."""
        twin = self.fitted.portable_model()
        known, found = (Prober(self.fitted, model).windows() for model in (self.fitted.model, twin))
        check_twin(known, found)
        return twin

    @property
    def _prober(self) -> Prober:
        return Prober(self.fitted, self.model, self.time)

    def write_kit(self, folder: Path, version: Path) -> None:
        """Write the kit beside the versions of a SavedModel."""
        description = Description.read(version / ASSETS / DESCRIPTION)
        write_kit(folder, version, self.name, self._prober.sample(description))

    def saved_model(self, folder: Path) -> None:
        """Write a SavedModel, with its warm-up requests and what it says of itself."""
        reader = reader_of(self.fitted)
        description = describe(self.fitted, reader, self.name)
        with launcher.get()("saved_model", None) as runtime:
            write_saved_model(self.model, reader, folder)
            label_saved_model(folder, description)
            probes = self._prober.probes(description)
            description = description.agreed(runtime.check(folder, probes))
        write_warmup(folder, self.name, probes)
        write_description(description, folder)
        (folder / CARD).write_text(model_card(description), encoding="utf-8")

    def onnx(self, folder: Path) -> None:
        """Write an ONNX model."""
        self._converted("onnx", folder)

    def openvino(self, folder: Path) -> None:
        """Write an OpenVINO model."""
        self._converted("openvino", folder)

    def litert(self, folder: Path) -> None:
        """Write a LiteRT model."""
        self._converted("litert", folder)

    def keras(self, folder: Path) -> None:
        """Write the Keras model from window to quantiles, without anything that is bound to a device."""
        description = describe_keras(self.fitted, self.name)
        path = folder / "model.keras"
        module = get_model(self.fitted.config.model["name"]).module
        with launcher.get()("keras", module) as runtime:
            self.model.save(path)
            description = description.agreed(runtime.check(path, self._prober.windows()))
        _describe(folder, description)

    def _converted(self, kind: Literal["onnx", "openvino", "litert"], folder: Path) -> None:
        # None of these has text, or not everywhere; and LiteRT has none of the whole numbers that a calendar takes.
        reader = reader_of(self.fitted, texts=False, calendar=kind != "litert")
        description = describe(self.fitted, reader, self.name, others=False, format=kind)
        with launcher.get()(kind, None) as runtime, tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            if kind == "onnx":
                path = formats.write_onnx(self.model, reader, folder, description)
            elif kind == "openvino":
                path = formats.write_openvino(self.model, reader, folder, scratch, description)
            else:
                path = formats.write_litert(self.model, reader, folder, scratch, self.batch, self.time)
            probes = self._prober.probes(description)
            if self.batch is not None and self.time is not None:
                description = description.of_shape(self.batch, self.time)
                fitting = (probe.fitted(self.time) for probe in probes)
                probes = [probe.rows(self.batch) for probe in fitting if len(probe.scale)]
            description = description.agreed(runtime.check(path, probes))
        _describe(folder, description)


def export(
    fitted: FittedForecaster,
    folder: Path,
    format: Format = "saved_model",
    *,
    name: str,
    batch: int | None = None,
    time: int | None = None,
) -> Path:
    """Write a fitted forecaster as the next version in a folder, whole or not at all.

    The written model is loaded in a fresh process that knows nothing of tsattn, on the CPU, and compared with the model
    in Python on histories that are ragged and have gaps; where it answers otherwise, nothing is put in place.

    Args:
        fitted: a fitted forecaster.
        folder: gets a folder ``1``, or one more than its highest number; a SavedModel also gets the folder ``kit``.
        format: "saved_model", "onnx", "openvino", "litert" or "keras".
        name: what the model is called; a "-" stands for what an address does not take.
        batch: rows of a request; LiteRT has to know it, and no other format takes it.
        time: steps of the arrays of a request; the same.

    Returns:
        The folder of the version.

    Raises:
        ConfigError: a shape is given where it is free, or is missing where it is not, or the format cannot hold the
            distribution of the forecast.
        RunError: it cannot be written, a package is missing, or it does not answer as the model in Python does.
    """
    if format != "litert" and (batch, time) != (None, None):
        raise ConfigError(f"--batch and --time are for --format litert; {format} takes any number of series and steps")
    if format == "litert" and (batch is None or time is None):
        raise ConfigError(
            "LiteRT runs graphs of one shape alone: give the number of series of a request by --batch and the steps of "
            f"their arrays by --time, such as --batch 1 --time {fitted.spec.context}; shorter histories are padded"
        )
    head = head_of(fitted)
    if head == "negative_binomial" and format not in ("saved_model", "keras"):
        raise ConfigError(
            f"{format} lacks operations that the quantiles of model.head={head} take: export it as saved_model or keras"
        )
    check_backend()
    if format in formats.MODULES:
        formats.need(format)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "model"
    work = Export(fitted, name, batch, time)
    path = add_version(folder, getattr(work, format))
    if format == "saved_model":
        work.write_kit(folder, path)
    return path


def _describe(folder: Path, description: Description) -> None:
    (folder / DESCRIPTION).write_text(description.to_json(), encoding="utf-8")
    (folder / CARD).write_text(model_card(description), encoding="utf-8")


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
    if can_sample(fitted.model):
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
    sample = others and can_sample(fitted.model)
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
