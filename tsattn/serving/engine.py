"""What every door of the server asks for an answer: versions, checks, batches, time-outs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tsattn.errors import ConfigError
from tsattn.export.metadata import Description
from tsattn.serving.batching import Batcher
from tsattn.serving.errors import TIMED_OUT, ServingError
from tsattn.serving.metrics import Metrics
from tsattn.serving.repository import Repository
from tsattn.serving.servable import Array, Servable, Signature, Tensors
from tsattn.serving.settings import Settings

LOG = logging.getLogger("tsattn.serving")

_NAME_SIGNS = set("/:?#%")


class Engine:
    """A model behind a queue.

    Args:
        repository: its versions, of which one is loaded.
        settings: of the server.

    Raises:
        ConfigError: the name is none that can stand in an address.
    """

    def __init__(self, repository: Repository, settings: Settings | None = None) -> None:
        self.repository = repository
        self.settings = settings or Settings()
        self.name = self.settings.name or repository.get().description.name
        if not self.name or _NAME_SIGNS & set(self.name) or not self.name.isprintable():
            raise ConfigError(
                f"name: expected one that can stand in an address, got {self.name!r}: give another --name"
            )
        self.metrics = Metrics()
        self.batcher = Batcher(self.settings, self.metrics)
        self._stop = threading.Event()
        self._unsettled = False
        self._watcher: threading.Thread | None = None
        repository.watch = self._tell_versions
        self._tell_versions()

    @classmethod
    def open(cls, path: Path, settings: Settings | None = None) -> Engine:
        """Load the model at a path.

        Raises:
            RunError: there is none, or it cannot be loaded.
        """
        settings = settings or Settings()
        repository = Repository(path, settings.labels)
        repository.load()
        return cls(repository, settings)

    def description(self, version: int | None = None) -> Description:
        """Return what a version says of itself.

        Raises:
            ServingError: it is not served.
        """
        return self.repository.get(version).description

    def resolve(self, version: int | None = None, label: str | None = None) -> Servable:
        """Return a version: the latest if none is named, or 0.

        Raises:
            ServingError: it is not served.
        """
        return self.repository.get(version, label)

    async def infer(
        self,
        signature: str,
        tensors: Mapping[str, Array],
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Tensors:
        """Return what a signature of the model gives.

        Args:
            signature: its name.
            tensors: its inputs by name; texts are arrays of ``str`` objects.
            version: of the model; the latest if left out.
            label: of a version.
            timeout: seconds, if fewer than the settings allow.

        Raises:
            ServingError: the request is wrong, there is no room for it, or no time.
        """
        servable = self.resolve(version, label)
        return await self.run(servable, servable.signature(signature), tensors, timeout)

    async def run(
        self, servable: Servable, signature: Signature, tensors: Mapping[str, Array], timeout: float | None = None
    ) -> Tensors:
        """Return what a signature of a version gives, as `infer`."""
        seconds = self.settings.request_timeout if timeout is None else min(timeout, self.settings.request_timeout)
        outcome = "error"
        try:
            with self._held(servable):
                async with asyncio.timeout(seconds):
                    answer = await self.batcher.run(servable, signature, signature.check(tensors))
            outcome = "ok"
            return answer
        except TimeoutError:
            raise ServingError(TIMED_OUT, f"no answer within {seconds:g} seconds: send fewer rows") from None
        finally:
            self.metrics.inferred(signature.name, outcome)

    @contextlib.contextmanager
    def _held(self, servable: Servable) -> Iterator[None]:
        self.repository.hold(servable)
        try:
            yield
        finally:
            self.repository.release(servable)

    def start(self) -> None:
        """Look for new versions from now on."""
        if self.settings.poll_seconds and self._watcher is None:
            self._watcher = threading.Thread(target=self._look, name="tsattn-versions", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Look no more, and let the threads end."""
        self._stop.set()
        self.batcher.close()
        gc.unfreeze()

    def _look(self) -> None:
        while not self._stop.wait(self.settings.poll_seconds):
            try:
                self.repository.refresh()
                if self._unsettled:
                    self.settle()
            except Exception:
                # Whatever lies in the folder, the version that is served goes on.
                LOG.exception("the folder of the versions cannot be read")

    def settle(self) -> None:
        """Free what is left of versions that are gone, and keep the collector off those that stay.

        The objects of a graph are so many that looking through them holds up every request for a quarter of a second.
        """
        self._unsettled = False
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _tell_versions(self) -> None:
        self._unsettled = True
        self.metrics.serves(self.name, self.repository.loaded())
