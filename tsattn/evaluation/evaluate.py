"""Evaluation of a fitted forecaster on data, without training it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tsattn.data.loader import Frame, load, source_name
from tsattn.evaluation.origins import empty_targets_error, plan_evaluation
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.scoring.comparison import KerasForecaster, classical_forecasters, forecast_origins, with_naive_baselines
from tsattn.scoring.metrics import Scores, score
from tsattn.scoring.model_choice import ranking_metric
from tsattn.scoring.window_forecaster import WindowForecaster, check_classical
from tsattn.timeseries.frames import history_frame, name_columns


@dataclass(frozen=True)
class Evaluation:
    """Forecasts and scores of a fitted forecaster and the baselines.

    Args:
        forecasts: Id, ``cutoff`` (last timestamp of the history), time and target (observed, NaN where missing), with
            the names of `tsattn.timeseries.frames.name_columns`, and for each model its forecast and bounds, such as
            ``naive``, ``naive-lo-80``, ``naive-hi-80``.
            Sorted by series and cutoff, with one row per step.
        scored: Metrics in total, by origin, series and step.
        model: Name of the forecaster among the models.
        summary: Number of forecasts and range of the cutoffs.
        notes: Sentences on the interpretation of the scores, such as overlap with the training data.
    """

    forecasts: pd.DataFrame
    scored: Scores
    model: str
    summary: str
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """Leaderboard, best first: ``model``, ``mase``, ``skill`` and other metrics, means over all forecasts."""
        return self.scored.total

    @property
    def score(self) -> float:
        """Minus the MASE of the forecaster, or minus its MAE if no series has a MASE."""
        return -float(self.scores.set_index("model")[ranking_metric(self.scores)].astype(float)[self.model])


def evaluate(
    fitted: FittedForecaster,
    X: Frame | Path | str,
    *,
    origins: int | None = None,
    step: int | None = None,
    last_steps: int | None = None,
    baselines: Sequence[str] = (),
) -> Evaluation:
    """Forecast data and score the forecasts; see `tsattn.Forecaster.evaluate`.

    MASE is scaled by the error of the seasonal naive forecast before the first origin of each series.
    """
    check_classical(baselines)
    panel = load(X, schema=fitted.schema, covariates=fitted.needs_covariates)[0]
    windows = plan_evaluation(fitted, panel, origins=origins, step=step, last_steps=last_steps, source=source_name(X))
    spec = fitted.spec
    forecasters: dict[str, WindowForecaster] = {
        **with_naive_baselines(fitted.name, KerasForecaster(fitted.model, spec), windows.panel),
        **classical_forecasters(baselines, windows.panel, spec),
    }
    forecasts, failures = forecast_origins(forecasters, windows.panel, *windows.pairs())
    if not forecasts["y"].notna().any():
        raise empty_targets_error(windows.source)
    scored = score(forecasts, list(forecasters), spec.season, spec.levels, history_frame(windows.history()))
    failure_notes = (failure.summary(name) for name, failure in failures.items())
    notes = (*windows.notes, *scored.notes, *(note for note in failure_notes if note))
    named = name_columns(forecasts, fitted.schema)
    return Evaluation(named, scored.name_columns(fitted.schema), fitted.name, windows.summary(), notes)
