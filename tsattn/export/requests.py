"""Conversion of a panel to the input tensors of an exported model, in NumPy, for servers without Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.export.metadata import LAST_TIME, ModelMetadata
from tsattn.timeseries.grid import remove_timezone
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.windows import FUTURE_COVARIATES, LENGTH, PAST, PAST_COVARIATES, StaticInput

Tensors = dict[str, npt.NDArray[Any]]


def make_request(
    panel: Panel, metadata: ModelMetadata, series: Ints | None = None, origin: Ints | None = None
) -> Tensors:
    """Return the input tensors of a request, with one row per series of a panel.

    Args:
        panel: The series, read with the schema of the metadata, with future covariates after the history.
        metadata: Metadata of the exported model.
        series: Index of the series of each row, int64 [rows]; all series by default.
        origin: Number of history steps of each row, int64 [rows]; later steps are the future. All steps by default.

    Returns:
        The inputs by name, as in `tsattn.export.saved_model.write_saved_model`; categories are ``str`` objects.
    """
    series = np.arange(len(panel), dtype=np.int64) if series is None else series
    origin = panel.lengths[series] if origin is None else origin
    length = np.minimum(origin, metadata.context)
    time = max(int(length.max(initial=0)), 1)
    tensors: Tensors = {
        PAST: panel.series.gather(series, origin - length, length, time),
        LENGTH: length.astype(np.int32),
    }
    covariates = panel.covariates
    if metadata.past_covariates:
        assert covariates is not None
        names = metadata.past_covariates
        tensors[PAST_COVARIATES] = covariates.gather(names, series, origin - length, length, time)
    if metadata.future_covariates:
        assert covariates is not None
        steps = np.full_like(origin, metadata.horizon)
        tensors[FUTURE_COVARIATES] = covariates.gather(
            metadata.future_covariates, series, origin, steps, metadata.horizon
        )
    if metadata.needs_last_time:
        tensors[LAST_TIME] = last_timestamps(panel, series, origin)
    for name, static in metadata.static.items():
        is_text = metadata.inputs[name].dtype == "string"
        tensors[name] = _static(panel, StaticInput(static.name, name, static.categories), series, is_text)
    return tensors


def last_timestamps(panel: Panel, series: Ints, origin: Ints) -> Ints:
    """Return the last timestamp before each origin, int64 [rows], in seconds of local time since 1970-01-01."""
    times = remove_timezone(panel.grid.to_index(panel.grid.times(panel.starts[series] + origin - 1)))
    return np.asarray(pd.DatetimeIndex(times).as_unit("s").asi8, dtype=np.int64)


def _static(panel: Panel, static: StaticInput, series: Ints, is_text: bool) -> npt.NDArray[Any]:
    """Return a static covariate as the graph takes it; an unknown category is "" as text."""
    if not is_text:
        return static.gather(panel, series)
    labels = next(covariate.labels for covariate in panel.static if covariate.name == static.name)
    codes = next(covariate.values for covariate in panel.static if covariate.name == static.name)
    return np.append(np.array(labels, dtype=object), "")[codes[series]]
