"""Which columns hold the ids and the targets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import cell_text, quote_list
from tsattn.data.columns import MISSING, coded, is_coded, is_date, is_number, is_text, is_whole, numbers
from tsattn.data.locations import FILE, row_name
from tsattn.data.timestamps import (
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

ID_NAMES = ("unique_id", "id", "item_id", "series_id", "series", "item", "store", "sku", "sensor", "station")
"""Names that id columns have, the first ones first."""

_ID_WORDS = frozenset((*ID_NAMES, "product", "node", "key", "name", "group", "code", "region", "dept", "nr"))
_ID_WORDS |= {"shop", "site", "location", "customer", "user", "account", "country", "city", "meter", "device"}
_NUMBERED = frozenset(("", "unnamed: 0", "rownames", "obs"))
_COUNTERS = frozenset(("index", "row", "no", "no."))

FEWEST_REPEATED = 0.1
"""Share of the rows with the stamp of an earlier one from which on series are told apart by a column of any name."""


@dataclass(frozen=True)
class Role:
    """Columns that play one part, and why.

    Args:
        columns: their names, none where nothing plays the part.
        reason: one sentence for people.
        given: whether the user named them.
        form: of time stamps, as `tsattn.data.stamps.parse` takes it.
    """

    columns: tuple[str, ...]
    reason: str
    given: bool = False
    form: str = "step"


def named(frame: pd.DataFrame, text: str, option: str, source: str) -> tuple[str, ...]:
    """Return the columns that ``text`` names, separated by commas.

    Raises:
        DataError: one of them does not exist.
    """
    columns = (text,) if text in frame.columns else tuple(part.strip() for part in text.split(","))
    for name in columns:
        if name not in frame.columns:
            raise DataError(
                f"{source}: {option} names the column '{name}', but the columns are {quote_list(frame.columns)}"
            )
    return columns


def find_id(
    frame: pd.DataFrame, given: str | None, used: Iterable[str], codes: npt.NDArray[np.int64], source: str
) -> Role:
    """Return the columns that tell series apart; none for one series.

    Args:
        used: columns that play another part.
        codes: the same number for the same stamp, int64 [rows].
    """
    if given is not None:
        return Role(named(frame, given, "--id", source), "its values tell the series apart", given=True)
    taken = set(used)
    if "unique_id" in frame.columns and "unique_id" not in taken:
        return Role(("unique_id",), "'unique_id' is the usual name of the id column")
    if not pd.Series(codes).duplicated().any():
        return Role((), "no stamp stands there twice, so the file is one series")
    chosen: list[str] = []
    repeats = _repeats(codes, [])
    # A few stamps that stand there twice are a mistake in one series, which any text that changes would hide.
    fits = _may_be_id if repeats >= FEWEST_REPEATED * len(frame) else _named_like_id
    candidates = {str(name): frame[name] for name in frame if name not in taken and fits(frame[name])}
    while repeats and len(chosen) < 4:
        ranked = sorted(
            (_repeats(codes, [*(frame[c] for c in chosen), column]), _rank(name), column.nunique(), name)
            for name, column in candidates.items()
            if name not in chosen
        )
        if not ranked or ranked[0][0] >= repeats:
            break
        repeats, name = ranked[0][0], ranked[0][3]
        chosen.append(name)
    if not chosen:
        return Role((), "stamps stand there several times, and no column tells them apart")
    return Role(tuple(chosen), f"stamps stand there several times, and {quote_list(chosen)} tells them apart")


def find_row_id(frame: pd.DataFrame, given: str | None, used: Iterable[str], source: str) -> Role:
    """Return the id columns of data without stamps, where each series is a row; none for a wide one."""
    if given is not None:
        return Role(named(frame, given, "--id", source), "its values name the series", given=True)
    frame = frame.drop(columns=[name for name in frame.columns if name in set(used) or name == FILE])
    repeated = [name for name in frame.columns if _named_like_id(frame[name]) and not frame[name].is_unique]
    if repeated:
        name = min(repeated, key=lambda name: _rank(str(name)))
        return Role((str(name),), f"'{name}' is named like an id and names the series")
    first = frame.columns[0]
    column, rest = frame[first], [frame[name] for name in frame.columns[1:]]
    is_id = (is_text(column) and not mostly_numbers(column)) or str(first).lower() in ID_NAMES
    if is_id and (not column.is_unique or (len(rest) > 1 and all(_is_target(other) for other in rest))):
        return Role((str(first),), f"'{first}' comes first and names the series")
    return Role((), "no column names series, so the file is one series")


def _repeats(codes: npt.NDArray[np.int64], columns: list[pd.Series[Any]]) -> int:
    """Return how many rows have the stamp and the columns of an earlier row."""
    keys = pd.DataFrame({i: pd.factorize(column)[0] for i, column in enumerate(columns)})
    return int(keys.assign(stamp=codes).duplicated().sum()) if columns else int(pd.Series(codes).duplicated().sum())


def _may_be_id(column: pd.Series[Any]) -> bool:
    if _named_like_id(column):
        return True
    part = str(column.name).lower() in PARTS or holds_clock(column)
    return is_text(column) and not part and not mostly_numbers(column)


def _named_like_id(column: pd.Series[Any]) -> bool:
    name = str(column.name).lower()
    words = [*re.split(r"[^a-z0-9]+", name), name]
    return (is_whole(column) or is_text(column)) and (name == FILE or bool(_ID_WORDS.intersection(words)))


def _rank(name: str) -> int:
    return ID_NAMES.index(name.lower()) if name.lower() in ID_NAMES else len(ID_NAMES)


def mostly_numbers(column: pd.Series[Any], least: float = 0.5) -> bool:
    """Tell whether a share of the filled cells of a text column are numbers, and none identifiers such as 007."""
    if is_coded(column):
        texts, rows = coded(column)
        column = texts.iloc[np.unique(rows)]
    filled = column[column.notna() & ~column.isin(MISSING)].astype(str)
    return (
        not filled.str.fullmatch(r"0\d+").any()
        and len(filled) > 0
        and bool(pd.to_numeric(filled, errors="coerce").notna().mean() >= least)
    )


def find_targets(
    frame: pd.DataFrame, given: Iterable[str] | None, used: Sequence[str], long: bool, source: str
) -> Role:
    """Return the columns to forecast.

    Raises:
        DataError: a column that was given does not exist, a cell is no number, or no column has any.
    """
    if given is not None:
        columns = named(frame, ",".join(given), "--target", source)
        reason = "they were asked for" if len(columns) > 1 else "it was asked for"
    elif "y" in frame.columns and "y" not in used and (long or "ds" in used):
        columns, reason = ("y",), "'y' is the usual name of the target column"
    else:
        rest = [name for name in frame.columns if name not in set(used)]
        columns = tuple(name for name in rest if _is_target(frame[name]))
        reason = "every column with numbers"
    if not columns:
        raise DataError(
            f"{source}: expected a column with numbers to forecast; the columns are {quote_list(frame.columns)}"
            + _text_said(frame, used)
        )
    for name in columns:
        # Most often a look at the first rows spares one at all of them.
        if all(np.isnan(numbers(rows, name, source)).all() for rows in (frame[[name]].head(1000), frame)):
            raise DataError(
                f"{source}: column '{name}': expected numbers to forecast, but every cell is empty: drop the "
                "column, or name others by --target"
            )
    return Role(tuple(columns), reason, given is not None)


def _text_said(frame: pd.DataFrame, used: Iterable[str]) -> str:
    """Return for a message what stands in a column that may have been meant to be numbers; empty without any."""
    names = [name for name in frame.columns if name not in set(used) and is_text(frame[name])]
    filled = frame[names[-1]].dropna() if names else pd.Series(dtype=object)
    if filled.empty:
        return ""
    return f"; '{names[-1]}' holds text such as {cell_text(filled.iloc[0])}: numbers are written as 1034.5"


def calendar_copies(frame: pd.DataFrame, stamps: pd.Index, used: Iterable[str]) -> tuple[str, ...]:
    """Return the columns, such as year or hour, that repeat a part of the row's own stamp."""
    if not isinstance(stamps, pd.DatetimeIndex):
        return ()
    names = (name for name in frame.columns if name not in set(used) and str(name).lower() in PARTS)
    return tuple(name for name in names if np.array_equal(frame[name], getattr(stamps, str(name).lower())))


