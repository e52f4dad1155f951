"""Errors of forecasts, group by group; what they mean is left to `utilsforecast` wherever it has them.

========================  ==========================================================================================
``mase``, ``rmsse``       mean absolute, root mean squared error over that of the seasonal naive forecast of the
                          training data (Hyndman and Koehler 2006; Makridakis et al. 2022, the M5 competition)
``smape``, ``mape``       the absolute error in percent of the mean of forecast and value, 0 to 200; of the value
``mae``, ``rmse``         in the units of the data
``wql``                   weighted quantile loss: twice the pinball loss of all levels, their mean, over the sum of the
                          absolute values (Park et al. 2022); the more levels, the nearer to the CRPS (Gneiting and
                          Raftery 2007)
``coverage-80``           the share of values inside the 80 % interval; so for every interval that the levels form
``width-80``              upper less lower bound, in the units of the data
``winkler-80``            interval score: the width, and 2 / (1 - 0.8) times what a value lies outside (Winkler 1972)
========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from utilsforecast import losses

from tsattn.data.long import level_columns

Keys = tuple[str, ...]
"""``unique_id``, alone or with one more column: what a group of rows has in common."""

_PERCENT = {"smape": 200.0, "mape": 100.0}
"""`utilsforecast` has sMAPE from 0 to 1, the M4 competition and this package from 0 to 200; and MAPE as a share."""


def shares(levels: Sequence[float]) -> tuple[str, ...]:
    """Return the shares of the intervals in percent, as in ``y-lo-80``, the widest first."""
    # Narrow intervals come first among the columns.
    names = [name.removeprefix("y-lo-") for name in level_columns(levels) if name.startswith("y-lo-")]
    return tuple(reversed(names))


def metric_names(levels: Sequence[float]) -> tuple[str, ...]:
    """Return the columns of metrics: those that the tables show first, then the others."""
    intervals = shares(levels)
    widest = tuple(f"coverage-{share}" for share in intervals[:1])
    rest = tuple(f"coverage-{share}" for share in intervals[1:])
    bounds = tuple(f"{kind}-{share}" for kind in ("width", "winkler") for share in intervals)
    return ("mase", "smape", "mae", "rmse", "wql", *widest, "rmsse", "mape", *rest, *bounds)


def naive_scales(training: pd.DataFrame, season: int) -> pd.DataFrame:
    """Return the errors of the seasonal naive forecast within the training data, which scale MASE and RMSSE.

    Args:
        training: ``unique_id, ds, y`` in order of time.
        season: season length in steps.

    Returns:
        ``mae`` and ``rmse`` by ``unique_id``: 0 where each season is the one before, NaN where there is no second one.
    """
    lagged = training[["unique_id", "y"]].astype({"y": "float64"})
    lagged["lag"] = lagged.groupby("unique_id", sort=False)["y"].shift(season)
    absolute, squared = (loss(lagged, ["lag"]).set_index("unique_id")["lag"] for loss in (losses.mae, losses.mse))
    return pd.DataFrame({"mae": absolute, "rmse": np.sqrt(squared)})


def group_errors(
    known: pd.DataFrame, models: Sequence[str], levels: Sequence[float], scales: pd.DataFrame, keys: Keys
) -> pd.DataFrame:
    """Return every metric of each group of rows.

    Args:
        known: the ``keys``, ``y`` without a missing value, a column a model and its bounds, such as ``naive-lo-80``.
        models: names of the models.
        levels: quantile levels, which name the bounds.
        scales: what `naive_scales` gives.
        keys: what the rows of a group have in common.

    Returns:
        ``keys``, ``model`` and the columns of `metric_names`, sorted by the keys; NaN where an error has no scale.
    """
    names = list(models)
    group = {"cutoff_col": keys[1]} if len(keys) > 1 else {"cutoff_col": "none"}
    found = {
        "mae": losses.mae(known, names, **group),
        "rmse": losses.rmse(known, names, **group),
        "smape": losses.smape(known, names, **group),
        "mape": losses.mape(known, names, **group),
    }
    for share in shares(levels):
        level = float(share) if "." in share else int(share)
        found[f"coverage-{share}"] = losses.coverage(known, names, level, **group)
        found[f"width-{share}"] = _width(known, names, share, keys)
        found[f"winkler-{share}"] = losses.winkler_score(known, names, level, **group)
    long = {
        metric: errors.melt(list(keys), names, "model").set_index([*keys, "model"])["value"].astype("float64")
        for metric, errors in found.items()
    }
    frame = pd.DataFrame(long)
    for metric, factor in _PERCENT.items():
        frame[metric] *= factor
    scale = scales.reindex(frame.index.get_level_values("unique_id"))
    for metric, error in (("mase", "mae"), ("rmsse", "rmse")):
        frame[metric] = frame[error] / scale[error].where(scale[error] > 0).to_numpy()
    frame = frame.reset_index()
    frame["wql"] = _joined(frame, weighted_quantile_loss(known, names, levels, keys), keys)
    order = frame[list(keys)].apply(lambda column: column.factorize(sort=True)[0])
    ranks = np.lexsort([order[key] for key in reversed(keys)])
    return frame.iloc[ranks][[*keys, "model", *metric_names(levels)]].reset_index(drop=True)


def weighted_quantile_loss(
    known: pd.DataFrame, models: Sequence[str], levels: Sequence[float], keys: Keys = ()
) -> pd.DataFrame:
    """Return the weighted quantile loss over all levels: of each group of rows, or of all rows together.

    Returns:
        ``keys``, ``model``, ``wql``; NaN where all values of a group are 0, so that nothing weighs its loss.
    """
    names = list(models)
    columns = {
        name: [f"{name}{key.removeprefix('y')}" for key, _ in sorted(level_columns(levels).items(), key=lambda x: x[1])]
        for name in names
    }
    whole = "unique_id" not in keys
    frame = known.assign(unique_id="all") if whole else known
    other = next((key for key in keys if key != "unique_id"), "none")
    errors = losses.scaled_crps(frame, columns, np.array(levels), cutoff_col=other)
    by = ["unique_id", other] if other != "none" else ["unique_id"]
    weights = frame.assign(weight=frame["y"].abs()).groupby(by)["weight"].sum()
    empty = weights.reindex(pd.MultiIndex.from_frame(errors[by]) if len(by) > 1 else errors["unique_id"]) == 0
    errors.loc[empty.to_numpy(), names] = np.nan
    melted: pd.DataFrame = errors.melt(list(keys), names, "model", "wql")
    return melted


def _joined(frame: pd.DataFrame, values: pd.DataFrame, keys: Keys) -> pd.Series:
    """Return the last column of one frame in the order of another's groups and models."""
    by = [*keys, "model"]
    return frame[by].merge(values, how="left", on=by)[values.columns[-1]]


def _width(known: pd.DataFrame, names: Sequence[str], share: str, keys: Keys) -> pd.DataFrame:
    """Return the mean width of an interval, laid out as `utilsforecast` has its losses."""
    widths = {name: known[f"{name}-hi-{share}"] - known[f"{name}-lo-{share}"] for name in names}
    return pd.DataFrame(widths).groupby([known[key] for key in keys]).mean().reset_index()
