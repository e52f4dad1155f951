"""Files, folders and numbered versions that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tsattn.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

READ_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile)
"""Exceptions that readers raise for files that are truncated, modified or of another format."""

PARTIAL_PREFIX = ".new-"
"""Prefix of the name of a version that is being written."""

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


@contextmanager
def new_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes the run directory ``path`` on success and is removed on failure.

    Raises:
        RunError: As of `check_directory`.
    """
    check_directory(path, overwrite=overwrite)
    with replace_directory(path) as temporary:
        yield temporary


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
        temporary.chmod(0o755)
        replaced = temporary.with_name(f"{temporary.name}-replaced")
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    return RunError(f"{path}: cannot be written: {error.strerror}")


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


def add_version(folder: Path, write: Callable[[Path], None]) -> Path:
    """Add the next version to a folder: ``write`` fills a temporary folder, which is then renamed.

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
        return _rename_to_next(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            # Remove the folder if it is empty because the write failed.
            folder.rmdir()


def _rename_to_next(temporary: Path, folder: Path) -> Path:
    """Rename a folder to the next version; if another process has just added that one, to the one after it."""
    while True:
        path = folder / str(max(list_versions(folder), default=0) + 1)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.is_dir():
                raise _write_error(path, error) from None
        else:
            return path
