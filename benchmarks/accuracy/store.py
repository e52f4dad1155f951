"""Results as JSON files, one per run, written atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage
from tsattn.atomic_io import write_text

RESULTS = Path(__file__).parents[1] / "results" / "accuracy"

Result = dict[str, Any]
"""Result of one run, see `benchmarks.accuracy.launch`."""


@dataclass(frozen=True)
class Key:
    """Identifies a result.

    Args:
        task: Name of the task.
        hash: Fingerprint of the configuration.
        seed: Seed of the training.
        commit: The last commit that changed the package.
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
    """A folder of results: ``test/`` and ``validation/`` with one JSON file per run, and ``logs/``.

    A result of the test stage that also has figures of the validation part is a result of both stages.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder

    def path(self, stage: Stage, key: Key) -> Path:
        """Return the path of a result, which need not exist."""
        return self.folder / stage / key.file

    def log(self, stage: Stage, key: Key) -> Path:
        """Return the path of the log of a run; logs are not committed."""
        return self.folder / "logs" / stage / f"{key.file.removesuffix('.json')}.log"

    def find(self, stage: Stage, key: Key, *, any_commit: bool = False) -> Path | None:
        """Return the file with the figures of a run, or None.

        Args:
            stage: The stage.
            key: The run.
            any_commit: Whether to accept a result of another commit.
        """
        name = key.file if not any_commit else Key(key.task, key.hash, key.seed, "*").file
        for path in sorted((self.folder / stage).glob(name)):
            return path
        if stage == VALIDATION:
            for path in sorted((self.folder / TEST).glob(name)):
                if VALIDATION in read_result(path):
                    return path
        return None

    def write(self, stage: Stage, key: Key, result: Result) -> Path:
        """Write a result."""
        return write_result(self.path(stage, key), result)

    def results(self, stage: Stage) -> list[Result]:
        """Return all results with figures of a stage, sorted by file name."""
        stages = (VALIDATION, TEST) if stage == VALIDATION else (TEST,)
        paths = (path for of in stages for path in sorted((self.folder / of).glob("*.json")))
        return [result for result in map(read_result, paths) if stage in result]


def read_result(path: Path) -> Result:
    """Read a result."""
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def write_result(path: Path, result: Result) -> Path:
    """Write a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(json.dumps(result, indent=2) + "\n", path)
    return path
