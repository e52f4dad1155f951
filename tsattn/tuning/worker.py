"""Run trials, in this process or in several worker processes."""

from __future__ import annotations

import gc
import json
import math
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Event, Thread
from time import monotonic
from typing import Any, Self

import keras
import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from tsattn.config import Loss
from tsattn.engines import Engine
from tsattn.errors import RunError, TsattnError
from tsattn.forecasting.fit import fit_model
from tsattn.models.registry import import_modules
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.tuning.search_space import SearchSpace
from tsattn.tuning.study import (
    DEFAULT,
    OUT_OF_TIME,
    RETRY_OF,
    SAME_AS,
    StudyStore,
    complete_trials,
    count_trials,
    effective_trials,
    trial_error,
)

OnActivity = Callable[[str], None]
"""Takes the current activity in a few words, after every epoch and trial."""


@dataclass(frozen=True)
class SearchTask:
    """Data and limits of a search, the same in every process.

    Args:
        source: Name of the data in errors.
        trials: Number of trials of the search.
        deadline: Time on the clock of `time.monotonic` at which the search ends; infinity for no limit.
    """

    space: SearchSpace
    panel: Panel
    schema: Schema
    source: str
    trials: int
    deadline: float = math.inf

    def is_time_over(self) -> bool:
        """Return whether the deadline has passed."""
        return monotonic() >= self.deadline


class TrialCallback(keras.callbacks.Callback):
    """Reports the validation loss of each epoch, prunes weak trainings and stops them at the deadline.

    Args:
        can_prune: Whether the training may be pruned.
    """

    def __init__(self, trial: optuna.Trial, task: SearchTask, on_activity: OnActivity, *, can_prune: bool) -> None:
        super().__init__()
        self._trial = trial
        self._task = task
        self._on_activity = on_activity
        self._can_prune = can_prune
        self.epochs = 0
        self.out_of_time = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop the training at the deadline."""
        if self._task.is_time_over():
            # Keras validates after the incomplete epoch as well.
            self.out_of_time = self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the validation loss and prune the trial if it is weak."""
        self.epochs = epoch + 1
        self._trial.report(float((logs or {})["val_loss"]), epoch)
        self._on_activity(f"trial {self._trial.number + 1}, epoch {self.epochs}")
        if self._can_prune and not self.out_of_time and self._trial.should_prune():
            raise optuna.TrialPruned


def tuning_metric(loss: Loss, scores: pd.DataFrame) -> str:
    """Return the error that decides: the one for the loss, scaled if the data give a scale."""
    scaled, plain = ("rmsse", "rmse") if loss == "squared" else ("mase", "mae")
    return scaled if np.isfinite(scores[scaled].astype(float)).any() else plain


def run_trial(trial: optuna.Trial, task: SearchTask, store: StudyStore, on_activity: OnActivity) -> bool:
    """Train with the options of a trial, record the result, and return whether the trial was new.

    Trials that are refused by rules, diverge or run out of memory are pruned, with the reason.
    """
    model, values = task.space.suggest(trial)
    trial.set_user_attr("model", model)
    trial.set_user_attr("values", values)
    duplicate = _find_duplicate(trial, store, model, values)
    if duplicate is not None:
        trial.set_user_attr(SAME_AS, duplicate)
        store.finish(trial, TrialState.FAIL)
        return False
    on_activity(f"trial {trial.number + 1}")
    started = monotonic()
    given = task.space.with_values(model, values)
    config = given.model_copy(update={"training": given.training.model_copy(update={"refit": False})})
    callback = TrialCallback(trial, task, on_activity, can_prune=DEFAULT not in trial.user_attrs)
    value: float | None = None
    reason: str | None = None
    try:
        fitted = fit_model(config, task.panel, task.schema, task.source, lambda title: nullcontext(callback))
        scores = fitted.scores
        metric = tuning_metric(config.training.loss, scores)
        errors = {str(row["model"]): float(row[metric]) for row in scores.to_dict("records")}
        value = errors[model]
        resolved = fitted.config.model_copy(update={"training": given.training})
        trial.set_user_attr("config", resolved.model_dump(mode="json", exclude_none=True))
        trial.set_user_attr("metric", metric)
        trial.set_user_attr("errors", {name: error for name, error in errors.items() if math.isfinite(error)})
        if callback.out_of_time:
            trial.set_user_attr(OUT_OF_TIME, True)
    except optuna.TrialPruned:
        reason = "validation loss above the median of the other trials"
    except TsattnError as error:
        reason = str(error)
    except (MemoryError, _out_of_memory_error()):
        reason = "out of memory"
    if value is not None and not math.isfinite(value):
        value, reason = None, "the error is not a finite number"
    for key, attribute in {"epochs": callback.epochs, "seconds": monotonic() - started, "reason": reason}.items():
        trial.set_user_attr(key, attribute)
    store.finish(trial, TrialState.PRUNED if value is None else TrialState.COMPLETE, value)
    # A model and its optimizer refer to each other and would accumulate.
    gc.collect()
    return True


def _find_duplicate(trial: optuna.Trial, store: StudyStore, model: str, values: dict[str, Any]) -> int | None:
    """Return the number of an earlier trial with the same options that is done or running, if any."""
    if DEFAULT in trial.user_attrs or RETRY_OF in trial.user_attrs:
        return None
    stored = json.loads(json.dumps(values))
    for other in store.trials():
        attributes = other.user_attrs
        is_equal = attributes.get("model") == model and attributes.get("values") == stored
        if other.number < trial.number and is_equal and SAME_AS not in attributes and other.state != TrialState.FAIL:
            return other.number
    return None


