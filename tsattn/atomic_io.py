"""Files, folders and numbered versions that are written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock, Timeout

from tsattn.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

READ_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions that readers raise for files that are truncated, modified or of another format."""

PARTIAL_PREFIX = ".new-"
"""Prefix of the name of a version that is being written."""

MIN_FREE_BYTES = 64 * 2**20
"""Least free space for a run directory, of which one with a network takes a few megabytes."""

STALE_SECONDS = 24 * 3600
"""Age at which a partial version is considered abandoned."""


def check_directory(path: Path, *, overwrite: bool = False) -> None:
    """Check that a run directory can be written, before any work.

    Raises:
        RunError: It exists and must not be replaced, or it cannot be written.
    """
    if path.exists() and not overwrite:
        raise RunError(f"{path}: already exists", "choose another path", "set {overwrite} to replace it")
    if path.exists() and not (path / "run.json").exists():
        raise RunError(f"{path}: expected a run directory to overwrite, got something else", "choose another path")
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise RunError(f"{path}: cannot be written, because {parent} cannot", "choose another path")
    free = shutil.disk_usage(parent).free
    if free < MIN_FREE_BYTES:
        raise RunError(
            f"{path}: expected {MIN_FREE_BYTES >> 20} MB of free space for a run, and the disk has {free >> 20} MB",
            "free some space",
            "choose a path on another disk",
        )


def companion(path: Path, suffix: str) -> Path:
    """Return the hidden path next to a directory that holds its lock, its training, its next or its former version."""
    path = path.resolve()
    return path.with_name(f".{path.name}.{suffix}")


LOCK, NEW, FORMER = "lock", "new", "former"
"""Suffixes of the companions of a run directory."""


@contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, and repair what a killed process left; reentrant within a thread.

    Raises:
        RunError: Another process writes the directory, or its folder cannot be written.
    """
    parent = path.resolve().parent
    is_new = not parent.exists()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(companion(path, LOCK), timeout=0, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"{path}: another process is writing this run", "wait until it has finished", "choose another path"
        ) from None
    except OSError as error:
        raise _write_error(path, error) from None
    try:
        _repair(path)
        yield
    finally:
        if lock.lock_counter == 1:
            # No process waits for the file, because an attempt to lock it fails at once.
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        if is_new:
            with suppress(OSError):
                parent.rmdir()  # if nothing was written


def repair_directory(path: Path) -> None:
    """Restore a run directory that a killed process had moved away, unless another process is writing it."""
    if not path.exists() and companion(path, FORMER).exists():
        with suppress(RunError), lock_directory(path):
            pass


def _repair(path: Path) -> None:
    """Complete or undo a replacement that was interrupted; the caller holds the lock."""
    path, former = path.resolve(), companion(path, FORMER)
    if former.exists() and not path.exists():
        former.rename(path)
    new = companion(path, NEW)
    shutil.rmtree(new, ignore_errors=True)
    _remove(former, new)


def _remove(former: Path, new: Path) -> None:
    """Remove a former directory under the name of an incomplete one, so that it is never restored in part."""
    with suppress(OSError):
        former.rename(new)
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def new_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes the run directory ``path`` on success and is removed on failure.

    A symbolic link is followed. If the process is killed, the next command that uses the path finds the former or the
    new directory, whole.

    Raises:
        RunError: As of `check_directory`; another process writes the directory.
    """
    # Once, because the working directory has no path after it is replaced.
    target = path.resolve()
    with lock_directory(path):
        check_directory(path, overwrite=overwrite)
        temporary = companion(target, NEW)
        try:
            temporary.mkdir()
            yield temporary
            _replace(temporary, target, companion(target, FORMER))
        except OSError as error:
            raise _write_error(path, error) from None
        finally:
            _repair(target)


def _replace(temporary: Path, path: Path, former: Path) -> None:
    """Rename a folder to ``path`` and remove the folder that was there."""
    temporary.chmod(0o755)
    _synchronize(temporary)
    if path.exists():
        path.rename(former)
    temporary.rename(path)
    _synchronize_folder(path.parent)
    _remove(former, temporary)


def _synchronize(folder: Path) -> None:
    """Write all files of a folder to the disk, so that they survive a power failure."""
    for name, _, files in os.walk(folder):
        for file in files:
            with (Path(name) / file).open("rb") as opened:
                os.fsync(opened.fileno())
        _synchronize_folder(Path(name))


