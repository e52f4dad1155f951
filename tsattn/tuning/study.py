"""The Optuna study of a search, in a journal file that several processes use at the same time.

Optuna's heartbeat, which detects dead workers, needs a database, `Study.optimize` and a grace period. Locks of the
operating system detect them at once, with the journal file alone.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from tsattn.errors import RunError
from tsattn.tuning.search_space import SearchSpace

if sys.platform != "win32":
    import fcntl


class Locks:
    """Numbered locks between processes, each on one byte of an empty file.

    The operating system releases the locks of a process that ends, however it ends. They do not work between threads.
    On Windows there are no locks: every process acts as if it were the only one.

    Args:
        path: The file; created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def acquire(self, number: int, *, wait: bool = False) -> bool:
        """Acquire a lock and return whether it was free. With ``wait``, block until it is."""
        if sys.platform != "win32":
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, number)
            except BlockingIOError:
                return False
        return True

    def release(self, number: int) -> None:
        """Release a lock."""
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def is_free(self, number: int) -> bool:
        """Return whether no other process holds a lock."""
        free = self.acquire(number)
        if free:
            self.release(number)
        return free

    @contextmanager
    def hold(self, number: int) -> Iterator[None]:
        """Wait for a lock and hold it."""
        self.acquire(number, wait=True)
        while not self._is_current():
            # The process that held the lock has removed the file, so that others would lock a different one.
            self._file.close()
            self._file = self._path.open("ab")
            self.acquire(number, wait=True)
        try:
            yield
        finally:
            self.release(number)

    def remove(self) -> None:
        """Remove the file. The caller holds the lock that all processes wait for, and nobody holds another one."""
        with suppress(PermissionError):  # on Windows, while others have it open
            self._path.unlink(missing_ok=True)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release all locks."""
        self._file.close()


STUDY = "tsattn"
"""Name of the study in the journal."""

SEARCH = "search"
"""Attribute of the study: data, options and search space."""

RETRY_OF = "retry_of"
"""Attribute of a trial: number of the trial that it repeats."""

DEFAULT = "default"
"""Attribute of a trial: it is the default of its model."""

OUT_OF_TIME = "cut"
"""Attribute of a trial: the time limit ended its training."""

SAME_AS = "same_as"
"""Attribute of a trial that was skipped: number of the trial with the same options."""

ENDED = "ended"
"""Attribute of a trial: number of processes that ended during earlier attempts."""

MAX_ATTEMPTS = 3
"""Maximum number of processes that may end with the same options, be it that they are killed or run out of memory."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

STARTUP_TRIALS = 10
"""Number of random trials before the sampler uses their results."""

PRUNER = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
"""Prunes a training whose best validation loss is worse than the median of the others at the same epoch."""

_SETUP_LOCK = 0
"""Lock for the steps that one process does at a time; the other locks belong to trials."""


