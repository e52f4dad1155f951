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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from utilsforecast import losses

from tsattn.timeseries.frames import level_columns

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


REFERENCE = "seasonal_naive"
"""The model that skill is told against."""

_MOST_NAMES = 5


@dataclass(frozen=True)
class Scores:
    """How good the forecasts of several models were.

    Every table has a row a model, with ``skill`` and the metrics of `tsattn.evaluation.metrics`. Each series at each
    origin is scored by itself; ``total`` and ``by_series`` are the means of that, ``by_step`` scores each step of a
    series over all origins, and is the mean over series. Where there are no origins, each series is scored as a whole.
    The weighted quantile loss is never a mean, its weights being the sums over all that a row stands for. Missing
    values count nowhere.

    ``skill`` is the part of the MASE of the seasonal naive forecast that a model saves: 1 less their ratio. It is 0
    where both are equal, and negative where the model is worse.

    Args:
        total: best MASE first, or MAE where no series has a MASE.
        by_origin: the same of each ``unique_id`` and ``cutoff``; of each ``unique_id`` where there are no origins.
        by_series: the same of each ``unique_id``.
        by_step: the same of each ``step`` of the horizon, from 1; empty where there are no origins.
        left_out: sentences on what has no scale to be divided by, and is therefore left out of a metric.
    """

    total: pd.DataFrame
    by_origin: pd.DataFrame
    by_series: pd.DataFrame
    by_step: pd.DataFrame
    left_out: tuple[str, ...]


def score(
    frame: pd.DataFrame, models: Sequence[str], season: int, levels: Sequence[float], training: pd.DataFrame
) -> Scores:
    """Score forecasts.

    Args:
        frame: ``unique_id``, ``y``, a column a model with its bounds, such as ``naive-lo-80``; and ``cutoff`` with the
            steps of each horizon in order, or not. Rows whose ``y`` is missing do not count.
        models: names of the models.
        season: season length in steps.
        levels: quantile levels, which name the bounds.
        training: ``unique_id, ds, y`` of what was trained on, in order of time; MASE and RMSSE are scaled by the errors
            of the seasonal naive forecast in it.
    """
    names, scales = list(models), naive_scales(training, season)
    columns = ["y", *(f"{name}{key.removeprefix('y')}" for name in names for key in level_columns(levels))]
    # In single precision the sum of many errors is off in the sixth digit.
    known = frame.astype(dict.fromkeys(columns, "float64"))
    keys: Keys = ("unique_id",)
    if "cutoff" in known:
        known["step"] = known.groupby(["unique_id", "cutoff"], sort=False).cumcount() + 1
        keys = ("unique_id", "cutoff")
    known = known.dropna(subset="y")
    by_origin = group_errors(known, names, levels, scales, keys)
    by_series, by_step = by_origin, by_origin.iloc[:0].rename(columns={"unique_id": "step"})
    if len(keys) > 1:
        by_series = _means(by_origin, "unique_id", weighted_quantile_loss(known, names, levels, ("unique_id",)))
        steps = group_errors(known, names, levels, scales, ("unique_id", "step"))
        by_step = _means(steps, "step", weighted_quantile_loss(known, names, levels, ("step",)))
    total = _means(by_origin, None, weighted_quantile_loss(known, names, levels))
    total = total.set_index("model").loc[names].reset_index().sort_values(["mase", "mae"], ignore_index=True)
    told = _without_scale(frame, scales) + _zeros(known)
    return Scores(
        total=_with_skill(total, ()),
        by_origin=_with_skill(by_origin, keys),
        by_series=_with_skill(by_series, ("unique_id",)),
        by_step=_with_skill(by_step, ("step",)),
        left_out=tuple(told),
    )


def _means(errors: pd.DataFrame, key: str | None, weighted: pd.DataFrame) -> pd.DataFrame:
    """Return the means of errors by ``key`` and model, or by model, with the weighted quantile losses put in."""
    by = ["model"] if key is None else [key, "model"]
    metrics = [name for name in errors if name not in ("unique_id", "cutoff", "step", "model")]
    means = errors.groupby(by, sort=False)[metrics].mean().reset_index()
    return means.drop(columns="wql").merge(weighted, on=by, how="left")[[*by, *metrics]]


def _with_skill(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return a table with ``skill`` behind the MASE, where the seasonal naive forecast is one of the models."""
    if REFERENCE not in set(table["model"]):
        return table
    reference = table.loc[table["model"] == REFERENCE, [*keys, "mase"]].rename(columns={"mase": "skill"})
    if keys:
        scale = table[[*keys]].merge(reference, on=list(keys), how="left")["skill"].to_numpy()
    else:
        scale = np.full(len(table), reference["skill"].iloc[0])
    found = table.copy()
    known = np.where(scale > 0, scale, np.nan)
    found.insert(list(found).index("mase") + 1, "skill", 1 - found["mase"].to_numpy() / known)
    return found


def _without_scale(frame: pd.DataFrame, scales: pd.DataFrame) -> list[str]:
    """Return sentences on the series that have no MASE or RMSSE."""
    ids = pd.Index(frame["unique_id"].unique())
    known = scales["mae"].reindex(ids)
    constant, short = ids[(known == 0).to_numpy()], ids[known.isna().to_numpy()]
    told = []
    if len(constant):
        told.append(
            f"MASE and RMSSE leave out {_listed(constant, len(ids))}: the seasonal naive forecast has no error in the "
            "history to divide by."
        )
    if len(short):
        told.append(
            f"MASE and RMSSE leave out {_listed(short, len(ids))}: the history holds no two values that are a season "
            "apart, to divide by their difference."
        )
    return told


def _zeros(known: pd.DataFrame) -> list[str]:
    """Return sentences on the values that have no MAPE, and the series that have no weighted quantile loss."""
    zero = known["y"] == 0
    if not zero.any():
        return []
    series = known.loc[zero, "unique_id"].nunique()
    within = "1 series" if series == 1 else f"{series} series"
    told = [f"MAPE leaves out {zero.sum()} of {len(known)} values, in {within}: they are 0, and nothing divides by 0."]
    empty = zero.groupby(known["unique_id"], sort=False).all()
    if empty.any():
        names = _listed(empty.index[empty], len(empty))
        told.append(f"WQL of single series leaves out {names}: all values that were forecast are 0.")
    return told


def _listed(names: pd.Index, total: int) -> str:
    """Return "2 of 7 series (a, b)"."""
    some = ", ".join(str(name) for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{len(names)} of {total} series ({some}{more})"


def selection(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics that a table shows by default, out of those that it has.

    Args:
        columns: those of a table of scores; of coverages the first one counts, which is that of the widest interval.
    """
    names = list(columns)
    coverage = [name for name in names if name.startswith("coverage-")][:1]
    return tuple(name for name in ("mase", "skill", "smape", "mae", "rmse", "wql", *coverage) if name in names)
