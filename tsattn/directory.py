"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsattn.errors import RunError


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
