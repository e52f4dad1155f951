"""Metrics of forecasts by group, computed by `utilsforecast` where it has them.

========================  ==========================================================================================
``mase``, ``rmsse``       mean absolute and root mean squared error, divided by that of the seasonal naive forecast
                          within the training data (Hyndman and Koehler 2006; Makridakis et al. 2022, M5 competition)
``smape``, ``mape``       absolute error in percent of the mean of forecast and value, 0 to 200; in percent of the value
``mae``, ``rmse``         in the units of the data
``wql``                   weighted quantile loss: twice the pinball loss, averaged over all levels, divided by the sum
                          of the absolute values (Park et al. 2022); approaches the CRPS as levels are added (Gneiting
                          and Raftery 2007)
``coverage-80``           fraction of the values inside the 80 % interval; the same for every interval of the levels
``width-80``              upper minus lower bound, in the units of the data
``winkler-80``            interval score: the width, plus 2 / (1 - 0.8) times the distance of a value outside the
                          interval to its nearer bound (Winkler 1972)
========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from utilsforecast import losses

from tsattn.timeseries.frames import name_columns, quantile_columns
from tsattn.timeseries.schema import Schema

Keys = tuple[str, ...]
"""Columns that define the groups: ``unique_id``, alone or with one more."""

_PERCENT = {"smape": 200.0, "mape": 100.0}
"""Factors to percent: `utilsforecast` has sMAPE from 0 to 1 (0 to 200 here, as in the M4 competition) and MAPE as a
fraction."""


def interval_percents(levels: Sequence[float]) -> tuple[str, ...]:
    """Return the nominal coverage of the intervals in percent, as in ``y-lo-80``, the widest first."""
    # Narrow intervals come first in `quantile_columns`.
    names = [name.removeprefix("y-lo-") for name in quantile_columns(levels) if name.startswith("y-lo-")]
    return tuple(reversed(names))


def metric_names(levels: Sequence[float]) -> tuple[str, ...]:
    """Return the columns of metrics: first those that tables display, then the others."""
    intervals = interval_percents(levels)
    widest = tuple(f"coverage-{percent}" for percent in intervals[:1])
    rest = tuple(f"coverage-{percent}" for percent in intervals[1:])
    bounds = tuple(f"{kind}-{percent}" for kind in ("width", "winkler") for percent in intervals)
    return ("mase", "smape", "mae", "rmse", "wql", *widest, "rmsse", "mape", *rest, *bounds)


def naive_scales(training: pd.DataFrame, season: int) -> pd.DataFrame:
    """Return the errors of the seasonal naive forecast within the training data, which scale MASE and RMSSE.

    Args:
        training: ``unique_id, ds, y``, sorted by time.
        season: Season length in steps.

    Returns:
        ``mae`` and ``rmse`` by ``unique_id``: 0 if every season repeats the previous one, NaN if the data are no longer
        than one season.
    """
    lagged = training[["unique_id", "y"]].astype({"y": "float64"})
    lagged["lag"] = lagged.groupby("unique_id", sort=False)["y"].shift(season)
    absolute, squared = (loss(lagged, ["lag"]).set_index("unique_id")["lag"] for loss in (losses.mae, losses.mse))
    return pd.DataFrame({"mae": absolute, "rmse": np.sqrt(squared)})


def group_errors(
    known: pd.DataFrame, models: Sequence[str], levels: Sequence[float], scales: pd.DataFrame, keys: Keys
) -> pd.DataFrame:
    """Return all metrics of each group of rows.

    Args:
        known: The ``keys``, ``y`` without missing values, and for each model its forecast and bounds, such as ``naive``
            and ``naive-lo-80``.
        models: Names of the models.
        levels: Quantile levels.
        scales: Result of `naive_scales`.
        keys: Columns that define the groups.

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
    for percent in interval_percents(levels):
        level = float(percent) if "." in percent else int(percent)
        found[f"coverage-{percent}"] = losses.coverage(known, names, level, **group)
        found[f"width-{percent}"] = _width(known, names, percent, keys)
        found[f"winkler-{percent}"] = losses.winkler_score(known, names, level, **group)
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
    by = [*keys, "model"]
    frame["wql"] = frame[by].merge(weighted_quantile_loss(known, names, levels, keys), how="left", on=by)["wql"]
    order = frame[list(keys)].apply(lambda column: column.factorize(sort=True)[0])
    ranks = np.lexsort([order[key] for key in reversed(keys)])
    return frame.iloc[ranks][[*keys, "model", *metric_names(levels)]].reset_index(drop=True)


