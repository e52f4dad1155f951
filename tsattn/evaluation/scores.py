"""Tables of scores: in total, by series and by step of the horizon, best model first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsattn.data.long import level_columns
from tsattn.evaluation.metrics import Keys, group_errors, naive_scales, weighted_quantile_loss

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
