"""The runs, the names of their results, and their execution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.configuration import fingerprint
from benchmarks.accuracy.launch import machine_info, run_process
from benchmarks.accuracy.snapshot import Snapshot
from benchmarks.accuracy.store import Result, write_result
from benchmarks.accuracy.tasks import Task
from benchmarks.side_by_side.contestants import CONTESTANTS, CORES, Contestant
from benchmarks.side_by_side.environment import requirements
from benchmarks.side_by_side.tasks import scores

RESULTS = Path(__file__).parents[1] / "results" / "side_by_side"


@dataclass(frozen=True)
class Run:
    """One fit and its figures: the content of one JSON file.

    Args:
        task: The task.
        contestant: The contestant.
        budget: Seconds until it must be fitted; None without a budget.
        seed: Seed of the training.
    """

    task: Task
    contestant: Contestant
    budget: int | None
    seed: int

    @property
    def title(self) -> str:
        """Description of the run."""
        budget = "no budget" if self.budget is None else f"{self.budget} s, seed {self.seed}"
        return f"{self.task.name:11} {self.contestant.name:15} {budget}"

    def state(self, commit: str) -> str:
        """Return the commit for tsattn, or a digest of the options and versions of a peer."""
        if self.contestant.module == "default":
            return commit
        options = self.contestant.options_of(self.task.protocol)
        return fingerprint({"options": options, "versions": requirements() if self.contestant.peer else []})

    def file(self, commit: str) -> str:
        """Return the file name of the result."""
        budget = "" if self.budget is None else f"_{self.budget}s_seed{self.seed}"
        return f"{self.task.name}_{self.contestant.name.replace(' ', '-')}{budget}_{self.state(commit)}.json"


def list_runs(tasks: Sequence[Task], names: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]) -> list[Run]:
    """Return the runs of the named contestants, or of all, sorted by seed."""
    selected = [contestant for contestant in CONTESTANTS if not names or contestant.name in names]
    found = []
    for seed in seeds:
        for task in tasks:
            for contestant in selected:
                if contestant.budgeted:
                    found += [Run(task, contestant, budget, seed) for budget in budgets]
                elif seed == seeds[0]:
                    found.append(Run(task, contestant, None, seed))
    return found


@dataclass(frozen=True)
class Runner:
    """Execute runs one after the other.

    Args:
        results: Folder of the results.
        data: The data folder.
        code: The code to measure.
        peers: Interpreter of the environment of the peers.
        processes: Contains the current process.
    """

    results: Path
    data: Path
    code: Snapshot
    peers: Path
    processes: set[subprocess.Popen[bytes]]

    def __call__(self, run: Run) -> Result:
        """Execute a run, score its forecasts and store the result.

        Raises:
            TsattnError: The process failed; the message names its log.
        """
        name = run.file(self.code.commit)
        log = self.results / "logs" / f"{name.removesuffix('.json')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        options = run.contestant.options_of(run.task.protocol)
        request = {
            "task": run.task.name,
            "module": run.contestant.module,
            "options": options,
            "budget": run.budget,
            "seed": run.seed,
            "data": str(self.data.resolve()),
        }
        with tempfile.TemporaryDirectory() as folder:
            python = str(self.peers) if run.contestant.peer else sys.executable
            # Without -P the working tree would precede the snapshot on the path.
            command = [python, "-P", "-m", "benchmarks.side_by_side.worker", folder]
            usage = run_process(command, request, log, self._environment(), self.processes)
            answer: dict[str, Any] = json.loads((Path(folder) / "answer.json").read_text(encoding="utf-8"))
            figures = scores(run.task, self.data, np.load(Path(folder) / "forecasts.npy"))
        result = {
            "task": run.task.name,
            "contestant": run.contestant.name,
            "budget": run.budget,
            "seed": run.seed,
            "state": run.state(self.code.commit),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "figures": figures,
            **answer,
            "over_budget": run.budget is not None and answer["fitted_seconds"] > run.budget,
            **usage,
            "cores": CORES,
            "machine": machine_info(),
            "options": options,
        }
        write_result(self.results / name, result)
        return result

    def _environment(self) -> dict[str, str]:
        threads = {name: str(CORES) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
        # The same cores for all, and no accelerator, which only some of them would use.
        fixed = {"PYTHONPATH": str(self.code.folder), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        return {**os.environ, **threads, **fixed}