def weighted_quantile_loss(
    known: pd.DataFrame, models: Sequence[str], levels: Sequence[float], keys: Keys = ()
) -> pd.DataFrame:
    """Return the weighted quantile loss over all levels, of each group of rows or, without ``keys``, of all rows.

    Returns:
        ``keys``, ``model``, ``wql``; NaN where all values of a group are 0.
    """
    names = list(models)
    columns = {
        name: [
            f"{name}{key.removeprefix('y')}" for key, _ in sorted(quantile_columns(levels).items(), key=lambda x: x[1])
        ]
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


def _width(known: pd.DataFrame, names: Sequence[str], percent: str, keys: Keys) -> pd.DataFrame:
    """Return the mean width of an interval, in the layout of the losses of `utilsforecast`."""
    widths = {name: known[f"{name}-hi-{percent}"] - known[f"{name}-lo-{percent}"] for name in names}
    return pd.DataFrame(widths).groupby([known[key] for key in keys]).mean().reset_index()


REFERENCE = "seasonal_naive"
"""The model that the skill is relative to."""

_MAX_NAMES = 5


@dataclass(frozen=True)
class Scores:
    """Metrics of the forecasts of several models.

    Every table has one row per model and group, with ``skill`` and the metrics of this module. Each series is scored at
    each origin; ``total`` and ``by_series`` are means of these scores. ``by_step`` scores each step of a series over
    all origins and averages over the series. The weighted quantile loss is computed from all rows of a group instead of
    averaged. Missing values are ignored.

    ``skill`` is 1 minus the ratio of the MASE to that of the seasonal naive forecast: 0 for equal models, negative for
    a worse one.

    Args:
        total: One row per model, sorted by MASE, or MAE where no series has a MASE.
        by_origin: By ``unique_id`` and ``cutoff``; by ``unique_id`` alone if there are no origins.
        by_series: By ``unique_id``.
        by_step: By ``step`` of the horizon, from 1; empty if there are no origins.
        scales: By which MASE and RMSSE divide, see `naive_scales`.
        notes: Sentences on series and values that a metric leaves out because there is no scale to divide by.
    """

    total: pd.DataFrame
    by_origin: pd.DataFrame
    by_series: pd.DataFrame
    by_step: pd.DataFrame
    scales: pd.DataFrame
    notes: tuple[str, ...]

    def name_columns(self, schema: Schema) -> Scores:
        """Return the scores with the name of the id column of the data."""
        by_origin, by_series = (name_columns(table, schema) for table in (self.by_origin, self.by_series))
        return replace(self, by_origin=by_origin, by_series=by_series)


def score(
    frame: pd.DataFrame, models: Sequence[str], season: int, levels: Sequence[float], training: pd.DataFrame
) -> Scores:
    """Score forecasts.

    Args:
        frame: ``unique_id``, ``y`` (NaN where missing), and for each model its forecast and bounds, such as ``naive``
            and ``naive-lo-80``. With ``cutoff``, the rows of each origin are in order of time.
        models: Names of the models.
        season: Season length in steps.
        levels: Quantile levels.
        training: Training data ``unique_id, ds, y``, sorted by time; the errors of the seasonal naive forecast in it
            scale MASE and RMSSE.
    """
    names, scales = list(models), naive_scales(training, season)
    columns = ["y", *(f"{name}{key.removeprefix('y')}" for name in names for key in quantile_columns(levels))]
    # In single precision the sum of many errors is wrong in the sixth digit.
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
    return Scores(
        total=_with_skill(total, ()),
        by_origin=_with_skill(by_origin, keys),
        by_series=_with_skill(by_series, ("unique_id",)),
        by_step=_with_skill(by_step, ("step",)),
        scales=scales,
        notes=(*_describe_missing_scales(frame, scales), *_describe_zeros(known)),
    )


def _means(errors: pd.DataFrame, key: str | None, weighted: pd.DataFrame) -> pd.DataFrame:
    """Return the means of errors by ``key`` and model, or by model; ``weighted`` replaces the quantile losses."""
    by = ["model"] if key is None else [key, "model"]
    metrics = [name for name in errors if name not in ("unique_id", "cutoff", "step", "model")]
    means = errors.groupby(by, sort=False)[metrics].mean().reset_index()
    return means.drop(columns="wql").merge(weighted, on=by, how="left")[[*by, *metrics]]


def _with_skill(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Add the column ``skill`` after the MASE if the seasonal naive forecast is one of the models."""
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


def _describe_missing_scales(frame: pd.DataFrame, scales: pd.DataFrame) -> list[str]:
    """Return sentences on the series without MASE and RMSSE."""
    ids = pd.Index(frame["unique_id"].unique())
    known = scales["mae"].reindex(ids)
    constant, short = ids[(known == 0).to_numpy()], ids[known.isna().to_numpy()]
    notes = []
    if len(constant):
        notes.append(
            f"MASE and RMSSE leave out {_list_series(constant, len(ids))}: the seasonal naive forecast has no error in "
            "the history to divide by."
        )
    if len(short):
        notes.append(
            f"MASE and RMSSE leave out {_list_series(short, len(ids))}: the history has no two values one season apart."
        )
    return notes


def _describe_zeros(known: pd.DataFrame) -> list[str]:
    """Return sentences on the values without MAPE and the series without a weighted quantile loss."""
    zero = known["y"] == 0
    if not zero.any():
        return []
    series = known.loc[zero, "unique_id"].nunique()
    within = "1 series" if series == 1 else f"{series} series"
    notes = [f"MAPE (in the files only) leaves out {zero.sum()} of {len(known)} values, in {within}: they are 0."]
    empty = zero.groupby(known["unique_id"], sort=False).all()
    if empty.any():
        names = _list_series(empty.index[empty], len(empty))
        notes.append(f"WQL of single series leaves out {names}: all observed values are 0.")
    return notes


def _list_series(names: pd.Index, total: int) -> str:
    """Return "2 of 7 series (a, b)"."""
    some = ", ".join(str(name) for name in names[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{len(names)} of {total} series ({some}{more})"


def displayed_metrics(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics to display, out of the columns of a table of scores."""
    names = list(columns)
    # The first coverage is that of the widest interval.
    coverage = [name for name in names if name.startswith("coverage-")][:1]
    return tuple(name for name in ("mase", "skill", "smape", "mae", "rmse", "wql", *coverage) if name in names)
