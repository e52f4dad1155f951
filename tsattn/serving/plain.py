"""Frames of requests, which may name their columns ``unique_id, ds, y``, read by the schema of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsattn.data import Panel
from tsattn.data.ahead import know_ahead
from tsattn.data.covariates import missing_ahead
from tsattn.data.kinds import is_date, is_number, is_whole
from tsattn.data.load import load_frame
from tsattn.data.months import months_as_rows
from tsattn.data.place import FILE, UNIT, listed
from tsattn.data.schema import Schema
from tsattn.data.stamps import is_joint, number_format, parse
from tsattn.errors import DataError
from tsattn.export.description import Description
from tsattn.serving.records import REQUEST, Given

ID, TIME, VALUE = "unique_id", "ds", "y"
"""What columns may be called whatever they are called in the schema, as answers call them."""

Updates = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """The series of a request.

    Args:
        panel: the series, with what is known ahead behind them.
        notes: what is missing, and what stands in for it, a sentence each.
    """

    panel: Panel
    notes: tuple[str, ...]


def uses_covariates(description: Description) -> bool:
    """Tell whether a model takes covariates; a baseline that was kept has no use for those of its schema."""
    return bool(description.past_covariates or description.static or description.needs_last_time)


def read_series(given: Given, description: Description) -> Read:
    """Return the series of a request as `tsattn.Forecaster.predict` would read them.

    Raises:
        DataError: the data do not have the form that was fitted.
    """
    schema, needed = description.reading, uses_covariates(description)
    frame, schema, notes = fit_columns(given.history, schema)
    if needed:
        frame, unknown = _with_static(frame, schema)
        notes += unknown
    panel, _ = load_frame(frame, schema, REQUEST, covariates=needed)
    if given.future is not None:
        if needed or not schema.future_covariates:
            ahead, alike, _ = fit_columns(given.future, description.reading.model_copy(update={"targets": ()}))
            panel = know_ahead(panel, ahead, alike, f'{REQUEST}: "future"')
        else:
            notes.append('"future" is not used: the model that was kept is a baseline without covariates')
    missing = missing_ahead(panel, description.future_covariates, description.horizon) if needed else None
    return Read(panel, tuple([*notes, missing] if missing else notes))


def fit_columns(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, Schema, list[str]]:
    """Return a frame and the schema that fit each other, and notes on what is not used.

    Where columns of the schema are missing, `ID`, `TIME` and `VALUE` take the part of its ids, its stamps and its one
    target. Data without an id are one series. Stamps may be ISO dates though those of the schema were not.
    """
    notes: list[str] = []
    schema = schema.model_copy(update=_layout(frame, schema))
    schema = schema.model_copy(update=_time(frame, schema, notes))
    if _is_melted(frame, schema):
        frame = _channels_apart(frame, schema)
    schema = schema.model_copy(update=_id(frame, schema))
    if len(schema.targets) == 1 and _stands_in(VALUE, schema.targets, frame, schema):
        frame = frame.rename(columns={VALUE: schema.targets[0]})
    return _in_zone(frame, schema), schema, notes


def _stands_in(plain: str, wanted: Iterable[str], frame: pd.DataFrame, schema: Schema) -> bool:
    """Tell whether a plain name is there for columns that are not, and is none of the schema itself."""
    used = (*schema.time, *schema.id, *schema.targets, *schema.covariates, *schema.static_covariates)
    return plain in frame.columns and plain not in used and not any(name in frame.columns for name in wanted)


def _layout(frame: pd.DataFrame, schema: Schema) -> Updates:
    """Return changes that read a row a stamp where the schema has a row a series or a year."""
    if schema.layout == "rows" and VALUE in frame.columns:
        return {"layout": "long"}
    if schema.layout == "months" and VALUE in frame.columns and months_as_rows(frame) is None:
        return {"layout": "long"}
    return {}


def _time(frame: pd.DataFrame, schema: Schema, notes: list[str]) -> Updates:
    """Return changes to where the stamps stand and to their form."""
    if schema.layout in ("rows", "months"):
        return {}
    if not schema.time:
        if not _stands_in(TIME, (), frame, schema):
            return {}
        if is_whole(frame[TIME]) and frame[TIME].notna().all():
            return {"time": (TIME,), "time_format": "integer"}
        notes.append(f"'{TIME}' is not used: the model knows steps and no stamps, and rows are taken in their order")
        return {}
    if _stands_in(TIME, schema.time, frame, schema):
        return {"time": (TIME,), "time_format": _form(frame[TIME], schema)}
    if len(schema.time) == 1 and schema.time[0] in frame.columns:
        return {"time_format": _form(frame[schema.time[0]], schema)}
    return {}


def _form(column: pd.Series[Any], schema: Schema) -> str:
    """Return the form of stamps: that of the schema, or where they do not have it and are ISO dates, that."""
    form = "integer" if not schema.grid.dated else schema.time_format
    if form in ("integer", "date") or not len(column):
        return form
    if is_date(column):
        return "date"
    if is_joint(form):
        number = number_format(column) if is_number(column) else "date"
        return "%Y" if number == "integer" else number
    if not is_number(column) and parse(column, form)[1].all() and not parse(column, "date")[1].any():
        return "date"
    return form


def _id(frame: pd.DataFrame, schema: Schema) -> Updates:
    """Return changes to where the ids stand."""
    ids = tuple(name for name in schema.id if name != FILE or name in frame.columns)
    if any(name in frame.columns for name in ids):
        return {"id": ids}
    if _stands_in(ID, ids, frame, schema):
        return {"id": (ID,)}
    # Rows without an id cannot be told apart, so that there has to be one alone.
    return {} if schema.layout == "rows" and len(frame) > 1 else {"id": ()}


def _is_melted(frame: pd.DataFrame, schema: Schema) -> bool:
    """Tell whether the channels of wide data stand below one another, as answers have them."""
    return (
        schema.layout == "wide"
        and len(schema.targets) > 1
        and not schema.covariates
        and len(schema.time) == 1
        and schema.time[0] in frame.columns
        and all(_stands_in(name, schema.targets, frame, schema) for name in (ID, VALUE))
    )


def _channels_apart(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a row a stamp with a column a channel."""
    names = frame[ID].astype("str")
    found = list(names.dropna().unique())
    if sorted(found) != sorted(schema.targets):
        raise DataError(
            f"{REQUEST}: column '{ID}': expected the channels {listed(schema.targets)}, which the model forecasts "
            f"together, got {listed(found)}"
        )
    twice = pd.DataFrame({ID: names, TIME: frame[schema.time[0]].astype("str")}).duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(
            f"{REQUEST}: column '{schema.time[0]}': expected each stamp of channel '{names.iloc[row]}' once, but "
            f"{frame[schema.time[0]].iloc[row]} stands there twice: keep one of them"
        )
    wide = frame.assign(**{ID: names}).pivot(index=schema.time[0], columns=ID, values=VALUE).reset_index()
    wide.attrs[UNIT] = "row"
    return wide.rename_axis(columns=None)


def _in_zone(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a frame whose stamps are in the time zone of the schema; text holds offsets from UTC at most."""
    if schema.tz is None or len(schema.time) != 1 or schema.time[0] not in frame.columns:
        return frame
    stamps, bad = parse(frame[schema.time[0]], schema.time_format)
    if bad.any() or not isinstance(stamps, pd.DatetimeIndex) or stamps.tz is None:
        return frame
    return frame.assign(**{schema.time[0]: pd.Series(stamps.tz_convert(schema.tz), index=frame.index)})


def _with_static(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with the static covariates that it lacks, all unknown, and a note on them."""
    absent = [name for name in schema.static_covariates if name not in frame.columns]
    if not absent:
        return frame, []
    unknown = {
        name: pd.Series(None, index=frame.index, dtype="str" if name in schema.categories else "float64")
        for name in absent
    }
    return frame.assign(**unknown), [f"{listed(absent)}: not given, and taken as unknown"]
