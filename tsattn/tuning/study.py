"""Locks that the system takes back when the process ends that holds them, however it ends."""

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
from tsattn.tuning.search_space import Space

if sys.platform != "win32":
    import fcntl


class Locks:
    """Numbered locks between processes: each is a byte of one file, which stays empty.

    They hold between processes, not between threads of one. Where the system has none of them (Windows), every
    process takes itself to be the only one.

    Args:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def take(self, number: int, *, wait: bool = False) -> bool:
        """Take a lock; tell whether it was free. With ``wait`` it is, sooner or later."""
        if sys.platform != "win32":
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, number)
            except BlockingIOError:
                return False
        return True

    def release(self, number: int) -> None:
        """Give a lock back."""
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def is_free(self, number: int) -> bool:
        """Tell whether no other process holds a lock."""
        free = self.take(number)
        if free:
            self.release(number)
        return free

    @contextmanager
    def held(self, number: int) -> Iterator[None]:
        """Wait for a lock and hold it."""
        self.take(number, wait=True)
        while not self._is_there():
            # Removed by the process that held it, so that others would lock another file.
            self._file.close()
            self._file = self._path.open("ab")
            self.take(number, wait=True)
        try:
            yield
        finally:
            self.release(number)

    def remove(self) -> None:
        """Remove the file, in the lock that all wait for, where nobody holds another."""
        with suppress(PermissionError):  # on Windows, while others have it open
            self._path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give all locks back."""
        self._file.close()


STUDY = "tsattn"
"""Name of the study in the journal."""

SEARCH = "search"
"""Attribute of the study: what the search is of."""

RETRY_OF = "retry_of"
"""Attribute of a trial: the number of the one that it does again."""

DEFAULT = "default"
"""Attribute of a trial: it is the default of its model."""

CUT = "cut"
"""Attribute of a trial: the time was over before its training was."""

SAME_AS = "same_as"
"""Attribute of a trial that was not done: the number of the one with the same options."""

ENDED = "ended"
"""Attribute of a trial: how many processes have ended over its options before it."""

