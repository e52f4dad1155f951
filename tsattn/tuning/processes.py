"""Several processes over one journal."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread

from tsattn.errors import ConfigError, RunError, TsattnError

INTERVAL = 0.5
"""Seconds from one look at the journal to the next."""


@dataclass(frozen=True)
class Work:
    """What a process does.

    Args:
        do: the work.
        modules: what registers the models; imported first.
    """

    do: Callable[[], None]
    modules: tuple[str, ...]


def run_processes(jobs: int, work: Work, look: Callable[[], None]) -> None:
    """Let several processes do the same work and wait for them.

    Args:
        jobs: how many.
        work: what each of them does; it is pickled.
        look: called now and then.

    Raises:
        ConfigError: a model was registered where no other process finds it.
        RunError: a process has ended before its work.
        TsattnError: what one of them raised.
    """
    if "__main__" in work.modules:
        raise ConfigError("several jobs need a model that is registered in a module, which each of them imports")
    given = pickle.dumps(work)
    context = multiprocessing.get_context("spawn")
    running: dict[BaseProcess, Connection] = {}
    try:
        for _ in range(jobs):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(jobs, given, send), daemon=True)
            process.start()
            send.close()
            running[process] = receive
        while running:
            wait([process.sentinel for process in running], timeout=INTERVAL)
            look()
            for ended in [process for process in running if not process.is_alive()]:
                _check(ended, running.pop(ended))
    finally:
        for left in running:
            left.terminate()
            left.join()


def _check(process: BaseProcess, receive: Connection) -> None:
    """Raise what a process that has ended has raised."""
    try:
        error = receive.recv()
    except EOFError:
        raise RunError(
            f"a process of the search was ended from outside (exit code {process.exitcode}), perhaps for want of "
            "memory: the same command goes on, with fewer --jobs"
        ) from None
    if error is not None:
        raise error


def _work(jobs: int, given: bytes, send: Connection) -> None:
    """Work on a search in a process of its own, and say what went wrong."""
    Thread(target=_end_with_parent, daemon=True).start()
    # TensorFlow tells of its start past Python; and several of them share the cores and the memory of a device.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threads = max((os.cpu_count() or 1) // jobs, 1)
    for name, value in {"INTRAOP_THREADS": threads, "INTEROP_THREADS": threads}.items():
        os.environ.setdefault(f"TF_NUM_{name}", str(value))
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    told: Exception | None = None
    try:
        # Unpickled behind all this, for it imports TensorFlow.
        work: Work = pickle.loads(given)
        for module in work.modules:
            importlib.import_module(module)
        work.do()
    except TsattnError as error:
        told = error
    except Exception:
        told = RuntimeError(traceback.format_exc())
    send.send(told)


def _end_with_parent() -> None:
    """End this process when that which has started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
