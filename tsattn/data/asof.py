"""What was known as of a stamp in the past: the series up to it, and nothing of what came behind."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tsattn.data.panel import Panel
from tsattn.data.place import listed, shown
from tsattn.data.schema import Schema
from tsattn.data.stamps import SINCE_1970, is_joint, parse
from tsattn.errors import DataError, DataWarning

Stamp = str | int | datetime | np.datetime64
"""A stamp as people write it."""


def as_of(panel: Panel, at: Stamp, schema: Schema, context: int, source: str) -> Panel:
    """Return the series up to a stamp, the last step of each; its forecast begins at the next.

    Steps up to the stamp without a value are missing, also where a series ends before it. Series without a value in the
    look-back are left out. What is known ahead of the series stays known.

    Args:
        panel: the series.
        at: the last stamp that is seen.
        schema: how the series were read.
        context: look-back in steps.
        source: what errors call the data.

    Warns:
        DataWarning: series are left out, or end before the stamp.

    Raises:
        DataError: the stamp cannot be read, is no step of the grid, or lies before or behind all series.
    """
    position = _position(panel, at, schema, source)
    first, behind = int(panel.starts.min()), int((panel.starts + panel.lengths).max())
    if not first <= position < behind:
        reach = " to ".join(shown(stamp) for stamp in panel.grid.at([first, behind - 1]))
        mend = "leave --at out, and the forecast follows the last one" if position >= behind else "give a later one"
        raise DataError(f"{source}: --at {at}: expected a stamp of the history, {reach}: {mend}")
    lengths = np.maximum(position - panel.starts + 1, 0)
    kept = np.flatnonzero(_recent(panel, lengths, context))
    if not len(kept):
        raise DataError(f"{source}: --at {at}: expected a value in the {context} steps up to it, but there is none")
    _tell(panel, kept, lengths, at)
    values = np.full((int(lengths[kept].sum()), len(panel.targets)), np.nan, dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
    for place, index in enumerate(kept):
        history = panel.series(int(index))[: lengths[index]]
        values[offsets[place] : offsets[place] + len(history)] = history
    return replace(
        panel,
        values=values,
        offsets=offsets,
        ids=tuple(panel.ids[index] for index in kept),
        starts=panel.starts[kept],
        covariates=None if panel.covariates is None else panel.covariates.of(kept),
        static=tuple(static.of(kept) for static in panel.static),
    )


def _recent(panel: Panel, lengths: Any, context: int) -> Any:
    """Tell of each series whether any of its values lies in the look-back of a history of so many steps."""
    return np.array(
        [
            np.isfinite(panel.series(index)[max(int(length) - context, 0) : max(int(length), 0)]).any()
            for index, length in enumerate(lengths)
        ]
    )


def _tell(panel: Panel, kept: Any, lengths: Any, at: Stamp) -> None:
    """Warn of series that are left out, and of those that end before the stamp."""
    out = [panel.ids[index] for index in sorted(set(range(len(panel))) - set(kept.tolist()))]
    ended = [panel.ids[index] for index in kept if panel.lengths[index] < lengths[index]]
    if out:
        warnings.warn(
            f"{len(out)} of {len(panel)} series have no history as of {at} and are left out: {listed(out)}",
            DataWarning,
            stacklevel=5,
        )
    if ended:
        warnings.warn(
            f"{len(ended)} of {len(panel)} series end before {at}, and the steps up to it count as missing: "
            f"{listed(ended)}",
            DataWarning,
            stacklevel=5,
        )


def _position(panel: Panel, at: Stamp, schema: Schema, source: str) -> int:
    """Return the position of a stamp on the grid."""
    stamps = _read(panel, at, schema, source)
    position, on_grid = panel.grid.locate(stamps)
    if not on_grid[0]:
        around = [shown(stamp) for stamp in panel.grid.at([position[0], position[0] + 1])]
        raise DataError(
            f"{source}: --at {at}: expected a step of '{panel.grid.freq}', and it lies between {around[0]} and "
            f"{around[1]}: give one of them"
        )
    return int(position[0])


def _read(panel: Panel, at: Stamp, schema: Schema, source: str) -> Any:
    """Return a stamp as the grid counts: as it stands in the data, or as an ISO date."""
    grid, text = panel.grid, str(at)
    alone = not is_joint(schema.time_format) and schema.time_format not in ("step", "integer")
    forms = [schema.time_format, "date"] if alone else ["date"]
    for form in forms if grid.dated else ["integer"]:
        number = form == "integer" or form in SINCE_1970
        column = pd.Series([pd.to_numeric(text, errors="coerce")]) if number else pd.Series([text], dtype="str")
        stamps, bad = parse(column, form)
        if not bad[0]:
            break
    else:
        kind = "a date such as 2020-12-31" if grid.dated else "a whole number"
        raise DataError(f"{source}: --at {at}: expected {kind}")
    if not isinstance(stamps, pd.DatetimeIndex):
        return stamps
    if grid.tz is None and stamps.tz is not None:
        raise DataError(f"{source}: --at {at}: expected a stamp without a time zone, as those of the data")
    if grid.tz is not None and stamps.tz is None:
        # As a clock there shows it.
        return stamps.tz_localize(grid.tz, ambiguous=np.ones(1, bool), nonexistent="shift_forward")
    return stamps
