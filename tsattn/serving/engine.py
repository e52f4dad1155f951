"""The model of a server: what every protocol needs to answer a request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tsattn.errors import ConfigError
from tsattn.serving.batching import Batcher, Metrics
from tsattn.serving.errors import NOT_FOUND, TIMED_OUT, ServingError, bad_request, quote_value
from tsattn.serving.repository import Repository, VersionStatus
from tsattn.serving.servable import Array, Servable, Signature, Tensors
from tsattn.serving.settings import Settings

LOG = logging.getLogger("tsattn.serving")

_RESERVED_CHARACTERS = set("/:?#%")


class Engine:
    """A model with a request queue.

    Args:
        repository: Versions of the model, at least one of them loaded.

    Raises:
        ConfigError: The name cannot be part of a URL.
    """

    def __init__(self, repository: Repository, settings: Settings | None = None) -> None:
        self.repository = repository
        self.settings = settings or Settings()
        self.name = self.settings.name or repository.get().metadata.name
        if not self.name or _RESERVED_CHARACTERS & set(self.name) or not self.name.isprintable():
            raise ConfigError(
                f"name: expected a name without the characters / : ? # %, got {self.name!r}", "change {name}"
            )
        self.metrics = Metrics()
        self.batcher = Batcher(self.settings, self.metrics)
        self._stop = threading.Event()
        self._needs_collection = False
        self._poller: threading.Thread | None = None
        repository.on_change = self._on_version_change
        self._on_version_change()

    @classmethod
    def open(cls, path: Path, settings: Settings | None = None) -> Engine:
        """Load the model at a path."""
        settings = settings or Settings()
        repository = Repository(path, settings.labels, verify=settings.verify)
        repository.load()
        return cls(repository, settings)

    def check_name(self, name: str) -> None:
        """Raise a ServingError unless a request names this model."""
        if name != self.name:
            raise ServingError(NOT_FOUND, f'expected the model "{self.name}", got {quote_value(name)}')

    def resolve(self, version: int | None = None, label: str | None = None) -> Servable:
        """Return a version of the model; None and 0 are the latest."""
        return self.repository.get(version, label)

    def statuses(self, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """Return the status of one version, or of all of them if none is given; 0 is the latest."""
        statuses = self.repository.statuses()
        if version is None and label is None:
            return statuses
        if not version:
            version = self.resolve(version, label).version
        found = [status for status in statuses if status.version == version]
        if not found:
            raise ServingError(NOT_FOUND, f'model "{self.name}": version {version} is unknown')
        return found

    async def run(
        self, servable: Servable, signature: Signature, tensors: Mapping[str, Array], timeout: float | None = None
    ) -> Tensors:
        """Return the outputs of a signature.

        Args:
            tensors: Inputs by name; strings are ``str`` objects.
            timeout: Time limit in seconds, if shorter than that of the settings.

        Raises:
            ServingError: The request is invalid, the queue is full, or the time limit is exceeded.
        """
        seconds = self.settings.request_timeout if timeout is None else min(timeout, self.settings.request_timeout)
        outcome = "error"
        try:
            with self._hold(servable):
                async with asyncio.timeout(seconds):
                    outputs = await self.batcher.run(servable, signature, signature.check(tensors))
            outcome = "ok"
            return outputs
        except TimeoutError:
            raise ServingError(TIMED_OUT, f"no answer within {seconds:g} seconds: send fewer rows") from None
        finally:
            self.metrics.count_inference(signature.name, outcome)

    @contextlib.contextmanager
    def _hold(self, servable: Servable) -> Iterator[None]:
        self.repository.hold(servable)
        try:
            yield
        finally:
            self.repository.release(servable)

    def start(self) -> None:
        """Start to look for new versions."""
        if self.settings.poll_seconds and self._poller is None:
            self._poller = threading.Thread(target=self._poll, name="tsattn-versions", daemon=True)
            self._poller.start()

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        self.batcher.close()
        gc.unfreeze()

    def _poll(self) -> None:
        while not self._stop.wait(self.settings.poll_seconds):
            try:
                self.repository.refresh()
                if self._needs_collection:
                    self.collect_garbage()
            except Exception:
                # The served version stays available whatever the folder holds.
                LOG.exception("the folder of the versions cannot be read")

    def collect_garbage(self) -> None:
        """Free removed versions, and exclude loaded ones from garbage collection.

        Graphs have many objects: a collection would delay every request by a quarter of a second.
        """
        self._needs_collection = False
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _on_version_change(self) -> None:
        self._needs_collection = True
        self.metrics.set_versions(self.name, self.repository.loaded())


def parse_version_number(digits: str) -> int:
    """Return the version number in a request."""
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) < 2**63):
        raise bad_request(f"expected a version number of up to 64 bits, got {quote_value(digits)}")
    return int(digits)
