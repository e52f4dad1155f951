"""How the errors of a forecast go on from step to step, on windows that the model was not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

Floats = npt.NDArray[np.float64]

NEAR = 4
"""The pairs of steps that count for one are those up to the horizon divided by this before and behind it."""

DOUBT = 20
"""Windows that do not overlap whose word on one step counts as much as that of all steps together."""


def persistence(errors: npt.ArrayLike, spread: npt.ArrayLike, distinct: int) -> Floats:
    """Return the correlation of the error of each step with that of the step before, `[horizon, targets]`, first 0.

    It is that of the normal scores of the errors, in units of what the model expects of them, so that neither their
    distribution nor a few large ones matter. All steps of a target have one correlation to begin with; of `d` windows
    that do not overlap, that of a step and those around it, a quarter of the horizon before and behind, counts for
    `d / (d + 20)` of what is used, for errors may go on otherwise after the first steps than far ahead.

    Args:
        errors: observed minus forecast, `[windows, horizon, targets]`; NaN where nothing was observed.
        spread: what is expected of them, such as the width of an interval, of the same shape and 0 or more.
        distinct: the most windows that do not overlap.

    References:
        Liu, Lafferty and Wasserman 2009, The Nonparanormal (correlations of normal scores).
    """
    errors, spread = np.asarray(errors, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    windows, horizon, targets = errors.shape
    by_target = np.where(spread > 0, errors / np.where(spread > 0, spread, 1.0), np.nan).reshape(-1, targets)
    ranks = pd.DataFrame(by_target).rank().to_numpy()
    scores = ndtri((ranks - 0.5) / np.maximum(np.isfinite(ranks).sum(axis=0), 1)).reshape(windows, horizon, targets)
    before, after = scores[:, :-1], scores[:, 1:]
    both = np.isfinite(before) & np.isfinite(after)
    before, after = np.where(both, before, 0.0), np.where(both, after, 0.0)
    sums = [part.sum(axis=0) for part in (before * after, before**2, after**2)]
    of_all = _correlation(*(part.sum(axis=0) for part in sums))
    made = np.zeros((horizon, targets))
    for step in range(1, horizon):
        near = slice(max(step - 1 - horizon // NEAR, 0), step + horizon // NEAR)
        of_step = _correlation(*(part[near].sum(axis=0) for part in sums))
        made[step] = of_all + (of_step - of_all) * distinct / (distinct + DOUBT)
    return made


def _correlation(common: Floats, before: Floats, after: Floats) -> Floats:
    scale = np.sqrt(before * after)
    return np.where(scale > 0, common / np.where(scale > 0, scale, 1.0), 0.0)
