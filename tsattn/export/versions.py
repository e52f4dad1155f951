"""Folders of versions, which count up and appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tsattn.errors import RunError


def versions_in(folder: Path) -> list[int]:
    """Return the versions that lie in a folder, ascending; what is called otherwise is none."""
    if not folder.is_dir():
        return []
    return sorted(int(child.name) for child in folder.iterdir() if _is_version(child))


def _is_version(path: Path) -> bool:
    name = path.name
    return name.isascii() and name.isdecimal() and str(int(name)) == name and path.is_dir()


def add_version(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return the next version in a folder, which ``write`` made in a temporary folder and a rename put in place.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        write(temporary)
        temporary.chmod(0o755)
        return _place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(temporary: Path, folder: Path) -> Path:
    """Rename a folder to the next version; where another export was faster, to the one after it."""
    while True:
        path = folder / str(max(versions_in(folder), default=0) + 1)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.exists():
                raise RunError(f"{path}: cannot be written: {error.strerror}") from None
        else:
            return path
