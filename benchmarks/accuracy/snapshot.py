"""A copy of the code that is measured, taken at the start.

Runs take hours. If they imported the package from the working tree, an edit in the meantime would be measured under
the name of the commit before it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.configuration import ROOT
from tsattn.errors import TsattnError

PACKAGE = "tsattn"


@dataclass(frozen=True)
class Code:
    """The code of a run.

    Args:
        commit: the last one that touched the package; with ``-dirty`` and a digest of the package where
            that was changed since.
        committed: when, as ISO 8601.
        folder: what to import it from.
    """

    commit: str
    committed: str
    folder: Path


def commit() -> tuple[str, str]:
    """Return name and time of the last commit that touched the package.

    Raises:
        TsattnError: this is no git repository.
    """
    name, _, time = _git("log", "-1", "--format=%h %cI", "--", PACKAGE).partition(" ")
    if _git("status", "--porcelain", "--", PACKAGE):
        name += f"-dirty-{_digest(ROOT / PACKAGE)}"
    return name, time


@contextmanager
def snapshot() -> Iterator[Code]:
    """Give a copy of the package and of the benchmarks, and the name of its state."""
    with tempfile.TemporaryDirectory(prefix="tsattn-benchmark-") as folder:
        while True:
            name, time = commit()
            for part in (PACKAGE, "benchmarks"):
                shutil.rmtree(Path(folder) / part, ignore_errors=True)
                ignore = shutil.ignore_patterns("__pycache__", "results", ".peers")
                shutil.copytree(ROOT / part, Path(folder) / part, ignore=ignore)
            if commit() == (name, time):
                break
        yield Code(name, time, Path(folder))


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise TsattnError(f"the benchmark names the commit it measures, but git says: {result.stderr.strip()}")
    return result.stdout.strip()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:6]
