"""Results as small JSON files, one a run; written whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage

RESULTS = Path(__file__).parents[1] / "results" / "accuracy"

Result = dict[str, Any]
"""What one run gave, see `benchmarks.accuracy.launch`."""


@dataclass(frozen=True)
class Key:
    """What tells results apart.

    Args:
        task: data, protocol and horizon, by the name of the task.
        hash: fingerprint of the configuration.
        seed: seed of the training.
        commit: the last one that touched the package.
    """

    task: str
    hash: str
    seed: int
    commit: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.task}_{self.hash}_seed{self.seed}_{self.commit}.json"


class Store:
    """A folder of results: ``test/`` and ``validation/`` with a JSON a run, ``logs/``.

    A result of the test stage may hold figures of the validation part too; then it stands for both.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder

    def path(self, stage: Stage, key: Key) -> Path:
        """Where a result is, or will be."""
        return self.folder / stage / key.file

    def log(self, stage: Stage, key: Key) -> Path:
        """Where a run writes what it prints; not committed."""
        return self.folder / "logs" / stage / f"{key.file.removesuffix('.json')}.log"

    def find(self, stage: Stage, key: Key, *, any_commit: bool = False) -> Path | None:
        """Return the file with the figures of a run, if there is one.

        Args:
            stage: whose figures.
            key: the run.
            any_commit: also take a result of another commit.
        """
        name = key.file if not any_commit else Key(key.task, key.hash, key.seed, "*").file
        for path in sorted((self.folder / stage).glob(name)):
            return path
        if stage == VALIDATION:
            for path in sorted((self.folder / TEST).glob(name)):
                if VALIDATION in read(path):
                    return path
        return None

    def write(self, stage: Stage, key: Key, result: Result) -> Path:
        """Write a result, all of it or nothing."""
        return write(self.path(stage, key), result)

    def results(self, stage: Stage) -> list[Result]:
        """Return all results that have figures of a stage, in the order of their files."""
        stages = (VALIDATION, TEST) if stage == VALIDATION else (TEST,)
        paths = (path for of in stages for path in sorted((self.folder / of).glob("*.json")))
        return [result for result in map(read, paths) if stage in result]


def read(path: Path) -> Result:
    """Return the result in a file."""
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def write(path: Path, result: Result) -> Path:
    """Write a result, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path
