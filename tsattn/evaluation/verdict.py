"""What a comparison says, in a sentence or two."""

from __future__ import annotations

import pandas as pd

from tsattn.evaluation.classical import CLASSICAL
from tsattn.models import BASELINES


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
