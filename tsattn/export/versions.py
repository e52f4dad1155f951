"""Folders of versions, which count up and appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tsattn.errors import RunError

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
