"""Run each training in a separate process to measure its wall time and peak memory, including the start."""

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
from benchmarks.accuracy.snapshot import Snapshot
from benchmarks.accuracy.store import Key, Result, Store
from benchmarks.accuracy.tasks import Stage
from tsattn.errors import TsattnError


class Launcher:
    """Start the runs of one stage and store their results.

    Args:
        store: Where results are written.
        stage: The stage.
        code: The code to measure.
        data: The data folder.
        jobs: Number of concurrent runs, which divide the cores between them.
    """

    def __init__(self, store: Store, stage: Stage, code: Snapshot, data: Path, jobs: int = 1) -> None:
        self._store = store
        self._stage = stage
        self._code = code
        self._data = data
        self._jobs = jobs
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def key(self, run: Run) -> Key:
        """Return the key of the result of a run."""
        return Key(run.task.name, run.hash, run.seed, self._code.commit)

    def __call__(self, run: Run) -> Result:
        """Execute a run and return its result.

        Raises:
            TsattnError: The process failed; the message names its log.
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
            usage = self._measure(request, answer, log)
            scores: Result = json.loads(answer.read_text(encoding="utf-8"))
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
            **scores,
            **usage,
            "jobs": self._jobs,
            "machine": machine_info(),
            "configuration": run.configuration,
        }
        self._store.write(self._stage, key, result)
        return result

    def stop(self) -> None:
        """Terminate the current runs."""
        self._stopped = True
        for process in list(self._processes):
            process.terminate()

    def _measure(self, request: dict[str, Any], answer: Path, log: Path) -> dict[str, Any]:
        """Run the worker and return the time and memory that it used."""
        if self._stopped:
            raise TsattnError("stopped")
        # Without -P the working tree would precede the snapshot on the path.
        command = [sys.executable, "-P", "-m", "benchmarks.accuracy.worker", str(answer)]
        return run_process(command, request, log, self._environment(), self._processes)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(self._code.folder)}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if self._jobs > 1:
            threads = str(max((os.cpu_count() or 1) // self._jobs, 1))
            for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
                environment.setdefault(name, threads)
        return environment


def run_process(
    command: list[str],
    request: dict[str, Any],
    log: Path,
    environment: dict[str, str],
    processes: set[subprocess.Popen[bytes]],
) -> dict[str, Any]:
    """Run a process and return the time and memory that it used.

    Args:
        command: The command; it reads the request as JSON from standard input.
        request: The request. ``started``, the start time by `time.monotonic`, is added to it.
        log: File for the output.
        environment: Environment variables.
        processes: Contains the process while it runs.

    Raises:
        TsattnError: It failed; the message names the log.
    """
    begin, cpu_before = time.monotonic(), system_cpu_seconds()
    with log.open("wb") as output, tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps({**request, "started": begin}).encode())
        stdin.seek(0)
        process = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, env=environment)
        processes.add(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        processes.discard(process)
    seconds, own = time.monotonic() - begin, usage.ru_utime + usage.ru_stime
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise TsattnError(f"exit {process.returncode}: {' '.join(last)} (see {os.path.relpath(log)})")
    if cpu_before is None:
        others = None
    else:
        others = round(max((system_cpu_seconds() or 0.0) - cpu_before - own, 0.0) / seconds, 2)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(own, 1),
        # Kilobytes on Linux, bytes on macOS.
        "peak_memory_mb": round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
        "cores_used_by_others": others,
    }


def system_cpu_seconds() -> float | None:
    """Return the processor time of all processes since the machine was started; None if unknown."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, *rest = map(int, first[:8])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def machine_info() -> dict[str, Any]:
    """Return the processor and memory of this machine."""
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
