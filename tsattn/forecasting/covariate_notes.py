"""Notes on the future covariates of a forecast: missing values, and values unlike those of the training data."""

from __future__ import annotations

import numpy as np

from tsattn._text import format_timestamp
from tsattn.errors import DataWarning
from tsattn.timeseries.panel import Panel, missing_future_covariates
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.window_spec import WindowSpec

MARGIN = 0.1
"""Part of the training range by which values may lie outside of it."""

MAX_OUTSIDE = 0.5
"""Fraction of the values outside of the training range from which on they are noted."""


def covariate_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on the future covariates of the forecast that follows the series of a panel.

    Args:
        panel: The series with their covariates.
        spec: The window of the model.
        schema: How the training data were read, with the ranges of their covariates.
    """
    missing = missing_future_covariates(panel, schema, spec.future_covariates, spec.horizon)
    notes = []
    if missing:
        notes.append(DataWarning(f"{missing}; means of the training data replace them", "give them by {future}"))
    covariates = panel.covariates
    if covariates is None:
        return notes
    series, steps = np.arange(len(panel), dtype=np.int64), np.full(len(panel), spec.horizon)
    for name, (low, high) in schema.covariate_ranges.items():
        if name not in spec.future_covariates or name not in covariates.names:
            continue
        values = covariates.gather((name,), series, panel.lengths, steps, spec.horizon)[:, :, 0]
        known = np.isfinite(values)
        distance = np.maximum(low - values, values - high)
        outside = known & (distance > MARGIN * (high - low))
        far = known & (distance > high - low)
        if not known.any() or (outside.sum() <= MAX_OUTSIDE * known.sum() and not far.any()):
            continue
        first, step = (int(index[0]) for index in np.nonzero(far if far.any() else outside))
        at = format_timestamp(panel.future_times(first, step + 1)[-1])
        notes.append(
            DataWarning(
                f"{int(outside.sum())} of {int(known.sum())} values of '{name}' are outside of its range in the "
                f"training data, {low:g} to {high:g}, such as {values[first, step]:g} at {at}"
            )
        )
    return notes
