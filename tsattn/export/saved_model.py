"""The SavedModel: raw history in, forecasts in original units out."""

from __future__ import annotations

from pathlib import Path

import keras

from tsattn._logging import quiet
from tsattn.errors import RunError
from tsattn.export.metadata import ASSETS, DESCRIPTION, Description
from tsattn.export.signatures import (
    SAMPLE,
    SERVING,
    WindowReader,
    attention_function,
    forecast_function,
    sample_function,
)
from tsattn.layers.masking import unrolled
from tsattn.models.sampling import has_paths
from tsattn.timeseries.window_spec import ATTENTION


def write_saved_model(model: keras.Model, reader: WindowReader, path: Path) -> None:
    """Write a SavedModel that is the whole forecaster.

    ``serving_default`` takes ``past`` [batch, time, targets] float32 in original units, right-padded, NaN where
    missing, of any length (longer than the context is cropped to its last valid steps), and ``length`` [batch] int32.
    It gives ``forecast`` [batch, horizon, targets] and ``quantiles`` [batch, horizon, targets, levels].
    ``attention`` takes the same and gives the weights [batch, targets or 1, heads, queries, keys] (one head unless the
    model has several), the steps of ``past`` that each key stands for (``key_steps`` [batch, keys, 2], first and last,
    -1 for padding) and the steps of the horizon that each query stands for (``query_steps`` [batch, queries, 2]).
    ``sample``, where the forecast is a distribution, takes the same and the scalars ``num_samples`` and ``seed`` int32,
    and gives paths of what may follow (``samples`` [batch, samples, horizon, targets]).
    A model with covariates takes them too, NaN where unknown: ``past_covariates`` [batch, time, features] beside
    ``past``, those known ahead first, and ``future_covariates`` [batch, horizon, features], those known ahead; and
    a ``static_NAME`` [batch] for each static covariate: float32, or a string for a category, which may be unknown.
    Of these the reader may make those of the calendar; instead there is ``last_time`` [batch] int64, the stamp of the
    last valid step in seconds of the wall clock since 1970-01-01.

    Args:
        model: the inference model, built to be portable.
        reader: makes its window.
        path: folder to write, such as ``saved_model/1``.

    Raises:
        RunError: Keras does not run on TensorFlow.
    """
    check_backend()
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(SERVING, forecast_function(model, reader), reader.signature())
    if ATTENTION in model.output:
        archive.add_endpoint(ATTENTION, attention_function(model, reader), reader.signature())
    if has_paths(model):
        archive.add_endpoint(SAMPLE, sample_function(model, reader), reader.signature(sample=True))
    with quiet():
        archive.write_out(str(path), verbose=False)


def write_plain_graph(
    model: keras.Model, reader: WindowReader, path: Path, batch: int | None = None, time: int | None = None
) -> None:
    """Write a SavedModel that other programs can convert: one signature, and the loops of decoders written out.

    Args:
        model: the inference model, built to be portable.
        reader: makes its window.
        path: folder to write.
        batch: fixed number of rows; any if left out.
        time: fixed number of steps; any if left out.
    """
    check_backend()
    archive = keras.export.ExportArchive()
    archive.track(model)
    with unrolled(), quiet():
        archive.add_endpoint(SERVING, forecast_function(model, reader), reader.signature(batch, time))
        archive.write_out(str(path), verbose=False)


def label_saved_model(path: Path, description: Description) -> None:
    """Write the description into the graph itself, as a ``google.protobuf.Struct`` in ``meta_info_def.any_info``."""
    from google.protobuf import json_format, struct_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    file, saved = path / "saved_model.pb", saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    said = json_format.Parse(description.to_json(), struct_pb2.Struct())
    for graph in saved.meta_graphs:
        graph.meta_info_def.any_info.Pack(said)
    file.write_bytes(saved.SerializeToString(deterministic=True))


def check_backend() -> None:
    """Raise a RunError where Keras does not run on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise RunError(
            f"an export needs Keras on TensorFlow, and it runs on {keras.backend.backend()}: "
            "load the run with KERAS_BACKEND=tensorflow and export there"
        )


def write_description(description: Description, path: Path) -> None:
    """Write what a SavedModel says of itself."""
    (path / ASSETS).mkdir(exist_ok=True)
    (path / ASSETS / DESCRIPTION).write_text(description.to_json(), encoding="utf-8")
