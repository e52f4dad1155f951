"""One trial: a training by some options, watched epoch by epoch, and its error on the validation part."""

from __future__ import annotations

import gc
import importlib
import json
import math
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from time import monotonic
from typing import Any

import keras
import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from tsattn.config import Loss
from tsattn.errors import ConfigError, RunError, TsattnError
from tsattn.forecasting.fit import fit_model
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.tuning.result import Standing
from tsattn.tuning.search_space import Space
from tsattn.tuning.study import CUT, DEFAULT, RETRY_OF, SAME_AS, Journal

Told = Callable[[str], None]
"""Takes what is being done, in a few words, after every epoch and every trial."""


@dataclass(frozen=True)
class Task:
    """What every process of a search works on.

    Args:
        space: what is searched.
        panel: the series.
        schema: how they were read.
        source: what errors call the data.
        trials: how many trials the search has.
        deadline: when the time is over, as `time.monotonic` counts it; infinity for never.
    """

    space: Space
    panel: Panel
    schema: Schema
    source: str
    trials: int
    deadline: float = math.inf

    def is_over(self) -> bool:
        """Tell whether the time is over."""
        return monotonic() >= self.deadline


class Watcher(keras.callbacks.Callback):
    """Writes the validation loss of each epoch down, prunes a training that is weak, stops it when the time is over.

    Args:
        trial: the trial.
        task: what the search works on.
        told: told of each epoch.
        spare: whether it must not be pruned.
    """

    def __init__(self, trial: optuna.Trial, task: Task, told: Told, *, spare: bool) -> None:
        super().__init__()
        self._trial = trial
        self._task = task
        self._told = told
        self._spare = spare
        self.epochs = 0
        self.cut = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._task.is_over():
            # The part of the epoch that was trained is validated all the same.
            self.cut = self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epochs = epoch + 1
        self._trial.report(float((logs or {})["val_loss"]), epoch)
        self._told(f"trial {self._trial.number + 1}, epoch {self.epochs}")
        if not self._spare and not self.cut and self._trial.should_prune():
            raise optuna.TrialPruned


def metric_of(loss: Loss, scores: pd.DataFrame) -> str:
    """Return the error that trials are compared by: that which suits the loss, scaled where the data give a scale."""
    scaled, plain = ("rmsse", "rmse") if loss == "squared" else ("mase", "mae")
    return scaled if np.isfinite(scores[scaled].astype(float)).any() else plain


def run_trial(trial: optuna.Trial, task: Task, journal: Journal, told: Told) -> bool:
    """Train by what a trial proposes and write down how it ended; tell whether it was new.

    What the rules refuse, what diverges and what the memory does not hold is pruned, with the reason.
    """
    model, values = task.space.suggest(trial)
    trial.set_user_attr("model", model)
    trial.set_user_attr("values", values)
    same = _same(trial, journal, model, values)
    if same is not None:
        trial.set_user_attr(SAME_AS, same)
        journal.tell(trial, TrialState.FAIL)
        return False
    told(f"trial {trial.number + 1}")
    started = monotonic()
    given = task.space.configured(model, values)
    config = given.model_copy(update={"training": given.training.model_copy(update={"refit": False})})
    watcher = Watcher(trial, task, told, spare=DEFAULT in trial.user_attrs)
    value: float | None = None
    reason: str | None = None
    try:
        fitted = fit_model(config, task.panel, task.schema, task.source, lambda title: nullcontext(watcher))
        scores = fitted.scores
        metric = metric_of(config.training.loss, scores)
        errors = {str(row["model"]): float(row[metric]) for row in scores.to_dict("records")}
        value = errors[model]
        resolved = fitted.config.model_copy(update={"training": given.training})
        trial.set_user_attr("config", resolved.model_dump(mode="json", exclude_none=True))
        trial.set_user_attr("metric", metric)
        trial.set_user_attr("errors", {name: error for name, error in errors.items() if math.isfinite(error)})
        if watcher.cut:
            trial.set_user_attr(CUT, True)
    except optuna.TrialPruned:
        reason = "weaker than the others at the same epoch"
    except TsattnError as error:
        reason = str(error)
    except (MemoryError, _exhausted()):
        reason = "the memory does not hold it"
    if value is not None and not math.isfinite(value):
        value, reason = None, "its forecast is no number"
    for key, known in {"epochs": watcher.epochs, "seconds": monotonic() - started, "reason": reason}.items():
        trial.set_user_attr(key, known)
    journal.tell(trial, TrialState.PRUNED if value is None else TrialState.COMPLETE, value)
    # A model and what it was trained with hold each other, and would pile up.
    gc.collect()
    return True


