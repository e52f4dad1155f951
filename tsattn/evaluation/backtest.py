"""Rolling-origin evaluation: forecast again and again what is known already, from what was known before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.config import AUTO, RunConfig
from tsattn.errors import ConfigError
from tsattn.evaluation.fold_store import Fold, Folds
from tsattn.evaluation.origins import BacktestPlan
from tsattn.forecasting.finetuning import continued
from tsattn.forecasting.fit import Fit, Watch, window_sizes, window_spec
from tsattn.forecasting.run_metadata import Decided
from tsattn.models import BASELINES, resolve_options
from tsattn.models.registry import check_graph
from tsattn.scoring.classical import CLASSICAL, Classical, Rival, check_classical, unfitted
from tsattn.scoring.comparison import Candidate, baseline_spec, baselines, classical_baselines, forecast_origins
from tsattn.scoring.metrics import Scores, score
from tsattn.scoring.model_choice import Chosen
from tsattn.timeseries.frames import history_frame
from tsattn.timeseries.window_spec import WindowSpec

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
class BacktestProgress:
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


Tell = Callable[[BacktestProgress], None]
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
            tell(BacktestProgress(entrant.name, number + 1, len(plan), seconds))
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


DEFAULT = "default"
"""The entrant whose model was not named: what it keeps may differ from training to training."""


@dataclass(frozen=True)
class Trained:
    """A model that forecasts.

    Args:
        rival: the model.
        choice: what was kept and why, where it chose.
    """

    rival: Rival
    choice: Chosen | None = None


@dataclass(frozen=True)
class Entrant:
    """A model of a backtest.

    Args:
        name: its row in the table, and its columns.
        asked: model and options as they were given, which must be the same for forecasts to be its own.
        levels: quantile levels.
        train: takes the number of a fold, from 0, and trains on what lies before it.
    """

    name: str
    asked: dict[str, Any]
    levels: tuple[float, ...]
    train: Callable[[int], Trained]


def own_name(config: RunConfig) -> str:
    """Return what a forecaster is called in a table: its model's name, or ``default`` where none was named."""
    model = continued(config).model
    if model.get("name") == AUTO:
        return AUTO
    return resolve_options(model, source="Forecaster")[0].name if model else DEFAULT


def entrants(
    config: RunConfig,
    fit: Fit,
    plan: BacktestPlan,
    models: Sequence[str] = (),
    classical: Sequence[str] = (),
    watch: Watch | None = None,
    *,
    anew: bool = False,
) -> list[Entrant]:
    """Return the models of a backtest: those asked for, then the naive baselines and some classical ones.

    Args:
        forecaster: what all of them are clones of, apart from the model; it stays as it is.
        plan: the series and their origins.
        models: names of models, baselines among them; none for the forecaster's own.
        classical: names of classical baselines.
        watch: shows the trainings.
        anew: whether they are trained before every origin, which their titles tell then.

    Raises:
        ConfigError: there is no such model, or it has no such options.
        RunError: a package is missing.
    """
    check_classical(classical)
    others = [name for name in CLASSICAL if name in (*models, *classical)]
    check_classical(others)
    found = {name: config.named(name) for name in models if name not in others}
    if not models:
        found = {own_name(config): config}
    asked = [
        entrant(own, fit, plan, name, watch, about=name if len(found) > 1 else "", anew=anew)
        for name, own in found.items()
    ]
    return [*asked, *beside(config, plan, [*(name for name in BASELINES if name not in found), *others])]


def entrant(
    config: RunConfig,
    fit: Fit,
    plan: BacktestPlan,
    name: str,
    watch: Watch | None,
    *,
    about: str = "",
    anew: bool = False,
) -> Entrant:
    """Return a forecaster as a model of a backtest.

    Args:
        forecaster: clones of it are fitted.
        plan: the series and their origins.
        name: its row in the table.
        watch: shows the trainings.
        about: goes before the titles of the trainings.
        anew: whether it is trained before every origin, which the titles tell then.

    Raises:
        ConfigError: there is no such model, or it has no such options.
    """
    _check(config)

    def train(number: int) -> Trained:
        which = f"origin {number + 1} of {len(plan)}"
        parts = [part for part in (about, which if anew else "") if part]
        titled = watch if watch is None or not parts else lambda title: watch(", ".join([*parts, title]))
        panel, source = plan.training(number), f"{plan.source} before {which}"
        fitted = fit(config, panel, plan.schema, source, titled)
        return Trained(Candidate(fitted.model, fitted.spec), fitted.choice)

    return Entrant(name, config.model, continued(config).levels, train)


def _check(config: RunConfig) -> None:
    """Raise a ConfigError where there is no such model, or it has no such options or takes no graph."""
    config = continued(config)
    if config.init is None and config.model.get("name") != AUTO:
        check_graph(*resolve_options(config.model, source="Forecaster"), config.data.graph, source="Forecaster")


def beside(config: RunConfig, plan: BacktestPlan, names: Sequence[str]) -> list[Entrant]:
    """Return naive and classical baselines as models of a backtest."""
    levels = continued(config).levels
    makers = {name: _classical if name in CLASSICAL else _naive for name in names}
    return [Entrant(name, {"name": name}, levels, make(config, plan, name)) for name, make in makers.items()]


def _naive(config: RunConfig, plan: BacktestPlan, name: str) -> Callable[[int], Trained]:
    def train(number: int) -> Trained:
        return Trained(baselines(baseline_spec(plan.training(number), _window(config, plan, number)))[name])

    return train


def _classical(config: RunConfig, plan: BacktestPlan, name: str) -> Callable[[int], Trained]:
    def train(number: int) -> Trained:
        panel, spec = plan.training(number), _window(config, plan, number)
        return Trained(classical_baselines([name], panel, spec)[name])

    return train


def _window(config: RunConfig, plan: BacktestPlan, number: int) -> WindowSpec:
    """Return the window that a network would take at a fold."""
    config, panel = continued(config), plan.training(number)
    context, _ = window_sizes(config, panel, plan.schema, f"{plan.source} before origin {number + 1} of {len(plan)}")
    return window_spec(plan.schema, config, context)


def seen_before(config: RunConfig, plan: BacktestPlan) -> str | None:
    """Return a sentence where the run that trainings start from has seen what lies behind the first origin."""
    if config.init is None:
        return None
    last = str(Decided.read(Path(config.init)).written["training_data"]["last"])
    first = plan.cutoffs["first"].iloc[0]
    behind = int(last) > first if isinstance(first, (int, np.integer)) else pd.Timestamp(last) > pd.Timestamp(first)
    if not behind:
        return None
    return (
        f"The run that the training starts from has seen data up to {last}, and the first fold begins behind "
        f"{format_timestamp(first)}: if they are of the same series, its forecasts look better than new ones will be."
    )
