"""What a forecaster chose, where its model was not named, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from tsattn.evaluation.choice import Choice


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