def _is_target(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds numbers and is not merely the row number."""
    if is_text(column):
        return column.name != FILE and mostly_numbers(column)
    return is_number(column) and not is_counter(column)


def is_counter(column: pd.Series[Any]) -> bool:
    """Tell whether a column merely numbers the rows, or says when they were, by steps that are no stamps."""
    name = str(column.name).lower()
    if name in _NUMBERED:
        return is_whole(column) and bool(column.is_unique)
    if name in _COUNTERS:
        return is_whole(column) and bool((column.diff().iloc[1:] == 1).all())
    return name in TIME_NAMES and is_number(column) and len(column) > 1 and bool((column.diff().iloc[1:] > 0).all())


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
        raise DataError(
            f"{source}: expected one time column, but {quote_list(dates)} all hold dates: say which by --time"
        )
    if dates:
        name, form = next(iter(dates.items()))
        reason = f"'{name}' is the only column with dates; its stamps are {_said(form)}"
        return _with_clock(frame, Role((name,), reason, form=form))
    if len(parts) > 1 and parts[0].lower() == "year" and frame[parts[0]].duplicated().any():
        return Role(tuple(parts), f"{quote_list(parts)} make the date together", form="parts")
    plain = [name for name in frame.columns if name in whole and _orders(frame[name])]
    if len(plain) > 1:
        raise DataError(
            f"{source}: expected one time column, but {quote_list(plain)} are all named so: say which by --time"
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
                f"{source}: several time columns must be a date and a time of day, or calendar parts: "
                f"{quote_list(PARTS)}"
            )
        return Role(columns, f"{quote_list(columns)} make the date together", given=True, form="parts")
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
    return replace(
        day, columns=columns, reason=f"{quote_list(columns)} make the stamp together", form=day.form + AND_TIME
    )


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
