"""The models of a backtest, and how each is trained on what lies before an origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsattn.config import AUTO, RunConfig
from tsattn.continued import continued
from tsattn.data.place import shown
from tsattn.decided import Decided
from tsattn.evaluation.chosen import Chosen
from tsattn.evaluation.classical import CLASSICAL, Rival, check_classical
from tsattn.evaluation.compare import Candidate, baseline_spec, baselines, classical_baselines
from tsattn.evaluation.origins import BacktestPlan
from tsattn.fitting import Fit, Watch, window_sizes, window_spec
from tsattn.models import BASELINES, resolve_options
from tsattn.models.registry import check_graph
from tsattn.window import WindowSpec

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
        shown = watch if watch is None or not parts else lambda title: watch(", ".join([*parts, title]))
        panel, source = plan.training(number), f"{plan.source} before {which}"
        fitted = fit(config, panel, plan.schema, source, shown)
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
        f"{shown(first)}: if they are of the same series, its forecasts look better than new ones will be."
    )
