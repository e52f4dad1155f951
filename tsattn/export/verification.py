"""Whether an exported model answers as the model in Python does, found out in a process that knows nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import numpy as np

from tsattn.errors import RunError
from tsattn.export import isolated_runtime
from tsattn.export.metadata import ASSETS, WARMUP
from tsattn.export.reference_requests import Arrays, Probe
from tsattn.export.signatures import SAMPLE
from tsattn.timeseries.window_spec import FORECAST, QUANTILES, SAMPLES

TOLERANCE = 1e-5
"""Largest difference that is let pass, in units of the scale of the window; of attention weights as they are."""

GPU_TOLERANCE = 1e-2
"""The same between the trained model on a GPU and its twin: GPUs multiply with 10 bits of 23 unless told otherwise."""

MAX_SECONDS = 600
"""Time limit of the verification of an export."""


class IsolatedRuntime:
    """A process without tsattn that runs one exported model. It imports its packages while the model is being written.

    Args:
        kind: "saved_model", "onnx", "openvino", "litert" or "keras".
        module: the module that registers the layers of the model, for Keras.
    """

    def __init__(self, kind: str, module: str | None = None) -> None:
        self.kind = kind
        environment = cpu_environment()
        # -P: the folder of the script holds modules of tsattn.
        command = [sys.executable, "-P", isolated_runtime.__file__, kind]
        if module is not None and module != "__main__":
            # The module may come from a folder that only this process has on its path.
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            command.append(module)
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._output, stderr=self._output, text=True, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._output.close()

    def run(self, line: str) -> str:
        """Run the model on the requests that a line names, as `tsattn.export.isolated_runtime` reads it.

        Returns:
            The last line of the error, "" on success.

        Raises:
            TimeoutError: it took more than `MAX_SECONDS`.
        """
        try:
            self._process.communicate(line, timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        if not self._process.returncode:
            return ""
        self._output.seek(0)
        return "".join(self._output.read().strip().splitlines()[-1:]) or f"exit status {self._process.returncode}"

    def check(self, path: Path, probes: Sequence[Probe]) -> dict[str, Any]:
        """Return how far the answers of a model are from the expected ones.

        Returns:
            The entry of the metadata: ``runtime``, ``largest_difference`` with its ``unit``, and ``rows``.

        Raises:
            RunError: the model cannot be loaded, or its answers differ.
        """
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
            np.savez(given, allow_pickle=False, **requests_of(probes))
            line = json.dumps([str(_plain(path.absolute(), Path(folder))), str(given), str(made)]) + "\n"
            try:
                error = self.run(line)
            except TimeoutError:
                raise RunError(f"{path}: was not verified: it gave no answer within {MAX_SECONDS} s") from None
            if error:
                raise RunError(f"{path}: cannot be run outside tsattn: {error[:500]}")
            with np.load(made) as loaded:
                difference = largest_difference(probes, dict(loaded))
        if not difference <= TOLERANCE:
            raise RunError(
                f"{path}: expected answers within {TOLERANCE:g} of the window's scale of those of the model in Python, "
                f"but they differ by {difference:.2g}: it was not exported; please report this"
            )
        return {
            "runtime": self.kind,
            "largest_difference": difference,
            "unit": "scale of the window; attention weights as they are",
            "rows": sum(len(probe.scale) for probe in probes),
        }


def cpu_environment() -> dict[str, str]:
    """Return the environment of a process without a GPU: an exported model has to run on any machine."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


launcher: ContextVar[Callable[[str, str | None], IsolatedRuntime]] = ContextVar("launcher", default=IsolatedRuntime)
"""Starts the runtime that verifies an export, from its kind and module. Set it to reuse a process."""


def _plain(path: Path, folder: Path) -> Path:
    """Return a path to the same through a folder with a plain name: TensorFlow takes "[run]" for a pattern."""
    link = folder / "model"
    link.symlink_to(path if path.is_dir() else path.parent, target_is_directory=True)
    return link if path.is_dir() else link / path.name


def check_twin(known: Sequence[Probe], found: Sequence[Probe]) -> None:
    """Raise a RunError where a model that is to be exported answers otherwise than the one that was trained."""
    import tensorflow as tf

    made = {
        f"{number}/{signature}/{name}": x
        for number, probe in enumerate(found)
        for signature, answers in probe.answers.items()
        for name, x in answers.items()
    }
    tolerance = GPU_TOLERANCE if tf.config.list_physical_devices("GPU") else TOLERANCE
    apart = largest_difference(known, made)
    if not apart <= tolerance:
        raise RunError(
            f"expected answers of the portable model within {tolerance:g} of the window's scale of those of the "
            f"trained one, but they differ by {apart:.2g}: it was not exported; please report this"
        )


def requests_of(probes: Sequence[Probe]) -> Arrays:
    """Return the inputs of probes for each signature, as ``NUMBER/SIGNATURE/NAME``."""
    return {
        f"{number}/{signature}/{name}": x.astype(np.str_) if x.dtype == object else x
        for number, probe in enumerate(probes)
        for signature in probe.answers
        for name, x in probe.request(signature).items()
    }


def largest_difference(probes: Sequence[Probe], made: Arrays) -> float:
    """Return the largest difference of answers, named as by `requests_of`; infinite where one is missing."""
    largest = 0.0
    for number, probe in enumerate(probes):
        for signature, expected in probe.answers.items():
            for name, known in expected.items():
                found = made.get(f"{number}/{signature}/{name}")
                if found is None or found.shape != known.shape:
                    return float("inf")
                if name in (FORECAST, QUANTILES):
                    apart = difference(known, found, probe.scale, probe.step)
                elif name == SAMPLES:
                    # As far as they go, for some go far; with the paths in the place of the steps.
                    scale = np.maximum(probe.scale, np.ptp(known, axis=(1, 2)))
                    apart = difference(known, found, scale, probe.step, targets=3)
                else:
                    apart = difference(known, found)
                largest = max(largest, apart)
    return largest


FEW = 0.1
"""Largest share of counts that may be one off: what lies between two of them is rounded up here and down there."""


def difference(known: Any, found: Any, scale: Any = None, step: float = 0.0, *, targets: int = 2) -> float:
    """Return the largest difference of one output, infinite where only one of the two is a finite number.

    Args:
        known: [batch, horizon, targets, ...] where there is a scale, else of any shape.
        found: of the same shape.
        scale: what differences are divided by, [batch, targets].
        step: a difference that does not count where few values differ.
        targets: axis of the targets.
    """
    if not (np.isfinite(known) == np.isfinite(found)).all():
        return float("inf")
    known, found = (np.where(np.isfinite(x), x, 0).astype(np.float64) for x in (known, found))
    apart = np.abs(known - found)
    if step and (apart > 0).mean() <= FEW:
        apart = np.where(apart <= step, 0.0, apart)
    if scale is not None:
        apart = apart / np.expand_dims(scale, (*range(1, targets), *range(targets + 1, apart.ndim)))
    return float(apart.max(initial=0.0))


def write_warmup(path: Path, name: str, probes: Sequence[Probe]) -> None:
    """Write the inputs of probes as requests to every signature of a SavedModel that answers row by row.

    Args:
        path: the SavedModel.
        name: what the model is called.
        probes: see `tsattn.export.probe`.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    (path / ASSETS).mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / ASSETS / WARMUP)) as writer:
        for probe in probes:
            for signature in (name for name in probe.answers if name != SAMPLE):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key, x in probe.inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(x))
                writer.write(log.SerializeToString())
