"""Micro-batching: requests that arrive while the model is busy run as one batch; and the metrics of the server."""

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
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tsattn.serving.errors import FAILED, QUEUE_FULL, ServingError
from tsattn.serving.servable import Array, Servable, Signature, Tensors
from tsattn.serving.settings import Settings
from tsattn.timeseries.windows import KEY_STEPS, LENGTH

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

LOG = logging.getLogger("tsattn.serving")

Result = Tensors | ServingError


class Metrics:
    """Metrics of one server, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tsattn_requests", "Answered requests.", ("method", "status"), registry=self.registry)
        self._seconds = Histogram(
            "tsattn_request_seconds",
            "Time from the arrival of the request headers to the end of the response.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "tsattn_batch_requests", "Batch size in requests.", buckets=_SIZES, registry=self.registry
        )
        self._rows = Histogram("tsattn_batch_rows", "Batch size in rows.", buckets=_SIZES, registry=self.registry)
        self._inferences = Counter(
            "tsattn_inferences", "Calls of a signature.", ("signature", "outcome"), registry=self.registry
        )
        self._waiting = Gauge("tsattn_queue_rows", "Rows in the queue.", registry=self.registry)
        self._rejected = Counter(
            "tsattn_refused", "Requests that exceeded the capacity.", ("reason",), registry=self.registry
        )
        self._versions = Gauge(
            "tsattn_version_loaded", "1 for each loaded version.", ("model", "version"), registry=self.registry
        )

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a response with its duration in seconds."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def count_inference(self, signature: str, outcome: str) -> None:
        """Count a call of a signature."""
        self._inferences.labels(signature, outcome).inc()

    def observe_batch(self, requests: int, rows: int) -> None:
        """Count a batch."""
        self._batches.observe(requests)
        self._rows.observe(rows)

    def set_queue_rows(self, rows: int) -> None:
        """Set the number of rows in the queue."""
        self._waiting.set(rows)

    def count_rejection(self, reason: str) -> None:
        """Count a request that exceeded the capacity."""
        self._rejected.labels(reason).inc()

    def set_versions(self, model: str, versions: list[int]) -> None:
        """Set the loaded versions."""
        self._versions.clear()
        for version in versions:
            self._versions.labels(model, str(version)).set(1)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


@dataclass(eq=False)
class _Task:
    """A request, or a part of a large request."""

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
    """Runs requests in worker threads; everything else happens on the event loop."""

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
            threading.Thread(target=self._run_batches, name=f"tsattn-model-{number}", daemon=True).start()

    async def run(self, servable: Servable, signature: Signature, tensors: Tensors) -> Tensors:
        """Return the outputs of a signature.

        Raises:
            ServingError: The queue is full, or the model rejects the request.
        """
        self._bind_to_loop()
        rows, limit = len(next(iter(tensors.values()))), self._settings.max_batch_size
        # An empty queue accepts a request of any size.
        if self._rows and self._rows + (min(rows, limit) if self._settings.batching else 1) > self._capacity:
            self._metrics.count_rejection("queue")
            raise ServingError(QUEUE_FULL, "the queue is full: try again later")
        parts = [
            {name: value[begin : begin + limit] for name, value in tensors.items()} if rows > limit else tensors
            for begin in range(0, rows, limit)
        ]
        outputs = [await self._enqueue(servable, signature, part) for part in parts]
        if len(outputs) == 1:
            return outputs[0]
        return {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}

    def close(self) -> None:
        """End the worker threads."""
        for _ in range(self._settings.num_batch_threads):
            self._work.put(None)

    def _bind_to_loop(self) -> None:
        """Reset the queue if the event loop has changed: the requests of the previous loop are gone."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._free, self._rows, self._due = loop, self._settings.num_batch_threads, 0, False
            self._waiting.clear()

    async def _enqueue(self, servable: Servable, signature: Signature, tensors: Tensors) -> Tensors:
        loop = asyncio.get_running_loop()
        rows = len(next(iter(tensors.values())))
        task = _Task(servable, signature, tensors, rows, loop.time(), loop.create_future())
        self._waiting.setdefault(task.key, deque()).append(task)
        self._count(task)
        if not self._due:
            # Scheduled, so that requests that have arrived already get into the queue first.
            self._due = True
            loop.call_soon(self._dispatch)
        try:
            return await task.future
        finally:
            if not task.taken:
                self._drop(task)

    def _count(self, task: _Task, sign: int = 1) -> None:
        self._rows += sign * (task.rows if self._settings.batching else 1)
        self._metrics.set_queue_rows(self._rows)

    def _drop(self, task: _Task) -> None:
        """Remove a cancelled request from the queue."""
        tasks = self._waiting.get(task.key)
        if tasks is not None and task in tasks:
            tasks.remove(task)
            self._count(task, -1)
            if not tasks:
                del self._waiting[task.key]

    def _dispatch(self) -> None:
        """Give waiting requests to idle threads, oldest first."""
        self._due = False
        assert self._loop is not None
        for key in list(self._waiting):
            while self._free and key in self._waiting:
                delay = self._remaining_wait(self._waiting[key])
                if delay > 0:
                    self._loop.call_later(delay, self._dispatch)
                    break
                self._free -= 1
                self._work.put((self._loop, self._take_batch(key)))

    def _remaining_wait(self, tasks: deque[_Task]) -> float:
        """Return the seconds for which a batch may still wait for more requests."""
        assert self._loop is not None
        if not self._wait or sum(task.rows for task in tasks) >= self._settings.max_batch_size:
            return 0.0
        return tasks[0].since + self._wait - self._loop.time()

    def _take_batch(self, key: tuple[int, str]) -> list[_Task]:
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
            # After the other signatures and versions, so that none of them waits forever.
            self._waiting.move_to_end(key)
        else:
            del self._waiting[key]
        return batch

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[_Task], results: Sequence[Result]) -> None:
        if loop is self._loop:
            self._free += 1
            # Before the results are delivered, so that the model continues meanwhile.
            self._dispatch()
        for task, result in zip(batch, results, strict=True):
            if task.future.done():
                continue
            if isinstance(result, ServingError):
                task.future.set_exception(result)
            else:
                task.future.set_result(result)

    def _run_batches(self) -> None:
        """Run batches until `close`: the target of the worker threads."""
        while (work := self._work.get()) is not None:
            loop, batch = work
            results = self._run(batch)
            with contextlib.suppress(RuntimeError):
                # RuntimeError if the loop was closed meanwhile.
                loop.call_soon_threadsafe(self._finish, loop, batch, results)
            # References would keep a version in memory until the next request.
            del work, batch, results

    def _run(self, batch: list[_Task]) -> Sequence[Result]:
        pending = [task for task in batch if not task.future.done()]
        results: dict[_Task, Result] = {}
        try:
            results = dict(zip(pending, run_batch(pending), strict=True))
            if pending:
                self._metrics.observe_batch(len(pending), sum(task.rows for task in pending))
        except Exception as error:
            if len(pending) == 1:
                results[pending[0]] = _to_serving_error(error)
            else:
                # An invalid request must not fail the others.
                for task in pending:
                    results[task] = self._run([task])[0]
        return [results.get(task, ServingError(FAILED, "the request was cancelled")) for task in batch]


