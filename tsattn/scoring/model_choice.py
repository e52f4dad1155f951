"""Selection of a model: a network or the naive baseline that it does not beat, or the best of several models.

`BaselineFallback` is the rule of the default. Naive baselines need no training, so all windows with a third of their
series as history rank them. The network is then compared with the best baseline on the validation part, which its
weights have not seen. It has to be better by a margin that decreases, as a standard error does, with the square root of
the number of forecasts. Figures: docs/design/model-choice.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.models import BASELINES
from tsattn.scoring.classical import CLASSICAL

MIN_HISTORY = 3
"""Baselines are ranked on windows with at least this part of a series, a third, as history."""

MARGIN = 0.3
"""Relative improvement that the network needs if a single forecast decides."""

Metric = Literal["mase", "mae"]


def ranking_metric(scores: pd.DataFrame) -> Metric:
    """Return the metric that models are ranked by: MASE, or MAE if no model has one."""
    return "mase" if np.isfinite(scores["mase"].astype(float)).any() else "mae"


def best_baseline(scores: pd.DataFrame) -> str:
    """Return the model with the lowest error, the first one if none has any.

    Args:
        scores: ``model``, ``mase`` and ``mae`` of the baselines, over all of the data.
    """
    errors = scores.set_index("model")[ranking_metric(scores)].astype(float)
    return str(errors.fillna(np.inf).idxmin())


def count_distinct_targets(lengths: npt.NDArray[np.int64], channels: int, steps: int, horizon: int) -> int:
    """Return the number of non-overlapping forecasts in the last ``steps`` steps of the series, at least 1.

    Args:
        lengths: Steps of each series, int64 [series].
        channels: Targets of each series.
        steps: Length of the validation part.
        horizon: Steps of a forecast.
    """
    return max(channels * int((np.clip(lengths - 1, 0, steps) // horizon).sum()), 1)


@dataclass(frozen=True)
class BaselineFallback:
    """Choice between a network and the best naive baseline.

    Args:
        network: Name of the network.
        baseline: The best naive baseline over all of the data.
        metric: The deciding error.
        network_error: Error of the network on the validation part; NaN if unknown.
        baseline_error: Error of the baseline on the validation part.
        targets: Forecasts of the validation part that do not overlap.
        margin: Relative improvement that the network needs.
    """

    network: str
    baseline: str
    metric: Metric
    network_error: float
    baseline_error: float
    targets: int
    margin: float

    @classmethod
    def decide(cls, scores: pd.DataFrame, network: str, baseline: str, targets: int) -> Self:
        """Compare a network with a baseline.

        Args:
            scores: ``model``, ``mase`` and ``mae`` of the models on the validation part.
            network: Name of the network.
            baseline: Name of the baseline.
            targets: Result of `count_distinct_targets`.
        """
        metric = ranking_metric(scores)
        errors = scores.set_index("model")[metric].astype(float)
        margin = MARGIN / sqrt(targets)
        return cls(network, baseline, metric, float(errors[network]), float(errors[baseline]), targets, margin)

    @property
    def uses_network(self) -> bool:
        """Whether the network is better by the margin."""
        return bool(self.network_error <= (1 - self.margin) * self.baseline_error and self.network_error < np.inf)

    @property
    def selected(self) -> str:
        """Name of the selected model."""
        return self.network if self.uses_network else self.baseline

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, the selected model and the summary as JSON types."""
        values = {key: None if value != value else value for key, value in asdict(self).items()}
        return {"selected": self.selected, **values, "summary": self.summary()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the result of `to_dict`."""
        known: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        for key in ("network_error", "baseline_error"):
            known[key] = np.nan if known[key] is None else known[key]
        return cls(**known)

    def summary(self) -> str:
        """Return which model is selected, why, and how to use the network in any case."""
        figures = f"{self.metric.upper()} {self.network_error:.3g} against {self.baseline_error:.3g}"
        best = f"{self.baseline}, the best naive baseline over the history"
        if self.uses_network:
            return f"Selected: {self.network}. On the validation part it beats {best}: {figures}."
        return (
            f"Selected: {best}. {self.network} {self._describe_shortfall()}: {figures}. "
            f"To use the network anyway, set model={self.network}."
        )

    def _describe_shortfall(self) -> str:
        if not np.isfinite([self.network_error, self.baseline_error]).all():
            return "cannot be compared with it on the validation part"
        if self.network_error >= self.baseline_error:
            return "is no better on the validation part"
        gain = 1 - self.network_error / self.baseline_error
        count = "one forecast requires" if self.targets == 1 else f"{self.targets} forecasts require"
        return f"is only {gain:.0%} better on the validation part, where {count} {self.margin:.0%}"


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


ModelChoice = BaselineFallback | ModelSelection
"""Record of how a model was selected."""


def read_model_choice(values: Mapping[str, Any]) -> ModelChoice:
    """Read the result of `to_dict` of either choice."""
    return ModelSelection.from_dict(values) if "scores" in values else BaselineFallback.from_dict(values)


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
