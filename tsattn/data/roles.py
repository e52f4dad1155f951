"""Which columns hold the ids and the targets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.cells import MISSING, numbers
from tsattn.data.kinds import coded, is_coded, is_number, is_text, is_whole
from tsattn.data.place import FILE, cell_text, listed
from tsattn.data.stamps import PARTS, TIME_NAMES, holds_clock
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
                f"{source}: {option} names the column '{name}', but the columns are {listed(frame.columns)}"
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
    return Role(tuple(chosen), f"stamps stand there several times, and {listed(chosen)} tells them apart")


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
            f"{source}: expected a column with numbers to forecast; the columns are {listed(frame.columns)}"
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
