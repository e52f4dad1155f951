"""One run in a process of its own: reads what to do from standard input, fits, then forecasts.

python -m benchmarks.side_by_side.worker FOLDER < request.json

The folder gets ``forecasts.npy`` and ``answer.json``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.accuracy.tasks import task
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.contestants import CORES
from benchmarks.side_by_side.tasks import answered, known, question

LIBRARIES = ("numpy", "pandas", "sklearn", "statsforecast", "neuralforecast", "torch", "keras", "tensorflow")


def main() -> None:
    """Do the run that standard input asks for."""
    request = json.load(sys.stdin)
    clock = Clock(request["started"], request["budget"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    asked, data, folder = task(request["task"]), Path(request["data"]), Path(sys.argv[1])
    module = import_module(f"benchmarks.side_by_side.{request['module']}")
    fitted = module.fit(known(asked, data), request["options"], request["seed"], clock)
    fitted_seconds = clock.seconds()
    # What is forecast is read behind the fitting alone.
    np.save(folder / "forecasts.npy", answered(asked, fitted.forecast(*question(asked, data))))
    answer = {
        "fitted_seconds": round(fitted_seconds, 1),
        "forecast_seconds": round(clock.seconds() - fitted_seconds, 1),
        "uncounted_seconds": round(clock.uncounted, 1),
        "told": fitted.told,
        "versions": {"python": platform.python_version(), **_versions()},
    }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _versions() -> dict[str, str]:
    """Return the versions of what was imported."""
    return {name: str(sys.modules[name].__version__) for name in LIBRARIES if name in sys.modules}


if __name__ == "__main__":
    main()
