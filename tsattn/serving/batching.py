"""Micro-batching: while the model works, requests gather; when it is free, it takes all that fit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tsattn.serving.errors import FAILED, QUEUE_FULL, ServingError
from tsattn.serving.metrics import Metrics
from tsattn.serving.servable import Array, Servable, Signature, Tensors
from tsattn.serving.settings import Settings
from tsattn.timeseries.window_spec import KEY_STEPS, LENGTH

LOG = logging.getLogger("tsattn.serving")

Result = Tensors | ServingError


@dataclass(eq=False)
class _Task:
    """A request, or a part of a large one."""

    servable: Servable
    signature: Signature
    tensors: Tensors
    rows: int
    since: float
    future: asyncio.Future[Tensors]
    taken: bool = field(default=False)

    @property
    def key(self) -> tuple[int, str]:
        return self.servable.version, self.signature.name


class Batcher:
    """Runs requests on threads of its own. All but the running itself happens on the event loop.

    Args:
        settings: of the server.
        metrics: that count what is run.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._wait = settings.batch_timeout_micros / 1e6 if settings.batching else 0.0
        self._capacity = settings.max_enqueued_batches * (settings.max_batch_size if settings.batching else 1)
        self._waiting: OrderedDict[tuple[int, str], deque[_Task]] = OrderedDict()
        self._rows = 0
        self._free = settings.num_batch_threads
        self._due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, list[_Task]] | None] = queue.SimpleQueue()
        for number in range(settings.num_batch_threads):
            threading.Thread(target=self._serve, name=f"tsattn-model-{number}", daemon=True).start()

    async def run(self, servable: Servable, signature: Signature, tensors: Tensors) -> Tensors:
        """Return what a function of the graph gives for a request.

        Raises:
            ServingError: too many wait already, or the model refuses the request.
        """
        self._bind()
        rows, most = len(next(iter(tensors.values()))), self._settings.max_batch_size
        # A large request that finds nobody waiting is let in, or it never would be.
        if self._rows and self._rows + (min(rows, most) if self._settings.batching else 1) > self._capacity:
            self._metrics.refused("queue")
            raise ServingError(QUEUE_FULL, "too many requests wait already: try again later")
        parts = [
            {name: value[begin : begin + most] for name, value in tensors.items()} if rows > most else tensors
            for begin in range(0, rows, most)
        ]
        answers = [await self._answer(servable, signature, part) for part in parts]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def close(self) -> None:
        """Let the threads end."""
        for _ in range(self._settings.num_batch_threads):
            self._work.put(None)

    def _bind(self) -> None:
        """Belong to the event loop that runs: after another has ended, nobody waits for its requests."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._free, self._rows, self._due = loop, self._settings.num_batch_threads, 0, False
            self._waiting.clear()

    async def _answer(self, servable: Servable, signature: Signature, tensors: Tensors) -> Tensors:
        loop = asyncio.get_running_loop()
        rows = len(next(iter(tensors.values())))
        task = _Task(servable, signature, tensors, rows, loop.time(), loop.create_future())
        self._waiting.setdefault(task.key, deque()).append(task)
        self._count(task)
        if not self._due:
            # Not at once: what else has arrived by now is put into the queue first.
            self._due = True
            loop.call_soon(self._dispatch)
        try:
            return await task.future
        finally:
            if not task.taken:
                self._drop(task)

    def _count(self, task: _Task, sign: int = 1) -> None:
        self._rows += sign * (task.rows if self._settings.batching else 1)
        self._metrics.waiting(self._rows)

    def _drop(self, task: _Task) -> None:
        """Take a request that nobody waits for any more out of the queue."""
        tasks = self._waiting.get(task.key)
        if tasks is not None and task in tasks:
            tasks.remove(task)
            self._count(task, -1)
            if not tasks:
                del self._waiting[task.key]

    def _dispatch(self) -> None:
        """Give the threads that are free what waits, the longest waiting first."""
        self._due = False
        assert self._loop is not None
        for key in list(self._waiting):
            while self._free and key in self._waiting:
                patience = self._patience(self._waiting[key])
                if patience > 0:
                    self._loop.call_later(patience, self._dispatch)
                    break
                self._free -= 1
                self._work.put((self._loop, self._take(key)))

    def _patience(self, tasks: deque[_Task]) -> float:
        """Return the seconds that a batch may still wait for others."""
        assert self._loop is not None
        if not self._wait or sum(task.rows for task in tasks) >= self._settings.max_batch_size:
            return 0.0
        return tasks[0].since + self._wait - self._loop.time()

    def _take(self, key: tuple[int, str]) -> list[_Task]:
        tasks, rows = self._waiting[key], 0
        batch: list[_Task] = []
        while tasks and (
            not batch or (self._settings.batching and rows + tasks[0].rows <= self._settings.max_batch_size)
        ):
            task = tasks.popleft()
            task.taken = True
            self._count(task, -1)
            batch.append(task)
            rows += task.rows
        if tasks:
            # Behind those of other signatures and versions, so that none waits for ever.
            self._waiting.move_to_end(key)
        else:
            del self._waiting[key]
        return batch

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[_Task], results: Sequence[Result]) -> None:
        if loop is self._loop:
            self._free += 1
            # The model goes on working while answers are written.
            self._dispatch()
        for task, result in zip(batch, results, strict=True):
            if task.future.done():
                continue
            if isinstance(result, ServingError):
                task.future.set_exception(result)
            else:
                task.future.set_result(result)

    def _serve(self) -> None:
        """Run batches: the work of a thread."""
        while (work := self._work.get()) is not None:
            loop, batch = work
            results = self._run(batch)
            with contextlib.suppress(RuntimeError):
                # The loop may have been closed meanwhile; then nobody waits.
                loop.call_soon_threadsafe(self._finish, loop, batch, results)
            # Not to keep a version in memory until the next request comes.
            del work, batch, results

    def _run(self, batch: list[_Task]) -> Sequence[Result]:
        wanted = [task for task in batch if not task.future.done()]
        results: dict[_Task, Result] = {}
        try:
            results = dict(zip(wanted, run_together(wanted), strict=True))
            if wanted:
                self._metrics.ran(len(wanted), sum(task.rows for task in wanted))
        except Exception as error:
            if len(wanted) == 1:
                results[wanted[0]] = _told(error)
            else:
                # One bad request must not fail the others.
                for task in wanted:
                    results[task] = self._run([task])[0]
        return [results.get(task, ServingError(FAILED, "the request was given up")) for task in batch]


def run_together(tasks: Sequence[_Task]) -> list[Tensors]:
    """Run requests of one signature and version in one call."""
    if not tasks:
        return []
    servable, signature = tasks[0].servable, tasks[0].signature
    context = servable.description.context
    requests = [cropped(task.tensors, signature, context) for task in tasks]
    outputs = servable.run(signature.name, merged([tensors for tensors, _ in requests], signature))
    answers = split(outputs, [task.rows for task in tasks])
    return [shifted(answer, first) for answer, (_, first) in zip(answers, requests, strict=True)]


def _told(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    LOG.error("a request failed", exc_info=error)
    return ServingError(FAILED, "the model failed; the server's log says why")


def cropped(tensors: Tensors, signature: Signature, context: int) -> tuple[Tensors, Array | None]:
    """Return a request without the steps that the graph would not look at, so that no long history pads the others.

    Args:
        tensors: a request, checked by the signature.
        signature: its signature.
        context: steps of history that the graph takes.

    Returns:
        The request, and the step of the history that each row now begins at; None where all begin as they did.
    """
    timed = [name for name, info in signature.inputs.items() if info.has_time]
    if not timed or LENGTH not in tensors:
        return tensors, None
    time = tensors[timed[0]].shape[1]
    # In a batch the array may be longer: then a length beyond its own array would count the padding.
    length = np.clip(tensors[LENGTH], 0, time)
    if time <= context:
        return {**tensors, LENGTH: length}, None
    first = np.maximum(length - context, 0)
    steps = first[:, None] + np.arange(context)
    made = {name: tensors[name][np.arange(len(steps))[:, None], steps] for name in timed}
    return {**tensors, **made, LENGTH: (length - first).astype(tensors[LENGTH].dtype)}, first


def merged(requests: Sequence[Tensors], signature: Signature) -> Tensors:
    """Return requests as one, padded to the longest."""
    if len(requests) == 1:
        return requests[0]
    made: Tensors = {}
    for name, info in signature.inputs.items():
        parts = [request[name] for request in requests]
        if not info.has_time or len({part.shape[1] for part in parts}) == 1:
            made[name] = np.concatenate(parts)
            continue
        rows, time = sum(len(part) for part in parts), max(part.shape[1] for part in parts)
        shape = (rows, time, *parts[0].shape[2:])
        whole = np.full(shape, np.nan if info.numpy.kind == "f" else 0, info.numpy)
        begin = 0
        for part in parts:
            whole[begin : begin + len(part), : part.shape[1]] = part
            begin += len(part)
        made[name] = whole
    return made


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Return the outputs of each request."""
    if len(rows) == 1:
        return [outputs]
    ends = np.cumsum(rows)
    return [
        {name: value[end - count : end] for name, value in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def shifted(outputs: Tensors, first: Array | None) -> Tensors:
    """Return outputs whose steps of the history are counted from where the request began, see `cropped`."""
    if first is None or KEY_STEPS not in outputs:
        return outputs
    steps = outputs[KEY_STEPS]
    moved = np.where(steps >= 0, steps + first[:, None, None].astype(steps.dtype), steps)
    return {**outputs, KEY_STEPS: moved}
