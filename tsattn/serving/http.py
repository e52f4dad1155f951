"""What all doors of HTTP share: the body and its limits, the token, errors as JSON, counting."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tsattn.serving.engine import Engine
from tsattn.serving.errors import (
    FAILED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNAUTHORISED,
    UNAVAILABLE,
    UNSUPPORTED,
    ServingError,
    bad_request,
    shown,
)
from tsattn.serving.settings import Settings

T = TypeVar("T")

LOG = logging.getLogger("tsattn.serving")

BODY = "tsattn.body"
"""Where in the scope of a request its body lies."""

LARGE = 2**16
"""Bytes of JSON from which on it is read or written beside the event loop, which has others to serve."""

_THREADS = ThreadPoolExecutor(2, "tsattn-json")
"""Few, for a list takes many times the memory of its text."""

_GONE = 499
"""What is counted where the client did not wait for its answer."""

_BODIES = 8
"""Bodies of the longest allowed size that may be held at a time."""

_OPEN = ("/health", "/v2/health/", "/page/")
"""Addresses that need no token: who starts and stops servers has none, and the page, at / itself, asks for it."""


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as an answer."""
    return Response(write_json(value), status, headers, "application/json")


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as an answer."""
    extra = {"www-authenticate": "Bearer"} if status == UNAUTHORISED else {}
    extra |= {"retry-after": "1"} if status in (429, UNAVAILABLE) else {}
    return json_response({"error": message}, status, {**extra, **(headers or {})})


async def beside(large: bool, function: Callable[..., T], *given: Any) -> T:
    """Return what a function gives; where there is much to do, without holding up others."""
    if not large:
        return function(*given)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, function, *given)


def check_token(given: str, token: str) -> None:
    """Check what a client sent as its authorization.

    Raises:
        ServingError: it is not ``Bearer`` and the token.
    """
    scheme, _, sent = given.partition(" ")
    # In constant time, or the time would tell how much of it was right.
    right = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise ServingError(UNAUTHORISED, 'expected "authorization: Bearer TOKEN" with the right token')


class Endpoint:
    """A function from the scope of a request to its answer, as an ASGI application.

    Args:
        name: what is counted.
        answer: the function.
    """

    def __init__(self, name: str, answer: Callable[[Scope], Awaitable[Response]]) -> None:
        self.name = name
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(scope)
        await response(scope, receive, send)


def engine_of(scope: Scope) -> Engine:
    """Return the engine that answers a request."""
    engine = scope["app"].state.engine
    assert isinstance(engine, Engine)
    return engine


async def json_body(scope: Scope) -> tuple[dict[str, Any], bytes]:
    """Return the JSON object that a request sent, and its text.

    Raises:
        ServingError: it sent something else.
    """
    for name, coding in scope["headers"]:
        if name == b"content-encoding" and coding.strip().lower() not in (b"", b"identity"):
            raise ServingError(UNSUPPORTED, "expected a body that is not compressed: leave out Content-Encoding")
    body: bytes = scope[BODY]
    value = await beside(len(body) >= LARGE, read_json, body)
    if not isinstance(value, dict):
        raise bad_request("expected a JSON object as the body, got another value")
    return value, body


class Guard:
    """Middleware: reads the body within its limits, asks for the token, turns errors into JSON, counts.

    Args:
        app: what answers.
        engine: that the app asks.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, engine: Engine, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._metrics = engine.metrics
        self._requests = 0
        self._held = 0
        self._token = settings.token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._requests += 1
        try:
            response = await self._answer(scope, receive, told)
            if response is not None and status == 0:
                await response(scope, receive, told)
        finally:
            self._requests -= 1
            endpoint = scope.get("endpoint")
            name = getattr(endpoint, "name", None) or getattr(endpoint, "__name__", "other")
            self._metrics.answered(str(name), status or _GONE, time.perf_counter() - begin)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Let the app answer, or return the answer to what it cannot."""
        parts: list[bytes] = []
        try:
            self._check(scope)
            if not await self._read(receive, parts):
                return None
            scope[BODY] = body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts[:] = [body]
            await self._app(scope, _replayed(body, receive), send)
        except ServingError as error:
            late = {"connection": "close"} if error.status == REQUEST_TIMEOUT else None
            return error_response(error.status, str(error), late)
        except Exception:
            LOG.exception("a request failed")
            return error_response(FAILED, "the server failed; its log says why")
        finally:
            self._held -= sum(map(len, parts))
        return None

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._token is not None and scope["path"] != "/" and not scope["path"].startswith(_OPEN):
            check_token(headers.get("authorization", ""), self._token)
        if self._requests > self._settings.max_connections:
            self._metrics.refused("connections")
            raise ServingError(UNAVAILABLE, "too many requests at a time: try again later")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.max_request_bytes:
            raise self._too_large()

    def _too_large(self) -> ServingError:
        most = self._settings.max_request_bytes
        return ServingError(TOO_LARGE, f"expected a body of {most} bytes at most: send fewer rows, or less history")

    async def _read(self, receive: Receive, parts: list[bytes]) -> bool:
        """Append the parts of the body, and return whether the client is still there."""
        size, most = 0, self._settings.max_request_bytes
        try:
            async with asyncio.timeout(self._settings.read_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._held += len(parts[-1])
                    if size > most:
                        raise self._too_large()
                    if self._held > _BODIES * most:
                        self._metrics.refused("memory")
                        raise ServingError(UNAVAILABLE, "too many large requests at a time: try again later")
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            seconds = self._settings.read_timeout
            raise ServingError(REQUEST_TIMEOUT, f"expected the whole request within {seconds:g} seconds") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a source of messages that gives the body first, which was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


_NON_FINITE = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|\bInf\b', re.DOTALL)
"""Texts, also one that does not end, so that each sign is looked at once; and what `json` does not know."""

_LONGEST = 2**20
"""Letters up to which such numbers are looked for."""


def read_json(body: bytes) -> Any:
    """Return what a body says.

    Raises:
        ServingError: it is no JSON, is nested too deeply, or an object has a key twice.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"expected a body of JSON in UTF-8, got other bytes at {error.start}") from None
    try:
        return _read(text)
    except json.JSONDecodeError as error:
        if len(text) <= _LONGEST and "Inf" in text:
            # TensorFlow Serving takes the short form too.
            mended = _NON_FINITE.sub(lambda found: found[1] or "Infinity", text)
            if mended != text:
                return read_json(mended.encode())
        where = f"line {error.lineno}, column {error.colno}"
        raise bad_request(f"expected a body of JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise bad_request("expected a body of JSON, got one that is nested too deeply") from None
    except ValueError:
        raise bad_request("expected a body of JSON, got a number of too many digits") from None


def write_json(value: Any) -> bytes:
    """Return the text of a value; NaN and Infinity are written as such."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are all different: which of two was meant nobody knows."""
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise bad_request(f"expected each key of an object once, got {shown(twice)} twice")
    return made


_read = json.JSONDecoder(object_pairs_hook=_once).decode
