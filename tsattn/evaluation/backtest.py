"""Rolling-origin evaluation: forecast again and again what is known already, from what was known before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from tsattn.data.long import history_frame
from tsattn.errors import ConfigError
from tsattn.evaluation.choice import Choice
from tsattn.evaluation.classical import Classical, Rival
from tsattn.evaluation.compare import forecast_origins
from tsattn.evaluation.origins import BacktestPlan
from tsattn.evaluation.scores import Scores, score

DEFAULT = "default"
"""The row of a forecaster whose model was not named: what it kept may differ from origin to origin."""

Refit = Literal["never", "every"]
"""Train once, before the first origin, or anew before every one."""

Fit = Callable[[int], Mapping[str, Rival]]
"""Takes the number of an origin, from 0, and gives models that were trained on what lies before it."""


@dataclass(frozen=True)
class Backtest:
    """What a backtest found.

    Args:
        forecasts: ``unique_id``, ``cutoff`` (the last stamp of the history), ``ds``, ``y`` as it was observed (NaN
            where it was not), and for each model its forecast and bounds, such as ``naive``, ``naive-lo-80``,
            ``naive-hi-80``; origin by origin, horizon rows a series.
        scored: how good they were, in total, by origin, series and step.
        cutoffs: a row an origin, see `tsattn.evaluation.origins.BacktestPlan.cutoffs`.
        model: which row and columns are those of the forecaster: the name of its model, or ``default`` where that was
            left to it.
        choices: what the default kept and why, a choice a training; empty where the model was named.
        notes: sentences on what the scores are to be read with, such as what they leave out.
    """

    forecasts: pd.DataFrame
    scored: Scores
    cutoffs: pd.DataFrame
    model: str = DEFAULT
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """A row a model, best first: ``model``, ``mase``, ``skill`` and the other metrics, means over all forecasts."""
        return self.scored.total

    @property
    def label(self) -> str:
        """The model in words: what the default kept stands in brackets, as in ``default (seasonal_mean)``."""
        kept = dict.fromkeys(choice.kept for choice in self.choices)
        return f"{self.model} ({', '.join(kept)})" if kept else self.model


def run_backtest(plan: BacktestPlan, fit: Fit, *, refit: Refit = "never") -> Backtest:
    """Forecast at every origin of a plan and score the forecasts.

    MASE is scaled by the error of the seasonal naive forecast in what lies before the first origin, whatever
    ``refit``, so that the figures of one plan can be compared. Series that have nothing there have no MASE.

    Args:
        plan: the series and their origins.
        fit: gives the trained models.
        refit: "never" calls ``fit`` for the first origin only, "every" for each.

    Raises:
        ConfigError: ``refit`` is something else.
    """
    check_refit(refit)
    candidates = fit(0)
    frames = [_forecasts(plan, 0, candidates)]
    for number in range(1, len(plan)):
        candidates = fit(number) if refit == "every" else candidates
        frames.append(_forecasts(plan, number, candidates))
    forecasts = pd.concat(frames, ignore_index=True)
    names, spec = list(candidates), next(iter(candidates.values())).spec
    scored = score(forecasts, names, spec.season, spec.levels, history_frame(plan.training()))
    return Backtest(forecasts, scored, plan.cutoffs, notes=(*scored.left_out, *unfitted(candidates)))


def unfitted(candidates: Mapping[str, Rival]) -> tuple[str, ...]:
    """Return sentences on the classical baselines among some models that could not be fitted everywhere."""
    sentences = (rival.sentence() for rival in candidates.values() if isinstance(rival, Classical))
    return tuple(sentence for sentence in sentences if sentence)


def check_refit(refit: str) -> None:
    """Raise a ConfigError where ``refit`` is no `Refit`."""
    if refit not in get_args(Refit):
        raise ConfigError(f"refit must be one of {', '.join(get_args(Refit))}. Received: refit={refit}")


def _forecasts(plan: BacktestPlan, number: int, candidates: Mapping[str, Rival]) -> pd.DataFrame:
    """Return the forecasts at one origin."""
    series = plan.series(number)
    return forecast_origins(candidates, plan.panel, series, plan.origins[number, series])
