"""Versions of a model on disk and in memory."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tsattn._logging import quiet
from tsattn.atomic_io import READ_ERRORS, check_files, parse_version
from tsattn.errors import RunError
from tsattn.serving.errors import NOT_FOUND, UNAVAILABLE, ServingError, bad_request, quote_value
from tsattn.serving.servable import GRAPH, Servable, load_servable

LOG = logging.getLogger("tsattn.serving")

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"
"""States of a version, as in TensorFlow Serving."""

OK, UNKNOWN = "OK", "UNKNOWN"

FileState = frozenset[tuple[int, int, int]]
"""Inode, modification time and size of the files of a version."""

_MAX_ENDED = 20
"""Maximum number of unloaded versions whose status is still reported."""


@dataclass
class VersionStatus:
    """Status of a version.

    Args:
        state: `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        error: Why it could not be loaded, else "".
    """

    version: int
    state: str = LOADING
    error: str = ""

    @property
    def code(self) -> str:
        """Error code of TensorFlow Serving."""
        return UNKNOWN if self.error else OK


class Repository:
    """Loads the latest version of a model and those that have a label.

    Args:
        path: A run directory, a folder of versions, or the folder of one version.
        labels: Version numbers by label.
        load: Loads the version in a folder.
        verify: Whether the files of a version in a run directory are compared with the hashes of the run.

    Raises:
        RunError: There is no model at the path.
    """

    def __init__(
        self,
        path: Path,
        labels: Mapping[str, int] | None = None,
        load: Callable[[Path, int], Servable] = load_servable,
        *,
        verify: bool = True,
    ) -> None:
        self._load_servable = load
        self._verify = verify
        self.base, self._single_version = _find_base(path)
        self.labels = dict(labels or {})
        self._loaded: dict[int, Servable] = {}
        self._in_use: dict[int, int] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, FileState] = {}
        self._states: dict[int, FileState] = {}
        self._latest = 0
        self._lock = threading.Lock()
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of a status."""

    def load(self) -> None:
        """Load the latest version and those with a label."""
        versions = self.versions()
        if not versions:
            raise RunError(
                f"{self.base}: expected a folder with a number as its name and a SavedModel in it, found none"
            )
        for label, version in self.labels.items():
            if version not in versions:
                raise RunError(f"{self.base}: expected version {version} for the label {label}, found {versions}")
        for version in sorted({max(versions), *self.labels.values()}):
            self._load(version)

    def versions(self) -> list[int]:
        """Return the version numbers on disk in ascending order; other folders are ignored."""
        if self._single_version is not None:
            return [self._single_version]
        try:
            names = [entry.name for entry in self.base.iterdir() if parse_version(entry.name) is not None]
        except OSError:
            return []
        return sorted(int(name) for name in names if (self.base / name / GRAPH).is_file())

    def refresh(self) -> bool:
        """Serve the latest valid version on disk, and return whether that is a change.

        After the served version was removed, this may be an older one. If no version is left, the served one stays. A
        version that was overwritten is loaded again.
        """
        versions = self.versions()
        for version in reversed(versions):
            if version == self._latest and not self._is_overwritten(version):
                break
            if version < self._latest and self._latest in versions:
                break
            if self._is_known_invalid(version):
                continue
            try:
                if version == self._latest:
                    self._load(version)
                else:
                    self._serve(version)
            except RunError as error:
                LOG.error("version %d cannot be loaded, still serving version %d: %s", version, self._latest, error)
                continue
            LOG.info("serving version %d", version)
            return True
        return False

    def _is_known_invalid(self, version: int) -> bool:
        """Return whether a version failed to load and its files have not changed since."""
        return version in self._failed and self._failed[version] == self._file_state(version)

    def _is_overwritten(self, version: int) -> bool:
        """Return whether the files of a loaded version are others than when it was loaded."""
        return self._file_state(version) != self._states[version]

    def _file_state(self, version: int) -> FileState:
        """Return the identity, modification time and size of the files of a version, ignoring the order."""
        try:
            stats = [path.stat() for path in self._folder(version).rglob("*")]
        except OSError:
            return frozenset()
        return frozenset((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _folder(self, version: int) -> Path:
        return self.base if self._single_version is not None else self.base / _folder_name(self.base, version)

    def _serve(self, version: int) -> None:
        """Make a version the latest one; it may be loaded already because of a label."""
        if version not in self._loaded:
            self._load(version)
            return
        with self._lock:
            self._latest = version
        self._retire()

    def _load(self, version: int) -> None:
        file_state = self._file_state(version)
        if version not in self._loaded:
            self._set_status(VersionStatus(version))
        try:
            if self._verify:
                _check_run(self._folder(version))
            with quiet():
                servable = self._load_servable(self._folder(version), version)
        except RunError as error:
            self._failed[version] = file_state
            served = VersionStatus(version, AVAILABLE) if version in self._loaded else None
            self._set_status(served or VersionStatus(version, END, str(error)))
            raise
        with self._lock:
            self._states[version] = file_state
            self._loaded[version] = servable
            self._latest = version
        self._set_status(VersionStatus(version, AVAILABLE))
        self._retire()

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status
            ended = [number for number, old in sorted(self._statuses.items()) if old.state == END]
            for number in ended[:-_MAX_ENDED]:
                del self._statuses[number]
        self.on_change()

    def _retire(self) -> None:
        """Unload versions that are neither the latest nor labelled, once no request uses them."""
        with self._lock:
            needed = {self._latest, *self.labels.values()}
            old = [version for version in self._loaded if version not in needed]
            for version in old:
                used = self._in_use.get(version, 0) > 0
                self._statuses[version] = VersionStatus(version, UNLOADING if used else END)
                if not used:
                    del self._loaded[version]
        if old:
            self.on_change()

    def get(self, version: int | None = None, label: str | None = None) -> Servable:
        """Return a loaded version, by default the latest one."""
        if label is not None:
            if label not in self.labels:
                raise bad_request(f"label: expected one of {sorted(self.labels)}, got {quote_value(label)}")
            version = self.labels[label]
        with self._lock:
            if not self._loaded:
                raise ServingError(UNAVAILABLE, "no version of the model is loaded yet")
            number = version or self._latest
            status = self._statuses.get(number)
            if number not in self._loaded or (status is not None and status.state != AVAILABLE):
                served = [other for other, old in sorted(self._statuses.items()) if old.state == AVAILABLE]
                raise ServingError(NOT_FOUND, f"version {number} is not served: expected one of {served}")
            return self._loaded[number]

    def hold(self, servable: Servable) -> None:
        """Prevent a version from being unloaded until `release` is called."""
        with self._lock:
            self._in_use[servable.version] = self._in_use.get(servable.version, 0) + 1

    def release(self, servable: Servable) -> None:
        """Allow a version to be unloaded again."""
        with self._lock:
            self._in_use[servable.version] -= 1
            free = self._in_use[servable.version] == 0
            retiring = free and self._statuses[servable.version].state == UNLOADING
        if retiring:
            self._retire()

    def statuses(self) -> list[VersionStatus]:
        """Return the status of each version, the latest first."""
        with self._lock:
            return [self._statuses[version] for version in sorted(self._statuses, reverse=True)]

    def loaded(self) -> list[int]:
        """Return the numbers of the loaded versions in ascending order."""
        with self._lock:
            return sorted(version for version, old in self._statuses.items() if old.state == AVAILABLE)


def _check_run(folder: Path) -> None:
    """Check that a version has the files that the run directory which contains it was written with.

    Versions that were exported into it later have no hashes.

    Raises:
        RunError: A file is missing or was changed, or ``run.json`` cannot be read.
    """
    folder = folder.resolve()
    run = folder.parent.parent
    try:
        hashes = json.loads((run / "run.json").read_text(encoding="utf-8")).get("files", {})
        names = [name for name in hashes if Path(name).is_relative_to(folder.relative_to(run))]
        own = {name: str(hashes[name]) for name in names}
    except FileNotFoundError:
        return
    except READ_ERRORS as error:
        raise RunError(
            f"{run / 'run.json'}: cannot be read: {error}", "load it without this check (--no-verify)"
        ) from None
    check_files(run, own)


def _find_base(path: Path) -> tuple[Path, int | None]:
    """Return the folder of the versions; for a single version its folder and number."""
    if (path / "run.json").is_file():
        path = path / "saved_model"
        if not path.is_dir():
            raise RunError(f"{path}: the run has no SavedModel", "fit it with the Keras backend tensorflow")
        return path, None
    if (path / GRAPH).is_file():
        return path, parse_version(path.absolute().name) or 1
    if not path.is_dir():
        raise RunError(f"{path}: expected a run directory or a SavedModel, found none")
    return path, None


def _folder_name(base: Path, version: int) -> str:
    """Return the folder name of a version, which may have leading zeros."""
    plain = str(version)
    if (base / plain).is_dir():
        return plain
    return next((entry.name for entry in base.iterdir() if parse_version(entry.name) == version), plain)
