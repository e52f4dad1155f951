"""Verification of exports: an isolated process runs the written model and its outputs are compared with Python's.

Reference requests are inputs with the outputs of the Python model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.errors import RunError
from tsattn.export.isolated_process import IsolatedRuntime
from tsattn.export.metadata import ASSETS, SERVING, WARMUP_FILE, ModelMetadata, make_request
from tsattn.export.signatures import SAMPLE
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models.forecast_model import sample_paths
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.windows import (
    ATTENTION,
    FORECAST,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    SAMPLES,
    WEIGHTS,
    gather,
)

_Arrays = dict[str, npt.NDArray[Any]]

MAX_SERIES = 6
"""Maximum number of series of a request."""

JUNK_STEPS = 7
"""Steps of padding before and after the histories."""

SAMPLE_ARGUMENTS: _Arrays = {"num_samples": np.array(5, np.int32), "seed": np.array(3, np.int32)}
"""Additional inputs of the signature `SAMPLE`."""

TOLERANCE = 1e-5
"""Maximum difference, relative to the scale of the window; absolute for attention weights."""

GPU_TOLERANCE = 1e-2
"""The same between a model on a GPU and its portable copy: GPUs multiply with 10 of 23 mantissa bits by default."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceRequest:
    """One request with the expected outputs of every signature.

    Args:
        outputs: Output tensors by name, for each signature.
        scale: Scale of each window, [batch, targets], see `compute_window_scales`.
        resolution: Smallest difference between two values: 1 for counts, else 0.
    """

    inputs: _Arrays
    outputs: dict[str, _Arrays]
    scale: npt.NDArray[np.float32]
    resolution: float = 0.0

    def inputs_of(self, signature: str) -> _Arrays:
        """Return the input tensors of a signature."""
        return {**self.inputs, **SAMPLE_ARGUMENTS} if signature == SAMPLE else self.inputs

    def take_rows(self, count: int) -> ReferenceRequest:
        """Return the first rows, repeated if there are fewer; without samples, which depend on the other rows."""
        row = np.arange(count) % len(self.scale)
        outputs = {
            name: {key: x[row] for key, x in parts.items()} for name, parts in self.outputs.items() if name != SAMPLE
        }
        inputs = {name: x[row] for name, x in self.inputs.items()}
        return replace(self, inputs=inputs, outputs=outputs, scale=self.scale[row])

    def with_time(self, time: int) -> ReferenceRequest:
        """Return the rows whose history has at most ``time`` steps, in arrays of exactly that many."""
        rows = np.flatnonzero(self.inputs[LENGTH] <= time)
        inputs = {name: x[rows] for name, x in self.inputs.items()}
        for name in (PAST, PAST_COVARIATES):
            if name in inputs:
                padded = np.full((len(rows), time, inputs[name].shape[2]), np.nan, np.float32)
                common = min(time, inputs[name].shape[1])
                padded[:, :common] = inputs[name][:, :common]
                inputs[name] = padded
        outputs = {name: {key: x[rows] for key, x in parts.items()} for name, parts in self.outputs.items()}
        return replace(self, inputs=inputs, outputs=outputs, scale=self.scale[rows])