class StudyStore:
    """The journal of one search, opened by this process.

    Args:
        path: The file.
        seed: Seed of the sampler.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._seed = seed
        self._current: int | None = None
        try:
            _check_file(path)
            self._locks = Locks(path.with_name(f"{path.name}.running"))
            with self._locks.hold(_SETUP_LOCK), _quiet_optuna():
                _drop_partial_line(path)
                self.study = optuna.create_study(
                    storage=_storage(path), study_name=STUDY, load_if_exists=True, pruner=PRUNER
                )
        except OSError as error:
            raise RunError(f"{path}: cannot be used as a journal: {error.strerror}", "name another {journal}") from None

    @classmethod
    def open(cls, path: Path, space: SearchSpace, fingerprint: str) -> Self:
        """Open the journal of a search, or create it with the default of every model as the first trials.

        Args:
            fingerprint: Fingerprint of the data.

        Raises:
            RunError: The file is not a journal, belongs to another search, or cannot be written.
        """
        store = cls(path, space.config.seed)
        search = {
            "data": fingerprint,
            "options": _flatten(space.config.model_dump(mode="json", exclude_none=True)),
            "space": space.describe(),
        }
        try:
            store._initialize(space, search)
        except BaseException:
            store.close()
            raise
        return store

    def _initialize(self, space: SearchSpace, search: dict[str, Any]) -> None:
        """Enqueue the defaults of a new search, or check that an existing one is the same."""
        with self._locks.hold(_SETUP_LOCK):
            existing = self.study.user_attrs.get(SEARCH)
            if existing is None:
                # A process may have ended in the middle of this.
                enqueued = self.trials()
                if any(trial.state != TrialState.WAITING for trial in enqueued):
                    raise _not_a_journal(self.path)
                for model in space.models[len(enqueued) :]:
                    self.study.enqueue_trial(space.default_parameters(model), user_attrs={DEFAULT: True})
                self.study.set_user_attr(SEARCH, search)
            elif existing != search:
                raise RunError(
                    f"{self.path}: is the journal of another search, {_describe_difference(existing, search)}",
                    "name another {journal}",
                    "remove the file to start again",
                )

    def trials(self) -> list[FrozenTrial]:
        """Return all trials."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, trials: int, *, is_time_over: bool) -> optuna.Trial | None:
        """Return a trial for this process to run, or None if the search is complete.

        Args:
            trials: Number of trials of the search.
            is_time_over: If set, return a trial only if no trial is complete yet.
        """
        with self._locks.hold(_SETUP_LOCK), _quiet_optuna():
            existing = self.trials()
            if is_time_over and any(trial.state == TrialState.COMPLETE for trial in existing):
                return None
            self._enqueue_unfinished(existing)
            if count_trials(self.trials(), trials)[1] <= 0:
                return None
            # One seed per trial and its repetitions: a resumed search continues as it would have, and processes differ.
            seed = int(np.random.SeedSequence((self._seed, _next_number(self.trials()))).generate_state(1)[0])
            self.study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP_TRIALS,
                seed=seed,
                multivariate=True,
                group=True,
                constant_liar=True,
            )
            trial = self.study.ask()
            self._current = trial.number
            self._locks.acquire(_SETUP_LOCK + 1 + trial.number)
            return trial

    def finish(self, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        """Record the result of a trial."""
        self.study.tell(trial, value, state)
        self._locks.release(_SETUP_LOCK + 1 + trial.number)
        self._current = None

    def close(self) -> None:
        """Release the locks of this process, and remove their file if no process runs a trial."""
        with self._locks.hold(_SETUP_LOCK):
            if all(trial.state != TrialState.RUNNING for trial in self.trials()):
                self._locks.remove()
        self._locks.close()

    def _enqueue_unfinished(self, existing: list[FrozenTrial]) -> None:
        """Enqueue again what a dead process or the time limit left unfinished, up to `MAX_ATTEMPTS`."""
        repeated = _repeated_numbers(existing)
        for trial in existing:
            is_abandoned = (
                trial.state == TrialState.RUNNING
                and trial.number != self._current
                and self._locks.is_free(_SETUP_LOCK + 1 + trial.number)
            )
            if is_abandoned:
                self.study.tell(trial.number, state=TrialState.FAIL)
            ended = trial.user_attrs.get(ENDED, 0) + int(is_abandoned)
            is_cut = (
                trial.state == TrialState.COMPLETE and OUT_OF_TIME in trial.user_attrs and trial.number not in repeated
            )
            if is_cut or (is_abandoned and ended < MAX_ATTEMPTS):
                default = {DEFAULT: True} if DEFAULT in trial.user_attrs else {}
                parameters = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                self.study.enqueue_trial(parameters, user_attrs={RETRY_OF: trial.number, ENDED: ended, **default})


def _next_number(trials: list[FrozenTrial]) -> int:
    """Return the number that the next trial has without repetitions; a repetition has that of its first attempt."""
    first = {trial.number: trial.user_attrs.get(RETRY_OF, trial.number) for trial in trials}
    originals = [number for number, repeated in first.items() if repeated == number]
    waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
    number = min(waiting, default=None)
    if number is None:
        return len(originals)
    while first[number] != number:
        number = first[number]
    return originals.index(number)


def _repeated_numbers(trials: list[FrozenTrial], states: tuple[TrialState, ...] = tuple(TrialState)) -> set[int]:
    """Return the numbers of trials that others, in some states, repeat."""
    return {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs and trial.state in states}


def effective_trials(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials without those that were repeated, and those that were skipped as duplicates."""
    repeated = _repeated_numbers(trials, FINISHED)
    return [trial for trial in trials if trial.number not in repeated and SAME_AS not in trial.user_attrs]


def count_trials(trials: list[FrozenTrial], total: int) -> tuple[int, int]:
    """Return how many trials are done, and how many of ``total`` are not started yet."""
    repeated = _repeated_numbers(trials)
    ended = [trial for trial in effective_trials(trials) if trial.state.is_finished()]
    done = sum(trial.number not in repeated for trial in ended)
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    return done, total - done - running


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Suppress Optuna's messages about new studies and experimental arguments."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def _check_file(path: Path) -> None:
    """Raise a RunError if an existing file is not a journal, before anything is written to it."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        is_journal = file.readline().startswith(b'{"op_code":')
    try:
        names = [study.study_name for study in _storage(path).get_all_studies()] if is_journal else []
    except (ValueError, LookupError, TypeError, AttributeError):
        is_journal, names = False, []
    if not is_journal or (names and STUDY not in names):
        raise _not_a_journal(path)


def _drop_partial_line(path: Path) -> None:
    """Remove an incomplete last line, left by a process that was killed, so that nothing is appended to it."""
    if not path.exists() or not path.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
    finally:
        lock.release()


def _not_a_journal(path: Path) -> RunError:
    return RunError(f"{path}: expected a journal of `tsattn tune`, got another file", "name another {journal}")


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _describe_difference(existing: dict[str, Any], search: dict[str, Any]) -> str:
    """Return how another search differs."""
    if existing.get("data") != search["data"]:
        return "of other data"
    if existing.get("space", {}).keys() != search["space"].keys():
        return f"of the models {', '.join(existing.get('space', {}))}"
    theirs, ours = existing.get("options", {}), search["options"]
    for key in sorted({*theirs, *ours}):
        if theirs.get(key) != ours.get(key):
            return f"with {key}={theirs[key]}" if key in theirs else f"without {key}={ours[key]}"
    return "with other searched options or values"


def complete_trials(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials with a result."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def trial_error(trial: FrozenTrial) -> float:
    """Return the error of a trial with a result."""
    assert trial.value is not None
    return trial.value