def _synchronize_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces the folder ``path``, if any, on success and is removed on failure.

    Raises:
        RunError: ``path`` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise _write_error(path, error) from None
    try:
        yield temporary
        _replace(temporary, path, temporary.with_name(f"{temporary.name}-replaced"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace a file by what ``write`` writes into an open one; it is on the disk when this returns.

    Raises:
        RunError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _synchronize_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _write_error(path, error) from None


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Check that a folder of files may be written, before any work.

    Raises:
        RunError: It exists and must not be overwritten.
    """
    if path.exists() and not overwrite:
        raise RunError(f"{path}: already exists", "choose another path", "set {overwrite}")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written, before any work.

    Raises:
        RunError: It exists and must not be replaced, or its folder is missing or cannot be written.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise RunError(f"{path}: expected a file in an existing folder", "choose another path")
    if path.is_file() and not overwrite:
        raise RunError(f"{path}: already exists", "choose another path", "set {overwrite} to replace it")
    if not os.access(path if _is_stream(path) else path.parent, os.W_OK):
        raise RunError(f"{path}: cannot be written", "choose another path")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as Parquet or JSON (a list of records) by the suffix of the path, else as CSV; replaces the file.

    Raises:
        RunError: It cannot be written.
    """

    def write(target: Path) -> None:
        if path.suffix == ".parquet":
            frame.to_parquet(target, index=False)
        elif path.suffix == ".json":
            frame.to_json(target, orient="records", date_format="iso", double_precision=15, indent=1)
        else:
            frame.to_csv(target, index=False)

    _write_file(path, write)


def write_text(text: str, path: Path) -> None:
    """Write a text file, as `write_frame` does."""
    _write_file(path, lambda target: target.write_text(text, encoding="utf-8"))


def _write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary file that replaces ``path`` on success."""
    try:
        if _is_stream(path):
            write(path)
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            temporary.replace(path.resolve())
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(path, error) from None


def _is_stream(path: Path) -> bool:
    """Return whether a path is a pipe or a terminal, such as /dev/stdout, which a file cannot replace."""
    return path.exists() and not path.is_file()


def _write_error(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be written: {error.strerror or error}")


def hash_files(folder: Path, exclude: Sequence[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder by its path in the folder.

    Args:
        folder: The folder.
        exclude: Paths of files and folders that are left out.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        name: hash_file(folder / name) for name in names if not any(Path(name).is_relative_to(part) for part in exclude)
    }


def check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Check that files have the content that they were written with.

    Raises:
        RunError: A file is missing or was changed.
    """
    for name, expected in hashes.items():
        try:
            found = hash_file(folder / name)
        except OSError as error:
            problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        else:
            if found == expected:
                continue
            problem = "was changed after it was written: its hash is not that in run.json"
        raise RunError(
            f"{folder / name}: {problem}",
            "restore the run from a copy",
            "load it without this check (--no-verify, verify=False)",
        )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_version(name: str) -> int | None:
    """Return the version number in the name of a folder, or None; leading zeros are allowed."""
    if not (name.isascii() and name.isdecimal()) or len(name) > 19:
        return None
    number = int(name)
    return number if 0 < number < 2**63 else None


def list_versions(folder: Path) -> list[int]:
    """Return the version numbers of the files and folders in a folder, ascending."""
    numbers = (parse_version(child.name) for child in folder.iterdir())
    return sorted(number for number in numbers if number is not None)


def add_version(folder: Path, write: Callable[[Path], None], after: int = 0) -> Path:
    """Add the next version to a folder: ``write`` fills a temporary folder, which is then renamed.

    Args:
        folder: The folder of the versions.
        write: Writes the files.
        after: Number that the version is above.

    Raises:
        RunError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob(f"{PARTIAL_PREFIX}*"):
            if time.time() - partial.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder))
    except OSError as error:
        raise _write_error(folder, error) from None
    try:
        write(temporary)
        temporary.chmod(0o755)
        return _rename_to_next(temporary, folder, after)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            # Remove the folder if it is empty because the write failed.
            folder.rmdir()


def _rename_to_next(temporary: Path, folder: Path, after: int) -> Path:
    """Rename a folder to the next version; if another process has just added that one, to the one after it."""
    while True:
        path = folder / str(max([after, *list_versions(folder)]) + 1)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.is_dir():
                raise _write_error(path, error) from None
        else:
            return path
