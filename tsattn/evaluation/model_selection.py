"""Which of several models is the best on given data: ``--model auto``.

Each candidate is trained once, on what lies before some folds, and forecasts them, a horizon after another: about a
fifth of a single series, less of many. The naive baselines do so too. The least mean error wins, or
the first network that comes within a standard error of it, and is then fitted to all of the data as if it had been
named. If a naive baseline wins, that is what is kept.

The time is kept by a budget: a candidate is begun only if what is left suffices for it and for fitting the best anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import numpy as np
import pandas as pd

from tsattn.config import AUTO, RunConfig, SelectionConfig
from tsattn.errors import ConfigError, DataError
from tsattn.evaluation.backtest import Entrant, beside, entrant, run_backtest
from tsattn.evaluation.origins import BacktestPlan, plan_backtest
from tsattn.forecasting.fit import Watch, fit_model
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models import BASELINES, get_model
from tsattn.scoring.model_choice import Selection, metric_of
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

CANDIDATES = ("seq2seq", "attention_pooling", "tcn", "transformer")
"""Networks that are compared, in this order."""

BUDGET = 1200.0
"""Seconds for all of it, where nothing else is said."""

SHARE = 5
"""The part of a typical series that is forecast: a fifth."""

MANY = 30
"""Forecasts that tell enough: so many of one series, or one of each of so many, which keeps least from the training.
Without a third of the steps of M4 Hourly seq2seq has a MASE of 1.24 for .73, and the baselines lose nothing."""

LEAST = 3
"""Forecasts of few series that there are at least, though they take more than a fifth."""

REFIT = 2.0
"""What fitting a candidate to all of the data takes, in units of its training on the part before the folds."""


def select(config: RunConfig, panel: Panel, schema: Schema, source: str, watch: Watch | None) -> Selection:
    """Compare models by a short backtest.

    Args:
        config: the configuration of every candidate, apart from the model.
        panel: the series.
        schema: how they were read.
        source: what errors call the data.
        watch: shows the trainings.

    Raises:
        ConfigError: a candidate cannot be one.
        DataError: the data are too short for a backtest.
    """
    asked = config.selection or SelectionConfig()
    names = asked.models or CANDIDATES
    for name in names:
        if name == AUTO or name in BASELINES or not get_model(name).trained:
            raise ConfigError(
                f"selection.models={','.join(names)}: expected networks, which {name} is not; the naive baselines are "
                "compared in any case"
            )
    plan = _plan(config, panel, schema, asked.folds, source)
    clock = _Clock(BUDGET if asked.budget is None else asked.budget)
    left_out: list[str] = []

    def candidates() -> Iterator[Entrant]:
        yield from beside(config, plan, BASELINES)
        for name in names:
            allowed = clock.allowance()
            if allowed is None:
                left_out.append(name)
                continue
            training = config.training.model_copy(update={"seconds": min(allowed, config.training.seconds or allowed)})
            own = config.named(name).model_copy(update={"selection": None, "training": training})
            with clock.timing(name):
                yield entrant(own, fit_model, plan, name, watch, about=f"comparing, {name}")

    result = run_backtest(plan, candidates(), ())
    scores, metric = result.scores, metric_of(result.scores)
    best_first = scores.assign(order=scores[metric].astype(float).fillna(np.inf)).sort_values("order", kind="stable")
    scores = best_first.drop(columns="order").reset_index(drop=True)
    kept = first_as_good(result.scored.by_origin, metric, str(scores["model"].iloc[0]), list(clock.took))
    return Selection(kept, scores, metric, len(plan), plan.schema.horizon, clock.took, tuple(left_out))


def first_as_good(errors: pd.DataFrame, metric: str, best: str, networks: Sequence[str]) -> str:
    """Return the first of some networks that is no more than a standard error behind the best one.

    A network is another one whenever it is trained, so that the least error of near equals is luck; the first one is
    that which the benchmarks favour. This is the one standard error rule of Breiman et al. 1984 (Classification and
    Regression Trees), with the error of the mean difference over series and folds. A baseline that is best stays so.

    Args:
        errors: a row a model, series and fold: ``unique_id``, ``cutoff``, ``model`` and the metric.
        metric: what decides.
        best: the model with the least mean.
        networks: in order of preference.
    """
    if best not in networks:
        return best
    table = errors.pivot(index=["unique_id", "cutoff"], columns="model", values=metric).astype(float)
    for name in networks:
        behind = (table[name] - table[best]).dropna()
        if len(behind) > 1 and behind.mean() <= behind.std() / np.sqrt(len(behind)):
            return name
    return best


def _plan(config: RunConfig, panel: Panel, schema: Schema, folds: int | None, source: str) -> BacktestPlan:
    """Return where candidates are compared: enough folds, as far as a fifth of the data holds them."""
    known = {"season": schema.season, "horizon": schema.horizon}
    data = config.data.model_copy(update=known)
    room = int(np.median(panel.lengths)) // SHARE // schema.horizon
    wanted = folds or min(-(-MANY // (len(panel) * len(panel.targets))), max(room, LEAST))
    for count in range(wanted, 1, -1):
        try:
            return plan_backtest(panel, schema, data, count, source=source)
        except DataError:
            if folds is not None:
                raise
    return plan_backtest(panel, schema, data, 1, source=source)


class _Clock:
    """Tells how long the next candidate may take.

    Args:
        budget: seconds for all candidates and for fitting the best one anew.
    """

    def __init__(self, budget: float) -> None:
        self._end = monotonic() + budget
        self.took: dict[str, float] = {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Take the time of a candidate."""
        start = monotonic()
        yield
        self.took[name] = round(monotonic() - start, 1)

    def allowance(self) -> float | None:
        """Return the seconds that the next candidate may be trained; None where it cannot be like those before.

        The first one is trained in any case, and cut off where the time is over.
        """
        left, known = max(self._end - monotonic(), 1.0), list(self.took.values())
        own = left / (1 + REFIT)
        if not known:
            return own
        own = min(own, left - REFIT * max(known))
        return own if own >= sum(known) / len(known) else None


def fit(config: RunConfig, panel: Panel, schema: Schema, source: str, watch: Watch | None = None) -> FittedForecaster:
    """Train a forecaster: a named model, the default, or for ``auto`` the best of several."""
    if config.model.get("name") != AUTO:
        return fit_model(config, panel, schema, source, watch)
    selection = select(config, panel, schema, source, watch)
    best = config.named(selection.kept).model_copy(update={"selection": None})
    if selection.kept in BASELINES:
        # A baseline takes none of the options of a network.
        data = config.data.model_copy(update={"graph": None})
        best = best.model_copy(update={"model": {"name": selection.kept}, "data": data})
    return fit_model(best, panel, schema, source, watch).chosen_as(selection)
