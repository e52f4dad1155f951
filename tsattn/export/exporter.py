"""Export of a fitted forecaster: write, verify in an isolated process, describe, and add as the next version."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import keras

from tsattn.atomic_io import add_version
from tsattn.errors import ConfigError
from tsattn.export import Format, formats
from tsattn.export.client_files import MODEL_CARD_FILE, format_model_card, write_kit
from tsattn.export.formats import check_tensorflow_backend, embed_metadata, write_saved_model
from tsattn.export.isolated_process import IsolatedRuntime, launcher
from tsattn.export.metadata import ASSETS, METADATA_FILE, SERVING, ModelMetadata, TensorMetadata, sample_columns
from tsattn.export.signatures import SAMPLE_INPUTS, CalendarFeatures, ServingPreprocessor, describe_outputs
from tsattn.export.verification import (
    ReferenceRequest,
    RequestGenerator,
    Verification,
    check_portable_model,
    write_warmup,
)
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.layers.distributions import get_distribution
from tsattn.models import NetworkOptions, get_model, resolve_options
from tsattn.models.combination import get_methods
from tsattn.models.forecast_model import can_sample
from tsattn.timeseries.windows import ATTENTION, PARAMETERS, QUANTILES, WEIGHTS

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exporter:
    """Writes a fitted forecaster.

    Args:
        batch: Number of series of a request, for LiteRT.
        time: Number of time steps of a request, for LiteRT.
    """

    fitted: FittedForecaster
    name: str
    batch: int | None = None
    time: int | None = None

    @cached_property
    def model(self) -> keras.Model:
        """A copy of the model without device-specific operations, checked against the trained one."""
        portable = self.fitted.portable_model()
        if portable is self.fitted.model:
            return portable
        check_portable_model(
            *(RequestGenerator(self.fitted, model).make_windows() for model in (self.fitted.model, portable))
        )
        return portable

    @property
    def _generator(self) -> RequestGenerator:
        return RequestGenerator(self.fitted, self.model, self.time)

    def add_saved_model(self, versions: Path, after: int, meanwhile: Callable[[], None]) -> Path:
        """Add a SavedModel to a folder of versions, and write the client kit next to it."""
        samples: list[ReferenceRequest] = []

        def work(metadata: ModelMetadata) -> None:
            samples.append(self._generator.make_sample(metadata))
            meanwhile()

        path = add_version(versions, partial(self._write_saved_model, meanwhile=work), after)
        write_kit(versions, path, self.name, samples[0])
        return path

    def _write_saved_model(self, folder: Path, meanwhile: Callable[[ModelMetadata], None]) -> None:
        """Write a SavedModel with its metadata, model card and warm-up requests."""
        preprocessor = make_preprocessor(self.fitted)
        metadata = make_metadata(self.fitted, preprocessor, self.name)
        with launcher.get()("saved_model", None) as runtime:
            write_saved_model(self.model, preprocessor, folder)
            embed_metadata(folder, metadata)
            verification = Verification(runtime, folder)
            requests = self._generator.make_requests(metadata)
            verification.start(requests)
            write_warmup(folder, self.name, requests)
            meanwhile(metadata)
            metadata = metadata.with_agreement(verification.finish())
        (folder / ASSETS).mkdir(exist_ok=True)
        (folder / ASSETS / METADATA_FILE).write_text(metadata.to_json(), encoding="utf-8")
        (folder / MODEL_CARD_FILE).write_text(format_model_card(metadata), encoding="utf-8")

    def write_keras(self, folder: Path) -> None:
        """Write the bare Keras model, from window to quantiles."""
        metadata = make_keras_metadata(self.fitted, self.name)
        path = folder / "model.keras"
        module = get_model(self.fitted.config.model["name"]).module
        with launcher.get()("keras", module) as runtime:
            self.model.save(path)
            metadata = metadata.with_agreement(_verify(runtime, path, self._generator.make_windows()))
        _write_descriptions(folder, metadata)

    def write_converted(self, folder: Path, kind: Literal["onnx", "openvino", "litert"]) -> None:
        """Write an ONNX, OpenVINO or LiteRT model."""
        # None of these formats supports strings everywhere, and LiteRT lacks the integer operations of the calendar.
        preprocessor = make_preprocessor(self.fitted, text_categories=False, calendar=kind != "litert")
        metadata = make_metadata(self.fitted, preprocessor, self.name, all_signatures=False, format=kind)
        with launcher.get()(kind, None) as runtime, tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            if kind == "onnx":
                path = formats.write_onnx(self.model, preprocessor, folder, metadata)
            elif kind == "openvino":
                path = formats.write_openvino(self.model, preprocessor, folder, scratch, metadata)
            else:
                path = formats.write_litert(self.model, preprocessor, folder, scratch, self.batch, self.time)
            requests = self._generator.make_requests(metadata)
            if self.batch is not None and self.time is not None:
                metadata = metadata.with_fixed_shape(self.batch, self.time)
                fitting = (request.with_time(self.time) for request in requests)
                requests = [request.take_rows(self.batch) for request in fitting if len(request.scale)]
            metadata = metadata.with_agreement(_verify(runtime, path, requests))
        _write_descriptions(folder, metadata)


def export(
    fitted: FittedForecaster,
    folder: Path,
    format: Format = "saved_model",
    *,
    name: str,
    batch: int | None = None,
    time: int | None = None,
    after: int = 0,
    meanwhile: Callable[[], None] = lambda: None,
) -> Path:
    """Write a fitted forecaster as the next version in a folder, completely or not at all.

    The written model runs on the CPU in a process without tsattn. Its outputs for ragged histories with gaps are
    compared with those of the Python model, and the export fails if they differ.

    Args:
        folder: Folder of versions. The next one is ``1``, or one more than the highest number; a SavedModel also gets
            the folder ``kit``.
        format: "saved_model", "onnx", "openvino", "litert" or "keras".
        name: Name of the model; characters that a URL does not allow become "-".
        batch: Number of series of a request, for LiteRT only.
        time: Number of time steps of a request, for LiteRT only.
        after: Number that the version is above, such as the last one of a run that is replaced.
        meanwhile: Called while another process checks a SavedModel.

    Returns:
        The folder of the version.

    Raises:
        ConfigError: ``batch`` and ``time`` do not fit the format, or it does not support the distribution.
        RunError: It cannot be written, a package is missing, or the outputs differ from those of the Python model.
    """
    if format != "litert" and (batch, time) != (None, None):
        raise ConfigError(
            f"{format} models take any number of series and time steps, got a fixed shape",
            "leave out {batch} and {time}",
            "set {format} to litert",
        )
    if format == "litert" and (batch is None or time is None):
        raise ConfigError(
            "LiteRT models have one fixed shape, but the number of series or of time steps of a request is missing",
            f"set {{batch}} and {{time}}, such as 1 and {fitted.spec.context}; shorter histories are padded",
        )
    head = get_head(fitted)
    if head == "negative_binomial" and format not in ("saved_model", "keras"):
        raise ConfigError(
            f"{format} lacks operations for the quantiles of model.head={head}", "set {format} to saved_model or keras"
        )
    check_tensorflow_backend()
    if format in formats.CONVERTER_MODULES:
        formats.import_converter(format)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "model"
    _logger.info("Exporting the model as %s", format)
    exporter = Exporter(fitted, name, batch, time)
    if format == "keras":
        return add_version(folder, exporter.write_keras, after)
    if format != "saved_model":
        return add_version(folder, partial(exporter.write_converted, kind=format), after)
    return exporter.add_saved_model(folder, after, meanwhile)


def _verify(runtime: IsolatedRuntime, path: Path, requests: Sequence[ReferenceRequest]) -> dict[str, Any]:
    verification = Verification(runtime, path)
    verification.start(requests)
    return verification.finish()


def _write_descriptions(folder: Path, metadata: ModelMetadata) -> None:
    (folder / METADATA_FILE).write_text(metadata.to_json(), encoding="utf-8")
    (folder / MODEL_CARD_FILE).write_text(format_model_card(metadata), encoding="utf-8")


PACKAGES = ("tsattn", "keras", "tensorflow", "numpy")

CONVERTERS = {"onnx": ("tf2onnx", "onnx"), "openvino": ("openvino",), "litert": ("ai-edge-litert",)}
"""Packages that write a format, by format; their versions are recorded as well."""


def make_preprocessor(
    fitted: FittedForecaster, *, text_categories: bool = True, calendar: bool = True
) -> ServingPreprocessor:
    """Return the preprocessor of a forecaster, from raw tensors to windows.

    Args:
        text_categories: Take categories as strings, not as integers.
        calendar: Compute the calendar features in the graph if it can, instead of taking them as inputs.
    """
    schema = fitted.schema
    features = CalendarFeatures(schema) if calendar and CalendarFeatures.is_supported(schema) else None
    return ServingPreprocessor(fitted.spec, features, text_categories=text_categories)


def get_head(fitted: FittedForecaster) -> str:
    """Return ``model.head``; "quantiles" for a baseline."""
    options = resolve_options(fitted.config.model)[1]
    return options.head if isinstance(options, NetworkOptions) else "quantiles"


def make_keras_metadata(fitted: FittedForecaster, name: str) -> ModelMetadata:
    """Return the metadata of the bare Keras model, from window to quantiles."""
    spec = fitted.spec
    meaning = "a tensor of the window, see tsattn.timeseries.windows"
    inputs = {
        part: TensorMetadata(dtype=spec.dtype(part), shape=("batch", *shape), meaning=meaning)
        for part, shape in spec.shapes().items()
    }
    metadata = make_metadata(fitted, make_preprocessor(fitted), name, all_signatures=False)
    outputs = {QUANTILES: metadata.outputs[SERVING][QUANTILES]}
    if can_sample(fitted.model):
        names = get_distribution(metadata.distribution).parameter_names
        outputs[PARAMETERS] = TensorMetadata(
            dtype="float32", shape=("batch", spec.horizon, len(spec.targets), len(names)), meaning=", ".join(names)
        )
    return metadata.model_copy(update={"inputs": inputs, "outputs": {"call": outputs}})


def make_metadata(
    fitted: FittedForecaster,
    preprocessor: ServingPreprocessor,
    name: str,
    *,
    all_signatures: bool = True,
    format: Format = "saved_model",
) -> ModelMetadata:
    """Return the metadata of an exported model.

    Args:
        all_signatures: Include the signatures for attention and samples if the model has them.
    """
    spec = fitted.spec
    attention = all_signatures and ATTENTION in fitted.model.output
    sample = all_signatures and can_sample(fitted.model)
    weights = all_signatures and WEIGHTS in fitted.model.output
    methods = get_methods(fitted.model, str(fitted.config.model["name"])) if weights else ()
    return ModelMetadata(
        name=name,
        model=fitted.name,
        context=spec.context,
        horizon=spec.horizon,
        season=spec.season,
        frequency=fitted.schema.freq,
        targets=spec.targets,
        levels=spec.levels,
        past_covariates=preprocessor.past_covariates,
        future_covariates=preprocessor.future_covariates,
        static=preprocessor.static,
        inputs=preprocessor.inputs,
        distribution=get_head(fitted),
        drawn=SAMPLE_INPUTS if sample else {},
        outputs=describe_outputs(spec, attention=attention, sample=sample, methods=methods),
        data_schema=fitted.schema,
        versions={package: version(package) for package in (*PACKAGES, *CONVERTERS.get(format, ()))},
        training_data=fitted.training_data,
        calibration=fitted.calibration.to_dict(),
        # Through JSON, where pandas writes NaN as null.
        validation=tuple(json.loads(fitted.scores.to_json(orient="records"))),
        column_samples=sample_columns(fitted.panel, fitted.schema),
    )
