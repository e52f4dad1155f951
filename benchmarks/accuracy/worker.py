"""Execute one run: read a request from standard input, write the figures to a file.

python -m benchmarks.accuracy.worker FILE < request.json
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from benchmarks.accuracy.configuration import make_run_config
from benchmarks.accuracy.protocols import run
from benchmarks.accuracy.tasks import get_task


@contextmanager
def log(title: str) -> Iterator[Any]:
    """Print the losses of a training, one line per epoch."""

    def print_losses(epoch: int, logs: dict[str, float]) -> None:
        print(f"{title}: epoch {epoch + 1}", *(f"{name} {value:.5f}" for name, value in logs.items()), flush=True)

    yield keras.callbacks.LambdaCallback(on_epoch_end=print_losses)


def devices() -> list[str]:
    """Return the names of the accelerators."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return [str(tf.config.experimental.get_device_details(device).get("device_name", device.name)) for device in found]


def main() -> None:
    """Execute the run that standard input requests."""
    request = json.load(sys.stdin)
    config = make_run_config(request["configuration"], request["seed"])
    outcome = run(get_task(request["task"]), config, request["stage"], Path(request["data"]), log)
    result = asdict(outcome)
    figures = result.pop("figures")
    versions = {
        "python": platform.python_version(),
        **{name: version(name) for name in ("keras", "tensorflow", "numpy")},
    }
    accelerators = devices() if keras.backend.backend() == "tensorflow" else []
    answer = {**figures, **result, "versions": versions, "accelerators": accelerators}
    Path(sys.argv[1]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
