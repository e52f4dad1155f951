"""The graph around a model: from the raw tensors that a client sends to the window, and from there to the answer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.export.metadata import LAST_TIME, StaticDescription, TensorDescription
from tsattn.layers import HistoryWindow
from tsattn.models.sampling import paths
from tsattn.timeseries import calendar as clock
from tsattn.timeseries.calendar import CYCLES, DAY, calendar_features, holiday_days, holidays_of
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.window_spec import (
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
    StaticInput,
    WindowSpec,
)

Tensors = dict[str, Any]

_COVARIATES = (
    "NaN where unknown; NAME=VALUE is 1 where the column has that category and 0 else, all 0 where it has another one"
)

SERVING = "serving_default"
"""Name of the signature that forecasts."""

SAMPLE = "sample"
"""Name of the signature that draws paths, where the forecast is a distribution."""

DRAWN: dict[str, TensorDescription] = {
    "num_samples": TensorDescription(dtype="int32", shape=(), meaning="number of paths of each series, 1 or more"),
    "seed": TensorDescription(dtype="int32", shape=(), meaning="paths of the same seed and inputs are the same"),
}
"""What that signature takes besides what the others take."""


class WindowReader:
    """From raw tensors, in the order of the signature, to the window of a model.

    Args:
        spec: the window.
        stamps: the features of the calendar, where the window has any and the graph can follow it.
        texts: whether categories come as text; else by their number, for programs that have no text.
    """

    def __init__(self, spec: WindowSpec, stamps: StampFeatures | None = None, *, texts: bool = True) -> None:
        self.spec = spec
        self._texts = texts
        self._stamps = stamps if spec.future_covariates else None
        own = self._stamps.names if self._stamps is not None else ()
        self.past_covariates = tuple(name for name in spec.past_covariates if name not in own)
        self.future_covariates = tuple(name for name in spec.future_covariates if name not in own)
        self._crop = HistoryWindow(spec.context)

    @property
    def static(self) -> dict[str, StaticDescription]:
        """The static covariates by the name of their tensor."""
        return {part.input: StaticDescription(name=part.name, categories=part.categories) for part in self.spec.static}

    @property
    def inputs(self) -> dict[str, TensorDescription]:
        """The tensors of a request in the order in which the graph takes them."""
        spec = self.spec
        width = len(spec.targets)
        made = {
            PAST: _tensor(("batch", "time", width), "history in original units, oldest first, NaN where missing"),
            LENGTH: _tensor(("batch",), "valid steps of each history; what follows them is padding", "int32"),
        }
        if self.past_covariates:
            width = len(self.past_covariates)
            made[PAST_COVARIATES] = _tensor(("batch", "time", width), f"covariates of the same steps, {_COVARIATES}")
        if self.future_covariates:
            shape = ("batch", spec.horizon, len(self.future_covariates))
            made[FUTURE_COVARIATES] = _tensor(shape, f"covariates of the steps to forecast, {_COVARIATES}")
        if self._stamps is not None:
            meaning = "stamp of the last valid step, in seconds of the wall clock since 1970-01-01"
            made[LAST_TIME] = _tensor(("batch",), meaning, "int64")
        for static in spec.static:
            made[static.input] = self._static_tensor(static)
        return made

    def _static_tensor(self, static: StaticInput) -> TensorDescription:
        kind, meaning = "float32", "a number, NaN where unknown"
        if static.categories is not None and self._texts:
            kind, meaning = "string", "a category; one that training did not see is unknown"
        elif static.categories is not None:
            kind, meaning = "int32", "the number of a category, from 1 on; 0 where unknown"
        return _tensor(("batch",), f"'{static.name}' of each series: {meaning}", kind)

    def signature(self, batch: int | None = None, time: int | None = None, *, sample: bool = False) -> list[Any]:
        """Return names, types and shapes of the tensors; what is not given of the shape is free."""
        import tensorflow as tf

        sizes: dict[int | str, int | None] = {"batch": batch, "time": time}
        return [
            tf.TensorSpec(
                [axis if isinstance(axis, int) else sizes[axis] for axis in part.shape], part.dtype, name=name
            )
            for name, part in {**self.inputs, **(DRAWN if sample else {})}.items()
        ]

    def __call__(self, *tensors: Any) -> tuple[Tensors, Any]:
        """Return the window, and the step that each begins at."""
        given = dict(zip(self.inputs, tensors, strict=True))
        values, observed, kept, first = self._crop(given[PAST], given[LENGTH])
        window = {PAST: values, OBSERVED: observed, LENGTH: kept}
        if self.spec.past_covariates:
            window[PAST_COVARIATES] = self._features_before(given, kept)
        if self.spec.future_covariates:
            window[FUTURE_COVARIATES] = self._features_ahead(given)
        for static in self.spec.static:
            texts = self._texts and static.categories is not None
            window[static.input] = _numbers(given[static.input], static) if texts else given[static.input]
        return window, first

    def _features_before(self, given: Tensors, kept: Any) -> Any:
        parts = []
        if self.past_covariates:
            known, seen, _, _ = self._crop(given[PAST_COVARIATES], given[LENGTH])
            parts.append(keras.ops.where(seen > 0, known, float("nan")))
        if self._stamps is not None:
            step = keras.ops.arange(self.spec.context, dtype="int64")[None, :]
            length = keras.ops.cast(kept, "int64")[:, None]
            features = self._stamps(given[LAST_TIME], step - length + 1)
            parts.append(keras.ops.where((step < length)[:, :, None], features, float("nan")))
        return self._in_order(parts, self.past_covariates, self.spec.past_covariates)

    def _features_ahead(self, given: Tensors) -> Any:
        parts = [given[FUTURE_COVARIATES]] if self.future_covariates else []
        if self._stamps is not None:
            step = keras.ops.arange(1, self.spec.horizon + 1, dtype="int64")[None, :]
            parts.append(self._stamps(given[LAST_TIME], step))
        return self._in_order(parts, self.future_covariates, self.spec.future_covariates)

    def _in_order(self, parts: list[Any], given: tuple[str, ...], wanted: tuple[str, ...]) -> Any:
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


def sample_function(model: keras.Model, reader: WindowReader) -> Callable[..., Tensors]:
    """Return the function from the same, the number of paths and a seed, to the paths.

    The seed gives the noise that `keras.random` gives of it on TensorFlow.
    """
    import tensorflow as tf

    def sample(*tensors: Any) -> Tensors:
        *given, count, seed = tensors
        window, _ = reader(*given)
        rows = tf.shape(window[PAST])[0]
        shape = (reader.spec.horizon, len(reader.spec.targets))
        noise = tf.random.stateless_normal([rows, count, *shape], [seed, 0])
        return {SAMPLES: paths(model, window, tf.ensure_shape(noise, [None, None, *shape]))}

    return sample


def attention_function(model: keras.Model, reader: WindowReader) -> Callable[..., Tensors]:
    """Return the function from the same to the attention weights and the steps they belong to."""

    def attention(*tensors: Any) -> Tensors:
        window, first = reader(*tensors)
        outputs = model(window, training=False)
        steps = outputs[KEY_STEPS]
        steps = keras.ops.where(steps >= 0, steps + first[:, None, None], steps)
        return {ATTENTION: outputs[ATTENTION], KEY_STEPS: steps, QUERY_STEPS: outputs[QUERY_STEPS]}

    return attention


def _numbers(texts: Any, static: StaticInput) -> Any:
    """Return the numbers of categories, 0 where unknown."""
    import tensorflow as tf

    assert static.categories is not None
    same = tf.equal(texts[:, None], tf.constant([list(static.categories)], tf.string))
    numbers = tf.range(1, len(static.categories) + 1, dtype=tf.int32)
    return tf.reduce_sum(tf.where(same, numbers[None, :], 0), axis=1)


def outputs_of(spec: WindowSpec, *, attention: bool, sample: bool) -> dict[str, dict[str, TensorDescription]]:
    """Return what each signature gives, by its name."""
    steps = ("batch", spec.horizon, len(spec.targets))
    outputs = {
        SERVING: {
            FORECAST: _tensor(steps, "the 0.5 quantile, in original units"),
            QUANTILES: _tensor((*steps, len(spec.levels)), "ascending quantiles, in original units"),
        }
    }
    if attention:
        outputs[ATTENTION] = {
            ATTENTION: _tensor(("batch", "targets or 1", "heads", "queries", "keys"), "weights; 0 for padding"),
            KEY_STEPS: _tensor(
                ("batch", "keys", 2), "first and last step of past of each key; -1 for padding", "int32"
            ),
            QUERY_STEPS: _tensor(("batch", "queries", 2), "first and last step of the horizon of each query", "int32"),
        }
    if sample:
        shape = ("batch", "num_samples", *steps[1:])
        outputs[SAMPLE] = {SAMPLES: _tensor(shape, "paths of what may follow, whose steps depend on each other")}
    return outputs


def _tensor(shape: tuple[int | str, ...], meaning: str, dtype: str = "float32") -> TensorDescription:
    return TensorDescription(dtype=dtype, shape=shape, meaning=meaning)


Tensor = Any

HOLIDAYS = (1950, 2100)
"""First and last year whose holidays a graph holds."""

FIRST_DAY = clock.days_of(clock.Date(HOLIDAYS[0], 1, 1))
"""First day of them, in days since 1970."""


class StampFeatures:
    """What the calendar says of the steps around the last one of a history.

    The same arithmetic as `tsattn.data.calendar.with_calendar`, with which it agrees. Steps are counted on the wall
    clock: where stamps have a time zone and steps are shorter than a day, those behind a change of the clocks are an
    hour off.

    Args:
        schema: how the data were read; `can_step` tells whether its steps are plain enough.
    """

    def __init__(self, schema: Schema) -> None:
        stepping = schema.grid.stepping
        assert stepping is not None
        self._unit, self._count = stepping
        self._span = schema.grid.span
        self._cycles = schema.calendar
        self._holidays = _counted(schema.holidays) if schema.holidays else None
        self.names = calendar_features(schema)

    @staticmethod
    def can_step(schema: Schema) -> bool:
        """Tell whether a graph can follow the calendar of a schema, which may have none."""
        return bool(calendar_features(schema)) and schema.grid.stepping is not None

    def __call__(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return float32 [batch, steps, features].

        Args:
            last: the last stamp of each history, int64 [batch], in seconds of the wall clock since 1970-01-01.
            steps: steps from there, int64 [batch, steps] or [1, steps].
        """
        import tensorflow as tf

        tools = _tools()
        before, stamps, after = (self._at(last[:, None], steps + ahead) for ahead in (-1, 0, 1))
        columns = [column for cycle in self._cycles for column in CYCLES[cycle].features(stamps, tools)]
        if self._holidays is not None:
            known = tf.constant(self._holidays, tf.int32)
            found = holidays_of(self._span, before, stamps, after, known, tools)
            columns.append(tf.cast(found, tf.float32))
        return tf.stack(columns, axis=-1)

    def _at(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return stamps some steps behind others, in seconds."""
        if self._unit == "seconds":
            return last + steps * self._count
        days, time = clock.split(last, DAY)
        if self._unit == "business days":
            weekday = clock.weekday_of(days)
            number = (days + 3) // 7 * 5 + weekday - weekday // 5 * (weekday - 4) + steps
            return (number // 5 * 7 + number % 5 - 3) * DAY + time
        date = clock.date_of(days)
        months = clock.months_of(date) + steps * self._count
        if self._unit == "month ends":
            day = clock.first_of_month(months + 1) - 1
        else:
            day = clock.first_of_month(months) + date.day - 1
        return day * DAY + time


def _counted(place: str) -> npt.NDArray[np.int32]:
    """Return how many public holidays there were before each day, from `FIRST_DAY` to the day behind the last one."""
    days = holiday_days(place, *HOLIDAYS) - FIRST_DAY
    return np.append(0, np.cumsum(np.bincount(days))).astype(np.int32)


def _tools() -> SimpleNamespace:
    """Return what the arithmetic of the calendar takes from NumPy elsewhere."""
    import tensorflow as tf

    def searchsorted(known: Tensor, values: Tensor) -> Tensor:
        # The known ones are counted by day, for a search in them is what few other programs have.
        return tf.gather(known, tf.clip_by_value(values - FIRST_DAY, 0, known.shape[0] - 1))

    return SimpleNamespace(
        sin=tf.sin,
        cos=tf.cos,
        maximum=tf.maximum,
        searchsorted=searchsorted,
        float32=lambda values: tf.cast(values, tf.float32),
        float64=lambda values: tf.cast(values, tf.float64),
    )
