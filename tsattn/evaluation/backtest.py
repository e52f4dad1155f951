"""Rolling-origin evaluation: forecast again and again what is known already, from what was known before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from tsattn.data.long import history_frame
from tsattn.errors import ConfigError
from tsattn.evaluation.chosen import Chosen
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
    choices: dict[str, tuple[Chosen, ...]]
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
        folds: how many each model has.
        seconds: what it took, training included; None where an earlier run had it already.
    """

    model: str
    fold: int
    folds: int
    seconds: float | None


Tell = Callable[[Progress], None]
"""Hears of every fold of every model."""


def run_backtest(
    plan: BacktestPlan,
    entrants: Iterable[Entrant],
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
        entrants: the models; the next one is asked for when the one before has forecast all.
        models: which of them are not baselines that stand beside.
        refit: "never" trains a model for the first fold only, "every" for each.
        folds: keeps what is done, and has what was done already.
        tell: hears of every fold of every model.
    """
    done: dict[str, list[Fold]] = {}
    levels: tuple[float, ...] = ()
    kept = folds or Folds()
    kept.begin()
    for entrant in entrants:
        done[entrant.name] = list(_folds_of(entrant, plan, refit, kept, tell))
        levels = entrant.levels
    columns = zip(*done.values(), strict=True)
    forecasts = pd.concat([_beside([fold.forecasts for fold in row]) for row in columns], ignore_index=True)
    scored = score(forecasts, list(done), plan.schema.season, levels, history_frame(plan.training()))
    choices = {
        name: tuple(fold.choice for fold in (row if refit == "every" else row[:1]) if fold.choice is not None)
        for name, row in done.items()
    }
    failures = (
        unfitted(name, sum(fold.unfitted for fold in row), sum(fold.histories for fold in row))
        for name, row in done.items()
    )
    result = Backtest(
        forecasts,
        scored,
        plan.cutoffs,
        tuple(models),
        {name: made for name, made in choices.items() if made},
        (*scored.left_out, *(told for told in failures if told)),
    )
    kept.finish(forecasts, scored)
    return result


def _folds_of(entrant: Entrant, plan: BacktestPlan, refit: Refit, kept: Folds, tell: Tell | None) -> Iterator[Fold]:
    """Give what a model forecasts, fold by fold, trained where it has to be."""
    trained: Trained | None = None
    for number in range(len(plan)):
        fold, seconds = kept.read(number, entrant.name, entrant.asked), None
        if fold is None:
            start = time.monotonic()
            if trained is None or refit == "every":
                trained = entrant.train(number if refit == "every" else 0)
            made = _fold(plan, number, entrant.name, trained)
            fold, seconds = kept.write(number, entrant.name, entrant.asked, made), time.monotonic() - start
        if tell is not None:
            tell(Progress(entrant.name, number + 1, len(plan), seconds))
        yield fold


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
