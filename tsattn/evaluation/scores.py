"""Errors of forecasts, by series and on the whole; what they mean is left to `utilsforecast`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from utilsforecast import losses

from tsattn.data.long import level_columns

_FACTORS = {"smape": 200.0}
"""`utilsforecast` has sMAPE from 0 to 1, the M4 competition and this package from 0 to 200."""


def score(
    frame: pd.DataFrame, models: Sequence[str], season: int, levels: Sequence[float], training: pd.DataFrame
) -> pd.DataFrame:
    """Score forecasts, each series by itself, and each of its cutoffs where the frame has them.

    Args:
        frame: ``unique_id``, ``y``, a column a model with its bounds, such as ``naive-lo-80``; and ``cutoff`` and
            ``ds``, or neither. Rows whose ``y`` is missing do not count.
        models: names of the models.
        season: season length in steps.
        levels: quantile levels, which name the bounds.
        training: ``unique_id, ds, y`` of what was trained on, in order of time; MASE is scaled by the error of the
            seasonal naive forecast in it.

    Returns:
        ``unique_id``, ``cutoff`` if it was there, ``metric`` and a column a model: ``mase``; ``smape`` in percent (0
        to 200); ``mae`` and ``rmse`` in original units; ``coverage``, the share of values inside the widest interval,
        if there is one. NaN where an error has no scale.
    """
    names = list(models)
    known = frame.dropna(subset="y")
    found = {
        "mase": losses.mase(known, names, season, training),
        "smape": losses.smape(known, names),
        "mae": losses.mae(known, names),
        "rmse": losses.rmse(known, names),
    }
    interval = widest(levels)
    if interval is not None:
        found["coverage"] = losses.coverage(known, names, interval)
    keys = [key for key in ("unique_id", "cutoff") if key in frame]
    parts = []
    for metric, errors in found.items():
        figures = errors[names].astype("float64").replace([np.inf, -np.inf], np.nan) * _FACTORS.get(metric, 1.0)
        parts.append(pd.concat([errors[keys].assign(metric=metric), figures], axis=1))
    scored: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return scored


def table(scored: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Return the means of what `score` gives, missing ones skipped: a row a model, best MASE first."""
    names = list(models)
    means = pd.DataFrame({"model": names})
    # MASE has no rows where no series has a scale, and is told as missing then.
    for metric in ["mase", *(found for found in scored["metric"].unique() if found != "mase")]:
        means[metric] = scored.loc[scored["metric"] == metric, names].mean().to_numpy()
    return means.sort_values("mase", ignore_index=True, kind="stable")


def widest(levels: Sequence[float]) -> str | None:
    """Return the share of the widest interval in percent, as in ``y-lo-80``; None where no level has a mirror."""
    # Narrow intervals come first.
    shares = [name.removeprefix("y-lo-") for name in level_columns(levels) if name.startswith("y-lo-")]
    return shares[-1] if shares else None
