"""HTTP layer of all REST APIs: request limits, token, JSON, errors and metrics."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tsattn.serving.engine import Engine, parse_version_number
from tsattn.serving.errors import (
    FAILED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNAUTHORISED,
    UNAVAILABLE,
    UNSUPPORTED,
    ServingError,
    bad_request,
    quote_value,
)
from tsattn.serving.servable import Servable, Tensors

T = TypeVar("T")

LOG = logging.getLogger("tsattn.serving")

BODY = "tsattn.body"
"""Key of the body in the scope of a request."""

MIN_LARGE_BYTES = 2**16
"""Minimum size of JSON that is read or written in a thread, so that the event loop stays responsive."""

_THREADS = ThreadPoolExecutor(2, "tsattn-json")
"""Few, because parsed JSON takes many times the memory of its text."""

_CLIENT_CLOSED_REQUEST = 499
"""Status in the metrics if the client did not wait for the response."""

_MAX_FULL_BODIES = 8
"""Maximum size of all bodies in memory, of requests and of answers each, in bodies of the maximum size."""

_CHUNK = 2**16
"""Bytes of an answer that are given to the connection at once; the next ones wait until the client has read them."""

_PUBLIC_PATHS = ("/health", "/v2/health/", "/page/")
"""Paths that need no token: health checks have none, and the page at / asks for it."""


class _Segment(Convertor[str]):
    """A part of a path without colon and slash."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Digits(_Segment):
    regex = "[0-9]+"


register_url_convertor("segment", _Segment())
register_url_convertor("digits", _Digits())


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as a JSON response."""
    return Response(write_json(value), status, headers, "application/json")


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as a JSON response."""
    extra = {"www-authenticate": "Bearer"} if status == UNAUTHORISED else {}
    extra |= {"retry-after": "1"} if status in (429, UNAVAILABLE) else {}
    return json_response({"error": message}, status, {**extra, **(headers or {})})


async def run_in_thread(large: bool, function: Callable[..., T], *args: Any) -> T:
    """Call a function, in a thread if there is much to do."""
    if not large:
        return function(*args)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, function, *args)


def is_large(outputs: Tensors) -> bool:
    """Return whether outputs are large as JSON."""
    return sum(value.nbytes for value in outputs.values()) >= MIN_LARGE_BYTES


def check_token(authorization: str, token: str) -> None:
    """Check the ``Authorization`` of a request."""
    scheme, _, sent = authorization.partition(" ")
    # Constant time, so that the duration does not reveal a matching prefix.
    is_equal = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token.encode())
    if scheme.lower() != "bearer" or not is_equal:
        raise ServingError(UNAUTHORISED, 'expected "authorization: Bearer TOKEN" with the right token')


class Endpoint:
    """A function from the scope of a request to its response, as an ASGI application.

    Args:
        name: Name in the metrics.
    """

    def __init__(self, name: str, handler: Callable[[Scope], Awaitable[Response]]) -> None:
        self.name = name
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        response = await self._handler(scope)
        await response(scope, receive, send)


def get_engine(scope: Scope) -> Engine:
    """Return the engine of the application."""
    engine = scope["app"].state.engine
    assert isinstance(engine, Engine)
    return engine


def requested_version(scope: Scope) -> tuple[Engine, int | None, str | None]:
    """Return the engine, and the version and label in the path of a request.

    Raises:
        ServingError: The path names another model, or the version number is not valid.
    """
    engine, params = get_engine(scope), scope["path_params"]
    engine.check_name(params["model"])
    digits = params.get("version")
    return engine, None if digits is None else parse_version_number(digits), params.get("label")


def requested_servable(scope: Scope) -> tuple[Engine, Servable]:
    """Return the engine and the version of the model that the path of a request names."""
    engine, version, label = requested_version(scope)
    return engine, engine.resolve(version, label)


async def json_body(scope: Scope) -> tuple[dict[str, Any], bytes]:
    """Return the JSON object in the body of a request, and its text."""
    for name, coding in scope["headers"]:
        if name == b"content-encoding" and coding.strip().lower() not in (b"", b"identity"):
            raise ServingError(UNSUPPORTED, "expected an uncompressed body without Content-Encoding")
    body: bytes = scope[BODY]
    value = await run_in_thread(len(body) >= MIN_LARGE_BYTES, read_json, body)
    if not isinstance(value, dict):
        raise bad_request("expected a JSON object as the body, got another value")
    return value, body


