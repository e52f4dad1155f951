"""Serving signatures: functions from the raw tensors of a request to windows, and from the model to its outputs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.export.metadata import LAST_TIME, SERVING, StaticMetadata, TensorMetadata
from tsattn.layers import HistoryWindow
from tsattn.models.forecast_model import sample_paths
from tsattn.timeseries import calendar as clock
from tsattn.timeseries.calendar import CYCLES, DAY, HOLIDAY_YEARS, calendar_feature_names, count_holidays, holiday_days
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import (
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
    SAMPLES,
    WEIGHTS,
    StaticInput,
    WindowSpec,
)

Tensors = dict[str, Any]

_COVARIATES = "NaN where unknown; NAME=VALUE is 1 where the column has that category, else 0"

SAMPLE = "sample"
"""Signature for sample paths, for models that forecast a distribution."""

SAMPLE_INPUTS: dict[str, TensorMetadata] = {
    "num_samples": TensorMetadata(dtype="int32", shape=(), meaning="number of sample paths per series, at least 1"),
    "seed": TensorMetadata(dtype="int32", shape=(), meaning="the same seed and inputs give the same paths"),
}
"""Additional inputs of `SAMPLE`."""


class ServingPreprocessor:
    """Turns raw tensors, in the order of the signature, into windows.

    Args:
        calendar: Computes the calendar features; None takes them as inputs.
        text_categories: Take categories as strings; otherwise as integers, for runtimes without strings.
    """

    def __init__(
        self, spec: WindowSpec, calendar: CalendarFeatures | None = None, *, text_categories: bool = True
    ) -> None:
        self.spec = spec
        self._text_categories = text_categories
        self._calendar = calendar if spec.future_covariates else None
        computed = self._calendar.names if self._calendar is not None else ()
        self.past_covariates = tuple(name for name in spec.past_covariates if name not in computed)
        self.future_covariates = tuple(name for name in spec.future_covariates if name not in computed)
        self._crop = HistoryWindow(spec.context)

    @property
    def static(self) -> dict[str, StaticMetadata]:
        """Static covariates by the name of their tensor."""
        return {part.input: StaticMetadata(name=part.name, categories=part.categories) for part in self.spec.static}

    @property
    def inputs(self) -> dict[str, TensorMetadata]:
        """Input tensors by name, in the order of the signature."""
        spec = self.spec
        width = len(spec.targets)
        tensors = {
            PAST: _tensor(("batch", "time", width), "history in original units, oldest first, NaN where missing"),
            LENGTH: _tensor(("batch",), "number of valid steps of each history; the rest is padding", "int32"),
        }
        if self.past_covariates:
            width = len(self.past_covariates)
            tensors[PAST_COVARIATES] = _tensor(("batch", "time", width), f"covariates of the same steps, {_COVARIATES}")
        if self.future_covariates:
            shape = ("batch", spec.horizon, len(self.future_covariates))
            tensors[FUTURE_COVARIATES] = _tensor(shape, f"covariates of the steps to forecast, {_COVARIATES}")
        if self._calendar is not None:
            meaning = "timestamp of the last valid step, in seconds of local time since 1970-01-01"
            tensors[LAST_TIME] = _tensor(("batch",), meaning, "int64")
        for static in spec.static:
            tensors[static.input] = self._static_tensor(static)
        return tensors

    def _static_tensor(self, static: StaticInput) -> TensorMetadata:
        kind, meaning = "float32", "a number, NaN where unknown"
        if static.categories is not None and self._text_categories:
            kind, meaning = "string", "a category; categories that are not in the training data are unknown"
        elif static.categories is not None:
            kind, meaning = "int32", "the index of a category, from 1; 0 where unknown"
        return _tensor(("batch",), f"'{static.name}' of each series: {meaning}", kind)

    def signature(self, batch: int | None = None, time: int | None = None, *, sample: bool = False) -> list[Any]:
        """Return the specs of the input tensors; axes that are not given are dynamic."""
        import tensorflow as tf

        sizes: dict[int | str, int | None] = {"batch": batch, "time": time}
        return [
            tf.TensorSpec(
                [axis if isinstance(axis, int) else sizes[axis] for axis in part.shape], part.dtype, name=name
            )
            for name, part in {**self.inputs, **(SAMPLE_INPUTS if sample else {})}.items()
        ]

    def __call__(self, *tensors: Any) -> tuple[Tensors, Any]:
        """Return the windows, and the step of ``past`` at which each begins."""
        inputs = dict(zip(self.inputs, tensors, strict=True))
        values, observed, length, first = self._crop(inputs[PAST], inputs[LENGTH])
        window = {PAST: values, OBSERVED: observed, LENGTH: length}
        if self.spec.past_covariates:
            window[PAST_COVARIATES] = self._past_features(inputs, length)
        if self.spec.future_covariates:
            window[FUTURE_COVARIATES] = self._future_features(inputs)
        for static in self.spec.static:
            is_text = self._text_categories and static.categories is not None
            window[static.input] = _category_index(inputs[static.input], static) if is_text else inputs[static.input]
        return window, first

    def _past_features(self, inputs: Tensors, cropped_length: Any) -> Any:
        parts = []
        if self.past_covariates:
            values, observed, _, _ = self._crop(inputs[PAST_COVARIATES], inputs[LENGTH])
            parts.append(keras.ops.where(observed > 0, values, float("nan")))
        if self._calendar is not None:
            step = keras.ops.arange(self.spec.context, dtype="int64")[None, :]
            length = keras.ops.cast(cropped_length, "int64")[:, None]
            features = self._calendar(inputs[LAST_TIME], step - length + 1)
            parts.append(keras.ops.where((step < length)[:, :, None], features, float("nan")))
        return self._combine(parts, self.past_covariates, self.spec.past_covariates)

    def _future_features(self, inputs: Tensors) -> Any:
        parts = [inputs[FUTURE_COVARIATES]] if self.future_covariates else []
        if self._calendar is not None:
            step = keras.ops.arange(1, self.spec.horizon + 1, dtype="int64")[None, :]
            parts.append(self._calendar(inputs[LAST_TIME], step))
        return self._combine(parts, self.future_covariates, self.spec.future_covariates)

    def _combine(self, parts: list[Any], input_names: tuple[str, ...], order: tuple[str, ...]) -> Any:
        """Return input features and calendar features in the order of the window."""
        if len(parts) == 1:
            return parts[0]
        assert self._calendar is not None
        names = [*input_names, *self._calendar.names]
        return keras.ops.take(keras.ops.concatenate(parts, axis=-1), [names.index(name) for name in order], axis=-1)


def build_forecast_function(model: keras.Model, preprocessor: ServingPreprocessor) -> Callable[..., Tensors]:
    """Return the function of the signature `SERVING`."""
    compute = build_output_function(model, preprocessor)

    def forecast(*tensors: Any) -> Tensors:
        outputs = compute(*tensors)
        return {name: outputs[name] for name in (FORECAST, QUANTILES)}

    return forecast


def build_output_function(model: keras.Model, preprocessor: ServingPreprocessor) -> Callable[..., Tensors]:
    """Return the function of all outputs of a model that do not depend on a seed."""

    def compute(*tensors: Any) -> Tensors:
        window, first = preprocessor(*tensors)
        outputs = model(window, training=False)
        quantiles = _without_empty(outputs[QUANTILES], window[OBSERVED])
        found = {FORECAST: quantiles[..., preprocessor.spec.median], QUANTILES: quantiles}
        found |= {name: outputs[name] for name in (WEIGHTS, ATTENTION, QUERY_STEPS) if name in outputs}
        if KEY_STEPS in outputs:
            steps = outputs[KEY_STEPS]
            found[KEY_STEPS] = keras.ops.where(steps >= 0, steps + first[:, None, None], steps)
        return found

    return compute


def _without_empty(forecast: Any, observed: Any) -> Any:
    """Return a forecast that is NaN where a history has no observed value.

    Args:
        forecast: `(batch, ..., ..., ...)`.
        observed: `(batch, context, targets)`.
    """
    has_values = keras.ops.max(observed, axis=(1, 2), keepdims=True)[..., None] > 0
    return keras.ops.where(has_values, forecast, float("nan"))


def build_sample_function(model: keras.Model, preprocessor: ServingPreprocessor) -> Callable[..., Tensors]:
    """Return the function of the signature `SAMPLE`.

    A seed gives the same noise as `keras.random` on TensorFlow.
    """
    import tensorflow as tf

    def sample(*tensors: Any) -> Tensors:
        *inputs, count, seed = tensors
        window, _ = preprocessor(*inputs)
        rows = tf.shape(window[PAST])[0]
        shape = (preprocessor.spec.horizon, len(preprocessor.spec.targets))
        noise = tf.random.stateless_normal([rows, count, *shape], [seed, 0])
        paths = sample_paths(model, window, tf.ensure_shape(noise, [None, None, *shape]))
        return {SAMPLES: _without_empty(paths, window[OBSERVED])}

    return sample


def _category_index(texts: Any, static: StaticInput) -> Any:
    """Return the indices of categories, 0 where unknown."""
    import tensorflow as tf

    assert static.categories is not None
    is_equal = tf.equal(texts[:, None], tf.constant([list(static.categories)], tf.string))
    indices = tf.range(1, len(static.categories) + 1, dtype=tf.int32)
    return tf.reduce_sum(tf.where(is_equal, indices[None, :], 0), axis=1)


def describe_outputs(
    spec: WindowSpec, *, attention: bool, sample: bool, methods: tuple[str, ...] = ()
) -> dict[str, dict[str, TensorMetadata]]:
    """Return the output tensors of each signature by name; ``methods`` are those that the model combines."""
    steps = ("batch", spec.horizon, len(spec.targets))
    outputs = {
        SERVING: {
            FORECAST: _tensor(steps, "the 0.5 quantile, in original units"),
            QUANTILES: _tensor((*steps, len(spec.levels)), "quantiles in ascending order, in original units"),
        }
    }
    if attention:
        outputs[ATTENTION] = {
            ATTENTION: _tensor(
                ("batch", "targets or 1", "heads", "queries", "keys"), "attention weights; 0 for padding"
            ),
            KEY_STEPS: _tensor(
                ("batch", "keys", 2), "first and last step of past of each key; -1 for padding", "int32"
            ),
            QUERY_STEPS: _tensor(("batch", "queries", 2), "first and last step of the horizon of each query", "int32"),
        }
    if methods:
        outputs[WEIGHTS] = {
            WEIGHTS: _tensor(("batch", *steps[1:], len(methods)), f"weights of the methods: {'; '.join(methods)}")
        }
    if sample:
        shape = ("batch", "num_samples", *steps[1:])
        outputs[SAMPLE] = {SAMPLES: _tensor(shape, "sample paths, whose steps depend on each other")}
    return outputs


def _tensor(shape: tuple[int | str, ...], meaning: str, dtype: str = "float32") -> TensorMetadata:
    return TensorMetadata(dtype=dtype, shape=shape, meaning=meaning)


Tensor = Any

FIRST_DAY = clock.days_from_civil(clock.Date(HOLIDAY_YEARS[0], 1, 1))
"""First day of `HOLIDAY_YEARS`, in days since 1970."""


class CalendarFeatures:
    """Calendar features of steps relative to the last step of a history, computed in the graph.

    The arithmetic is that of `tsattn.timeseries.calendar.add_calendar_features`. Steps are counted in local
    time: with a time zone and steps shorter than a day, steps after a daylight saving transition are an hour off.

    Args:
        schema: How the data were read; `is_supported` has to be true for it.
    """

    def __init__(self, schema: Schema) -> None:
        stepping = schema.grid.wall_clock_step
        assert stepping is not None
        self._unit, self._count = stepping
        self._span = schema.grid.span
        self._cycles = schema.calendar
        self._holidays = _count_holidays(schema.holidays) if schema.holidays else None
        self.names = calendar_feature_names(schema)

    @staticmethod
    def is_supported(schema: Schema) -> bool:
        """Return whether the schema has calendar features that a graph can compute."""
        return bool(calendar_feature_names(schema)) and schema.grid.wall_clock_step is not None

    def __call__(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return the features as float32 [batch, steps, features].

        Args:
            last: The last timestamp of each history, int64 [batch], in seconds of local time since 1970-01-01.
            steps: Steps after it, int64 [batch, steps] or [1, steps].
        """
        import tensorflow as tf

        tools = _tools()
        before, times, after = (self._times_at(last[:, None], steps + shift) for shift in (-1, 0, 1))
        columns = [column for cycle in self._cycles for column in CYCLES[cycle].features(times, tools)]
        if self._holidays is not None:
            counts = tf.constant(self._holidays, tf.int32)
            is_holiday = count_holidays(self._span, before, times, after, counts, tools)
            columns.append(tf.cast(is_holiday, tf.float32))
        return tf.stack(columns, axis=-1)

    def _times_at(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return the timestamps ``steps`` steps after ``last``, in seconds."""
        if self._unit == "seconds":
            return last + steps * self._count
        days, time = clock.floor_divmod(last, DAY)
        if self._unit == "business days":
            weekday = clock.weekday(days)
            number = (days + 3) // 7 * 5 + weekday - weekday // 5 * (weekday - 4) + steps
            return (number // 5 * 7 + number % 5 - 3) * DAY + time
        date = clock.civil_from_days(days)
        months = clock.month_number(date) + steps * self._count
        if self._unit == "month ends":
            day = clock.month_start(months + 1) - 1
        else:
            day = clock.month_start(months) + date.day - 1
        return day * DAY + time


def _count_holidays(place: str) -> npt.NDArray[np.int32]:
    """Return the number of public holidays before each day, from `FIRST_DAY` to the day after the last holiday."""
    days = holiday_days(place, *HOLIDAY_YEARS) - FIRST_DAY
    return np.append(0, np.cumsum(np.bincount(days))).astype(np.int32)


def _tools() -> SimpleNamespace:
    """Return the functions that the calendar arithmetic takes from NumPy outside a graph."""
    import tensorflow as tf

    def searchsorted(counts: Tensor, values: Tensor) -> Tensor:
        # A lookup of counts per day, because few runtimes have a search.
        return tf.gather(counts, tf.clip_by_value(values - FIRST_DAY, 0, counts.shape[0] - 1))

    return SimpleNamespace(
        sin=tf.sin,
        cos=tf.cos,
        maximum=tf.maximum,
        searchsorted=searchsorted,
        float32=lambda values: tf.cast(values, tf.float32),
        float64=lambda values: tf.cast(values, tf.float64),
    )
