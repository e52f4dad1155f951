"""Requests that TensorFlow Serving, and our own server, run before a new version answers anybody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsattn.export.description import ASSETS, WARMUP
from tsattn.export.probe import Probe
from tsattn.export.reader import SAMPLE


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
