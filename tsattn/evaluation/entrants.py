"""The models of a backtest, and how each is trained on what lies before an origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from tsattn.config import AUTO
from tsattn.continued import continued
from tsattn.data.place import shown
from tsattn.decided import Decided
from tsattn.evaluation.chosen import Chosen
from tsattn.evaluation.classical import CLASSICAL, Rival, check_classical
from tsattn.evaluation.compare import Candidate, baseline_spec, baselines, classical_baselines
from tsattn.evaluation.origins import BacktestPlan
from tsattn.fitting import Watch, window_sizes, window_spec
from tsattn.models import BASELINES, resolve_options
from tsattn.models.registry import check_graph
from tsattn.window import WindowSpec

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster

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


def own_name(forecaster: Forecaster) -> str:
    """Return what a forecaster is called in a table: its model's name, or ``default`` where none was named."""
    model = continued(forecaster.to_config()).model
    if model.get("name") == AUTO:
        return AUTO
    return resolve_options(model, source="Forecaster")[0].name if model else DEFAULT


def entrants(
    forecaster: Forecaster,
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
    found = {name: clone(forecaster).set_params(model=name) for name in models if name not in others}
    if not models:
        found = {own_name(forecaster): forecaster}
    asked = [
        entrant(copy, plan, name, watch, about=name if len(found) > 1 else "", anew=anew)
        for name, copy in found.items()
    ]
    return [*asked, *beside(forecaster, plan, [*(name for name in BASELINES if name not in found), *others])]


def entrant(
    forecaster: Forecaster, plan: BacktestPlan, name: str, watch: Watch | None, *, about: str = "", anew: bool = False
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
    _check(forecaster)

    def train(number: int) -> Trained:
        which = f"origin {number + 1} of {len(plan)}"
        parts = [part for part in (about, which if anew else "") if part]
        shown = watch if watch is None or not parts else lambda title: watch(", ".join([*parts, title]))
        panel, source = plan.training(number), f"{plan.source} before {which}"
        fitted = clone(forecaster).fit_panel(panel, plan.schema, source=source, watch=shown)
        return Trained(Candidate(fitted.model_, fitted.spec_), fitted.choice_)

    config = forecaster.to_config()
    return Entrant(name, config.model, continued(config).levels, train)


def _check(forecaster: Forecaster) -> None:
    """Raise a ConfigError where there is no such model, or it has no such options or takes no graph."""
    config = continued(forecaster.to_config())
    if config.init is None and config.model.get("name") != AUTO:
        check_graph(*resolve_options(config.model, source="Forecaster"), config.data.graph, source="Forecaster")


def beside(forecaster: Forecaster, plan: BacktestPlan, names: Sequence[str]) -> list[Entrant]:
    """Return naive and classical baselines as models of a backtest."""
    levels = continued(forecaster.to_config()).levels
    makers = {name: _classical if name in CLASSICAL else _naive for name in names}
    return [Entrant(name, {"name": name}, levels, make(forecaster, plan, name)) for name, make in makers.items()]


def _naive(forecaster: Forecaster, plan: BacktestPlan, name: str) -> Callable[[int], Trained]:
    def train(number: int) -> Trained:
        return Trained(baselines(baseline_spec(plan.training(number), _window(forecaster, plan, number)))[name])

    return train


def _classical(forecaster: Forecaster, plan: BacktestPlan, name: str) -> Callable[[int], Trained]:
    def train(number: int) -> Trained:
        panel, spec = plan.training(number), _window(forecaster, plan, number)
        return Trained(classical_baselines([name], panel, spec)[name])

    return train


def _window(forecaster: Forecaster, plan: BacktestPlan, number: int) -> WindowSpec:
    """Return the window that a network would take at a fold."""
    config, panel = continued(forecaster.to_config()), plan.training(number)
    context, _ = window_sizes(config, panel, plan.schema, f"{plan.source} before origin {number + 1} of {len(plan)}")
    return window_spec(plan.schema, config, context)


def seen_before(forecaster: Forecaster, plan: BacktestPlan) -> str | None:
    """Return a sentence where the run that trainings start from has seen what lies behind the first origin."""
    if forecaster.init is None:
        return None
    last = str(Decided.read(Path(forecaster.init)).written["training_data"]["last"])
    first = plan.cutoffs["first"].iloc[0]
    behind = int(last) > first if isinstance(first, (int, np.integer)) else pd.Timestamp(last) > pd.Timestamp(first)
    if not behind:
        return None
    return (
        f"The run that the training starts from has seen data up to {last}, and the first fold begins behind "
        f"{shown(first)}: if they are of the same series, its forecasts look better than new ones will be."
    )
