"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tsattn.errors import RunError

if TYPE_CHECKING:
    import pandas as pd
import time
from contextlib import suppress


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Check that a folder can be written, before work is spent on what goes into it.

    Raises:
        RunError: it is there already and must not be replaced, or it is no folder.
    """
    if path.exists() and not overwrite:
        raise RunError(f"{path}: is there already: give another --out, or --overwrite to replace it")
    if path.exists() and not (path / "run.json").exists():
        raise RunError(f"{path}: expected a run directory to overwrite, and it is none: give another --out")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise RunError(f"{path}: cannot be written, because {there} cannot: give another --out")


@contextmanager
def new_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its place when all went well, and is removed when not.

    Raises:
        RunError: ``path`` is there already, or cannot be written.
    """
    check_free(path, overwrite=overwrite)
    with swapped(path) as temporary:
        yield temporary


@contextmanager
def swapped(path: Path) -> Iterator[Path]:
    """Like `new_directory`, in the place of whatever folder is there.

    Raises:
        RunError: ``path`` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None
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
    """Check that a file can be written, before work is spent on what goes into it.

    Raises:
        RunError: it is there already and must not be replaced, or its folder is not there or cannot be written.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise RunError(f"{path}: expected a file in a folder that is there: give another one")
    if path.is_file() and not overwrite:
        raise RunError(f"{path}: is there already: give another --out, or --overwrite to replace it")
    if not os.access(path if _is_stream(path) else path.parent, os.W_OK):
        raise RunError(f"{path}: cannot be written: give another one")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as Parquet or JSON (a list of records) where the name ends so, else as CSV.

    A file that was there is replaced.

    Raises:
        RunError: it cannot be written.
    """
    _whole(path, lambda target: _write(frame, target, path.suffix))


def write_text(text: str, path: Path) -> None:
    """Write a text in the same way."""
    _whole(path, lambda target: target.write_text(text, encoding="utf-8"))


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have something written into a temporary file that takes the place of ``path`` when all went well."""
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
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def _is_stream(path: Path) -> bool:
    """Tell whether a path is a pipe or a terminal, such as /dev/stdout, which no file may take the place of."""
    return path.exists() and not path.is_file()


def _write(frame: pd.DataFrame, path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif suffix == ".json":
        frame.to_json(path, orient="records", date_format="iso", double_precision=15, indent=1)
    else:
        frame.to_csv(path, index=False)


NEW = ".new-"
"""What the name of a folder begins with that is still written."""

STALE = 24 * 3600
"""Seconds after which it is no more."""


def version_of(name: str) -> int | None:
    """Return the number that a name is, if it is one that a client can ask for; it may begin with zeros."""
    if not (name.isascii() and name.isdecimal()) or len(name) > 19:
        return None
    number = int(name)
    return number if 0 < number < 2**63 else None


def taken_in(folder: Path) -> list[int]:
    """Return the numbers that the files and folders in a folder have for a name, ascending."""
    numbers = (version_of(child.name) for child in folder.iterdir())
    return sorted(number for number in numbers if number is not None)


def add_version(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return the next version in a folder, which ``write`` made in a temporary folder and a rename put in place.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        temporary = Path(tempfile.mkdtemp(prefix=NEW, dir=folder))
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        write(temporary)
        temporary.chmod(0o755)
        return _place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            # Where nothing was put in place, a folder that was made for it goes again.
            folder.rmdir()


def _clear(folder: Path) -> None:
    """Remove what exports that were killed have left."""
    for left in folder.glob(f"{NEW}*"):
        if time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)


def _place(temporary: Path, folder: Path) -> Path:
    """Rename a folder to the next version; where another export was faster, to the one after it."""
    while True:
        path = folder / str(max(taken_in(folder), default=0) + 1)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.is_dir():
                raise RunError(f"{path}: cannot be written: {error.strerror}") from None
        else:
            return path
