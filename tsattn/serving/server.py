"""The server process: sockets, signals and graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn

from tsattn.errors import RunError
from tsattn.serving.app import create_app
from tsattn.serving.engine import Engine
from tsattn.serving.http import write_json
from tsattn.serving.settings import Settings

_BACKLOG = 1024
_SWITCH_SECONDS = 1e-4


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which end the process with a failure."""

    stop_grpc: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Stops the gRPC server at the same time."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(super().shutdown(sockets), *([] if self.stop_grpc is None else [self.stop_grpc()]))


class Server:
    """HTTP server and optional gRPC server on one event loop.

    Args:
        settings: Addresses and limits.

    Attributes:
        is_interrupted: Whether SIGINT stopped it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self.grpc_port: int | None = None
        self.is_interrupted = False
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """URL of the server."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self.port}"

    def run(self, engine: Engine, ready: Callable[[], None] = lambda: None, *, signals: bool = True) -> None:
        """Serve until a signal arrives or `stop` is called, then finish the current requests.

        Args:
            ready: Called once the server accepts requests.
            signals: Stop on SIGTERM and SIGINT; possible only in the main thread.
        """
        config = uvicorn.Config(
            create_app(engine),
            http=protocol_class(self._settings),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=int(self._settings.shutdown_timeout) or 1,
        )
        self._server = _Server(config)
        interval = sys.getswitchinterval()
        # The model's thread needs the interpreter lock briefly, and the default interval is as long as a forecast.
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(self._serve(engine, ready, signals))
        finally:
            sys.setswitchinterval(interval)
            engine.close()
            self.close()

    async def _serve(self, engine: Engine, ready: Callable[[], None], signals: bool) -> None:
        assert self._server is not None
        with self._signals() if signals else contextlib.nullcontext():
            grpc = await self._start_grpc(engine)
            if grpc is not None:
                self._server.stop_grpc = lambda: grpc.stop(self._settings.shutdown_timeout)
            serving = asyncio.ensure_future(self._server.serve([self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.01)
            if self._server.started:
                engine.collect_garbage()
                ready()
            await serving

    async def _start_grpc(self, engine: Engine) -> Any:
        if self._settings.grpc_port is None:
            return None
        from tsattn.serving.tfserving_grpc import start_grpc

        server, self.grpc_port = await start_grpc(engine, self._settings)
        return server

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGINT: self._interrupt, signal.SIGTERM: self.stop}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        self.is_interrupted = True
        self.stop()

    def stop(self) -> None:
        """Stop the server; a second call does not wait for the current requests."""
        if self._server is not None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

    def close(self) -> None:
        """Release the port."""
        self._socket.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        result = socket.socket(family, kind, number)
    except OSError:
        raise RunError(
            f"host {host}: expected an address of this machine, such as 127.0.0.1", "change {host}"
        ) from None
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        result.bind(address)
    except OSError as error:
        result.close()
        raise _bind_error(host, port, error) from None
    return result


def _bind_error(host: str, port: int, error: OSError) -> RunError:
    reasons = {
        errno.EADDRINUSE: ("another program uses the port", "set {port} to another one, or to 0 for a free one"),
        errno.EACCES: ("this user may not use the port", "set {port} to one above 1023"),
        errno.EADDRNOTAVAIL: ("the address does not belong to this machine", "change {host}"),
    }
    reason, *hints = reasons.get(error.errno or 0, (str(error.strerror),))
    return RunError(f"{host}:{port}: {reason}", *hints)


MAX_HEAD_BYTES = 2**16
"""Maximum size of the request line and the headers."""

_EXTRA_CONNECTIONS = 256
"""Connections beyond the maximum number of requests, which receive an error response."""


def protocol_class(settings: Settings) -> Any:
    """Return the HTTP protocol, with httptools if it is installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return _with_json_errors(H11Protocol)
    return _with_connection_limits(_with_head_limits(_with_json_errors(HttpToolsProtocol), settings), settings)


def _with_json_errors(base: Any) -> Any:
    class Protocol(base):  # type: ignore[misc]
        """A connection with errors in JSON, and answers for a client that has closed its sending half."""

        def send_400_response(self, msg: str) -> None:
            """Answer invalid HTTP."""
            self.reject("400 Bad Request", msg)

        def reject(self, status: str, message: str) -> None:
            """Send an error without calling the application, and close the connection."""
            body = write_json({"error": message})
            retry = "retry-after: 1\r\n" if status.startswith("503") else ""
            head = (
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()

        def eof_received(self) -> bool:
            """Return whether the connection stays open: for the answer to a request that has arrived."""
            cycle = self.cycle
            if cycle is None or cycle.response_complete or cycle.more_body:
                return False
            cycle.keep_alive = False
            return True

    return Protocol


def _with_head_limits(base: Any, settings: Settings) -> Any:
    class Protocol(base):  # type: ignore[misc]
        """A connection that is closed if the head of a request is too long or too late.

        uvicorn only closes connections that are idle between two requests, and does not limit the size of the headers.
        """

        _timer: asyncio.TimerHandle | None = None
        _in_head = True
        _received = 0
        _head = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._in_head or self.transport.is_closing():
                return
            # A header that never ends is not parsed.
            self._received += len(data)
            if self._received > MAX_HEAD_BYTES:
                self.send_400_response("")

        def send_400_response(self, msg: str) -> None:
            if max(self._received, self._head) > MAX_HEAD_BYTES:
                message = f"expected a request line and headers of at most {MAX_HEAD_BYTES} bytes"
                self.reject("431 Request Header Fields Too Large", message)
            else:
                super().send_400_response(msg)

        def on_message_begin(self) -> None:
            self._in_head, self._received, self._head = True, 0, 0
            self._start_timer()
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value) + len(": \r\n"))
            super().on_header(name, value)

        def _count(self, size: int) -> None:
            """Add to the size of the head; a parser whose callback fails reports invalid HTTP."""
            self._head += size
            if self._head > MAX_HEAD_BYTES:
                raise ValueError("the head of the request is too long")

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._stop_timer()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self._timer is None and self.cycle.response_complete:
                # The rest of a rejected request has the same time limit.
                self._start_timer()
            super().on_body(body)

        def _start_timer(self) -> None:
            self._stop_timer()
            self._timer = self.loop.call_later(settings.read_timeout, self._on_timeout)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _on_timeout(self) -> None:
            if self.transport.is_closing():
                return
            if self._in_head and self._received:
                seconds = f"{settings.read_timeout:g} seconds"
                self.reject("408 Request Timeout", f"expected the headers of the request within {seconds}")
            else:
                self.transport.close()

    return Protocol


def _with_connection_limits(base: Any, settings: Settings) -> Any:
    max_connections = settings.max_connections + _EXTRA_CONNECTIONS

    class Protocol(base):  # type: ignore[misc]
        """A connection that is refused if there are too many, and closed if its client does not read the answer."""

        _refused = False
        _deadline = 0.0
        _reading: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            total, address = len(self.connections), (self.client or ("",))[0]
            own = sum((other.client or ("",))[0] == address for other in self.connections)
            self._refused = total > max_connections or own > settings.max_client_connections
            if total > 2 * max_connections:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused and not self.transport.is_closing():
                # After the request has arrived, or its client would see a reset connection instead of the status.
                self.reject("503 Service Unavailable", "too many connections: try again later")
            elif not self._refused:
                super().data_received(data)

        def on_message_begin(self) -> None:
            self._deadline = 0.0
            super().on_message_begin()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._deadline = self._deadline or self.loop.time() + settings.write_timeout
            self._stop_waiting()
            self._reading = self.loop.call_at(self._deadline, self.transport.abort)

        def resume_writing(self) -> None:
            self._stop_waiting()
            super().resume_writing()

        def _stop_waiting(self) -> None:
            if self._reading is not None:
                self._reading.cancel()
                self._reading = None

    return Protocol