def _same(trial: optuna.Trial, journal: Journal, model: str, values: dict[str, Any]) -> int | None:
    """Return the number of a trial with the same options that is done or being done, if there is one."""
    if DEFAULT in trial.user_attrs or RETRY_OF in trial.user_attrs:
        return None
    proposed = json.loads(json.dumps(values))
    for other in journal.trials():
        known = other.user_attrs
        alike = known.get("model") == model and known.get("values") == proposed
        if other.number < trial.number and alike and SAME_AS not in known and other.state != TrialState.FAIL:
            return other.number
    return None


def _exhausted() -> type[Exception]:
    """Return the error of a device without memory."""
    if keras.backend.backend() != "tensorflow":
        return MemoryError
    import tensorflow as tf

    error: type[Exception] = tf.errors.ResourceExhaustedError
    return error


Watch = Callable[[Standing], None]
"""Takes how far a search is."""

MOST_SAME = 20
"""Proposals in a row that were made before, after which a space is taken to be at its end."""


def work(task: Task, journal: Journal, watch: Watch | None = None) -> None:
    """Do trials of a search until it has all of them, or the time is over.

    Args:
        task: what to work on.
        journal: its journal.
        watch: told of every epoch and every trial.
    """

    def told(now: str) -> None:
        if watch is not None:
            watch(Standing.of(journal, task.trials, now))

    same = 0
    while same < MOST_SAME:
        trial = journal.ask(task.trials, last=task.is_over())
        if trial is None:
            break
        same = 0 if run_trial(trial, task, journal, told) else same + 1
        told("")


INTERVAL = 0.5
"""Seconds from one look at the journal to the next."""


@dataclass(frozen=True)
class Work:
    """What a process does.

    Args:
        do: the work.
        modules: what registers the models; imported first.
    """

    do: Callable[[], None]
    modules: tuple[str, ...]


def run_processes(jobs: int, work: Work, look: Callable[[], None]) -> None:
    """Let several processes do the same work and wait for them.

    Args:
        jobs: how many.
        work: what each of them does; it is pickled.
        look: called now and then.

    Raises:
        ConfigError: a model was registered where no other process finds it.
        RunError: a process has ended before its work.
        TsattnError: what one of them raised.
    """
    if "__main__" in work.modules:
        raise ConfigError("several jobs need a model that is registered in a module, which each of them imports")
    given = pickle.dumps(work)
    context = multiprocessing.get_context("spawn")
    running: dict[BaseProcess, Connection] = {}
    try:
        for _ in range(jobs):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(jobs, given, send), daemon=True)
            process.start()
            send.close()
            running[process] = receive
        while running:
            wait([process.sentinel for process in running], timeout=INTERVAL)
            look()
            for ended in [process for process in running if not process.is_alive()]:
                _check(ended, running.pop(ended))
    finally:
        for left in running:
            left.terminate()
            left.join()


def _check(process: BaseProcess, receive: Connection) -> None:
    """Raise what a process that has ended has raised."""
    try:
        error = receive.recv()
    except EOFError:
        raise RunError(
            f"a process of the search was ended from outside (exit code {process.exitcode}), perhaps for want of "
            "memory: the same command goes on, with fewer --jobs"
        ) from None
    if error is not None:
        raise error


def _work(jobs: int, given: bytes, send: Connection) -> None:
    """Work on a search in a process of its own, and say what went wrong."""
    Thread(target=_end_with_parent, daemon=True).start()
    # TensorFlow tells of its start past Python; and several of them share the cores and the memory of a device.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threads = max((os.cpu_count() or 1) // jobs, 1)
    for name, value in {"INTRAOP_THREADS": threads, "INTEROP_THREADS": threads}.items():
        os.environ.setdefault(f"TF_NUM_{name}", str(value))
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    told: Exception | None = None
    try:
        # Unpickled behind all this, for it imports TensorFlow.
        work: Work = pickle.loads(given)
        for module in work.modules:
            importlib.import_module(module)
        work.do()
    except TsattnError as error:
        told = error
    except Exception:
        told = RuntimeError(traceback.format_exc())
    send.send(told)


def _end_with_parent() -> None:
    """End this process when that which has started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
