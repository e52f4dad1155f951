"""What a search found, and how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.tuning.study import CUT, DEFAULT, Journal, counted, standing_of

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}


@dataclass(frozen=True)
class Standing:
    """How far a search is.

    Args:
        done: trials that are done.
        trials: how many it has.
        best: the least error so far; NaN where none is known.
        default: that of the default; the same.
        metric: which error it is; empty where none is known.
        now: what is being done, in a few words.
    """

    done: int
    trials: int
    best: float = math.nan
    default: float = math.nan
    metric: str = ""
    now: str = ""

    @classmethod
    def of(cls, journal: Journal, trials: int, now: str = "") -> Self:
        """Return how far the search of a journal is."""
        known = journal.trials()
        done, whole = standing_of(known, trials)[0], _whole(counted(known))
        if not whole:
            return cls(len(done), trials, now=now)
        return cls(
            len(done),
            trials,
            min(_error(trial) for trial in whole),
            min((_error(trial) for trial in whole if DEFAULT in trial.user_attrs), default=math.nan),
            whole[0].user_attrs["metric"],
            now,
        )


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Args:
        config: the best configuration, with nothing of the model left open; that of the default where nothing is
            better.
        trials: a row a trial, best first: ``number``, ``state`` (complete, pruned, running or failed), ``error``,
            ``model``, ``epochs``, ``seconds``, ``default`` (whether it is that of its model), ``cut`` (whether the
            time was over before its training), ``reason`` (why it was pruned), and a column for each option searched.
        metric: the error that decided, on the validation part: mase, or rmsse for a squared loss; mae or rmse where
            the data give no scale.
        error: that of the best configuration.
        default: that of the default, of several models the best of theirs; NaN where it could not be trained.
        changed: by number of a trial, its options that are not those of its model's default.
        baselines: the errors of the naive baselines.
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

    @property
    def running(self) -> int:
        """Trials that other processes still work on."""
        return int((self.trials["state"] == "running").sum())

    def sentence(self) -> str:
        """Return by how much the best is better than the default."""
        name = f"{self.metric.upper()} on the validation part"
        if self.error < self.default:
            return f"{name}: default {self.default:.4g}, best {self.error:.4g} ({self.error / self.default - 1:.1%})."
        if math.isnan(self.default):
            return f"{name}: best {self.error:.4g}. The default could not be trained."
        return f"{name}: default {self.default:.4g}. Nothing was better, and the default is kept."

    @classmethod
    def of(cls, journal: Journal) -> Self:
        """Return what the search of a journal has found.

        Raises:
            RunError: no trial was trained.
        """
        known = counted(journal.trials())
        whole = _whole(known)
        if not whole:
            raise RunError(f"{journal.path}: no trial could be trained{_why(known)}")
        defaults = {trial.user_attrs["model"]: trial for trial in whole if DEFAULT in trial.user_attrs}
        # Where a trial is no better than a default, that is simpler.
        best = min(whole, key=lambda trial: (_error(trial), DEFAULT not in trial.user_attrs, trial.number))
        return cls(
            RunConfig.from_dict(best.user_attrs["config"], source=str(journal.path)),
            _frame(known),
            best.user_attrs["metric"],
            _error(best),
            min((_error(trial) for trial in defaults.values()), default=math.nan),
            {trial.number: _changed(trial.user_attrs, defaults) for trial in whole},
            {name: error for name, error in best.user_attrs["errors"].items() if name != best.user_attrs["model"]},
        )


def _changed(attributes: dict[str, Any], defaults: dict[str, FrozenTrial]) -> dict[str, Any]:
    """Return the options of a trial that are not those of its model's default."""
    default = defaults.get(attributes["model"])
    known = {} if default is None else default.user_attrs["values"]
    return {option: value for option, value in attributes["values"].items() if known.get(option) != value}


def _whole(known: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in known if trial.state == TrialState.COMPLETE]


def _error(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _why(known: list[FrozenTrial]) -> str:
    if any(trial.state == TrialState.RUNNING for trial in known):
        return " so far; another process works on it"
    reasons = [str(reason) for trial in known if (reason := trial.user_attrs.get("reason"))]
    return f": {reasons[0]}" if reasons else ""


def _frame(known: list[FrozenTrial]) -> pd.DataFrame:
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
            "cut": CUT in trial.user_attrs,
            "reason": trial.user_attrs.get("reason"),
            **trial.user_attrs.get("values", {}),
        }
        for trial in known
        if trial.state != TrialState.WAITING
    ]
    order = sorted(rows, key=lambda row: (math.isnan(row["error"]), row["error"], not row["default"], row["number"]))
    return pd.DataFrame(order)
