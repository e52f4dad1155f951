"""One process that verifies all SavedModels of a test session; a new one for each imports TensorFlow every time.

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
    from tsattn.export.verification import IsolatedRuntime


def launch(kind: str, module: str | None) -> IsolatedRuntime:
    """Return the shared runtime for a SavedModel, a new process for other formats."""
    # This file is a script as well, which must not import tsattn.
    from tsattn.export import isolated_runtime
    from tsattn.export.verification import IsolatedRuntime, cpu_environment

    class SharedRuntime(IsolatedRuntime):
        def __init__(self) -> None:
            self.kind = kind

        def __exit__(self, *_: object) -> None:
            pass

        def run(self, line: str) -> str:
            stdin, stdout = _start([isolated_runtime.__file__, kind], cpu_environment())
            stdin.write(line)
            stdin.flush()
            error = stdout.readline()
            if not error:
                raise RuntimeError("the process that verifies SavedModels has ended")
            return error.strip()

    return SharedRuntime() if kind == "saved_model" else IsolatedRuntime(kind, module)


_processes: list[subprocess.Popen[str]] = []


def _start(arguments: list[str], environment: dict[str, str]) -> tuple[IO[str], IO[str]]:
    """Return standard input and output of the process, which is started by the first call."""
    if not _processes:
        command = [sys.executable, "-P", __file__, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        # It ends when its standard input is closed.
        atexit.register(process.communicate)
        _processes.append(process)
    assert _processes[0].stdin is not None and _processes[0].stdout is not None
    return _processes[0].stdin, _processes[0].stdout


def main() -> None:
    """Answer each line of standard input by one line: the error, or nothing."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    script, kind = sys.argv[1:]
    runtime = runpy.run_path(script)
    load = runtime["LOADERS"][kind]()
    for line in sys.stdin:
        wrong = ""
        try:
            runtime["run_requests"](kind, load, line)
        except Exception as error:
            wrong = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
        print(wrong, file=answers, flush=True)


if __name__ == "__main__":
    main()
