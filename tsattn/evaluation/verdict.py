"""What a comparison says, in one sentence."""

from __future__ import annotations

import pandas as pd


def verdict(scores: pd.DataFrame, name: str) -> str:
    """Return one sentence on the model ``name`` against the best baseline of a comparison.

    Args:
        scores: what `tsattn.evaluation.compare.compare` gives.
        name: the model that was fitted.
    """
    errors = scores.set_index("model")["mase"]
    rivals = errors.drop(name).dropna()
    if rivals.empty or pd.isna(errors[name]):
        return f"{name} could not be ranked by MASE: the seasonal naive forecast has no error to divide by."
    best = str(rivals.idxmin())
    gain = 1 - errors[name] / rivals[best]
    figures = f"MASE {errors[name]:.3f} against {rivals[best]:.3f} on the validation part"
    if gain > 0:
        return f"{name} is {gain:.0%} better than the best naive baseline, {best}: {figures}."
    return f"The naive baseline {best} won: {name} has {figures}. Fit the model {best} instead, or more data."
