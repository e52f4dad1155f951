"""A model beside the naive baselines, on the same windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd
from utilsforecast import losses

from tsattn.data.long import history_frame, series_names
from tsattn.data.panel import Panel
from tsattn.data.windows import Windows, gather
from tsattn.evaluation.predict import predict_windows
from tsattn.window import TARGET, TARGET_OBSERVED, WindowSpec

WIDEST = 100
"""What the widest interval is called in the frames that `utilsforecast` scores; any whole number would do."""

MOST_WINDOWS = 500
"""Windows of a comparison; more of them are thinned out evenly."""


@dataclass(frozen=True)
class Candidate:
    """A model to compare, with the window it takes."""

    model: keras.Model
    spec: WindowSpec


def compare(candidates: Mapping[str, Candidate], panel: Panel, steps: int) -> pd.DataFrame:
    """Score models on the windows whose target lies in the last ``steps`` steps of each series.

    Args:
        candidates: models by name; all share horizon, season and levels.
        panel: the series.
        steps: length of the validation part.

    Returns:
        A frame with a row a model, best MASE first: ``model``; ``mase``, scaled by the seasonal naive error before the
        validation part; ``smape`` in percent (0 to 200, as M4 has it); ``mae`` and ``rmse`` in original units;
        ``coverage``, the share of values inside the widest interval. The mean over series, missing values
        skipped; NaN where no series has a scale.
    """
    spec = next(iter(candidates.values())).spec
    windows = Windows.over_last(panel, spec, steps, MOST_WINDOWS)
    series, origin = windows.locate(np.arange(len(windows)))
    truth = gather(panel, spec, series, origin)
    actual = np.where(truth[TARGET_OBSERVED] > 0, truth[TARGET], np.nan)
    names = np.array(series_names(panel), dtype=object).reshape(len(panel), -1)
    ids = np.repeat(names[series].ravel(), spec.horizon)
    frame = pd.DataFrame({"unique_id": ids, "y": actual.transpose(0, 2, 1).ravel()})
    interval = _interval(spec.levels)
    for name, candidate in candidates.items():
        quantiles = predict_windows(candidate.model, candidate.spec, panel, series, origin)
        columns = quantiles.transpose(3, 0, 2, 1).reshape(len(spec.levels), -1)
        frame[name] = columns[spec.median]
        if interval is not None:
            low, high = interval
            frame[f"{name}-lo-{WIDEST}"], frame[f"{name}-hi-{WIDEST}"] = columns[low], columns[high]
    return _scores(frame.dropna(subset="y"), list(candidates), spec, history_frame(panel.head(steps)))


def _interval(levels: tuple[float, ...]) -> tuple[int, int] | None:
    """Return the indices of the widest interval, a level and its mirror; None where no level has one."""
    rounded = [round(level, 6) for level in levels]
    pairs = [(low, round(1 - level, 6)) for low, level in enumerate(rounded) if level < 0.5]
    return next(((low, rounded.index(mirror)) for low, mirror in pairs if mirror in rounded), None)


def _scores(frame: pd.DataFrame, names: list[str], spec: WindowSpec, training: pd.DataFrame) -> pd.DataFrame:
    by_series = {
        "mase": losses.mase(frame, names, spec.season, training),
        "smape": losses.smape(frame, names),
        "mae": losses.mae(frame, names),
        "rmse": losses.rmse(frame, names),
    }
    table = pd.DataFrame({"model": names})
    for metric, scores in by_series.items():
        factor = 200.0 if metric == "smape" else 1.0
        finite = scores[names].replace([np.inf, -np.inf], np.nan)
        table[metric] = (factor * finite.mean()).reindex(names).to_numpy()
    if _interval(spec.levels) is not None:
        covered = losses.coverage(frame, names, WIDEST)[names].mean()
        table["coverage"] = covered.reindex(names).to_numpy()
    return table.sort_values("mase", ignore_index=True)


def baseline_spec(panel: Panel, spec: WindowSpec) -> WindowSpec:
    """Return the window of a baseline: the model's, or two seasons where that is longer and the data have them."""
    longest = int(panel.lengths.max())
    return replace(spec, context=max(min(2 * spec.season + 1, longest), spec.context))
