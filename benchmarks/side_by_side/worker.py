"""Execute one run: read a request from standard input, fit, then forecast.

python -m benchmarks.side_by_side.worker FOLDER < request.json

Writes ``forecasts.npy`` and ``answer.json`` to the folder.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.accuracy.tasks import get_task
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.contestants import CORES
from benchmarks.side_by_side.tasks import prediction_inputs, to_scored_shape, training_data

LIBRARIES = ("numpy", "pandas", "sklearn", "statsforecast", "neuralforecast", "torch", "keras", "tensorflow")


def main() -> None:
    """Execute the run that standard input requests."""
    request = json.load(sys.stdin)
    clock = Clock(request["started"], request["budget"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    task, data, folder = get_task(request["task"]), Path(request["data"]), Path(sys.argv[1])
    module = import_module(f"benchmarks.side_by_side.{request['module']}")
    fitted = module.fit(training_data(task, data), request["options"], request["seed"], clock)
    fitted_seconds = clock.seconds()
    # The test part is read only after fitting.
    np.save(folder / "forecasts.npy", to_scored_shape(task, fitted.forecast(*prediction_inputs(task, data))))
    answer = {
        "fitted_seconds": round(fitted_seconds, 1),
        "forecast_seconds": round(clock.seconds() - fitted_seconds, 1),
        "uncounted_seconds": round(clock.uncounted, 1),
        "details": fitted.details,
        "versions": {"python": platform.python_version(), **_versions()},
    }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _versions() -> dict[str, str]:
    """Return the versions of the imported libraries."""
    return {name: str(sys.modules[name].__version__) for name in LIBRARIES if name in sys.modules}


if __name__ == "__main__":
    main()
