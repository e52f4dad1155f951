"""The search for options that forecast the validation part better, and its result."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tsattn._logging import log_progress
from tsattn.config import RunConfig
from tsattn.data.loader import Frame, source_name
from tsattn.engines import Engine
from tsattn.errors import ConfigError, RunError
from tsattn.forecasting.warm_start import read_series
from tsattn.models.registry import registering_modules
from tsattn.timeseries.panel import Panel, fingerprint
from tsattn.timeseries.schema import Schema
from tsattn.tuning.search_space import SearchSpace, check_not_fine_tuned
from tsattn.tuning.study import (
    DEFAULT,
    OUT_OF_TIME,
    StudyStore,
    complete_trials,
    effective_trials,
    trial_error,
)
from tsattn.tuning.worker import (
    OnProgress,
    SearchProgress,
    SearchTask,
    WorkerJob,
    run_on_engine,
    run_processes,
    run_trials,
)

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster


DEFAULT_MODEL = "seq2seq"

DEFAULT_TRIALS = 30

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}


def tune(
    forecaster: Forecaster | RunConfig,
    X: Frame | Path | str,
    *,
    models: Sequence[str] = (),
    trials: int = DEFAULT_TRIALS,
    max_seconds: float | None = None,
    journal: Path | str | None = None,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
    verbose: int = 0,
) -> TuningResult:
    """Search for the options of a model and its training that forecast the validation part best.

    Each trial trains like `Forecaster.fit` on the data before the validation part. Trials are compared by an error in
    ``scores_``: MASE, or RMSSE for a squared loss. Options that the forecaster sets are fixed; all others with a search
    space (`tsattn.config`) are searched by a multivariate tree-structured Parzen estimator, for each model by itself.
    The first trial of each model is its default, so that the result is never worse. A training is pruned if its
    validation loss is above the median of the others at the same epoch.

    Args:
        forecaster: Forecaster or configuration with the fixed options. It is not changed.
        X: Data that `tsattn.data.load` reads.
        models: Names of the models; by default that of the forecaster, or seq2seq.
        trials: Number of trials of the search, including those in the journal.
        max_seconds: Time limit. A training that it interrupts counts with the error reached so far.
        journal: File from which the search resumes, and which several processes may use; None for no file.
        jobs: Number of processes. As always with Python's multiprocessing, a script needs
            ``if __name__ == "__main__"``.
        on_progress: Called with the progress of the search.
        verbose: As in `Forecaster.fit`.

    Raises:
        ConfigError: An option has a value that is not allowed, or no option is left to search.
        DataError: The data cannot be read as series, or are too short.
        RunError: The journal is invalid or belongs to another search, or no trial could be trained.

    Example:
        >>> result = tune(Forecaster(horizon=24), frame, trials=30, max_seconds=1200)
        >>> print(result.summary())
        >>> Forecaster.from_config(result.config).fit(frame)

    Reference:
        Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Akiba et al. 2019, Optuna.
    """
    started = monotonic()
    config = forecaster if isinstance(forecaster, RunConfig) else forecaster.to_config()
    check_not_fine_tuned(config)
    with log_progress(verbose):
        panel, schema = read_series(X, config)
        schema.warn()
        return tune_panel(
            config,
            panel,
            schema,
            source=source_name(X),
            models=models,
            trials=trials,
            deadline=math.inf if max_seconds is None else started + max_seconds,
            journal=journal,
            jobs=jobs,
            on_progress=on_progress,
        )


def tune_panel(
    config: RunConfig,
    panel: Panel,
    schema: Schema,
    *,
    source: str = "the panel",
    models: Sequence[str] = (),
    trials: int = DEFAULT_TRIALS,
    deadline: float = math.inf,
    journal: Path | str | None = None,
    jobs: int = 1,
    engine: Engine | None = None,
    on_progress: OnProgress | None = None,
) -> TuningResult:
    """Run `tune` on data that are read already, with a deadline on the clock of `time.monotonic`.

    With an engine, its workers run the trials; they must all have the folder of the journal.
    """
    for name, number in {"trials": trials, "jobs": jobs}.items():
        if number < 1:
            raise ConfigError(f"expected {name} of at least 1. Received: {name}={number}")
    names = tuple(models) or (str(config.model.get("name", DEFAULT_MODEL)),)
    space = SearchSpace.from_config(config, names, panel, schema, source)
    task = SearchTask(space, panel, schema, source, trials, deadline)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal" if journal is None else Path(journal)
        return _search(task, path.absolute(), jobs, engine, on_progress)


def _search(
    task: SearchTask, path: Path, jobs: int, engine: Engine | None, on_progress: OnProgress | None
) -> TuningResult:
    data = fingerprint(task.panel)
    with closing(StudyStore.open(path, task.space, data)) as store:

        def report() -> None:
            if on_progress is not None:
                on_progress(SearchProgress.from_store(store, task.trials))

        report()
        if engine is None and jobs == 1:
            run_trials(task, store, on_progress)
            return TuningResult.from_store(store)
        ends = time() + task.deadline - monotonic()
        job = WorkerJob(partial(_run_worker_trials, task, ends, data, path), registering_modules(task.space.models))
        if engine is not None:
            run_on_engine(engine, task.trials, job, report)
        else:
            run_processes(jobs, job, report)
        return TuningResult.from_store(store)


def _run_worker_trials(task: SearchTask, ends: float, data: str, path: Path) -> None:
    """Run trials of a search in a worker process, until a time in seconds since 1970."""
    if not path.exists():
        raise RunError(f"{path}: the journal is not on this worker", "set {journal} to a file that all workers have")
    # The clock of another machine has another start.
    task = replace(task, deadline=monotonic() + ends - time())
    with closing(StudyStore.open(path, task.space, data)) as store:
        run_trials(task, store)


@dataclass(frozen=True)
class TuningResult:
    """Result of a search.

    Args:
        config: The best configuration, with all options of the model set. It is the default if no trial is better.
        trials: One row per trial, best first: ``number``, ``state`` (complete, pruned, running or failed), ``error``,
            ``model``, ``epochs``, ``seconds``, ``default`` (whether it is the default of its model), ``out_of_time``
            (whether the time limit ended its training), ``reason`` (why it was pruned), and one column per searched
            option.
        metric: The error that decides, on the validation part: mase, or rmsse for a squared loss; mae or rmse if the
            data give no scale.
        error: Error of the best configuration.
        default: Error of the default, the lowest one for several models; NaN if it could not be trained.
        changed: By trial number, the options that differ from the default of the model.
        baselines: Errors of the naive baselines.
    """

    config: RunConfig
    trials: pd.DataFrame
    metric: str
    error: float
    default: float
    changed: dict[int, dict[str, Any]]
    baselines: dict[str, float]

    @property
    def best(self) -> pd.Series[Any]:
        """The row of the best trial."""
        return self.trials.iloc[0]

    def summary(self) -> str:
        """Return a sentence that compares the best trial with the default."""
        name = f"{self.metric.upper()} on the validation part"
        if self.error < self.default:
            return f"{name}: default {self.default:.4g}, best {self.error:.4g} ({self.error / self.default - 1:.1%})."
        if math.isnan(self.default):
            return f"{name}: best {self.error:.4g}. The default could not be trained."
        return f"{name}: default {self.default:.4g}. No trial is better, and the default is used."

    @classmethod
    def from_store(cls, store: StudyStore) -> Self:
        """Return the result of a search.

        Raises:
            RunError: No trial is complete.
        """
        trials = effective_trials(store.trials())
        complete = complete_trials(trials)
        if not complete:
            raise RunError(f"{store.path}: no trial could be trained{_describe_failure(trials)}")
        defaults = {trial.user_attrs["model"]: trial for trial in complete if DEFAULT in trial.user_attrs}
        # Of equal errors, that of a default is preferred.
        best = min(complete, key=lambda trial: (trial_error(trial), DEFAULT not in trial.user_attrs, trial.number))
        return cls(
            RunConfig.from_dict(best.user_attrs["config"], source=str(store.path)),
            _frame(trials),
            best.user_attrs["metric"],
            trial_error(best),
            min((trial_error(trial) for trial in defaults.values()), default=math.nan),
            {trial.number: _changed_options(trial.user_attrs, defaults) for trial in complete},
            {name: error for name, error in best.user_attrs["errors"].items() if name != best.user_attrs["model"]},
        )


def _changed_options(attributes: dict[str, Any], defaults: dict[str, FrozenTrial]) -> dict[str, Any]:
    """Return the options of a trial that differ from the default of its model."""
    default = defaults.get(attributes["model"])
    values = {} if default is None else default.user_attrs["values"]
    return {option: value for option, value in attributes["values"].items() if values.get(option) != value}


def _describe_failure(trials: list[FrozenTrial]) -> str:
    if any(trial.state == TrialState.RUNNING for trial in trials):
        return " so far; another process is running one"
    reasons = [str(reason) for trial in trials if (reason := trial.user_attrs.get("reason"))]
    return f": {reasons[0]}" if reasons else ""


def _frame(trials: list[FrozenTrial]) -> pd.DataFrame:
    """Return the trials as a frame, best first."""
    rows = [
        {
            "number": trial.number,
            "state": _STATES.get(trial.state, "failed"),
            "error": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "model": trial.user_attrs.get("model"),
            "epochs": trial.user_attrs.get("epochs", len(trial.intermediate_values)),
            "seconds": trial.user_attrs.get("seconds", math.nan),
            "default": DEFAULT in trial.user_attrs,
            "out_of_time": OUT_OF_TIME in trial.user_attrs,
            "reason": trial.user_attrs.get("reason"),
            **trial.user_attrs.get("values", {}),
        }
        for trial in trials
        if trial.state != TrialState.WAITING
    ]
    order = sorted(rows, key=lambda row: (math.isnan(row["error"]), row["error"], not row["default"], row["number"]))
    return pd.DataFrame(order)
