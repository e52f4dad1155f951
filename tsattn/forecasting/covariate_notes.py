"""Notes on the future covariates of a forecast: missing values, and values unlike those of the training data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsattn._text import format_timestamp, quote_list
from tsattn.errors import DataWarning
from tsattn.timeseries.panel import Panel, missing_future_covariates
from tsattn.timeseries.ragged import Floats
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
    if panel.covariates is None:
        return []
    missing = missing_future_covariates(panel, schema, spec.future_covariates, spec.horizon)
    notes = []
    if missing:
        notes.append(DataWarning(f"{missing}; means of the training data replace them", "give all of them by {future}"))
    return [*notes, *_category_notes(panel, spec, schema), *_range_notes(panel, spec, schema)]


def _future_values(panel: Panel, names: tuple[str, ...], horizon: int) -> Floats:
    """Return the values of covariates over the horizon, [series, steps, names]; NaN where unknown."""
    assert panel.covariates is not None
    series, steps = np.arange(len(panel), dtype=np.int64), np.full(len(panel), horizon)
    return panel.covariates.gather(names, series, panel.lengths, steps, horizon)


def _first_step(panel: Panel, mask: npt.NDArray[np.bool_]) -> tuple[int, int, str]:
    """Return series, step and timestamp of the first step of a mask over the horizon, [series, steps]."""
    first, step = (int(index[0]) for index in np.nonzero(mask))
    return first, step, format_timestamp(panel.future_times(first, step + 1)[-1])


def _category_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on categories that the training data do not have, such as a word that is spelled differently."""
    notes = []
    for column in schema.future_covariates:
        names = schema.feature_names(column)
        if not names or column not in schema.categories or not set(names) <= set(spec.future_covariates):
            continue
        values = _future_values(panel, names, spec.horizon)
        known, unseen = np.isfinite(values[:, :, 0]), (values == 0).all(axis=-1)
        if unseen.any():
            _, _, at = _first_step(panel, unseen)
            notes.append(
                DataWarning(
                    f"{int(unseen.sum())} of {int(known.sum())} values of '{column}' are none of those in the training "
                    f"data, {quote_list(schema.categories[column], 6)}, the first one at {at}"
                )
            )
    return notes


def _range_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on numbers that are outside of their range in the training data."""
    notes: list[DataWarning] = []
    for name, (low, high) in schema.covariate_ranges.items():
        if panel.covariates is None or name not in spec.future_covariates or name not in panel.covariates.names:
            continue
        values = _future_values(panel, (name,), spec.horizon)[:, :, 0]
        known = np.isfinite(values)
        distance = np.maximum(low - values, values - high)
        outside = known & (distance > MARGIN * (high - low))
        far = known & (distance > high - low)
        if not known.any() or (outside.sum() <= MAX_OUTSIDE * known.sum() and not far.any()):
            continue
        first, step, at = _first_step(panel, far if far.any() else outside)
        notes.append(
            DataWarning(
                f"{int(outside.sum())} of {int(known.sum())} values of '{name}' are outside of its range in the "
                f"training data, {low:g} to {high:g}, such as {values[first, step]:g} at {at}"
            )
        )
    return notes