@dataclass(frozen=True)
class RequestGenerator:
    """Generates reference requests from the end of the training data.

    Args:
        model: The model to export. It runs on the CPU, because a GPU may compute with lower precision.
        max_steps: Maximum length of a history, if the graph has one.
    """

    fitted: FittedForecaster
    model: keras.Model
    max_steps: int | None = None

    @property
    def _panel(self) -> Panel:
        panel = self.fitted.panel
        return panel if self.max_steps is None else panel.tail(self.max_steps)

    def make_requests(self, metadata: ModelMetadata) -> list[ReferenceRequest]:
        """Return a request with whole histories, one with ragged histories and gaps, and one with a single row."""
        panel = self._panel
        series = np.linspace(0, len(panel) - 1, min(MAX_SERIES, len(panel))).astype(np.int64)
        whole = self._make_request(metadata, panel, series, panel.lengths[series])
        ragged = _add_junk(self._make_ragged(metadata, np.resize(series, MAX_SERIES)), metadata.context)
        return [whole, ragged, ragged.take_rows(1)]

    def make_sample(self, metadata: ModelMetadata) -> ReferenceRequest:
        """Return an example request for the client kit: two histories of different length with gaps."""
        return self._make_ragged(metadata, np.array([0, len(self._panel) - 1]))

    def make_windows(self) -> list[ReferenceRequest]:
        """Return one request for the bare Keras model: ragged windows with gaps."""
        series = np.resize(np.arange(len(self._panel)), MAX_SERIES)
        panel, origin = self._make_gaps(series)
        window = gather(panel, self.fitted.spec, series, origin, target=False)
        quantiles = self._predict(window)[QUANTILES]
        scale = compute_window_scales(window, quantiles)
        return [ReferenceRequest(window, {SERVING: {QUANTILES: quantiles}}, scale, self._resolution)]

    @property
    def _resolution(self) -> float:
        return 1.0 if self.fitted.spec.support == "count" else 0.0

    def _make_ragged(self, metadata: ModelMetadata, series: Ints) -> ReferenceRequest:
        panel, origin = self._make_gaps(series)
        return self._make_request(metadata, panel, series, origin)

    def _make_gaps(self, series: Ints) -> tuple[Panel, Ints]:
        """Return the panel with a fifth of its values missing, and forecast origins that differ between the rows."""
        panel, rng = self._panel, np.random.default_rng(0)
        fraction = rng.uniform(0.02, 1, len(series))
        fraction[0], fraction[1:2] = 1, 0.05
        origin = np.maximum((panel.lengths[series] * fraction).astype(np.int64), 1)
        missing = rng.random(panel.values.shape) < 0.2
        values = np.where(missing, np.float32(np.nan), panel.values)
        return replace(panel, series=replace(panel.series, values=values)), origin

    def _make_request(self, metadata: ModelMetadata, panel: Panel, series: Ints, origin: Ints) -> ReferenceRequest:
        window = gather(panel, self.fitted.spec, series, origin, target=False)
        predicted = self._predict(window)
        # As the served function does.
        empty = window[OBSERVED].max(axis=(1, 2)) == 0
        quantiles = _without_forecast(predicted[QUANTILES], empty)
        outputs = {SERVING: {FORECAST: quantiles[..., self.fitted.spec.median], QUANTILES: quantiles}}
        for signature in {ATTENTION, WEIGHTS} & set(metadata.outputs):
            outputs[signature] = {name: predicted[name] for name in metadata.outputs[signature]}
        if SAMPLE in metadata.outputs:
            outputs[SAMPLE] = {SAMPLES: _without_forecast(self._sample(window), empty)}
        inputs = make_request(panel, metadata, series, origin)
        return ReferenceRequest(inputs, outputs, compute_window_scales(window, predicted[QUANTILES]), self._resolution)

    def _sample(self, window: _Arrays) -> npt.NDArray[Any]:
        spec = self.fitted.spec
        shape = (len(window[LENGTH]), int(SAMPLE_ARGUMENTS["num_samples"]), spec.horizon, len(spec.targets))
        with keras.device("cpu:0"):
            noise = keras.random.normal(shape, seed=int(SAMPLE_ARGUMENTS["seed"]))
            samples: npt.NDArray[Any] = keras.ops.convert_to_numpy(sample_paths(self.model, window, noise))
        return samples

    def _predict(self, window: _Arrays) -> _Arrays:
        with keras.device("cpu:0"):
            return {name: keras.ops.convert_to_numpy(x) for name, x in self.model(window, training=False).items()}