class RequestLimits:
    """Middleware that reads the body within limits, checks the token, turns errors into JSON and updates metrics.

    Args:
        engine: The engine with the settings and the metrics.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._settings = engine.settings
        self._metrics = engine.metrics
        self._requests = 0
        self._body_bytes = 0
        self._answer_bytes = 0
        self._token = engine.settings.token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0
        start: Message | None = None

        async def send_and_record(message: Message) -> None:
            nonlocal start, status
            if message["type"] == "http.response.start":
                start = message  # with the body, whose size is checked first
            elif start is not None:
                with self._count_answer(message):
                    status = start["status"]
                    await _send_in_chunks(send, start, message)
                start = None
            else:
                await send(message)

        self._requests += 1
        try:
            response = await self._respond(scope, receive, send_and_record)
            if response is not None and status == 0:
                start = None
                await response(scope, receive, send_and_record)
        finally:
            self._requests -= 1
            endpoint = scope.get("endpoint")
            name = getattr(endpoint, "name", None) or getattr(endpoint, "__name__", "other")
            self._metrics.observe_request(str(name), status or _CLIENT_CLOSED_REQUEST, time.perf_counter() - begin)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Let the application respond, or return an error response."""
        parts: list[bytes] = []
        try:
            self._check(scope)
            if not await self._read(receive, parts):
                return None
            scope[BODY] = body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts[:] = [body]
            await self._app(scope, _replay(body, receive), send)
        except ServingError as error:
            headers = {"connection": "close"} if error.status == REQUEST_TIMEOUT else None
            return error_response(error.status, str(error), headers)
        except Exception:
            LOG.exception("a request failed")
            return error_response(FAILED, "the server failed; see its log")
        finally:
            self._body_bytes -= sum(map(len, parts))
        return None

    @contextmanager
    def _count_answer(self, message: Message) -> Iterator[None]:
        """Count the bytes of an answer while it is sent.

        Raises:
            ServingError: It is too large, or all answers together are.
        """
        size, limit = len(message.get("body", b"")), self._settings.max_response_bytes
        if size > max(limit, _CHUNK):
            raise ServingError(TOO_LARGE, f"the answer has more than {limit} bytes: send fewer or shorter series")
        if size > _CHUNK and self._answer_bytes + size > _MAX_FULL_BODIES * limit:
            self._metrics.count_rejection("memory")
            raise ServingError(UNAVAILABLE, "too many large answers at the same time: try again later")
        self._answer_bytes += size
        try:
            yield
        finally:
            self._answer_bytes -= size

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers.get("host", ""))
        if self._token is not None and scope["path"] != "/" and not scope["path"].startswith(_PUBLIC_PATHS):
            check_token(headers.get("authorization", ""), self._token)
        if self._requests > self._settings.max_connections:
            self._metrics.count_rejection("connections")
            raise ServingError(UNAVAILABLE, "too many requests at the same time: try again later")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.max_request_bytes:
            raise self._too_large()

    def _check_host(self, host: str) -> None:
        """Refuse a request for another host, which a page of another site may send (DNS rebinding)."""
        allowed = self._settings.allowed_hosts
        name = (urlsplit(f"//{host}").hostname or "") if _HOST.fullmatch(host) else ""
        if allowed is None or any(
            name == own or (own.startswith("*.") and name.endswith(own[1:])) for own in map(str.lower, allowed)
        ):
            return
        raise bad_request(f"header Host: expected one of the allowed hosts, got {quote_value(host)}")

    def _too_large(self) -> ServingError:
        limit = self._settings.max_request_bytes
        return ServingError(TOO_LARGE, f"expected a body of at most {limit} bytes: send fewer or shorter series")

    async def _read(self, receive: Receive, parts: list[bytes]) -> bool:
        """Append the parts of the body, and return False if the client has disconnected."""
        size, limit = 0, self._settings.max_request_bytes
        try:
            async with asyncio.timeout(self._settings.read_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._body_bytes += len(parts[-1])
                    if size > limit:
                        raise self._too_large()
                    if self._body_bytes > _MAX_FULL_BODIES * limit:
                        self._metrics.count_rejection("memory")
                        raise ServingError(UNAVAILABLE, "too many large requests at the same time: try again later")
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            seconds = self._settings.read_timeout
            raise ServingError(REQUEST_TIMEOUT, f"expected the whole request within {seconds:g} seconds") from None


async def _send_in_chunks(send: Send, start: Message, message: Message) -> None:
    """Send a response, whose memory is free as its client reads it."""
    body: bytes = message.get("body", b"")
    await send(start)
    for begin in range(0, len(body) - _CHUNK, _CHUNK):
        await send({**message, "body": body[begin : begin + _CHUNK], "more_body": True})
    last = max(-(-len(body) // _CHUNK) - 1, 0) * _CHUNK
    await send({**message, "body": body[last:]})


_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
"""The header Host: a name or an address, and a port."""


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a message source that yields the body first, which was already read."""
    is_replayed = False

    async def replay() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


_NON_FINITE = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|\bInf\b', re.DOTALL)
"""Strings, also an unterminated one, so that the search is linear; and a number that `json` does not parse."""

_MAX_INF_LENGTH = 2**20
"""Maximum number of characters in which ``Inf`` is replaced."""


def read_json(body: bytes) -> Any:
    """Return the JSON value of a body.

    Raises:
        ServingError: It is not valid JSON, is nested too deeply, or an object has a key twice.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"expected a JSON body in UTF-8, got other bytes at {error.start}") from None
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        if len(text) <= _MAX_INF_LENGTH and "Inf" in text:
            # TensorFlow Serving accepts the short form as well.
            replaced = _NON_FINITE.sub(lambda found: found[1] or "Infinity", text)
            if replaced != text:
                return read_json(replaced.encode())
        where = f"line {error.lineno}, column {error.colno}"
        raise bad_request(f"expected a JSON body: {error.msg} at {where}") from None
    except RecursionError:
        raise bad_request("expected a JSON body, got one that is nested too deeply") from None
    except ValueError:
        raise bad_request("expected a JSON body, got a number with too many digits") from None


def write_json(value: Any) -> bytes:
    """Return a value as JSON, with the tokens NaN and Infinity."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, whose keys must be unique."""
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        duplicate = next(key for key, count in counts.items() if count > 1)
        raise bad_request(f"expected unique keys in a JSON object, got {quote_value(duplicate)} twice")
    return value


_decode = json.JSONDecoder(object_pairs_hook=_reject_duplicate_keys).decode
