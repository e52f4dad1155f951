"""Which model the default forecaster keeps: its network, or the naive baseline that the network does not beat.

Two comparisons decide it, each on as many forecasts as it may use:

* Baselines have nothing to train, so all of the data but an early part can rank them, a third of each series being left
  as the first history. The mean over all windows decides, as in every score here. A validation part alone is too
  little: on 266 small data sets of eight kinds, geometric mean of the kinds, its winner had 1.19 times the MASE of the
  best baseline of five later forecasts, and the winner over all windows 1.09 times. It was 1.08 from a quarter or a
  fifth on, 1.11 from a half on, 1.10 by medians and 1.09 with weights that halve with every quarter of the series.
* The network is held against that baseline on the validation part, which is new to its weights. Of few forecasts a
  difference says little, so that the network has to be better by a margin, which goes down with the root of their
  number as a standard error does. On 42 of those sets what was kept had 1.04 times the MASE of the best baseline; 1.10
  without a margin, 1.03 to 1.04 with .3 to .5, 1.10 with 1; 1.18 by the network alone, 1.11 by the baseline alone.
  On 53 others, with a better network, it was 1.11, 1.07 without a margin, 1.09 and 1.13. Two or three folds instead of
  one validation part brought nothing (``benchmarks/TRIED.md``).
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

FIRST_HISTORY = 3
"""A series is forecast by the baselines from this part of it on: a third."""

MARGIN = 0.3
"""By what share the network has to be better where a single forecast decides."""

Metric = Literal["mase", "mae"]


@dataclass(frozen=True)
class Choice:
    """What was kept, and why.

    Args:
        network: name of the network.
        baseline: the best naive baseline over all of the data.
        metric: the error that decided: MASE, or MAE where no series has a scale.
        network_error: that of the network on the validation part; NaN where it is unknown.
        baseline_error: that of the baseline there.
        targets: forecasts of the validation part that do not overlap.
        margin: the share by which the network has to be better.
    """

    network: str
    baseline: str
    metric: Metric
    network_error: float
    baseline_error: float
    targets: int
    margin: float

    @property
    def keeps_network(self) -> bool:
        """Whether the network is better by the margin."""
        return bool(self.network_error <= (1 - self.margin) * self.baseline_error and self.network_error < np.inf)

    @property
    def kept(self) -> str:
        """Name of the model that was kept."""
        return self.network if self.keeps_network else self.baseline

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with what was kept and the sentence that says why."""
        known = {key: None if value != value else value for key, value in asdict(self).items()}
        return {"kept": self.kept, **known, "reason": self.sentence()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the choice that `to_dict` wrote."""
        errors = ("network_error", "baseline_error")
        known: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        return cls(**{**known, **{key: np.nan for key in errors if known[key] is None}})

    def sentence(self) -> str:
        """Return what was kept and why, and how to insist on the network."""
        figures = f"{self.metric.upper()} {self.network_error:.3g} against {self.baseline_error:.3g}"
        best = f"{self.baseline}, the best naive baseline over the history"
        if self.keeps_network:
            return f"Kept: {self.network}. On the validation part it beats {best}: {figures}."
        return (
            f"Kept: {best}. {self.network} {self._shortfall()}: {figures}. "
            f"To keep it all the same, name it: --model {self.network}."
        )

    def _shortfall(self) -> str:
        """Return how far the network is from being kept."""
        if not np.isfinite([self.network_error, self.baseline_error]).all():
            return "cannot be compared with it on the validation part"
        if self.network_error >= self.baseline_error:
            return "is no better on the validation part"
        gain = 1 - self.network_error / self.baseline_error
        asked = "one forecast asks" if self.targets == 1 else f"{self.targets} forecasts ask"
        return f"is only {gain:.0%} better on the validation part, where {asked} for {self.margin:.0%}"


def metric_of(scores: pd.DataFrame) -> Metric:
    """Return the error that models are compared by: MASE, or MAE where no model has one."""
    return "mase" if np.isfinite(scores["mase"].astype(float)).any() else "mae"


def choose_baseline(scores: pd.DataFrame) -> str:
    """Return the best of the baselines; the first one where nothing is known of any.

    Args:
        scores: a row a baseline: ``model``, ``mase`` and ``mae``, over all of the data.
    """
    errors = scores.set_index("model")[metric_of(scores)].astype(float)
    return str(errors.fillna(np.inf).idxmin())


def choose(scores: pd.DataFrame, network: str, baseline: str, targets: int) -> Choice:
    """Return the choice between a network and a baseline.

    Args:
        scores: a row a model: ``model``, ``mase`` and ``mae``, on the validation part.
        network: name of the network.
        baseline: name of the baseline.
        targets: forecasts of the validation part that do not overlap, see `distinct_targets`.
    """
    metric = metric_of(scores)
    errors = scores.set_index("model")[metric].astype(float)
    return Choice(
        network, baseline, metric, float(errors[network]), float(errors[baseline]), targets, MARGIN / sqrt(targets)
    )


def distinct_targets(lengths: npt.NDArray[np.int64], channels: int, steps: int, horizon: int) -> int:
    """Return how many targets that do not overlap lie in the last steps of the series, at least 1.

    Args:
        lengths: steps of each series, int64 [series].
        channels: series at each of them.
        steps: length of the validation part.
        horizon: steps of a forecast.
    """
    return max(channels * int((np.clip(lengths - 1, 0, steps) // horizon).sum()), 1)


@dataclass(frozen=True)
class Selection:
    """What was kept of several models, and why.

    Args:
        kept: name of the model.
        scores: a row a model, best first, as those of a `tsattn.evaluation.backtest.Backtest`.
        metric: what decided.
        folds: forecasts of each series.
        steps: of each of them.
        seconds: what training and forecasts of a network took.
        left_out: networks that there was no time for.
    """

    kept: str
    scores: pd.DataFrame
    metric: str
    folds: int
    steps: int
    seconds: dict[str, float]
    left_out: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return what was kept and why."""
        figures = dict(zip(self.scores["model"], self.scores[self.metric].astype(float), strict=True))
        count = "1 fold" if self.folds == 1 else f"{self.folds} folds"
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        best = next(iter(figures))
        others = [f"{error:.3g} of {name}" for name, error in figures.items() if name != self.kept][:2]
        rank = "the best" if best == self.kept else f"by less than a standard error behind {best}, the best"
        told = (
            f"Kept: {self.kept}, {rank} of {len(figures)} models over {count} of {steps}: "
            f"{self.metric.upper()} {figures[self.kept]:.3g} against {' and '.join(others)}."
        )
        if self.left_out:
            told += f" For lack of time without {', '.join(self.left_out)}: give a longer --budget."
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with what was kept and the sentence that says why."""
        rows = self.scores.astype(object).where(self.scores.notna(), None).to_dict("records")
        return {
            "kept": self.kept,
            "scores": rows,
            "metric": self.metric,
            "folds": self.folds,
            "steps": self.steps,
            "seconds": self.seconds,
            "left_out": list(self.left_out),
            "reason": self.sentence(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the selection that `to_dict` wrote."""
        own = ("kept", "metric", "folds", "steps", "seconds")
        left_out = tuple(values["left_out"])
        scores = pd.DataFrame(values["scores"])
        scores = scores.astype({name: "float64" for name in scores if name != "model"})
        return cls(scores=scores, **{name: values[name] for name in own}, left_out=left_out)


Chosen = Choice | Selection
"""What was kept: of a network and the naive baselines, or of several models."""


def read_chosen(values: Mapping[str, Any]) -> Chosen:
    """Return what `to_dict` of one of them wrote."""
    return Selection.from_dict(values) if "scores" in values else Choice.from_dict(dict(values))


def verdict(scores: pd.DataFrame, name: str, where: str = "on the validation part") -> str:
    """Return a sentence on the model ``name`` against the best naive baseline, and one on better classical ones.

    Args:
        scores: a row a model, with the columns ``model`` and ``mase``.
        name: the model that was fitted.
        where: what was forecast.
    """
    errors = scores.set_index("model")["mase"]
    others = errors.drop(name).dropna()
    rivals = others[others.index.isin(list(BASELINES))]
    if rivals.empty or pd.isna(errors[name]):
        return f"{name} could not be ranked by MASE: the seasonal naive forecast has no error to divide by."
    best = str(rivals.idxmin())
    figures = f"MASE {errors[name]:.3f} against {rivals[best]:.3f} {where}"
    better = _better(others[others.index.isin(list(CLASSICAL))], min(errors[name], rivals[best]))
    if errors[name] < rivals[best]:
        gain = 1 - errors[name] / rivals[best]
        return f"{name} is {gain:.0%} better than the best naive baseline, {best}: {figures}.{better}"
    if errors[name] == rivals[best]:
        return f"{name} is as good as the best naive baseline, {best}: {figures}.{better}"
    return f"The naive baseline {best} won: {name} has {figures}. Fit the model {best} instead, or more data.{better}"


def _better(classical: pd.Series, least: float) -> str:
    """Return a sentence on the best of the classical baselines, where it is better than all else."""
    if classical.empty or classical.min() >= least:
        return ""
    return f" The classical baseline {classical.idxmin()} is better still: MASE {classical.min():.3f}."
