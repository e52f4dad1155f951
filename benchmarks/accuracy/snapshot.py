"""A copy of the code to measure, made at the start.

Runs take hours. If they imported the package from the working tree, later edits would be measured under the name of an
earlier commit.
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
class Snapshot:
    """The code of a run.

    Args:
        commit: The last commit that changed the package; with ``-dirty`` and a digest of the package if it has
            uncommitted changes.
        committed: Time of the commit, ISO 8601.
        folder: Folder to import from.
    """

    commit: str
    committed: str
    folder: Path


def last_commit() -> tuple[str, str]:
    """Return name and time of the last commit that changed the package.

    Raises:
        TsattnError: This is not a git repository.
    """
    name, _, time = _git("log", "-1", "--format=%h %cI", "--", PACKAGE).partition(" ")
    if _git("status", "--porcelain", "--", PACKAGE):
        name += f"-dirty-{_digest(ROOT / PACKAGE)}"
    return name, time


@contextmanager
def take_snapshot() -> Iterator[Snapshot]:
    """Yield a copy of the package and the benchmarks, removed on exit."""
    with tempfile.TemporaryDirectory(prefix="tsattn-benchmark-") as folder:
        while True:
            name, time = last_commit()
            for part in (PACKAGE, "benchmarks"):
                shutil.rmtree(Path(folder) / part, ignore_errors=True)
                ignore = shutil.ignore_patterns("__pycache__", "results", ".peers")
                shutil.copytree(ROOT / part, Path(folder) / part, ignore=ignore)
            if last_commit() == (name, time):
                break
        yield Snapshot(name, time, Path(folder))


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise TsattnError(f"the benchmark records the commit that it measures, but git failed: {result.stderr.strip()}")
    return result.stdout.strip()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:6]
