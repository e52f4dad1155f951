"""The forecast API, from rows of ``unique_id, ds, y`` to rows of forecasts, and the web page with example data."""

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
import numpy.typing as npt
import pandas as pd
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tsattn.data.table import FILE
from tsattn.data.timestamps import EPOCH_UNITS, is_joint
from tsattn.errors import TsattnError
from tsattn.export.metadata import SERVING, ColumnSample, ModelMetadata, make_request
from tsattn.serving.engine import Engine
from tsattn.serving.errors import TIMED_OUT, TOO_LARGE, ServingError, bad_request, quote_value
from tsattn.serving.request_frames import (
    ID,
    REQUEST,
    TIME,
    VALUE,
    ParsedRequest,
    RequestPanel,
    read_request,
    read_series,
    uses_covariates,
)
from tsattn.serving.servable import Array, Servable
from tsattn.timeseries.frames import forecast_frame, history_frame
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import QUANTILES

_STEPS = (24, 240)
"""Minimum and maximum number of history steps in the example."""

_NAMES = ("north", "south")
"""Ids of the series in the example."""

Floats = npt.NDArray[np.float64]

LOG = logging.getLogger("tsattn.serving")

T = TypeVar("T")

MAX_FORECAST_ROWS = 1_000_000
"""Maximum number of rows of a forecast: channels of all series times steps."""

MAX_HISTORY_ROWS = 200_000
"""Maximum number of rows of history that are returned with a forecast."""

_CHUNK_SERIES = 256
"""Number of series whose tensors are in memory at the same time."""

_SCRIPTS = ("page.js", "chart.js", "scales.js", "docs.js", "elements.js")
_PAGE_FILES = {"page.css": "text/css", **dict.fromkeys(_SCRIPTS, "text/javascript")}

_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def _list_columns(metadata: ModelMetadata) -> list[dict[str, Any]]:
    """Return the columns of a request with name, alternative name, meaning, and whether they are required."""
    schema = metadata.data_schema
    ids, time, targets = _long_columns(schema)
    columns = [(name, ID if len(ids) == 1 else None, "id of the series", False) for name in ids]
    columns += [(name, TIME, "timestamp", True) for name in time]
    columns += [(name, VALUE if len(targets) == 1 else None, "value to forecast", True) for name in targets]
    if uses_covariates(metadata):
        future = "future covariate, also for the steps to forecast"
        columns += [(name, None, future, True) for name in schema.future_covariates]
        columns += [(name, None, "past covariate", True) for name in schema.past_covariates]
        columns += [(name, None, "static covariate, one value per series", False) for name in schema.static_covariates]
    return [
        {"name": name, "or": standard if standard != name else None, "meaning": meaning, "needed": required}
        for name, standard, meaning, required in columns
    ]


