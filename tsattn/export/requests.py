"""From series to the tensors that an exported model takes; NumPy alone, so that a server needs no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.export.metadata import LAST_TIME, Description
from tsattn.timeseries.grid import naive
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import FUTURE_COVARIATES, LENGTH, PAST, PAST_COVARIATES, StaticInput

Ints = npt.NDArray[np.int64]
Tensors = dict[str, npt.NDArray[Any]]


def request_of(
    panel: Panel, description: Description, series: Ints | None = None, origin: Ints | None = None
) -> Tensors:
    """Return the tensors of a request, a row for each series of a panel.

    Args:
        panel: the series, read by the schema of the description; what is known ahead goes on behind them.
        description: of the exported model.
        series: index of the series of each row, int64 [rows]; all if left out.
        origin: steps of history of each row, int64 [rows]; the rest of the series is the future. All if left out.

    Returns:
        The inputs by name, as `tsattn.export.saved_model.write_saved_model` describes them; texts as ``str`` objects.
    """
    series = np.arange(len(panel), dtype=np.int64) if series is None else series
    origin = panel.lengths[series] if origin is None else origin
    length = np.minimum(origin, description.context)
    time = max(int(length.max(initial=0)), 1)
    step = np.arange(time)
    valid = step[None, :] < length[:, None]
    rows = np.where(valid, (panel.offsets[series] + origin - length)[:, None] + step[None, :], 0)
    past = panel.values[rows] if len(panel.values) else np.zeros((*rows.shape, len(panel.targets)), np.float32)
    tensors: Tensors = {
        PAST: np.where(valid[:, :, None], past, np.float32(np.nan)),
        LENGTH: length.astype(np.int32),
    }
    known = panel.covariates
    if description.past_covariates:
        assert known is not None
        names = description.past_covariates
        tensors[PAST_COVARIATES] = known.window(names, series, origin - length, time, length)
    if description.future_covariates:
        assert known is not None
        ahead = np.full_like(origin, description.horizon)
        tensors[FUTURE_COVARIATES] = known.window(
            description.future_covariates, series, origin, description.horizon, ahead
        )
    if description.needs_last_time:
        tensors[LAST_TIME] = last_times(panel, series, origin)
    for name, static in description.static.items():
        texts = description.inputs[name].dtype == "string"
        tensors[name] = _static(panel, StaticInput(static.name, name, static.categories), series, texts)
    return tensors


def last_times(panel: Panel, series: Ints, origin: Ints) -> Ints:
    """Return the stamp of the last step before each origin, in seconds of the wall clock since 1970, int64 [rows]."""
    stamps = naive(panel.grid.index(panel.grid.at(panel.starts[series] + origin - 1)))
    return np.asarray(pd.DatetimeIndex(stamps).as_unit("s").asi8, dtype=np.int64)


def _static(panel: Panel, static: StaticInput, series: Ints, texts: bool) -> npt.NDArray[Any]:
    """Return a static covariate as a graph takes it; where that is the text of a category, "" is unknown."""
    if not texts:
        return panel.static_values(static, series)
    labels = next(covariate.labels for covariate in panel.static if covariate.name == static.name)
    codes = next(covariate.values for covariate in panel.static if covariate.name == static.name)
    return np.append(np.array(labels, dtype=object), "")[codes[series]]
