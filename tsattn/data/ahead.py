"""What is known ahead: a file or frame for the steps of the horizon, and the calendar further than that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tsattn.data.calendar import with_calendar
from tsattn.data.frame import to_panel
from tsattn.data.panel import Panel
from tsattn.data.place import listed
from tsattn.data.schema import Schema
from tsattn.errors import DataError


def know_ahead(panel: Panel, frame: pd.DataFrame, schema: Schema, source: str) -> Panel:
    """Return a panel that knows more ahead: the rows of a frame with stamps, ids and the covariates known ahead.

    Raises:
        DataError: a column is missing, a cell or a stamp cannot be used, or a series is unknown.
    """
    ahead = schema.future_covariates
    if not ahead or panel.covariates is None:
        raise DataError(f"{source}: expected a model with covariates that are known ahead; it was fitted without any")
    if not len(frame):
        raise DataError(f"{source}: expected rows of what is known ahead, got none")
    if not schema.time:
        raise DataError(f"{source}: without stamps, the rows that are known ahead stand behind the history, not here")
    apart = schema.model_copy(
        update={"targets": (), "future_covariates": (), "past_covariates": ahead, "static_covariates": ()}
    )
    given = to_panel(frame, apart, source)
    known = given.covariates
    assert known is not None
    index = {id: number for number, id in enumerate(panel.ids)}
    unknown = [id for id in given.ids if id not in index]
    if unknown:
        raise DataError(f"{source}: expected the series of the history, but {listed(unknown)} are none of them")
    series = np.repeat(np.array([index[id] for id in given.ids], dtype=np.int64), given.lengths)
    step = np.arange(len(known.values)) - np.repeat(given.offsets[:-1] - given.starts, given.lengths)
    position = step - panel.starts[series]
    later = position >= 0
    features = {name: known.values[later, number] for number, name in enumerate(known.names)}
    covariates = panel.covariates.extended(series[later], position[later], features)
    return replace(panel, covariates=covariates)


def know_calendar(panel: Panel, schema: Schema, horizon: int) -> Panel:
    """Return a panel that knows what the calendar says of so many steps behind its series, where it knows any of it."""
    found = with_calendar(replace(panel, covariates=None), schema.model_copy(update={"horizon": horizon})).covariates
    if found is None or panel.covariates is None:
        return panel
    series = np.repeat(np.arange(len(panel), dtype=np.int64), found.lengths)
    position = np.arange(len(found.values)) - np.repeat(found.offsets[:-1], found.lengths)
    features = {name: found.values[:, number] for number, name in enumerate(found.names)}
    return replace(panel, covariates=panel.covariates.extended(series, position, features))