def _long_columns(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the columns of ids, timestamps and targets in long format, for any layout of the schema."""
    ids = tuple(name for name in schema.id if name != FILE)
    if schema.layout in ("rows", "months"):
        return ids[:1] and (ID,), (TIME,), (VALUE,)
    return ids, schema.time if len(schema.time) < 2 else (TIME,), schema.targets


def _make_example_csv(metadata: ModelMetadata) -> str:
    """Return synthetic history with covariates for the model, as CSV."""
    ids, _, _ = _long_columns(metadata.data_schema)
    names = _NAMES if ids else _NAMES[:1]
    parts = [_make_series(metadata, number, name) for number, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True).to_csv(index=False)


def _make_series(metadata: ModelMetadata, number: int, name: str) -> pd.DataFrame:
    """Return one series of the example."""
    schema = metadata.data_schema
    ids, time, targets = _long_columns(schema)
    used = uses_covariates(metadata)
    steps = int(np.clip(max(3 * schema.season, 4 * metadata.horizon), *_STEPS))
    horizon = metadata.horizon if used and schema.future_covariates else 0
    columns: dict[str, Any] = {id: [name] * (steps + horizon) for id in ids}
    columns |= {column: _make_timestamps(schema, steps + horizon) for column in time}
    for channel, target in enumerate(targets):
        sample = _sample(metadata, schema.targets[channel if len(targets) > 1 else 0])
        columns[target] = _make_target(sample, schema.season, steps, horizon, number + channel)
    rng = np.random.default_rng(number)
    for feature in schema.future_covariates if used else ():
        columns[feature] = _make_covariate(metadata, feature, steps + horizon, rng)
    for feature in schema.past_covariates if used else ():
        missing: Any = "" if feature in schema.categories else float("nan")
        columns[feature] = _make_covariate(metadata, feature, steps, rng) + [missing] * horizon
    for feature in schema.static_covariates if used else ():
        columns[feature] = _make_covariate(metadata, feature, 1, rng) * (steps + horizon)
    return pd.DataFrame(columns)


def _sample(metadata: ModelMetadata, column: str) -> ColumnSample:
    return metadata.column_samples.get(column, ColumnSample())


def _make_timestamps(schema: Schema, steps: int) -> list[Any]:
    """Return timestamps in the format of the schema, from its origin on."""
    times = schema.grid.time_range(0, steps)
    if not isinstance(times, pd.DatetimeIndex):
        return list(times)
    time_format = schema.time_format
    if time_format in EPOCH_UNITS:
        return list(times.tz_localize(None).asi8 * 1000 // EPOCH_UNITS[time_format])
    if time_format == "quarter":
        return [f"{time.year}Q{time.quarter}" for time in times]
    return (
        list(times.strftime(time_format))
        if "%" in time_format and not is_joint(time_format)
        else _format_timestamps(times)
    )


def _make_target(sample: ColumnSample, season: int, steps: int, horizon: int, number: int) -> Floats:
    """Return a season with some noise in the range of the training data; NaN for the steps to forecast."""
    step = np.arange(steps)
    noise = np.random.default_rng(number).normal(0, 0.1, steps)
    wave = 0.7 * np.sin(2 * np.pi * (step / (season if season > 1 else 12) + number / 5)) + noise
    values = sample.low + (sample.high - sample.low) * np.clip((1 + wave) / 2, 0, 1)
    return np.append(np.round(values, sample.decimals), np.full(horizon, np.nan))


def _make_covariate(metadata: ModelMetadata, name: str, steps: int, rng: np.random.Generator) -> list[Any]:
    """Return values of a covariate that are like those of the training data."""
    categories = metadata.data_schema.categories
    if name in categories:
        values = categories[name] or ("",)
        return [values[index] for index in rng.integers(0, len(values), steps)]
    drawn = _sample(metadata, name).draw(steps, rng)
    return [int(value) for value in drawn] if all(value.is_integer() for value in drawn) else drawn


def _format_timestamps(times: pd.DatetimeIndex) -> list[str]:
    """Return timestamps as ISO text; as dates if all of them are midnight without a time zone."""
    if times.tz is None and (times == times.normalize()).all():
        return [str(day) for day in times.to_numpy().astype("datetime64[D]")]
    return [time.isoformat() for time in times]


def routes() -> list[BaseRoute]:
    """Return the routes of the forecast API and the page; they use `request.app.state.engine`."""
    api = _ForecastApi()
    page = files("tsattn.serving").joinpath("page")
    # Read once, from fixed names: no part of a request becomes part of a path.
    index, docs = (_serve_static(page.joinpath(f"{name}.html").read_bytes(), "text/html") for name in ("index", "docs"))
    parts = [
        Route(f"/page/{name}", _serve_static(page.joinpath(name).read_bytes(), kind), methods=["GET"])
        for name, kind in _PAGE_FILES.items()
    ]
    return [
        Route("/v1/forecast", api.describe, methods=["GET"]),
        Route("/v1/forecast", api.forecast, methods=["POST"]),
        Route("/", index, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        *parts,
    ]


def _serve_static(content: bytes, kind: str) -> Callable[[Request], Any]:
    async def page(request: Request) -> Response:
        return Response(content, media_type=kind, headers=_PAGE_HEADERS)

    return page


class _ForecastApi:
    """Handlers that parse and format in a few threads, so that the event loop stays responsive."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def _run_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(min(4, os.cpu_count() or 1))
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)

    async def describe(self, request: Request) -> Response:
        """Return what the model forecasts and the columns that it expects."""
        servable = _engine(request).resolve(_query_integer(request, "version"))
        description = await self._run_in_thread(_describe, servable.metadata)
        return JSONResponse({**description, "version": servable.version}, headers={"cache-control": "no-cache"})

    async def forecast(self, request: Request) -> Response:
        """Return a forecast for the series in the body."""
        body, headers = await request.body(), request.headers
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        parsed = await self._run_in_thread(_catch_errors, read_request, body, kind, encoding)
        version = _query_integer(request, "version") if parsed.version is None else parsed.version
        # The whole request uses one version, even if a newer one becomes available meanwhile.
        servable = _engine(request).resolve(version)
        series = await self._run_in_thread(_catch_errors, _read_series, parsed, servable.metadata)
        quantiles = await self._predict_in_time(_engine(request), servable, series.panel)
        as_json = prefers_json(headers.get("accept", ""), parsed.json)
        steps = _query_integer(request, "history") or 0
        return await self._run_in_thread(_format_response, series, servable, quantiles, steps, as_json)

    async def _predict_in_time(self, engine: Engine, servable: Servable, panel: Panel) -> Array:
        seconds = engine.settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._predict(engine, servable, panel)
        except TimeoutError:
            raise ServingError(TIMED_OUT, f"no answer within {seconds:g} seconds: send fewer series") from None

    async def _predict(self, engine: Engine, servable: Servable, panel: Panel) -> Array:
        """Return quantiles [series, horizon, targets, levels], computed in chunks of series."""
        signature, parts = servable.signature(SERVING), []
        for begin in range(0, len(panel), _CHUNK_SERIES):
            part = panel.take(np.arange(begin, min(begin + _CHUNK_SERIES, len(panel))))
            tensors = await self._run_in_thread(make_request, part, servable.metadata)
            parts.append((await engine.run(servable, signature, tensors))[QUANTILES])
        return np.concatenate(parts)


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _query_integer(request: Request, name: str) -> int | None:
    """Return an integer of the query string; None if it is absent."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad_request(f"?{name}=: expected an integer of at least 0, got {quote_value(text)}")
    return int(text)


def _catch_errors(function: Callable[..., T], *args: Any) -> T:
    """Call a function that reads the data of a request, and turn its exceptions into errors of the request."""
    try:
        return function(*args)
    except ServingError:
        raise
    except TsattnError as error:
        raise bad_request(error.format(None)) from None
    except MemoryError:
        raise ServingError(TOO_LARGE, f"{REQUEST}: not enough memory: send fewer rows per request") from None
    except Exception as error:
        # pandas and Arrow raise many kinds of exceptions for invalid columns; the log shows where.
        LOG.warning("a request could not be read", exc_info=True)
        raise bad_request(
            f"{REQUEST}: expected rows of series such as unique_id, ds, y, but they cannot be read "
            f"({type(error).__name__}): check the values of each column"
        ) from None


def _read_series(request: ParsedRequest, metadata: ModelMetadata) -> RequestPanel:
    series = read_series(request, metadata)
    panel = series.panel
    rows = len(panel) * len(panel.targets) * metadata.horizon
    if rows > MAX_FORECAST_ROWS:
        raise ServingError(
            TOO_LARGE,
            f"{REQUEST}: expected at most {MAX_FORECAST_ROWS:,} rows of forecast, got {rows:,} for {len(panel):,} "
            "series: send the series in several requests",
        )
    return series


def _format_response(
    series: RequestPanel, servable: Servable, quantiles: Array, history_steps: int, as_json: bool
) -> Response:
    panel = series.panel
    forecast = forecast_frame(panel, quantiles, servable.metadata.levels)
    if not as_json:
        return csv_response(forecast, series.notes)
    tables = {"forecast": forecast}
    steps = min(history_steps, MAX_HISTORY_ROWS // max(len(panel) * len(panel.targets), 1))
    if steps:
        tables["history"] = history_frame(panel, steps)
    values = {"model": servable.metadata.name, "version": servable.version, "notes": list(series.notes)}
    return records_response(values, tables)


def _describe(metadata: ModelMetadata) -> dict[str, Any]:
    """Return what a user or program needs to know for a request."""
    return {
        "model": metadata.name,
        "architecture": metadata.model,
        "horizon": metadata.horizon,
        "context": metadata.context,
        "season": metadata.season,
        "frequency": metadata.frequency,
        "time_zone": metadata.data_schema.tz,
        "targets": list(metadata.targets),
        "levels": list(metadata.levels),
        "columns": _list_columns(metadata),
        "example": _make_example_csv(metadata),
    }


CSV, JSON = "text/csv", "application/json"

NOTES = "tsattn-notes"
"""Header of a CSV response with its notes, as a JSON list."""

_MAX_NOTE_LENGTH = 200
"""Maximum length of a note in a header: clients reject responses with headers of many thousand bytes."""


def prefers_json(accept: str, is_request_json: bool) -> bool:
    """Return whether ``Accept`` prefers JSON to CSV; without a preference the format of the request decides."""
    json_weight, csv_weight = _media_weight(accept, JSON), _media_weight(accept, CSV)
    return is_request_json if json_weight == csv_weight else json_weight > csv_weight


def _media_weight(accept: str, kind: str) -> float:
    """Return the weight that the most specific range of ``Accept`` gives a media type."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    weights = {}
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    return next((weights[name] for name in ranges if name in weights), 0.0)


