"""A model beside the naive baselines, on the same windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.models import BASELINES, get_model
from tsattn.models.forecast_model import build_baseline
from tsattn.scoring.classical import CLASSICAL, Classical, Rival
from tsattn.scoring.metrics import Scores, score
from tsattn.scoring.model_choice import FIRST_HISTORY, Choice, choose, choose_baseline, distinct_targets
from tsattn.timeseries.frames import history_frame, level_columns, series_names
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import QUANTILES, TARGET, TARGET_OBSERVED, WindowSpec
from tsattn.timeseries.windows import Windows, gather

MOST_WINDOWS = 500
"""Windows of a comparison; more of them are thinned out evenly."""


@dataclass(frozen=True)
class Candidate:
    """A model to compare, with the window it takes."""

    model: keras.Model
    spec: WindowSpec

    def forecast(self, panel: Panel, series: npt.NDArray[np.int64], origin: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return quantiles [windows, horizon, targets, levels] at pairs of series and origin, in original units."""
        return predict_windows(self.model, self.spec, panel, series, origin)


def beside_baselines(name: str, candidate: Candidate, panel: Panel) -> dict[str, Candidate]:
    """Return a model and the naive baselines by name; ``panel`` is what the model was trained on."""
    others = baselines(baseline_spec(panel, candidate.spec))
    return {name: candidate} | {other: others[other] for other in others if other != name}


def baselines(spec: WindowSpec) -> dict[str, Candidate]:
    """Return the naive baselines by name; ``spec`` is the window that they take."""
    return {name: Candidate(build_baseline(get_model(name), spec), spec) for name in BASELINES}


def classical_baselines(names: Sequence[str], panel: Panel, spec: WindowSpec) -> dict[str, Classical]:
    """Return classical baselines by name, in the order of `CLASSICAL`; ``spec`` is the window of the model.

    Raises:
        RunError: `statsforecast` is not installed.
    """
    if not names:
        return {}
    own = baseline_spec(panel, spec)
    stand_in = baselines(own)["seasonal_naive"]
    return {name: Classical(name, own, stand_in) for name in CLASSICAL if name in names}


def baseline_spec(panel: Panel, spec: WindowSpec) -> WindowSpec:
    """Return the window of a baseline: the model's, or two seasons where that is longer and the data have them.

    Baselines take no covariates.
    """
    context = max(min(2 * spec.season + 1, int(panel.lengths.max())), spec.context)
    return replace(spec.without_covariates(), context=context)


def compare(candidates: Mapping[str, Candidate], panel: Panel, steps: int) -> Scores:
    """Score models on the windows whose target lies in the last ``steps`` steps of each series.

    Args:
        candidates: models by name; all share horizon, season and levels.
        panel: the series.
        steps: length of the validation part.

    Returns:
        The scores, MASE scaled by what lies before the validation part.
    """
    spec = next(iter(candidates.values())).spec
    windows = Windows.over_last(panel, spec, steps, MOST_WINDOWS)
    return _scored(candidates, windows, history_frame(panel.head(steps)))


def rank_baselines(panel: Panel, spec: WindowSpec) -> pd.DataFrame:
    """Score the naive baselines on all windows of a panel that have a third of their series as history, or more.

    Args:
        panel: the series.
        spec: the window of the baselines.

    Returns:
        The total of their scores, MASE scaled by the whole panel.
    """
    steps = panel.lengths - panel.lengths // FIRST_HISTORY
    windows = Windows.over_last(panel, spec, steps, MOST_WINDOWS)
    return _scored(baselines(spec), windows, history_frame(panel)).total


def choose_model(scores: pd.DataFrame, network: str, panel: Panel, spec: WindowSpec, steps: int) -> Choice:
    """Return what is kept of a network and the naive baselines, see `tsattn.evaluation.choice`.

    Args:
        scores: what `compare` gives of the network beside the baselines.
        network: its name.
        panel: the series.
        spec: the window of the network.
        steps: length of the validation part.
    """
    baseline = choose_baseline(rank_baselines(panel, baseline_spec(panel, spec)))
    return choose(scores, network, baseline, distinct_targets(panel.lengths, len(panel.targets), steps, spec.horizon))