def _without_forecast(forecast: npt.NDArray[Any], empty: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return a forecast, [batch, ...], that is NaN for histories without an observed value, bool [batch]."""
    result = forecast.copy()
    result[empty] = np.nan
    return result


def _add_junk(request: ReferenceRequest, context: int) -> ReferenceRequest:
    """Return a request in longer arrays: junk before histories of full context, which is cropped, and after all."""
    inputs, length = dict(request.inputs), request.inputs[LENGTH]
    before = np.where(length == context, JUNK_STEPS, 0).astype(np.int32)
    for name in (PAST, PAST_COVARIATES):
        if name in inputs:
            batch, time, width = inputs[name].shape
            padded = np.full((batch, time + 2 * JUNK_STEPS, width), 1e6, np.float32)
            for row in range(batch):
                padded[row, before[row] : before[row] + length[row]] = inputs[name][row, : length[row]]
            inputs[name] = padded
    inputs[LENGTH] = length + before
    outputs = {name: dict(parts) for name, parts in request.outputs.items()}
    if ATTENTION in outputs:
        steps = outputs[ATTENTION][KEY_STEPS]
        outputs[ATTENTION][KEY_STEPS] = np.where(steps >= 0, steps + before[:, None, None], steps)
    return replace(request, inputs=inputs, outputs=outputs)


def compute_window_scales(window: _Arrays, quantiles: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the scale of each window, [batch, targets], which differences are divided by.

    The scale is the standard deviation of the observed values, and at least 1/20 of their mean absolute value, because
    float32 has a relative precision of about 1e-7. If all values are missing or zero, it is 1/20 of the mean absolute
    forecast. It is at least the range of the forecast, because a network computes a short history, whose own standard
    deviation may be small, in units of the training data.

    Args:
        quantiles: The forecast, [batch, horizon, targets, levels].
    """
    observed = window[OBSERVED]
    values = np.where(observed > 0, window[PAST], 0).astype(np.float64)
    count = np.maximum(observed.sum(axis=1), 1)
    mean, level = values.sum(axis=1) / count, np.abs(values).sum(axis=1) / count
    spread = np.sqrt((np.where(observed > 0, values - mean[:, None], 0) ** 2).sum(axis=1) / count)
    level = np.where(level > 0, level, np.abs(quantiles).mean(axis=(1, 3)))
    scale = np.maximum(np.maximum(spread, level / 20), np.ptp(quantiles, axis=(1, 3)))
    return np.where(scale > 0, scale, 1).astype(np.float32)


class Verification:
    """Compares the outputs of a written model with the expected ones, while the caller does other work.

    Args:
        runtime: The process that runs the model.
        path: The model, which the process begins to load.
    """

    def __init__(self, runtime: IsolatedRuntime, path: Path) -> None:
        self._runtime = runtime
        self._path = path
        self._requests: Sequence[ReferenceRequest] = ()
        runtime.load(path)

    def start(self, requests: Sequence[ReferenceRequest]) -> None:
        """Begin to run the model on requests."""
        self._requests = requests
        self._runtime.start(flatten_inputs(requests))

    def finish(self) -> dict[str, Any]:
        """Wait for the outputs and compare them.

        Returns:
            The ``agreement`` of the metadata: ``runtime``, ``largest_difference`` with its ``unit``, and ``rows``.

        Raises:
            RunError: The model cannot be loaded, or its outputs differ.
        """
        _logger.info("Checking the export in a process without tsattn")
        difference = largest_difference(self._requests, self._runtime.finish())
        if not difference <= TOLERANCE:
            raise RunError(
                f"{self._path}: expected outputs that differ from the Python model's by at most {TOLERANCE:g} of the "
                f"window's scale, got a difference of {difference:.2g}",
                "report this as a bug; nothing was exported",
            )
        return {
            "runtime": self._runtime.kind,
            "largest_difference": difference,
            "unit": "scale of the window; attention weights as they are",
            "rows": sum(len(request.scale) for request in self._requests),
        }


def check_portable_model(trained: Sequence[ReferenceRequest], portable: Sequence[ReferenceRequest]) -> None:
    """Raise a RunError if the outputs of the portable model differ from those of the trained one."""
    import tensorflow as tf

    outputs = {
        f"{number}/{signature}/{name}": x
        for number, request in enumerate(portable)
        for signature, outputs in request.outputs.items()
        for name, x in outputs.items()
    }
    tolerance = GPU_TOLERANCE if tf.config.list_physical_devices("GPU") else TOLERANCE
    difference = largest_difference(trained, outputs)
    if not difference <= tolerance:
        raise RunError(
            f"expected outputs of the portable model that differ from the trained model's by at most {tolerance:g} of "
            f"the window's scale, got a difference of {difference:.2g}",
            "report this as a bug; nothing was exported",
        )


def flatten_inputs(requests: Sequence[ReferenceRequest]) -> _Arrays:
    """Return the inputs of requests for each signature, with keys ``NUMBER/SIGNATURE/NAME``."""
    return {
        f"{number}/{signature}/{name}": x.astype(np.str_) if x.dtype == object else x
        for number, request in enumerate(requests)
        for signature in request.outputs
        for name, x in request.inputs_of(signature).items()
    }


def largest_difference(requests: Sequence[ReferenceRequest], outputs: _Arrays) -> float:
    """Return the largest difference from the expected outputs; infinite if one is missing.

    Args:
        requests: The requests with their expected outputs.
        outputs: Actual outputs, with the keys of `flatten_inputs`.
    """
    largest = 0.0
    for number, request in enumerate(requests):
        for signature, expected in request.outputs.items():
            for name, known in expected.items():
                found = outputs.get(f"{number}/{signature}/{name}")
                if found is None or found.shape != known.shape:
                    return float("inf")
                if name in (FORECAST, QUANTILES):
                    difference = tensor_difference(known, found, request.scale, request.resolution)
                elif name == SAMPLES:
                    # Sample paths can leave the range of the window, so their own range counts as well. Axis 1 holds
                    # the paths.
                    scale = np.maximum(request.scale, np.ptp(known, axis=(1, 2)))
                    difference = tensor_difference(known, found, scale, request.resolution, target_axis=3)
                else:
                    difference = tensor_difference(known, found)
                largest = max(largest, difference)
    return largest


MAX_ROUNDED_FRACTION = 0.1
"""Maximum fraction of counts that may differ by one: values halfway between two counts are rounded either way."""


def tensor_difference(
    known: Any, found: Any, scale: Any = None, resolution: float = 0.0, *, target_axis: int = 2
) -> float:
    """Return the largest difference of one output; infinite if only one of the two is finite.

    Args:
        known: Expected values, [batch, horizon, targets, ...] if there is a scale, else of any shape.
        found: Actual values of the same shape.
        scale: Divides the differences, [batch, targets].
        resolution: Differences up to it are ignored if at most `MAX_ROUNDED_FRACTION` of the values differ.
        target_axis: Axis of the targets.
    """
    if not (np.isfinite(known) == np.isfinite(found)).all():
        return float("inf")
    known, found = (np.where(np.isfinite(x), x, 0).astype(np.float64) for x in (known, found))
    difference = np.abs(known - found)
    if resolution and (difference > 0).mean() <= MAX_ROUNDED_FRACTION:
        difference = np.where(difference <= resolution, 0.0, difference)
    if scale is not None:
        difference /= np.expand_dims(scale, (*range(1, target_axis), *range(target_axis + 1, difference.ndim)))
    return float(difference.max(initial=0.0))


def write_warmup(path: Path, name: str, requests: Sequence[ReferenceRequest]) -> None:
    """Write requests as TensorFlow Serving's warm-up requests of a SavedModel.

    They cover every signature that takes the same inputs; `SAMPLE` takes others.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    (path / ASSETS).mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / ASSETS / WARMUP_FILE)) as writer:
        for reference in requests:
            for signature in (name for name in reference.outputs if name != SAMPLE):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key, x in reference.inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(x))
                writer.write(log.SerializeToString())