def csv_response(forecast: pd.DataFrame, notes: tuple[str, ...]) -> Response:
    """Return a forecast as CSV, as ``tsattn predict`` writes it."""
    text = forecast.to_csv(index=False).encode("utf-8", "replace")
    # json.dumps escapes non-ASCII characters, which headers cannot hold.
    headers = {NOTES: json.dumps([note[:_MAX_NOTE_LENGTH] for note in notes])} if notes else {}
    return Response(text, media_type=CSV, headers=headers)


def records_response(values: dict[str, Any], tables: dict[str, pd.DataFrame]) -> Response:
    """Return a JSON object of values and of tables as records."""
    records = {name: to_records(table) for name, table in tables.items()}
    # Compact separators, because there can be a million records.
    text = json.dumps({**values, **records}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type=JSON)


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a forecast or history, with timestamps as ISO text and None for non-finite numbers."""
    columns = [_to_json_values(table[name]) for name in table]
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _to_json_values(column: pd.Series[Any]) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _format_timestamps(pd.DatetimeIndex(column))
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy()
        # As text, a float32 has the same few digits as in CSV.
        short = values.astype(str).tolist() if values.dtype == np.float32 else values.tolist()
        return [float(text) if is_finite else None for text, is_finite in zip(short, np.isfinite(values), strict=True)]
    return list(column.tolist())