def _scored(candidates: Mapping[str, Candidate], windows: Windows, training: pd.DataFrame) -> Scores:
    """Return the scores of models on windows; ``training`` scales the MASE."""
    series, origin = windows.locate(np.arange(len(windows)))
    frame = forecast_windows(candidates, windows.panel, series, origin)
    spec = windows.spec
    return score(frame, list(candidates), spec.season, spec.levels, training)


def forecast_windows(
    candidates: Mapping[str, Rival], panel: Panel, series: npt.NDArray[np.int64], origin: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Forecast at pairs of series and origin with every model.

    Args:
        candidates: models by name; all share horizon and levels.
        panel: the series.
        series: index of the series, int64 [windows].
        origin: steps of history, int64 [windows].

    Returns:
        ``unique_id``, ``y`` as it was observed, and for each model its forecast and bounds (``naive``, ``naive-lo-80``,
        ``naive-hi-80``): windows x targets x horizon rows, in this order. float32, NaN where nothing was observed.
    """
    spec = next(iter(candidates.values())).spec
    truth = gather(panel, spec, series, origin)
    actual = np.where(truth[TARGET_OBSERVED] > 0, truth[TARGET], np.float32(np.nan))
    names = np.array(series_names(panel), dtype=object).reshape(len(panel), -1)
    ids = np.repeat(names[series].ravel(), spec.horizon)
    columns = {"unique_id": ids, "y": actual.transpose(0, 2, 1).ravel()}
    for name, candidate in candidates.items():
        quantiles = candidate.forecast(panel, series, origin)
        rows = quantiles.transpose(3, 0, 2, 1).reshape(len(spec.levels), -1)
        columns |= {f"{name}{key.removeprefix('y')}": rows[level] for key, level in level_columns(spec.levels).items()}
    return pd.DataFrame(columns)


def forecast_origins(
    candidates: Mapping[str, Rival], panel: Panel, series: npt.NDArray[np.int64], origin: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Forecast as `forecast_windows` does, and say when.

    Returns:
        The same frame with ``cutoff``, the last stamp of the history, and ``ds``, behind ``unique_id``.
    """
    frame = forecast_windows(candidates, panel, series, origin)
    width = len(panel.targets)
    horizon = len(frame) // (len(series) * width)
    cutoff = panel.starts[series] + origin - 1
    ahead = cutoff[:, None, None] + np.arange(1, horizon + 1)
    frame.insert(1, "cutoff", panel.grid.at(np.repeat(cutoff, width * horizon)))
    frame.insert(2, "ds", panel.grid.at(np.broadcast_to(ahead, (len(series), width, horizon)).ravel()))
    return frame


ROWS = 2048
"""Rows of a batch: windows times targets, so that many targets do not fill the memory."""


def predict_windows(
    model: keras.Model,
    spec: WindowSpec,
    panel: Panel,
    series: npt.NDArray[np.int64],
    origin: npt.NDArray[np.int64],
    output: str = QUANTILES,
    most: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float32]:
    """Forecast at pairs of series and origin.

    Args:
        model: an inference model.
        spec: its window.
        panel: the series.
        series: index of the series, int64 [windows].
        origin: steps of history, int64 [windows].
        output: which output of the model.
        most: steps of history that are kept of each window, int64 [windows]; the context if left out.

    Returns:
        That output, by default the quantiles [windows, horizon, targets, levels] in original units.
    """
    parts = []
    size = max(ROWS // len(spec.targets), 1)
    for begin in range(0, len(series), size):
        chosen = slice(begin, begin + size)
        kept = None if most is None else most[chosen]
        batch = gather(panel, spec, series[chosen], origin[chosen], target=False, most=kept)
        # Called as a function: `predict` would trace a graph for each model and each size of batch.
        parts.append(keras.ops.convert_to_numpy(model(batch, training=False)[output]))
    return np.concatenate(parts)
