"""The SavedModel: raw history in, forecasts in original units out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from tsattn.errors import RunError
from tsattn.layers import HistoryWindow
from tsattn.window import (
    ATTENTION,
    FORECAST,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    QUANTILES,
    QUERY_STEPS,
    WindowSpec,
)

Tensors = dict[str, Any]


def export_saved_model(model: keras.Model, spec: WindowSpec, path: Path | str) -> None:
    """Write a SavedModel that is the whole forecaster.

    ``serving_default`` takes ``past`` [batch, time, targets] float32 in original units, right-padded, NaN where
    missing, of any length (longer than the context is cropped to its last valid steps), and ``length`` [batch] int32.
    It gives ``forecast`` [batch, horizon, targets] and ``quantiles`` [batch, horizon, targets, levels].
    ``attention`` takes the same and gives the weights [batch, targets or 1, heads, queries, keys] (one head unless the
    model has several), the steps of ``past`` that each key stands for (``key_steps`` [batch, keys, 2], first and last,
    -1 for padding) and the steps of the horizon that each query stands for (``query_steps`` [batch, queries, 2]).

    Args:
        model: the inference model, built to be portable.
        spec: its window.
        path: folder to write, such as ``saved_model/1``.

    Raises:
        RunError: Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RunError(
            f"a SavedModel needs Keras on TensorFlow, and it runs on {keras.backend.backend()}: "
            "load the run with KERAS_BACKEND=tensorflow and export there"
        )
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", forecast_function(model, spec), _signature(spec))
    if ATTENTION in model.output:
        archive.add_endpoint("attention", attention_function(model, spec), _signature(spec))
    with _without_notices():
        archive.write_out(str(path), verbose=False)


def forecast_function(model: keras.Model, spec: WindowSpec) -> Callable[[Any, Any], Tensors]:
    """Return the function from raw history to the forecast."""
    window = HistoryWindow(spec.context)

    def forecast(past: Any, length: Any) -> Tensors:
        values, observed, kept, _ = window(past, length)
        quantiles = model({PAST: values, OBSERVED: observed, LENGTH: kept}, training=False)[QUANTILES]
        return {FORECAST: quantiles[..., spec.median], QUANTILES: quantiles}

    return forecast


def attention_function(model: keras.Model, spec: WindowSpec) -> Callable[[Any, Any], Tensors]:
    """Return the function from raw history to the attention weights and the steps they belong to."""
    window = HistoryWindow(spec.context)

    def attention(past: Any, length: Any) -> Tensors:
        values, observed, kept, first = window(past, length)
        outputs = model({PAST: values, OBSERVED: observed, LENGTH: kept}, training=False)
        steps = outputs[KEY_STEPS]
        steps = keras.ops.where(steps >= 0, steps + first[:, None, None], steps)
        return {ATTENTION: outputs[ATTENTION], KEY_STEPS: steps, QUERY_STEPS: outputs[QUERY_STEPS]}

    return attention


@contextmanager
def _without_notices() -> Iterator[None]:
    """Keep TensorFlow from telling where it wrote the assets, which it does in spite of ``verbose=False``."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _signature(spec: WindowSpec) -> list[Any]:
    import tensorflow as tf

    return [
        tf.TensorSpec([None, None, len(spec.targets)], tf.float32, name=PAST),
        tf.TensorSpec([None], tf.int32, name=LENGTH),
    ]
