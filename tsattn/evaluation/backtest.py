"""Rolling-origin evaluation: forecast again and again what is known already, from what was known before."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from tsattn.data.long import history_frame
from tsattn.errors import ConfigError
from tsattn.evaluation.choice import Choice
from tsattn.evaluation.classical import Classical, unfitted
from tsattn.evaluation.compare import forecast_origins
from tsattn.evaluation.entrants import Entrant, Trained
from tsattn.evaluation.folds import Fold, Folds
from tsattn.evaluation.origins import BacktestPlan
from tsattn.evaluation.scores import Scores, score

Refit = Literal["never", "every"]
"""Train once, before the first fold, or anew before every one."""

KEYS = ("unique_id", "cutoff", "ds", "y")
"""Columns of forecasts that are not those of a model."""


@dataclass(frozen=True)
class Backtest:
    """What a backtest found.

    Args:
        forecasts: ``unique_id``, ``cutoff`` (the last stamp of the history), ``ds``, ``y`` as it was observed (NaN
            where it was not), and for each model its forecast and bounds, such as ``naive``, ``naive-lo-80``,
            ``naive-hi-80``; fold by fold, horizon rows a series.
        scored: how good they were, in total, by origin, series and step.
        cutoffs: a row a fold, see `tsattn.evaluation.origins.BacktestPlan.cutoffs`.
        models: which rows and columns are not those of baselines that stand beside, in the order asked for; the one of
            a forecaster whose model was not named is called ``default``.
        choices: what a model that chooses (``default``, ``auto``) kept and why, a choice a training, by its name.
        notes: sentences on what the scores are to be read with, such as what they leave out.
    """

    forecasts: pd.DataFrame
    scored: Scores
    cutoffs: pd.DataFrame
    models: tuple[str, ...]
    choices: dict[str, tuple[Choice, ...]]
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """A row a model, best first: ``model``, ``mase``, ``skill`` and the other metrics, means over all forecasts."""
        return self.scored.total

    @property
    def best(self) -> str:
        """The best of `models`."""
        return next(str(name) for name in self.scores["model"] if name in self.models)

    def label(self, name: str) -> str:
        """Return a model in words: what one that chooses kept stands in brackets, as in ``default (seasonal_mean)``."""
        kept = dict.fromkeys(choice.kept for choice in self.choices.get(name, ()))
        return f"{name} ({', '.join(kept)})" if kept else name


@dataclass(frozen=True)
class Progress:
    """How far a backtest has come.

    Args:
        model: the model whose forecasts of a fold are there.
        fold: that fold, from 1.
        done: forecasts of a fold by a model that are there.
        total: how many there will be.
        seconds: what it took, training included; None where an earlier run had it already.
        last: whether these are all of the model.
    """

    model: str
    fold: int
    done: int
    total: int
    seconds: float | None
    last: bool


Tell = Callable[[Progress], None]
"""Hears of every fold of every model."""


def run_backtest(
    plan: BacktestPlan,
    entrants: Sequence[Entrant],
    models: Sequence[str],
    *,
    refit: Refit = "never",
    folds: Folds | None = None,
    tell: Tell | None = None,
) -> Backtest:
    """Forecast every fold of a plan with every model, and score the forecasts.

    MASE is scaled by the error of the seasonal naive forecast in what lies before the first origin, whatever
    ``refit``, so that the figures of one plan can be compared. Series that have nothing there have no MASE.

    Args:
        plan: the series and their origins.
        entrants: the models.
        models: which of them are not baselines that stand beside.
        refit: "never" trains a model for the first fold only, "every" for each.
        folds: keeps what is done, and has what was done already.
        tell: hears of every fold of every model.
    """
    folds = folds or Folds()
    frames: list[list[pd.DataFrame]] = [[] for _ in range(len(plan))]
    choices: dict[str, list[Choice]] = {}
    histories: dict[str, list[int]] = {}
    for place, entrant in enumerate(entrants):
        trained: Trained | None = None
        for number, columns in enumerate(frames):
            fold, seconds = folds.read(number, entrant.name, entrant.asked), None
            if fold is None:
                start = time.monotonic()
                if trained is None or refit == "every":
                    trained = entrant.train(number if refit == "every" else 0)
                made = _fold(plan, number, entrant.name, trained)
                fold, seconds = folds.write(number, entrant.name, entrant.asked, made), time.monotonic() - start
            columns.append(fold.forecasts)
            if fold.choice is not None and (number == 0 or refit == "every"):
                choices.setdefault(entrant.name, []).append(fold.choice)
            histories.setdefault(entrant.name, [0, 0])
            histories[entrant.name][0] += fold.unfitted
            histories[entrant.name][1] += fold.histories
            if tell is not None:
                done = place * len(plan) + number + 1
                last = number + 1 == len(plan)
                tell(Progress(entrant.name, number + 1, done, len(entrants) * len(plan), seconds, last))
    forecasts = pd.concat([_beside(columns) for columns in frames], ignore_index=True)
    season, levels = plan.schema.season, entrants[0].levels
    scored = score(forecasts, [entrant.name for entrant in entrants], season, levels, history_frame(plan.training()))
    notes = (*scored.left_out, *(told for name, counts in histories.items() if (told := unfitted(name, *counts))))
    kept = {name: tuple(of_model) for name, of_model in choices.items()}
    result = Backtest(forecasts, scored, plan.cutoffs, tuple(models), kept, notes)
    folds.finish(result)
    return result


def check_refit(refit: str) -> None:
    """Raise a ConfigError where ``refit`` is no `Refit`."""
    if refit not in get_args(Refit):
        raise ConfigError(f"refit must be one of {', '.join(get_args(Refit))}. Received: refit={refit}")


def _fold(plan: BacktestPlan, number: int, name: str, trained: Trained) -> Fold:
    """Return the forecasts of a model for one fold."""
    series = plan.series(number)
    rival = trained.rival
    before = (rival.failed, rival.fitted) if isinstance(rival, Classical) else (0, 0)
    frame = forecast_origins({name: rival}, plan.panel, series, plan.origins[number, series])
    after = (rival.failed, rival.fitted) if isinstance(rival, Classical) else (0, 0)
    return Fold(frame, trained.choice, after[0] - before[0], after[1] - before[1])


def _beside(columns: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the forecasts of several models for the same rows as one frame."""
    return pd.concat([columns[0], *(frame.drop(columns=list(KEYS)) for frame in columns[1:])], axis=1)
