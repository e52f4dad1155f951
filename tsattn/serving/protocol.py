"""HTTP as uvicorn reads it, with errors as JSON and an end to waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from tsattn.serving.json_text import write_json
from tsattn.serving.settings import Settings

HEAD_BYTES = 2**16
"""Longest head of a request, its address and its headers."""

_SPARE = 256
"""Connections beyond those that are answered whose requests are at least told so."""


def protocol_class(settings: Settings) -> Any:
    """Return the protocol of a connection: the faster one, where it is installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return _with_json_errors(H11Protocol)
    return _with_patience(
        _with_json_errors(HttpToolsProtocol), settings.read_timeout, settings.max_connections + _SPARE
    )


def _with_json_errors(base: Any) -> Any:
    class Protocol(base):  # type: ignore[misc]
        """A connection whose errors are JSON."""

        def send_400_response(self, msg: str) -> None:
            """Answer what is no HTTP."""
            self.refuse("400 Bad Request", msg)

        def refuse(self, status: str, message: str) -> None:
            """Answer without asking the app, and hang up."""
            body = write_json({"error": message})
            head = (
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()

    return Protocol


def _with_patience(base: Any, seconds: float, most: int) -> Any:
    class Protocol(base):  # type: ignore[misc]
        """A connection that is closed if the head of a request is too long or too late, or if there are far too many.

        uvicorn itself only ends connections that idle between two requests, and collects headers without an end.
        """

        _late: asyncio.TimerHandle | None = None
        _in_head = True
        _head = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.close()
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_expecting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._in_head or self.transport.is_closing():
                return
            self._head += len(data)
            if self._head > HEAD_BYTES:
                message = f"expected an address and headers of {HEAD_BYTES} bytes at most"
                self.refuse("431 Request Header Fields Too Large", message)

        def on_message_begin(self) -> None:
            self._in_head, self._head = True, 0
            self._expect_head()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._stop_expecting()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self._late is None and self.cycle.response_complete:
                # The rest of what was refused already: it need not be waited for longer either.
                self._expect_head()
            super().on_body(body)

        def _expect_head(self) -> None:
            self._stop_expecting()
            self._late = self.loop.call_later(seconds, self._too_late)

        def _stop_expecting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _too_late(self) -> None:
            if self.transport.is_closing():
                return
            if self._in_head and self._head:
                self.refuse("408 Request Timeout", f"expected the head of the request within {seconds:g} seconds")
            else:
                self.transport.close()

    return Protocol
