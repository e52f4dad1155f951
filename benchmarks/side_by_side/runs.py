"""What is run, where its result is, and the running."""

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
from benchmarks.accuracy.launch import machine, measured
from benchmarks.accuracy.snapshot import Code
from benchmarks.accuracy.store import Result, write
from benchmarks.accuracy.tasks import Task
from benchmarks.side_by_side.contestants import CONTESTANTS, CORES, Contestant
from benchmarks.side_by_side.environment import requirements
from benchmarks.side_by_side.tasks import scores

RESULTS = Path(__file__).parents[1] / "results" / "side_by_side"


@dataclass(frozen=True)
class Run:
    """One fitting and its figures: what goes into one JSON.

    Args:
        task: what is forecast.
        contestant: by whom.
        budget: seconds until it must be fitted; None for one that takes its own time.
        seed: of the training.
    """

    task: Task
    contestant: Contestant
    budget: int | None
    seed: int

    @property
    def title(self) -> str:
        """The run in words."""
        own = "own time" if self.budget is None else f"{self.budget} s, seed {self.seed}"
        return f"{self.task.name:11} {self.contestant.name:15} {own}"

    def state(self, commit: str) -> str:
        """Return what else tells results apart: the commit of ours, a digest of options and versions of the others."""
        if self.contestant.module == "ours":
            return commit
        options = self.contestant.options_of(self.task.protocol)
        return fingerprint({"options": options, "versions": requirements() if self.contestant.peer else []})

    def file(self, commit: str) -> str:
        """Return the name of its result."""
        own = "" if self.budget is None else f"_{self.budget}s_seed{self.seed}"
        return f"{self.task.name}_{self.contestant.name.replace(' ', '-')}{own}_{self.state(commit)}.json"


def plan(tasks: Sequence[Task], names: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]) -> list[Run]:
    """Return the runs of some contestants, all if none is named; those of the first seed first."""
    chosen = [contestant for contestant in CONTESTANTS if not names or contestant.name in names]
    made = []
    for seed in seeds:
        for task in tasks:
            for contestant in chosen:
                if contestant.budgeted:
                    made += [Run(task, contestant, budget, seed) for budget in budgets]
                elif seed == seeds[0]:
                    made.append(Run(task, contestant, None, seed))
    return made


@dataclass(frozen=True)
class Runner:
    """Does runs, one after the other.

    Args:
        results: folder of the results.
        data: folder of the data.
        code: what is measured.
        peers: interpreter of the peers' environment.
        processes: has the process that is under way.
    """

    results: Path
    data: Path
    code: Code
    peers: Path
    processes: set[subprocess.Popen[bytes]]

    def __call__(self, run: Run) -> Result:
        """Do a run, score its forecasts and store the result.

        Raises:
            TsattnError: the process failed; the message names its log.
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
            # Without -P the working tree would come before the snapshot.
            command = [python, "-P", "-m", "benchmarks.side_by_side.worker", folder]
            took = measured(command, request, log, self._environment(), self.processes)
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
            **took,
            "cores": CORES,
            "machine": machine(),
            "options": options,
        }
        write(self.results / name, result)
        return result

    def _environment(self) -> dict[str, str]:
        threads = {name: str(CORES) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
        # All on the same cores, and none on an accelerator that only some of them would use.
        fixed = {"PYTHONPATH": str(self.code.folder), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        return {**os.environ, **threads, **fixed}
