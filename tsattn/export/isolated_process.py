"""A process without tsattn that runs an exported model. Nothing here imports TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsattn._logging import NATIVE_LOG_LEVEL
from tsattn.errors import RunError
from tsattn.export import isolated_runtime

Arrays = dict[str, npt.NDArray[Any]]

MAX_SECONDS = 600
"""Time limit of the verification of an export."""


class IsolatedRuntime:
    """A process without tsattn that runs one exported model. It imports its packages while the model is being written.

    Args:
        kind: "saved_model", "onnx", "openvino", "litert" or "keras".
        module: The module that registers the layers of the model, for Keras.
    """

    def __init__(self, kind: str, module: str | None = None) -> None:
        self.kind = kind
        self._folder = tempfile.TemporaryDirectory()
        self._start_process(module)

    def _start_process(self, module: str | None) -> None:
        environment = cpu_environment()
        # -P: the folder of the script holds modules of tsattn.
        command = [sys.executable, "-P", isolated_runtime.__file__, self.kind]
        if module is not None and module != "__main__":
            # The module may come from a folder that only this process has on its path.
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            command.append(module)
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            text=True,
            env=environment,
            # Ctrl-C is for the process that waits.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_process()
        self._folder.cleanup()

    def _end_process(self) -> None:
        if self._output.closed:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._output.close()

    def load(self, path: Path) -> None:
        """Begin to load a written model, a file or folder."""
        # Through a plain link, because TensorFlow reads "[run]" as a pattern.
        path, link = path.absolute(), Path(self._folder.name) / "model"
        link.symlink_to(path if path.is_dir() else path.parent, target_is_directory=True)
        self._send(json.dumps(str(link if path.is_dir() else link / path.name)))

    def start(self, inputs: Arrays) -> None:
        """Begin to run the loaded model on inputs, as `tsattn.export.isolated_runtime` reads them."""
        np.savez(self._inputs, allow_pickle=False, **inputs)
        self._send(json.dumps([str(self._inputs), str(self._outputs)]))

    def finish(self) -> Arrays:
        """Wait for the outputs.

        Raises:
            RunError: The model cannot be loaded or run.
        """
        if error := self._wait():
            raise RunError(f"the exported model cannot be run outside tsattn: {error[:500]}")
        with np.load(self._outputs) as loaded:
            return dict(loaded)

    @property
    def _inputs(self) -> Path:
        return Path(self._folder.name) / "inputs.npz"

    @property
    def _outputs(self) -> Path:
        return Path(self._folder.name) / "outputs.npz"

    def _send(self, line: str) -> None:
        """Send a line; whether the process has ended is found by `_wait`."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _wait(self) -> str:
        """Wait for the end of the process and return the last line of its error, "" on success."""
        try:
            self._process.communicate(timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            return f"no answer within {MAX_SECONDS} s"
        if not self._process.returncode:
            return ""
        self._output.seek(0)
        return "".join(self._output.read().strip().splitlines()[-1:]) or f"exit status {self._process.returncode}"


def cpu_environment() -> dict[str, str]:
    """Return the environment of a process without a GPU: an exported model has to run on any machine."""
    return {**os.environ, **NATIVE_LOG_LEVEL, "CUDA_VISIBLE_DEVICES": "-1"}


Launcher = Callable[[str, str | None], IsolatedRuntime]

launcher: ContextVar[Launcher] = ContextVar("launcher", default=IsolatedRuntime)
"""Starts the runtime that verifies an export, from its kind and module. Set it to reuse a process."""


@contextmanager
def started_early(kind: str) -> Iterator[None]:
    """Start the process that verifies an export of a kind, so that it imports its packages meanwhile."""
    if launcher.get() is not IsolatedRuntime:
        yield
        return
    with IsolatedRuntime(kind) as runtime:
        ready = [runtime]

        def launch(wanted: str, module: str | None) -> IsolatedRuntime:
            return ready.pop() if ready and (wanted, module) == (kind, None) else IsolatedRuntime(wanted, module)

        token = launcher.set(launch)
        try:
            yield
        finally:
            launcher.reset(token)
