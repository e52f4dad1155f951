"""The friendlier door: rows of ``unique_id, ds, y`` in, rows with the stamps of the forecast out, and a page."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

import anyio
import numpy as np
import pandas as pd
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tsattn.errors import TsattnError
from tsattn.export.metadata import Description
from tsattn.export.requests import request_of
from tsattn.serving.engine import Engine
from tsattn.serving.errors import TIMED_OUT, TOO_LARGE, ServingError, bad_request, shown
from tsattn.serving.request_frames import REQUEST, Given, Read, read_request, read_series
from tsattn.serving.request_schema import example_csv, expected_columns, stamp_texts
from tsattn.serving.servable import DEFAULT, Array, Servable
from tsattn.timeseries.frames import forecast_frame, history_frame
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import QUANTILES

LOG = logging.getLogger("tsattn.serving")

T = TypeVar("T")

MOST_ROWS = 1_000_000
"""Most rows of an answer: channels of all series times steps."""

MOST_HISTORY = 200_000
"""Most rows of history that are sent back beside a forecast."""

_SERIES = 256
"""Series whose histories are in memory as tensors at a time."""

_PAGE = {"page.css": "text/css", **dict.fromkeys(("page.js", "chart.js", "scales.js"), "text/javascript")}

_SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> list[BaseRoute]:
    """Return the routes of the door; `request.app.state.engine` has to be there when they are called."""
    door = _Door()
    page = files("tsattn.serving").joinpath("page")
    # Read once, by names that stand here: nothing of a request is ever part of a path.
    index = _static(page.joinpath("index.html").read_bytes(), "text/html")
    parts = [
        Route(f"/page/{name}", _static(page.joinpath(name).read_bytes(), kind), methods=["GET"])
        for name, kind in _PAGE.items()
    ]
    return [
        Route("/v1/forecast", door.describe, methods=["GET"]),
        Route("/v1/forecast", door.forecast, methods=["POST"]),
        Route("/", index, methods=["GET"]),
        *parts,
    ]


def _static(content: bytes, kind: str) -> Callable[[Request], Any]:
    async def page(request: Request) -> Response:
        return Response(content, media_type=kind, headers=_SAFE)

    return page


class _Door:
    """What the routes share: a few threads for reading and writing, so that the loop stays free for others."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def _thread(self, function: Callable[..., T], *given: Any) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(min(4, os.cpu_count() or 1))
        return await anyio.to_thread.run_sync(function, *given, limiter=self._limiter)

    async def describe(self, request: Request) -> Response:
        """Answer what the model forecasts, and what rows it expects."""
        servable = _engine(request).resolve(_number(request, "version"))
        told = await self._thread(_told, servable.description)
        return JSONResponse({**told, "version": servable.version}, headers={"cache-control": "no-cache"})

    async def forecast(self, request: Request) -> Response:
        """Answer a forecast for the series in the body."""
        body, headers = await request.body(), request.headers
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        given = await self._thread(_carefully, read_request, body, kind, encoding)
        asked = _number(request, "version") if given.version is None else given.version
        # One version reads, answers and writes, though there may be a newer one by then.
        servable = _engine(request).resolve(asked)
        read = await self._thread(_carefully, _read, given, servable.description)
        quantiles = await self._in_time(_engine(request), servable, read.panel)
        as_json = wants_json(headers.get("accept", ""), given.json)
        return await self._thread(_written, read, servable, quantiles, _number(request, "history") or 0, as_json)

    async def _in_time(self, engine: Engine, servable: Servable, panel: Panel) -> Array:
        seconds = engine.settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._quantiles(engine, servable, panel)
        except TimeoutError:
            raise ServingError(TIMED_OUT, f"no answer within {seconds:g} seconds: send fewer series") from None

    async def _quantiles(self, engine: Engine, servable: Servable, panel: Panel) -> Array:
        """Return quantiles [series, horizon, targets, levels] of all series, some at a time."""
        signature, parts = servable.signature(DEFAULT), []
        for begin in range(0, len(panel), _SERIES):
            part = panel.part(slice(begin, begin + _SERIES))
            tensors = await self._thread(request_of, part, servable.description)
            parts.append((await engine.run(servable, signature, tensors))[QUANTILES])
        return np.concatenate(parts)


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _number(request: Request, name: str) -> int | None:
    """Return a whole number of the query; None where it is not there."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad_request(f"?{name}=: expected a whole number, got {shown(text)}")
    return int(text)


def _carefully(function: Callable[..., T], *given: Any) -> T:
    """Call what reads the data of a request; whatever it stumbles over there is the request's, not the server's."""
    try:
        return function(*given)
    except ServingError:
        raise
    except TsattnError as error:
        raise bad_request(error.format(None)) from None
    except MemoryError:
        raise ServingError(TOO_LARGE, f"{REQUEST}: there is no memory for so much: send less at a time") from None
    except Exception as error:
        # Columns of any kind meet pandas and Arrow here, which may raise anything; the log shows where, to be mended.
        LOG.warning("a request could not be read", exc_info=True)
        raise bad_request(
            f"{REQUEST}: expected rows of series such as unique_id, ds, y, but they cannot be read as such "
            f"({type(error).__name__}): check the cells of each column"
        ) from None


def _read(given: Given, description: Description) -> Read:
    read = read_series(given, description)
    rows = len(read.panel) * len(read.panel.targets) * description.horizon
    if rows > MOST_ROWS:
        raise ServingError(
            TOO_LARGE,
            f"{REQUEST}: expected at most {MOST_ROWS:,} rows of forecast, got {rows:,} for {len(read.panel):,} series: "
            "send the series in several requests",
        )
    return read


def _written(read: Read, servable: Servable, quantiles: Array, steps: int, as_json: bool) -> Response:
    """Return the answer; JSON with the last ``steps`` steps of history, where any are asked for."""
    forecast = forecast_frame(read.panel, quantiles, servable.description.levels)
    if not as_json:
        return csv_answer(forecast, read.notes)
    tables = {"forecast": forecast}
    most = MOST_HISTORY // max(len(read.panel) * len(read.panel.targets), 1)
    if min(steps, most):
        tables["history"] = history_frame(read.panel, min(steps, most))
    told = {"model": servable.description.name, "version": servable.version, "notes": list(read.notes)}
    return json_answer(told, tables)


def _told(description: Description) -> dict[str, Any]:
    """Return what a person or program has to know to ask for a forecast."""
    schema = description.reading
    return {
        "model": description.name,
        "architecture": description.model,
        "horizon": description.horizon,
        "context": description.context,
        "season": description.season,
        "frequency": description.frequency,
        "time_zone": schema.tz,
        "targets": list(description.targets),
        "levels": list(description.levels),
        "columns": expected_columns(description),
        "example": example_csv(description),
    }


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
