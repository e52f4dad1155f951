"""What a comparison says, in one sentence."""

from __future__ import annotations

import pandas as pd


def verdict(scores: pd.DataFrame, name: str, where: str = "on the validation part") -> str:
    """Return one sentence on the model ``name`` against the best baseline of a comparison.

    Args:
        scores: a row a model, with the columns ``model`` and ``mase``.
        name: the model that was fitted.
        where: what was forecast.
    """
    errors = scores.set_index("model")["mase"]
    rivals = errors.drop(name).dropna()
    if rivals.empty or pd.isna(errors[name]):
        return f"{name} could not be ranked by MASE: the seasonal naive forecast has no error to divide by."
    best = str(rivals.idxmin())
    figures = f"MASE {errors[name]:.3f} against {rivals[best]:.3f} {where}"
    if errors[name] < rivals[best]:
        gain = 1 - errors[name] / rivals[best]
        return f"{name} is {gain:.0%} better than the best naive baseline, {best}: {figures}."
    if errors[name] == rivals[best]:
        return f"{name} is as good as the best naive baseline, {best}: {figures}."
    return f"The naive baseline {best} won: {name} has {figures}. Fit the model {best} instead, or more data."
