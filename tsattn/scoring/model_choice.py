"""Record of how a model was selected: the weights of a combination, or the best of several models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from tsattn.models import BASELINES
from tsattn.scoring.forecast_weights import ForecastWeights
from tsattn.scoring.window_forecaster import CLASSICAL

Metric = Literal["mase", "mae"]


def ranking_metric(scores: pd.DataFrame) -> Metric:
    """Return the metric that models are ranked by: MASE, or MAE if no model has one."""
    return "mase" if np.isfinite(scores["mase"].astype(float)).any() else "mae"


@dataclass(frozen=True)
class ModelSelection:
    """Choice of the best of several models.

    Args:
        selected: Name of the selected model.
        scores: Scores of the models, best first, as in `tsattn.evaluation.rolling_origin.Backtest`.
        metric: The deciding error.
        folds: Number of forecasts of each series.
        steps: Horizon of these forecasts.
        seconds: Time for training and forecasts of each network.
        skipped: Networks that there was no time for.
    """

    selected: str
    scores: pd.DataFrame
    metric: str
    folds: int
    steps: int
    seconds: dict[str, float]
    skipped: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return which model is selected and why."""
        errors = dict(zip(self.scores["model"], self.scores[self.metric].astype(float), strict=True))
        count = "1 fold" if self.folds == 1 else f"{self.folds} folds"
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        best = next(iter(errors))
        others = [f"{error:.3g} of {name}" for name, error in errors.items() if name != self.selected][:2]
        rank = "the best" if best == self.selected else f"within a standard error of {best}, the best"
        text = (
            f"Selected: {self.selected}, {rank} of {len(errors)} models over {count} of {steps}: "
            f"{self.metric.upper()} {errors[self.selected]:.3g} against {' and '.join(others)}."
        )
        if self.skipped:
            text += (
                f" Skipped for lack of time: {', '.join(self.skipped)}. Increase selection.max_seconds to include them."
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the summary as JSON types."""
        rows = self.scores.astype(object).where(self.scores.notna(), None).to_dict("records")
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**own, "scores": rows, "skipped": list(self.skipped), "summary": self.summary()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the result of `to_dict`."""
        scores = pd.DataFrame(values["scores"])
        scores = scores.astype({name: "float64" for name in scores if name != "model"})
        own = {field.name: values[field.name] for field in fields(cls)}
        return cls(**{**own, "scores": scores, "skipped": tuple(values["skipped"])})


ModelChoice = ForecastWeights | ModelSelection
"""Record of how a model was selected."""


def read_model_choice(values: Mapping[str, Any]) -> ModelChoice:
    """Read the result of `to_dict` of either choice."""
    return ModelSelection.from_dict(values) if "scores" in values else ForecastWeights.from_dict(values)


def comparison_summary(scores: pd.DataFrame, name: str, where: str = "on the validation part") -> str:
    """Return a sentence that compares a model with the best naive baseline, and mentions a better classical one.

    Args:
        scores: ``model`` and ``mase`` of the models.
        name: The model.
        where: The data that were forecast.
    """
    errors = scores.set_index("model")["mase"]
    others = errors.drop(name).dropna()
    naive = others[others.index.isin(list(BASELINES))]
    if naive.empty or pd.isna(errors[name]):
        return f"{name} could not be ranked by MASE: the seasonal naive forecast has no error to divide by."
    best = str(naive.idxmin())
    figures = f"MASE {errors[name]:.3f} against {naive[best]:.3f} {where}"
    better = _mention_classical(others[others.index.isin(list(CLASSICAL))], min(errors[name], naive[best]))
    if errors[name] < naive[best]:
        gain = 1 - errors[name] / naive[best]
        return f"{name} is {gain:.0%} better than the best naive baseline, {best}: {figures}.{better}"
    if errors[name] == naive[best]:
        return f"{name} is as good as the best naive baseline, {best}: {figures}.{better}"
    return f"The naive baseline {best} is better: {name} has {figures}. Fit {best}, or provide more data.{better}"


def _mention_classical(classical: pd.Series, lowest: float) -> str:
    """Return a sentence on the best classical baseline if its error is below the lowest other one."""
    if classical.empty or classical.min() >= lowest:
        return ""
    return f" The classical baseline {classical.idxmin()} is even better: MASE {classical.min():.3f}."
