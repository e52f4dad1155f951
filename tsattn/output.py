"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tsattn.errors import RunError

if TYPE_CHECKING:
    import pandas as pd


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
