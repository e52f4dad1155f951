"""The versions of a model on disk and in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tsattn._logging import quiet
from tsattn.atomic_io import version_of
from tsattn.errors import RunError
from tsattn.serving.errors import NOT_FOUND, UNAVAILABLE, ServingError, bad_request, shown
from tsattn.serving.servable import GRAPH, Servable

LOG = logging.getLogger("tsattn.serving")

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"
"""States of a version, by their names in TensorFlow Serving."""

OK, UNKNOWN = "OK", "UNKNOWN"

_REMEMBERED = 20
"""Versions that are gone and still told of."""


@dataclass
class VersionStatus:
    """What became of a version.

    Args:
        version: its number.
        state: `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        error: why it could not be loaded; "" where it could.
    """

    version: int
    state: str = LOADING
    error: str = ""

    @property
    def code(self) -> str:
        """Name of the error code, as TensorFlow Serving tells it."""
        return UNKNOWN if self.error else OK


class Repository:
    """The latest version of a model, and those that have a label.

    Args:
        path: a run directory, a folder with a folder for each version, or the folder of one version.
        labels: versions by label.

    Raises:
        RunError: there is no model at the path.
    """

    def __init__(self, path: Path, labels: Mapping[str, int] | None = None) -> None:
        self.base, self._only = _base(path)
        self.labels = dict(labels or {})
        self._loaded: dict[int, Servable] = {}
        self._in_use: dict[int, int] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, tuple[int, int]] = {}
        self._latest = 0
        self._lock = threading.Lock()
        self.watch: Callable[[], None] = lambda: None
        """Called after each change."""

    def load(self) -> None:
        """Load the latest version and those with a label; a broken one is an error here.

        Raises:
            RunError: there is none, or one of them cannot be loaded.
        """
        versions = self.versions()
        if not versions:
            raise RunError(f"{self.base}: expected a folder with a number that holds a SavedModel, found none")
        for label, version in self.labels.items():
            if version not in versions:
                raise RunError(f"{self.base}: expected version {version} for the label {label}, found {versions}")
        for version in sorted({max(versions), *self.labels.values()}):
            self._load(version)

    def versions(self) -> list[int]:
        """Return the numbers of the versions on disk, ascending; other folders do not count."""
        if self._only is not None:
            return [self._only]
        try:
            names = [entry.name for entry in self.base.iterdir() if version_of(entry.name) is not None]
        except OSError:
            return []
        return sorted(int(name) for name in names if (self.base / name / GRAPH).is_file())

    def refresh(self) -> bool:
        """Serve the latest version on disk that is not broken, and return whether it is another one than before.

        Where the one that is served was removed, that is an earlier one; where nothing is left, it goes on.
        """
        versions = self.versions()
        for version in reversed(versions):
            if version == self._latest or (version < self._latest and self._latest in versions):
                break
            if self._known_broken(version):
                continue
            try:
                self._serve(version)
            except RunError as error:
                LOG.error("version %d cannot be served, so that %d goes on: %s", version, self._latest, error)
                continue
            LOG.info("version %d is served", version)
            return True
        return False

    def _known_broken(self, version: int) -> bool:
        """Tell whether a version failed before and has not been written anew since."""
        return version in self._failed and self._failed[version] == self._mark(version)

    def _mark(self, version: int) -> tuple[int, int]:
        """Return what changes when a version is written anew, or when the rest of it arrives."""
        try:
            stats = [path.stat() for path in self._folder(version).rglob("*")]
        except OSError:
            return (0, 0)
        return (max((stat.st_mtime_ns for stat in stats), default=0), sum(stat.st_size for stat in stats))

    def _folder(self, version: int) -> Path:
        return self.base if self._only is not None else self.base / _name(self.base, version)

    def _serve(self, version: int) -> None:
        """Make a version the latest one, which may be in memory already, under a label."""
        if version not in self._loaded:
            self._load(version)
            return
        with self._lock:
            self._latest = version
        self._retire()

    def _load(self, version: int) -> None:
        mark = self._mark(version)
        self._tell(VersionStatus(version))
        try:
            with quiet():
                servable = Servable(self._folder(version), version)
                servable.warm_up(self._folder(version))
        except RunError as error:
            self._failed[version] = mark
            self._tell(VersionStatus(version, END, str(error)))
            raise
        with self._lock:
            self._loaded[version] = servable
            self._latest = version
        self._tell(VersionStatus(version, AVAILABLE))
        self._retire()

    def _tell(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status
            gone = [number for number, old in sorted(self._statuses.items()) if old.state == END]
            for number in gone[:-_REMEMBERED]:
                del self._statuses[number]
        self.watch()

    def _retire(self) -> None:
        """Let go of versions that are neither the latest nor labelled, once nobody uses them."""
        with self._lock:
            kept = {self._latest, *self.labels.values()}
            old = [version for version in self._loaded if version not in kept]
            for version in old:
                used = self._in_use.get(version, 0) > 0
                self._statuses[version] = VersionStatus(version, UNLOADING if used else END)
                if not used:
                    del self._loaded[version]
        if old:
            self.watch()

    def get(self, version: int | None = None, label: str | None = None) -> Servable:
        """Return a version: the latest if none is named.

        Raises:
            ServingError: it is not served.
        """
        if label is not None:
            if label not in self.labels:
                raise bad_request(f"expected a label out of {sorted(self.labels)}, got {shown(label)}")
            version = self.labels[label]
        with self._lock:
            if not self._loaded:
                raise ServingError(UNAVAILABLE, "no version of the model is loaded yet")
            number = version or self._latest
            status = self._statuses.get(number)
            if number not in self._loaded or (status is not None and status.state != AVAILABLE):
                served = [known for known, old in sorted(self._statuses.items()) if old.state == AVAILABLE]
                raise ServingError(NOT_FOUND, f"version {number} is not served: expected one of {served}")
            return self._loaded[number]

    def hold(self, servable: Servable) -> None:
        """Keep a version until `release` was called as often."""
        with self._lock:
            self._in_use[servable.version] = self._in_use.get(servable.version, 0) + 1

    def release(self, servable: Servable) -> None:
        """Let go of a version that was held."""
        with self._lock:
            self._in_use[servable.version] -= 1
            free = self._in_use[servable.version] == 0
            retiring = free and self._statuses[servable.version].state == UNLOADING
        if retiring:
            self._retire()

    def statuses(self) -> list[VersionStatus]:
        """Return what became of each version, the latest first."""
        with self._lock:
            return [self._statuses[version] for version in sorted(self._statuses, reverse=True)]

    def loaded(self) -> list[int]:
        """Return the numbers of the versions that are served, ascending."""
        with self._lock:
            return sorted(version for version, old in self._statuses.items() if old.state == AVAILABLE)


def _base(path: Path) -> tuple[Path, int | None]:
    """Return the folder of the versions; or that of the only one, and its number."""
    if (path / "run.json").is_file():
        path = path / "saved_model"
        if not path.is_dir():
            raise RunError(f"{path}: expected the SavedModel of the run, found none: fit it with Keras on TensorFlow")
        return path, None
    if (path / GRAPH).is_file():
        return path, version_of(path.absolute().name) or 1
    if not path.is_dir():
        raise RunError(f"{path}: expected a run directory or a SavedModel, found none")
    return path, None


def _name(base: Path, version: int) -> str:
    """Return the name of a version's folder, which may begin with zeros."""
    plain = str(version)
    if (base / plain).is_dir():
        return plain
    return next((entry.name for entry in base.iterdir() if version_of(entry.name) == version), plain)
