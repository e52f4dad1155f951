"""One process of each format that verifies all exports of a test session; a new one each time imports TensorFlow again.

The check is that of `tsattn.export.isolated_runtime`, in a process without tsattn.
"""

from __future__ import annotations

import atexit
import os
import runpy
import subprocess
import sys
import traceback
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tsattn.export.isolated_process import IsolatedRuntime


def launch(kind: str, module: str | None) -> IsolatedRuntime:
    """Return the runtime of a kind that all tests use; a new process for layers that another module defines."""
    # This file is a script as well, which must not import tsattn.
    from tsattn.export import isolated_runtime
    from tsattn.export.isolated_process import IsolatedRuntime, cpu_environment

    class SharedRuntime(IsolatedRuntime):
        def _start_process(self, module: str | None) -> None:
            self._lines: list[str] = []

        def _end_process(self) -> None:
            pass

        def _send(self, line: str) -> None:
            self._lines.append(line)

        def _wait(self) -> str:
            stdin, stdout = _start(kind, isolated_runtime.__file__, cpu_environment())
            for line in self._lines:
                stdin.write(line + "\n")
                stdin.flush()
                error = stdout.readline()
                if not error:
                    raise RuntimeError(f"the process that verifies {kind} has ended")
                if error.strip():
                    return error.strip()
            return ""

    return SharedRuntime(kind) if module is None else IsolatedRuntime(kind, module)


_processes: dict[str, subprocess.Popen[str]] = {}


def _start(kind: str, script: str, environment: dict[str, str]) -> tuple[IO[str], IO[str]]:
    """Return standard input and output of the process of a kind, which is started by the first call."""
    if kind not in _processes:
        command = [sys.executable, "-P", __file__, script, kind]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        # It ends when its standard input is closed.
        atexit.register(process.communicate)
        _processes[kind] = process
    process = _processes[kind]
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def main() -> None:
    """Answer each line of standard input by one line: the error, or nothing."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    script, kind = sys.argv[1:]
    runtime = runpy.run_path(script)
    load, call = runtime["LOADERS"][kind](), None
    for line in sys.stdin:
        wrong = ""
        try:
            call = runtime["answer"](kind, load, line, call)
        except Exception as error:
            wrong = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
        print(wrong, file=answers, flush=True)


if __name__ == "__main__":
    main()