def _out_of_memory_error() -> type[Exception]:
    """Return the error of the backend for a device without free memory."""
    if keras.backend.backend() != "tensorflow":
        return MemoryError
    import tensorflow as tf

    error: type[Exception] = tf.errors.ResourceExhaustedError
    return error


@dataclass(frozen=True)
class SearchProgress:
    """Progress of a search.

    Args:
        done: Number of finished trials.
        trials: Number of all trials.
        best: Lowest error so far; NaN if there is no result.
        default: Error of the default; NaN if there is no result.
        metric: Name of the error; empty if there is no result.
        activity: Current activity in a few words.
    """

    done: int
    trials: int
    best: float = math.nan
    default: float = math.nan
    metric: str = ""
    activity: str = ""

    @classmethod
    def from_store(cls, store: StudyStore, trials: int, activity: str = "") -> Self:
        """Return the progress of a search."""
        known = store.trials()
        done, complete = count_trials(known, trials)[0], complete_trials(effective_trials(known))
        if not complete:
            return cls(done, trials, activity=activity)
        return cls(
            done,
            trials,
            min(trial_error(trial) for trial in complete),
            min((trial_error(trial) for trial in complete if DEFAULT in trial.user_attrs), default=math.nan),
            complete[0].user_attrs["metric"],
            activity,
        )


OnProgress = Callable[[SearchProgress], None]
"""Takes the progress of a search."""

MAX_DUPLICATES = 20
"""Number of consecutive duplicates after which a search space counts as exhausted."""


def run_trials(task: SearchTask, store: StudyStore, on_progress: OnProgress | None = None) -> None:
    """Run trials of a search until all are done, or the time is over.

    Args:
        on_progress: Called after every epoch and trial.
    """

    def on_activity(activity: str) -> None:
        if on_progress is not None:
            on_progress(SearchProgress.from_store(store, task.trials, activity))

    duplicates = 0
    while duplicates < MAX_DUPLICATES:
        trial = store.ask(task.trials, is_time_over=task.is_time_over())
        if trial is None:
            break
        duplicates = 0 if run_trial(trial, task, store, on_activity) else duplicates + 1
        on_activity("")


POLL_SECONDS = 0.5
"""Interval between two reads of the journal while worker processes run."""


@dataclass(frozen=True)
class WorkerJob:
    """Job of a worker process.

    Args:
        run: Function to call.
        modules: Modules that register models, imported first.
    """

    run: Callable[[], None]
    modules: tuple[str, ...]


def run_processes(jobs: int, job: WorkerJob, on_poll: Callable[[], None]) -> None:
    """Run the same job in several processes and wait for them.

    Args:
        jobs: Number of processes.
        job: Job of each process; it is pickled.
        on_poll: Called every `POLL_SECONDS`.

    Raises:
        RunError: A process has ended early.
        TsattnError: An error in one of the processes.
    """
    pickled = pickle.dumps(job)
    context = multiprocessing.get_context("spawn")
    running: dict[BaseProcess, Connection] = {}
    try:
        for _ in range(jobs):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_run_worker, args=(jobs, pickled, send), daemon=True)
            process.start()
            send.close()
            running[process] = receive
        while running:
            wait([process.sentinel for process in running], timeout=POLL_SECONDS)
            on_poll()
            for ended in [process for process in running if not process.is_alive()]:
                _raise_error(ended, running.pop(ended))
    finally:
        for remaining in running:
            remaining.terminate()
            remaining.join()


def run_on_engine(engine: Engine, tasks: int, job: WorkerJob, on_poll: Callable[[], None]) -> None:
    """Run the same job on the workers of an engine and wait for them.

    Args:
        engine: Where the job is run.
        tasks: How many times it is run, at least as many as there are workers; those without trials left end at once.
        job: The job; it is pickled.
        on_poll: Called every `POLL_SECONDS`.
    """
    ended = Event()

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            on_poll()

    # The engine stays in this thread: Ray handles signals in the main thread only.
    poller = Thread(target=poll, daemon=True)
    poller.start()
    try:
        for _ in engine.map(partial(_run_job, job), range(tasks)):
            pass
    finally:
        ended.set()
        poller.join()
    on_poll()


def _run_job(job: WorkerJob, _: int) -> None:
    import_modules(job.modules)
    job.run()


def _raise_error(process: BaseProcess, receive: Connection) -> None:
    """Raise the error of a process that has ended, if any."""
    try:
        error = receive.recv()
    except EOFError:
        raise RunError(
            f"a worker process was killed (exit code {process.exitcode}), possibly for lack of memory",
            "resume the search with fewer {jobs}",
        ) from None
    if error is not None:
        raise error


def _run_worker(jobs: int, pickled: bytes, send: Connection) -> None:
    """Run a job in a worker process and send its error."""
    Thread(target=_exit_with_parent, daemon=True).start()
    # TensorFlow's native code writes start-up messages to standard error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # The processes divide the cores and the memory of the device.
    threads = max((os.cpu_count() or 1) // jobs, 1)
    for name, value in {"INTRAOP_THREADS": threads, "INTEROP_THREADS": threads}.items():
        os.environ.setdefault(f"TF_NUM_{name}", str(value))
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    failure: Exception | None = None
    try:
        # Unpickling imports TensorFlow, which reads the variables above.
        job: WorkerJob = pickle.loads(pickled)
        import_modules(job.modules)
        job.run()
    except TsattnError as error:
        failure = error
    except Exception:
        failure = RuntimeError(traceback.format_exc())
    send.send(failure)


def _exit_with_parent() -> None:
    """Exit this process when its parent process ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