def run_batch(tasks: Sequence[_Task]) -> list[Tensors]:
    """Run requests of one signature and version in one call."""
    if not tasks:
        return []
    servable, signature = tasks[0].servable, tasks[0].signature
    context = servable.metadata.context
    requests = [crop_to_context(task.tensors, signature, context) for task in tasks]
    outputs = servable.run(signature.name, merge_requests([tensors for tensors, _ in requests], signature))
    parts = split_outputs(outputs, [task.rows for task in tasks])
    return [shift_key_steps(part, first) for part, (_, first) in zip(parts, requests, strict=True)]


def _to_serving_error(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    LOG.error("a request failed", exc_info=error)
    return ServingError(FAILED, "the model failed; see the log of the server")


def crop_to_context(tensors: Tensors, signature: Signature, context: int) -> tuple[Tensors, Array | None]:
    """Crop histories to the context, so that a long one does not pad the rest of the batch.

    Args:
        tensors: Inputs that `Signature.check` returned.
        context: Number of history steps that the graph uses.

    Returns:
        The inputs, and the step of the history at which each row now begins; None if nothing was cropped.
    """
    timed = [name for name, info in signature.inputs.items() if info.has_time]
    if not timed or LENGTH not in tensors:
        return tensors, None
    time = tensors[timed[0]].shape[1]
    # A batch may have longer arrays, in which a length beyond the request's own array would include padding.
    length = np.clip(tensors[LENGTH], 0, time)
    if time <= context:
        return {**tensors, LENGTH: length}, None
    first = np.maximum(length - context, 0)
    steps = first[:, None] + np.arange(context)
    cropped = {name: tensors[name][np.arange(len(steps))[:, None], steps] for name in timed}
    return {**tensors, **cropped, LENGTH: (length - first).astype(tensors[LENGTH].dtype)}, first


def merge_requests(requests: Sequence[Tensors], signature: Signature) -> Tensors:
    """Concatenate requests, padded to the longest history."""
    if len(requests) == 1:
        return requests[0]
    merged: Tensors = {}
    for name, info in signature.inputs.items():
        parts = [request[name] for request in requests]
        if not info.has_time or len({part.shape[1] for part in parts}) == 1:
            merged[name] = np.concatenate(parts)
            continue
        rows, time = sum(len(part) for part in parts), max(part.shape[1] for part in parts)
        shape = (rows, time, *parts[0].shape[2:])
        whole = np.full(shape, np.nan if info.numpy.kind == "f" else 0, info.numpy)
        begin = 0
        for part in parts:
            whole[begin : begin + len(part), : part.shape[1]] = part
            begin += len(part)
        merged[name] = whole
    return merged


def split_outputs(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Split outputs by request."""
    if len(rows) == 1:
        return [outputs]
    ends = np.cumsum(rows)
    return [
        {name: value[end - count : end] for name, value in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def shift_key_steps(outputs: Tensors, first: Array | None) -> Tensors:
    """Return outputs whose history steps are relative to the history before `crop_to_context`."""
    if first is None or KEY_STEPS not in outputs:
        return outputs
    steps = outputs[KEY_STEPS]
    shifted = np.where(steps >= 0, steps + first[:, None, None].astype(steps.dtype), steps)
    return {**outputs, KEY_STEPS: shifted}
