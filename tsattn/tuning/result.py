"""Progress and result of a search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.tuning.study import DEFAULT, OUT_OF_TIME, StudyStore, count_trials, effective_trials

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}


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
        done, complete = count_trials(known, trials)[0], _complete(effective_trials(known))
        if not complete:
            return cls(done, trials, activity=activity)
        return cls(
            done,
            trials,
            min(_error(trial) for trial in complete),
            min((_error(trial) for trial in complete if DEFAULT in trial.user_attrs), default=math.nan),
            complete[0].user_attrs["metric"],
            activity,
        )


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
        complete = _complete(trials)
        if not complete:
            raise RunError(f"{store.path}: no trial could be trained{_describe_failure(trials)}")
        defaults = {trial.user_attrs["model"]: trial for trial in complete if DEFAULT in trial.user_attrs}
        # Of equal errors, that of a default is preferred.
        best = min(complete, key=lambda trial: (_error(trial), DEFAULT not in trial.user_attrs, trial.number))
        return cls(
            RunConfig.from_dict(best.user_attrs["config"], source=str(store.path)),
            _frame(trials),
            best.user_attrs["metric"],
            _error(best),
            min((_error(trial) for trial in defaults.values()), default=math.nan),
            {trial.number: _changed_options(trial.user_attrs, defaults) for trial in complete},
            {name: error for name, error in best.user_attrs["errors"].items() if name != best.user_attrs["model"]},
        )


def _changed_options(attributes: dict[str, Any], defaults: dict[str, FrozenTrial]) -> dict[str, Any]:
    """Return the options of a trial that differ from the default of its model."""
    default = defaults.get(attributes["model"])
    values = {} if default is None else default.user_attrs["values"]
    return {option: value for option, value in attributes["values"].items() if values.get(option) != value}


def _complete(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def _error(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


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
