"""The SavedModel: raw history in, forecasts in original units out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from tsattn.errors import RunError
from tsattn.export.stamps import StampFeatures
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

LAST_TIME = "last_time"
"""Name of the tensor with the last stamp of each history."""

DESCRIPTION = "assets.extra/tsattn.json"
"""Where an exported model says what its tensors hold."""


def export_saved_model(
    model: keras.Model, spec: WindowSpec, path: Path | str, stamps: StampFeatures | None = None
) -> None:
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
    Of these ``stamps`` takes those of the calendar; instead there is ``last_time`` [batch] int64, the stamp of the last
    valid step in seconds of the wall clock since 1970-01-01.

    What stands along the last axis of each is in `DESCRIPTION`.

    Args:
        model: the inference model, built to be portable.
        spec: its window.
        path: folder to write, such as ``saved_model/1``.
        stamps: the features of the calendar, where the window has any and the graph can follow it.

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
    reader = WindowReader(spec, stamps)
    archive.add_endpoint("serving_default", forecast_function(model, reader), reader.signature())
    if ATTENTION in model.output:
        archive.add_endpoint("attention", attention_function(model, reader), reader.signature())
    with _without_notices():
        archive.write_out(str(path), verbose=False)
    extra = Path(path) / DESCRIPTION
    extra.parent.mkdir(exist_ok=True)
    extra.write_text(json.dumps(reader.described(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class WindowReader:
    """From raw tensors, in the order of the signature, to the window of a model.

    Args:
        spec: the window.
        stamps: the features of the calendar, where the graph makes them.
    """

    def __init__(self, spec: WindowSpec, stamps: StampFeatures | None) -> None:
        self.spec = spec
        self._stamps = stamps if spec.future_covariates else None
        own = self._stamps.names if self._stamps is not None else ()
        self._past = [name for name in spec.past_covariates if name not in own]
        self._ahead = [name for name in spec.future_covariates if name not in own]
        self._crop = HistoryWindow(spec.context)

    def signature(self) -> list[Any]:
        """Return the names, types and shapes of the tensors."""
        import tensorflow as tf

        spec = self.spec
        signature = [
            tf.TensorSpec([None, None, len(spec.targets)], tf.float32, name=PAST),
            tf.TensorSpec([None], tf.int32, name=LENGTH),
        ]
        if self._past:
            signature.append(tf.TensorSpec([None, None, len(self._past)], tf.float32, name=PAST_COVARIATES))
        if self._ahead:
            shape = [None, spec.horizon, len(self._ahead)]
            signature.append(tf.TensorSpec(shape, tf.float32, name=FUTURE_COVARIATES))
        if self._stamps is not None:
            signature.append(tf.TensorSpec([None], tf.int64, name=LAST_TIME))
        for static in spec.static:
            kind = tf.float32 if static.categories is None else tf.string
            signature.append(tf.TensorSpec([None], kind, name=static.input))
        return signature

    def described(self) -> dict[str, Any]:
        """Return what a client has to know: sizes, and the names along the last axis of each tensor."""
        spec = self.spec
        return {
            "context": spec.context,
            "horizon": spec.horizon,
            "season": spec.season,
            "targets": spec.targets,
            "levels": spec.levels,
            PAST_COVARIATES: self._past,
            FUTURE_COVARIATES: self._ahead,
            "static": {static.input: {"name": static.name, "categories": static.categories} for static in spec.static},
        }

    def __call__(self, *tensors: Any) -> tuple[Tensors, Any]:
        """Return the window, and the step that each begins at."""
        given = dict(zip((part.name for part in self.signature()), tensors, strict=True))
        values, observed, kept, first = self._crop(given[PAST], given[LENGTH])
        window = {PAST: values, OBSERVED: observed, LENGTH: kept}
        if self.spec.past_covariates:
            window[PAST_COVARIATES] = self._features_before(given, kept)
        if self.spec.future_covariates:
            window[FUTURE_COVARIATES] = self._features_ahead(given)
        for static in self.spec.static:
            window[static.input] = _static(given[static.input], static)
        return window, first

    def _features_before(self, given: Tensors, kept: Any) -> Any:
        parts = []
        if self._past:
            known, seen, _, _ = self._crop(given[PAST_COVARIATES], given[LENGTH])
            parts.append(keras.ops.where(seen > 0, known, float("nan")))
        if self._stamps is not None:
            step = keras.ops.arange(self.spec.context, dtype="int64")[None, :]
            length = keras.ops.cast(kept, "int64")[:, None]
            features = self._stamps(given[LAST_TIME], step - length + 1)
            parts.append(keras.ops.where((step < length)[:, :, None], features, float("nan")))
        return self._in_order(parts, self._past, self.spec.past_covariates)

    def _features_ahead(self, given: Tensors) -> Any:
        parts = [given[FUTURE_COVARIATES]] if self._ahead else []
        if self._stamps is not None:
            step = keras.ops.arange(1, self.spec.horizon + 1, dtype="int64")[None, :]
            parts.append(self._stamps(given[LAST_TIME], step))
        return self._in_order(parts, self._ahead, self.spec.future_covariates)

    def _in_order(self, parts: list[Any], given: list[str], wanted: tuple[str, ...]) -> Any:
        """Return the features that were given and those of the calendar in the order of the window."""
        if len(parts) == 1:
            return parts[0]
        assert self._stamps is not None
        names = [*given, *self._stamps.names]
        return keras.ops.take(keras.ops.concatenate(parts, axis=-1), [names.index(name) for name in wanted], axis=-1)


def forecast_function(model: keras.Model, reader: WindowReader) -> Callable[..., Tensors]:
    """Return the function from raw tensors to the forecast."""

    def forecast(*tensors: Any) -> Tensors:
        window, _ = reader(*tensors)
        quantiles = model(window, training=False)[QUANTILES]
        return {FORECAST: quantiles[..., reader.spec.median], QUANTILES: quantiles}

    return forecast


def attention_function(model: keras.Model, reader: WindowReader) -> Callable[..., Tensors]:
    """Return the function from the same to the attention weights and the steps they belong to."""

    def attention(*tensors: Any) -> Tensors:
        window, first = reader(*tensors)
        outputs = model(window, training=False)
        steps = outputs[KEY_STEPS]
        steps = keras.ops.where(steps >= 0, steps + first[:, None, None], steps)
        return {ATTENTION: outputs[ATTENTION], KEY_STEPS: steps, QUERY_STEPS: outputs[QUERY_STEPS]}

    return attention


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
