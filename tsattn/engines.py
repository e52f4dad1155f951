"""Engines that map a function over tasks, in other processes and in any order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tsattn.errors import RunError, import_extra

Task = TypeVar("Task")
Result = TypeVar("Result")

MAX_ATTEMPTS = 3
"""Attempts at a task whose process ends early."""

PROCESS_SECONDS, RAY_SECONDS = 0.5, 4.0
"""Seconds until new processes or Ray workers call a function, without the imports of the function."""

CONNECT_SECONDS = 5
"""Seconds after which the address of a Ray cluster counts as wrong; Ray itself tries for minutes."""

_logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Where tasks are executed."""

    @property
    def start_seconds(self) -> float:
        """Seconds that starting the workers takes, about."""
        ...

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield the results as they are ready, in any order.

        Args:
            function: A function of a module.
            tasks: Arguments that can be pickled.

        Raises:
            RunError: A task was attempted several times without a result.
        """
        ...


@dataclass(frozen=True)
class LocalProcesses:
    """Processes of this machine.

    Args:
        jobs: Number of processes; with 1, the tasks are executed in this one.
    """

    jobs: int = 1

    @property
    def start_seconds(self) -> float:
        """Seconds that starting the workers takes, about."""
        return PROCESS_SECONDS if self.jobs > 1 else 0

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield the results; see `Engine.map`."""
        if min(self.jobs, len(tasks)) <= 1:
            yield from map(function, tasks)
            return
        left = list(tasks)
        for _ in range(MAX_ATTEMPTS):
            done: set[int] = set()
            try:
                yield from self._map_once(function, left, done)
            except BrokenProcessPool:
                _logger.warning("A process ended early; its tasks are repeated")
            left = [task for number, task in enumerate(left) if number not in done]
            if not left:
                return
        raise RunError(f"{len(left)} of {len(tasks)} tasks have ended their process {MAX_ATTEMPTS} times")

    def _map_once(self, function: Callable[[Task], Result], tasks: Sequence[Task], done: set[int]) -> Iterator[Result]:
        threads = max((os.cpu_count() or 1) // self.jobs, 1)
        # A forked process would inherit the threads of TensorFlow in an undefined state.
        context = multiprocessing.get_context("spawn")
        workers = min(self.jobs, len(tasks))
        with ProcessPoolExecutor(workers, context, limit_threads, (threads,)) as pool:
            futures = {pool.submit(function, task): number for number, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    result = future.result()
                    done.add(futures[future])
                    yield result
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def limit_threads(threads: int) -> None:
    """Limit the threads of libraries that are imported afterwards."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)


@dataclass(frozen=True)
class RayCluster:
    """Workers of a Ray cluster, one processor each.

    Args:
        address: Address of the cluster, "auto" for the running one, or "local" for a new one on this machine.
        jobs: Processors of a new local cluster; all of them if None.
    """

    address: str = "auto"
    jobs: int | None = None

    @property
    def start_seconds(self) -> float:
        """Seconds that starting the workers takes, about."""
        return RAY_SECONDS

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield the results; see `Engine.map`."""
        ray = import_extra("ray", "ray", "--ray")
        started = not ray.is_initialized()
        if started:
            self._connect(ray)
        try:
            remote = ray.remote(num_cpus=1, max_retries=MAX_ATTEMPTS - 1)(_limited)
            stored = ray.put(function)  # once for all tasks; it may hold data
            waiting = [remote.remote(stored, task) for task in tasks]
            while waiting:
                ready, waiting = ray.wait(waiting)
                yield from map(ray.get, ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.WorkerCrashedError as error:
            raise RunError(f"a task has ended its worker {MAX_ATTEMPTS} times: {error}") from None
        finally:
            if started:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"include_dashboard": False, "num_cpus": self.jobs}
        if self.address != "local":
            options = {"address": self.address}
        try:
            if self.address not in ("auto", "local"):
                host, _, port = self.address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
        except (OSError, ValueError) as error:
            raise RunError(
                f"there is no Ray cluster at {self.address!r}: {error}", "start one with ray start --head, or use local"
            ) from None


def _limited(function: Callable[[Task], Result], task: Task) -> Result:
    """Execute a task with one thread."""
    limit_threads(1)
    return function(task)