TRIES = 3
"""Processes that may end over the same options, be it that they are killed or that the memory does not hold them."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

STARTUP = 10
"""Trials that are drawn at random before the sampler learns from them."""

PRUNER = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
"""Stops a training whose best validation loss so far is worse than the median of the others at the same epoch."""

_SETUP = 0
"""The lock for what only one process may do at a time; the others are of trials."""


class Journal:
    """The journal of one search, open in this process.

    Args:
        path: the file.
        seed: seed of the proposals.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._seed = seed
        self._own: int | None = None
        try:
            _check(path)
            self._locks = Locks(path.with_name(f"{path.name}.running"))
            with self._locks.held(_SETUP), quiet():
                _mend(path)
                self.study = optuna.create_study(
                    storage=_storage(path), study_name=STUDY, load_if_exists=True, pruner=PRUNER
                )
        except OSError as error:
            raise RunError(f"{path}: cannot be used as a journal: {error.strerror}: give another one") from None

    @classmethod
    def open(cls, path: Path, space: Space, fingerprint: str) -> Self:
        """Open the journal of a search, or begin it with the default of every model.

        Args:
            path: the file.
            space: what is searched.
            fingerprint: that of the data.

        Raises:
            RunError: it is no journal, that of another search, or cannot be written.
        """
        journal = cls(path, space.config.seed)
        search = {
            "data": fingerprint,
            "options": _flat(space.config.model_dump(mode="json", exclude_none=True)),
            "space": space.described(),
        }
        try:
            journal._begin(space, search)
        except BaseException:
            journal.close()
            raise
        return journal

    def _begin(self, space: Space, search: dict[str, Any]) -> None:
        """Line up the defaults of a search that is new, and check that another one is this."""
        with self._locks.held(_SETUP):
            known = self.study.user_attrs.get(SEARCH)
            if known is None:
                # A process may have been ended amid this.
                begun = self.trials()
                if any(trial.state != TrialState.WAITING for trial in begun):
                    raise _foreign(self.path)
                for model in space.models[len(begun) :]:
                    self.study.enqueue_trial(space.start(model), user_attrs={DEFAULT: True})
                self.study.set_user_attr(SEARCH, search)
            elif known != search:
                raise RunError(
                    f"{self.path}: is the journal of another search, {_difference(known, search)}: "
                    "give another journal, or remove it to begin anew"
                )

    def trials(self) -> list[FrozenTrial]:
        """Return all trials."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, trials: int, *, last: bool) -> optuna.Trial | None:
        """Return a trial for this process to do, or None where there is none.

        Args:
            trials: how many the search has.
            last: whether the time is over, so that there is none where anything is known.
        """
        with self._locks.held(_SETUP), quiet():
            known = self.trials()
            if last and any(trial.state == TrialState.COMPLETE for trial in known):
                return None
            self._again(known)
            if standing_of(self.trials(), trials)[1] <= 0:
                return None
            # Of its own seed, so that a search that was stopped goes on as it would have, and processes differ.
            state = int(np.random.SeedSequence((self._seed, len(known))).generate_state(1)[0])
            self.study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP,
                seed=state,
                multivariate=True,
                group=True,
                constant_liar=True,
            )
            trial = self.study.ask()
            self._own = trial.number
            self._locks.take(_SETUP + 1 + trial.number)
            return trial

    def tell(self, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        """Write down how a trial ended."""
        self.study.tell(trial, value, state)
        self._locks.release(_SETUP + 1 + trial.number)
        self._own = None

    def close(self) -> None:
        """Give back what this process holds, and tidy up where none works on the search."""
        with self._locks.held(_SETUP):
            if all(trial.state != TrialState.RUNNING for trial in self.trials()):
                self._locks.remove()
        self._locks.close()

    def _again(self, known: list[FrozenTrial]) -> None:
        """Line up again what was left or cut short; what has ended several processes is left at that."""
        repeated = {trial.user_attrs[RETRY_OF] for trial in known if RETRY_OF in trial.user_attrs}
        for trial in known:
            left = (
                trial.state == TrialState.RUNNING
                and trial.number != self._own
                and self._locks.is_free(_SETUP + 1 + trial.number)
            )
            if left:
                self.study.tell(trial.number, state=TrialState.FAIL)
            ended = trial.user_attrs.get(ENDED, 0) + int(left)
            cut = trial.state == TrialState.COMPLETE and CUT in trial.user_attrs and trial.number not in repeated
            if cut or (left and ended < TRIES):
                kept = {DEFAULT: True} if DEFAULT in trial.user_attrs else {}
                parameters = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                self.study.enqueue_trial(parameters, user_attrs={RETRY_OF: trial.number, ENDED: ended, **kept})


def counted(known: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials without those that were done again, or not done for being the same as another."""
    again = {trial.user_attrs[RETRY_OF] for trial in known if RETRY_OF in trial.user_attrs and trial.state in FINISHED}
    return [trial for trial in known if trial.number not in again and SAME_AS not in trial.user_attrs]


def standing_of(known: list[FrozenTrial], trials: int) -> tuple[list[FrozenTrial], int]:
    """Return the trials that are done, and how many of a number are still to be begun."""
    repeated = {trial.user_attrs[RETRY_OF] for trial in known if RETRY_OF in trial.user_attrs}
    ended = [trial for trial in counted(known) if trial.state.is_finished()]
    done = [trial for trial in ended if trial.number not in repeated]
    running = sum(trial.state == TrialState.RUNNING for trial in known)
    return done, trials - len(done) - running


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling of studies that are made, and of arguments that may change."""
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


def _check(path: Path) -> None:
    """Raise a RunError where there is a file that is no journal, before anything is written."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        known = file.readline().startswith(b'{"op_code":')
    try:
        names = [study.study_name for study in _storage(path).get_all_studies()] if known else []
    except (ValueError, LookupError, TypeError, AttributeError):
        known, names = False, []
    if not known or (names and STUDY not in names):
        raise _foreign(path)


def _mend(path: Path) -> None:
    """Cut off the last line where a process was ended while it wrote it, so that none is appended to it."""
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


def _foreign(path: Path) -> RunError:
    return RunError(f"{path}: expected a journal of `tsattn tune`, but it is none: give another one")


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested options with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value})
    return flat


def _difference(known: dict[str, Any], search: dict[str, Any]) -> str:
    """Return in words what another search is of."""
    if known.get("data") != search["data"]:
        return "of other data"
    if known.get("space", {}).keys() != search["space"].keys():
        return f"of the models {', '.join(known.get('space', {}))}"
    theirs, ours = known.get("options", {}), search["options"]
    for key in sorted({*theirs, *ours}):
        if theirs.get(key) != ours.get(key):
            return f"with {key}={theirs[key]}" if key in theirs else f"without {key}={ours[key]}"
    return "which searched other options or values"
