"""Verification of exports: an isolated process runs the written model and its outputs are compared with Python's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsattn.errors import RunError
from tsattn.export.isolated_process import IsolatedRuntime
from tsattn.export.metadata import ASSETS, WARMUP_FILE
from tsattn.export.reference_requests import Arrays, ReferenceRequest
from tsattn.export.signatures import SAMPLE
from tsattn.timeseries.windows import FORECAST, QUANTILES, SAMPLES

TOLERANCE = 1e-5
"""Maximum difference, relative to the scale of the window; absolute for attention weights."""

GPU_TOLERANCE = 1e-2
"""The same between a model on a GPU and its portable copy: GPUs multiply with 10 of 23 mantissa bits by default."""

_logger = logging.getLogger(__name__)


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


def flatten_inputs(requests: Sequence[ReferenceRequest]) -> Arrays:
    """Return the inputs of requests for each signature, with keys ``NUMBER/SIGNATURE/NAME``."""
    return {
        f"{number}/{signature}/{name}": x.astype(np.str_) if x.dtype == object else x
        for number, request in enumerate(requests)
        for signature in request.outputs
        for name, x in request.inputs_of(signature).items()
    }


def largest_difference(requests: Sequence[ReferenceRequest], outputs: Arrays) -> float:
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
