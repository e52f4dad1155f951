"""Which columns hold the time stamps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tsattn.data.kinds import is_date, is_number, is_text, is_whole
from tsattn.data.place import FILE, listed, row_name
from tsattn.data.roles import Role, named
from tsattn.data.stamps import (
    AND_TIME,
    PARTS,
    SINCE_1970,
    TIME_NAMES,
    holds_clock,
    is_clock,
    number_format,
    parse,
    text_format,
)
from tsattn.errors import DataError

_COUNTED = TIME_NAMES.union(PARTS)


def find_time(frame: pd.DataFrame, given: str | None, source: str) -> Role:
    """Return the column, or the columns of calendar parts or of date and time of day, that hold the time stamps.

    Raises:
        DataError: the column that was given or is named so holds none, or several columns could be meant.
    """
    if given is not None:
        return _given_time(frame, named(frame, given, "--time", source), source)
    dates = {str(name): form for name in frame if name != FILE and (form := date_form(frame[name], source))}
    whole = {str(name) for name in frame if str(name).lower() in _COUNTED and is_whole(frame[name])}
    numbered = whole.union(str(name) for name in frame if str(name).lower() in PARTS and _is_digits(frame[name]))
    parts = [name for part in PARTS for name in numbered if name.lower() == part]
    if "ds" in dates or ("ds" in whole and not dates):
        form = dates.get("ds") or number_format(frame["ds"])
        reason = f"'ds' is the usual name of the time column; its stamps are {_said(form)}"
        return _with_clock(frame, Role(("ds",), reason, form=form))
    if len(dates) > 1:
        raise DataError(f"{source}: expected one time column, but {listed(dates)} all hold dates: say which by --time")
    if dates:
        name, form = next(iter(dates.items()))
        reason = f"'{name}' is the only column with dates; its stamps are {_said(form)}"
        return _with_clock(frame, Role((name,), reason, form=form))
    if len(parts) > 1 and parts[0].lower() == "year" and frame[parts[0]].duplicated().any():
        return Role(tuple(parts), f"{listed(parts)} make the date together", form="parts")
    plain = [name for name in frame.columns if name in whole and _orders(frame[name])]
    if len(plain) > 1:
        raise DataError(
            f"{source}: expected one time column, but {listed(plain)} are all named so: say which by --time"
        )
    if plain:
        form = number_format(frame[plain[0]])
        return Role((plain[0],), f"'{plain[0]}' is named so; its stamps are {_said(form)}", form=form)
    for name in frame.columns:
        if str(name).lower() in TIME_NAMES and is_text(frame[name]):
            return _given_time(frame, (name,), source)
    steps = "so the rows are steps 0, 1, 2, ..."
    for name in frame.columns:
        if str(name).lower() in TIME_NAMES and name not in whole and is_number(frame[name]):
            return Role((), f"'{name}' holds neither dates nor whole numbers, {steps}")
    return Role((), f"no column holds dates or is named like a time column, {steps}")


def _given_time(frame: pd.DataFrame, columns: tuple[str, ...], source: str) -> Role:
    """Return the role of time columns that are not in doubt."""
    if len(columns) > 1:
        clocks = [name for name in columns if holds_clock(frame[name])]
        lower = [name.lower() for name in columns]
        if len(columns) == 2 and len(clocks) == 1 and "year" not in lower:
            day = next(name for name in columns if name != clocks[0])
            return _together(_given_time(frame, (day,), source), clocks[0])
        if "year" not in lower or not set(lower) <= set(PARTS):
            raise DataError(
                f"{source}: several time columns must be a date and a time of day, or calendar parts: {listed(PARTS)}"
            )
        return Role(columns, f"{listed(columns)} make the date together", given=True, form="parts")
    column = frame[columns[0]]
    form = date_form(column, source) or (number_format(column) if is_whole(column) else None)
    if form is None:
        first = 0 if column.isna().all() else int(np.argmax(column.notna()))
        where = f"{source}: {row_name(source, frame, first)}: column '{columns[0]}'"
        raise DataError(
            f"{where}: expected dates such as 2020-12-31 or whole numbers, got '{column.iloc[first]}': "
            "name another column by --time"
        )
    return Role(columns, f"its stamps are {_said(form)}", given=True, form=form)


def _with_clock(frame: pd.DataFrame, time: Role) -> Role:
    """Return the role with the column of the time of day, where the dates of the only time column have none."""
    name = time.columns[0]
    clocks = [str(other) for other in frame.columns if other != name and is_clock(frame[other])]
    if len(clocks) != 1 or not frame[name].duplicated().any():
        return time
    stamps, bad = parse(frame[name], time.form)
    if not isinstance(stamps, pd.DatetimeIndex) or (stamps[~bad] != stamps[~bad].normalize()).any():
        return time
    return _together(time, clocks[0])


def _together(day: Role, clock: str) -> Role:
    columns = (*day.columns, clock)
    return replace(day, columns=columns, reason=f"{listed(columns)} make the stamp together", form=day.form + AND_TIME)


def date_form(column: pd.Series[Any], source: str) -> str | None:
    """Return the form of a column that holds dates, else None."""
    if is_date(column):
        return "date"
    try:
        return text_format(column) if is_text(column) else None
    except DataError as error:
        raise DataError(f"{source}: {error}") from None


def _said(form: str) -> str:
    words = {"date": "ISO dates", "integer": "whole numbers", "quarter": "quarters such as 1959Q1"}
    words |= {unit: f"{unit} since 1970" for unit in SINCE_1970}
    return words.get(form, f"dates written as {form}")


def _is_digits(column: pd.Series[Any]) -> bool:
    """Tell whether a text column holds whole numbers, such as 01, and nothing else."""
    filled = column.dropna() if is_text(column) else column.iloc[:0]
    return len(filled) > 0 and bool(filled.astype("str").str.fullmatch(r"\d+").all())


def _orders(column: pd.Series[Any]) -> bool:
    """Tell whether a numeric column counts time, unlike a calendar part that comes round again."""
    return str(column.name).lower() not in PARTS[1:] or column.is_unique
