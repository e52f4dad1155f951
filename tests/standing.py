"""One process that checks all SavedModels of a test process, in place of a fresh one each.

Each fresh process imports TensorFlow, which took a fifth of the time of the fast tests. What a check does is the same:
the code is that of `tsattn.export.isolated_runtime`, and the process knows nothing of tsattn.
"""

from __future__ import annotations

import atexit
import os
import runpy
import subprocess
import sys
import traceback
from typing import IO, Any, ClassVar


class StandingProcess:
    """Takes the place of the `subprocess.Popen` of `tsattn.export.verification`."""

    _process: ClassVar[Any] = None

    def __new__(cls, command: list[str], **options: Any) -> Any:
        return super().__new__(cls) if command[-1] == "saved_model" else subprocess.Popen(command, **options)

    def __init__(self, command: list[str], *, stdout: IO[str], env: dict[str, str], **_: Any) -> None:
        if StandingProcess._process is None:
            *python, script, kind = command
            StandingProcess._process = subprocess.Popen(
                [*python, __file__, script, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
            )
            # It ends when its standard input is closed.
            atexit.register(StandingProcess._process.communicate)
        self._told = stdout
        self.returncode: int | None = None

    def communicate(self, line: str | None = None, timeout: float | None = None) -> None:
        """Have a line answered."""
        if line is None:
            return
        self._process.stdin.write(line)
        self._process.stdin.flush()
        error = self._process.stdout.readline()
        if not error:
            raise RuntimeError("the process that checks SavedModels is gone")
        self.returncode = int(error != "\n")
        self._told.write(error)
        self._told.flush()

    def poll(self) -> int | None:
        """Tell that there is nothing to be ended."""
        return 0


def main() -> None:
    """Answer line by line: with an empty one, or with what went wrong."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    script, kind = sys.argv[1:]
    fresh = runpy.run_path(script)
    load = fresh["KINDS"][kind]()
    for line in sys.stdin:
        wrong = ""
        try:
            fresh["answer"](kind, load, line)
        except Exception as error:
            wrong = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
        print(wrong, file=told, flush=True)


if __name__ == "__main__":
    main()
