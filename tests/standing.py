"""One process that checks all SavedModels of a test process, in place of a fresh one each.

Each fresh process imports TensorFlow, which took a fifth of the time of the fast tests. What a check does is the same:
the code is that of `tsattn.export.fresh`, and the process knows nothing of tsattn.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import traceback
from functools import cache
from typing import IO, Any


class StandingProcess:
    """Takes the place of the `subprocess.Popen` of `tsattn.export.agreement`."""

    def __new__(cls, command: list[str], **options: Any) -> Any:
        return super().__new__(cls) if command[-1] == "saved_model" else subprocess.Popen(command, **options)

    def __init__(self, command: list[str], *, stdout: IO[str], **_: Any) -> None:
        self._script, self._told = command[-2], stdout
        self.returncode: int | None = None

    def communicate(self, line: str | None = None, timeout: float | None = None) -> None:
        """Have a line answered."""
        if line is None:
            return
        process = _process(self._script)
        process.stdin.write(line)
        process.stdin.flush()
        error = process.stdout.readline()
        if not error:
            raise RuntimeError("the process that checks SavedModels is gone")
        self.returncode = int(error != "\n")
        self._told.write(error)
        self._told.flush()

    def poll(self) -> int | None:
        """Tell whether it is over; there is nothing that is running."""
        return 0

    def kill(self) -> None:
        """Do nothing."""


@cache
def _process(script: str) -> Any:
    """Start the process; it ends with this one, when its standard input is closed."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", __file__, script]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def main() -> None:
    """Answer line by line: with an empty one, or with what went wrong."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location("fresh", sys.argv[1])
    assert spec is not None and spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    load = fresh.saved_model()
    for line in sys.stdin:
        wrong = ""
        try:
            assert "tsattn" not in sys.modules
            fresh.answer(load, line)
        except Exception as error:
            wrong = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
        print(wrong, file=told, flush=True)


if __name__ == "__main__":
    main()
