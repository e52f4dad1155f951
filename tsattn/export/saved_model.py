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
    FUTURE_COVARIATES,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    QUERY_STEPS,
    StaticInput,
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
    A model with covariates takes them too, NaN where unknown: ``past_covariates`` [batch, time, features] beside
    ``past``, those known ahead first, and ``future_covariates`` [batch, horizon, features], those known ahead; and
    a ``static_NAME`` [batch] for each static covariate: float32, or a string for a category, which may be unknown.

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


def forecast_function(model: keras.Model, spec: WindowSpec) -> Callable[..., Tensors]:
    """Return the function from raw history, and covariates in the order of the contract, to the forecast."""
    read = _reader(spec)

    def forecast(past: Any, length: Any, *covariates: Any) -> Tensors:
        window, _ = read(past, length, *covariates)
        quantiles = model(window, training=False)[QUANTILES]
        return {FORECAST: quantiles[..., spec.median], QUANTILES: quantiles}

    return forecast


def _reader(spec: WindowSpec) -> Callable[..., tuple[Tensors, Any]]:
    """Return the function from raw tensors to the window of a model, and the step that each window begins at."""
    crop = HistoryWindow(spec.context)

    def read(past: Any, length: Any, *covariates: Any) -> tuple[Tensors, Any]:
        values, observed, kept, first = crop(past, length)
        window = {PAST: values, OBSERVED: observed, LENGTH: kept}
        given = dict(zip(_covariate_inputs(spec), covariates, strict=True))
        if spec.past_covariates:
            known, seen, _, _ = crop(given[PAST_COVARIATES], length)
            window[PAST_COVARIATES] = keras.ops.where(seen > 0, known, float("nan"))
        if spec.future_covariates:
            window[FUTURE_COVARIATES] = given[FUTURE_COVARIATES]
        for static in spec.static:
            window[static.input] = _static(given[static.input], static)
        return window, first

    return read


def attention_function(model: keras.Model, spec: WindowSpec) -> Callable[..., Tensors]:
    """Return the function from the same to the attention weights and the steps they belong to."""
    read = _reader(spec)

    def attention(past: Any, length: Any, *covariates: Any) -> Tensors:
        window, first = read(past, length, *covariates)
        outputs = model(window, training=False)
        steps = outputs[KEY_STEPS]
        steps = keras.ops.where(steps >= 0, steps + first[:, None, None], steps)
        return {ATTENTION: outputs[ATTENTION], KEY_STEPS: steps, QUERY_STEPS: outputs[QUERY_STEPS]}

    return attention


def _covariate_inputs(spec: WindowSpec) -> list[str]:
    names = [name for name in (PAST_COVARIATES, FUTURE_COVARIATES) if name in spec.shapes()]
    return [*names, *(static.input for static in spec.static)]


def _static(values: Any, static: StaticInput) -> Any:
    """Return the numbers of categories, 0 where unknown; numbers as they are."""
    if static.categories is None:
        return values
    import tensorflow as tf

    same = tf.equal(values[:, None], tf.constant([list(static.categories)], tf.string))
    numbers = tf.range(1, len(static.categories) + 1, dtype=tf.int32)
    return tf.reduce_sum(tf.where(same, numbers[None, :], 0), axis=1)


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

    signature = [
        tf.TensorSpec([None, None, len(spec.targets)], tf.float32, name=PAST),
        tf.TensorSpec([None], tf.int32, name=LENGTH),
    ]
    if spec.past_covariates:
        signature.append(tf.TensorSpec([None, None, len(spec.past_covariates)], tf.float32, name=PAST_COVARIATES))
    if spec.future_covariates:
        shape = [None, spec.horizon, len(spec.future_covariates)]
        signature.append(tf.TensorSpec(shape, tf.float32, name=FUTURE_COVARIATES))
    for static in spec.static:
        kind = tf.float32 if static.categories is None else tf.string
        signature.append(tf.TensorSpec([None], kind, name=static.input))
    return signature
