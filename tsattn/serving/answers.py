"""Answers of the friendlier door: forecasts as CSV or JSON records."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from starlette.responses import Response

CSV, JSON = "text/csv", "application/json"

NOTES = "tsattn-notes"
"""Header of a CSV answer with its notes, as a JSON list."""

_LONGEST_NOTE = 200
"""Letters of a note that a header holds; a few thousand bytes of headers make clients refuse an answer."""


def wants_json(accept: str, given_json: bool) -> bool:
    """Tell whether a client prefers JSON to CSV by its ``Accept``; where it does not say, as it sent itself."""
    json_weight, csv_weight = _weight(accept, JSON), _weight(accept, CSV)
    return given_json if json_weight == csv_weight else json_weight > csv_weight


def _weight(accept: str, kind: str) -> float:
    """Return the weight that the most specific range of an ``Accept`` gives a type."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    found = {}
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    return next((found[name] for name in ranges if name in found), 0.0)


def csv_answer(forecast: pd.DataFrame, notes: tuple[str, ...]) -> Response:
    """Return a forecast as `tsattn.data.forecast_frame` gives it, as ``tsattn predict`` writes it."""
    text = forecast.to_csv(index=False).encode("utf-8", "replace")
    # JSON in ASCII, since headers hold no more.
    headers = {NOTES: json.dumps([note[:_LONGEST_NOTE] for note in notes])} if notes else {}
    return Response(text, media_type=CSV, headers=headers)


def json_answer(values: dict[str, Any], tables: dict[str, pd.DataFrame]) -> Response:
    """Return values beside tables, which become records."""
    named = {name: records(table) for name, table in tables.items()}
    # No spaces: there may be a million records.
    text = json.dumps({**values, **named}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type=JSON)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a forecast or history; stamps as ISO text, and None for what is no finite number."""
    columns = [_cells(table[name]) for name in table]
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _cells(column: pd.Series[Any]) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return stamp_texts(pd.DatetimeIndex(column))
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy()
        # By way of text a float32 has the few digits that CSV has too.
        short = values.astype(str).tolist() if values.dtype == np.float32 else values.tolist()
        return [float(text) if fine else None for text, fine in zip(short, np.isfinite(values), strict=True)]
    return list(column.tolist())


def stamp_texts(stamps: pd.DatetimeIndex) -> list[str]:
    """Return stamps as ISO text: dates alone where all of them are midnights without a time zone."""
    if stamps.tz is None and (stamps == stamps.normalize()).all():
        return [str(day) for day in stamps.to_numpy().astype("datetime64[D]")]
    return [stamp.isoformat() for stamp in stamps]
