"""Runs in processes of their own, so that wall time and peak memory are theirs, the start included."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy.plan import Run
from benchmarks.accuracy.snapshot import Code
from benchmarks.accuracy.store import Key, Result, Store
from benchmarks.accuracy.tasks import Stage
from tsattn.errors import TsattnError


class Launcher:
    """Starts the runs of one stage, and stores what they give.

    Args:
        store: where results go.
        stage: the stage.
        code: the code that is measured.
        data: folder of the data.
        jobs: how many runs go at a time; they share the cores.
    """

    def __init__(self, store: Store, stage: Stage, code: Code, data: Path, jobs: int = 1) -> None:
        self._store = store
        self._stage = stage
        self._code = code
        self._data = data
        self._jobs = jobs
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def key(self, run: Run) -> Key:
        """The key of a run's result."""
        return Key(run.task.name, run.hash, run.seed, self._code.commit)

    def __call__(self, run: Run) -> Result:
        """Do a run and return its result.

        Raises:
            TsattnError: the process failed; the message names its log.
        """
        key = self.key(run)
        log = self._store.log(self._stage, key)
        log.parent.mkdir(parents=True, exist_ok=True)
        request = {
            "task": run.task.name,
            "configuration": run.configuration,
            "seed": run.seed,
            "stage": self._stage,
            "data": str(self._data.resolve()),
        }
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            measured = self._measure(request, answer, log)
            given: Result = json.loads(answer.read_text(encoding="utf-8"))
        result = {
            "task": run.task.name,
            "protocol": run.task.protocol,
            "data": run.task.data,
            "horizon": run.task.horizon,
            "hash": run.hash,
            "seed": run.seed,
            "commit": self._code.commit,
            "committed": self._code.committed,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **given,
            **measured,
            "jobs": self._jobs,
            "machine": machine(),
            "configuration": run.configuration,
        }
        self._store.write(self._stage, key, result)
        return result

    def stop(self) -> None:
        """End the runs that are under way."""
        self._stopped = True
        for process in list(self._processes):
            process.terminate()

    def _measure(self, request: dict[str, Any], answer: Path, log: Path) -> dict[str, Any]:
        """Run the worker; return what it took."""
        if self._stopped:
            raise TsattnError("stopped")
        # Without -P the working tree would come before the snapshot.
        command = [sys.executable, "-P", "-m", "benchmarks.accuracy.worker", str(answer)]
        return measured(command, request, log, self._environment(), self._processes)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(self._code.folder)}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if self._jobs > 1:
            threads = str(max((os.cpu_count() or 1) // self._jobs, 1))
            for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
                environment.setdefault(name, threads)
        return environment


def measured(
    command: list[str],
    request: dict[str, Any],
    log: Path,
    environment: dict[str, str],
    processes: set[subprocess.Popen[bytes]],
) -> dict[str, Any]:
    """Run a process and return what it took.

    Args:
        command: what is run; the request comes to its standard input as JSON.
        request: what it is asked, to which ``started`` is added, when it was started, by `time.monotonic`.
        log: where its output goes.
        environment: its variables.
        processes: has it while it runs.

    Raises:
        TsattnError: it failed; the message names the log.
    """
    begin, busy = time.monotonic(), busy_seconds()
    with log.open("wb") as output, tempfile.TemporaryFile() as question:
        question.write(json.dumps({**request, "started": begin}).encode())
        question.seek(0)
        process = subprocess.Popen(command, stdin=question, stdout=output, stderr=subprocess.STDOUT, env=environment)
        processes.add(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        processes.discard(process)
    seconds, own = time.monotonic() - begin, usage.ru_utime + usage.ru_stime
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise TsattnError(f"exit {process.returncode}: {' '.join(last)} (see {os.path.relpath(log)})")
    others = None if busy is None else max((busy_seconds() or 0.0) - busy - own, 0.0) / seconds
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(own, 1),
        # Kilobytes on Linux, bytes on macOS.
        "peak_memory_mb": round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
        "cores_used_by_others": None if others is None else round(others, 2),
    }


def busy_seconds() -> float | None:
    """Return the processor time that all processes have taken since the machine was started; None where not known."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, *rest = map(int, first[:8])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Return what the run ran on."""
    processor = platform.processor() or None
    if (cpus := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if line[:10] == "model name"]
        processor = names[0] if names else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "processor": processor,
        "architecture": platform.machine(),
        "memory_gb": round(memory),
    }
