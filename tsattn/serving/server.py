"""The running server: sockets, signals, an orderly end."""

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
    """uvicorn's server, whose signals are handled here: to be asked to end is no failure."""

    stop_rpc: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Ends gRPC, which is to take no more calls either once the end has begun."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ends = [super().shutdown(sockets), *([] if self.stop_rpc is None else [self.stop_rpc()])]
        await asyncio.gather(*ends)


class Server:
    """HTTP, and gRPC if wanted, on one event loop.

    Args:
        settings: addresses and limits.

    Raises:
        RunError: a port is taken, or the address is none of this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self.grpc_port: int | None = None
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Address of the server."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self.port}"

    def run(self, engine: Engine, ready: Callable[[], None] = lambda: None, *, signals: bool = True) -> None:
        """Serve until a signal comes, or `stop` is called; what is in flight then is finished.

        Args:
            engine: what answers.
            ready: called when requests are answered.
            signals: whether SIGTERM and SIGINT end it; only the main thread can be told of them.

        Raises:
            RunError: the port of gRPC is taken.
        """
        config = uvicorn.Config(
            create_app(engine, self._settings),
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
        # The thread of the model needs Python for a moment, and should not wait for it as long as a forecast takes.
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
            rpc = await self._start_rpc(engine)
            if rpc is not None:
                self._server.stop_rpc = lambda: rpc.stop(self._settings.shutdown_timeout)
            serving = asyncio.ensure_future(self._server.serve([self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.01)
            if self._server.started:
                engine.settle()
                ready()
            await serving

    async def _start_rpc(self, engine: Engine) -> Any:
        if self._settings.grpc_port is None:
            return None
        from tsattn.serving.tfserving_grpc import start_rpc

        rpc, self.grpc_port = await start_rpc(engine, self._settings)
        return rpc

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        asked = (signal.SIGINT, signal.SIGTERM)
        for number in asked:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in asked:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Ask the server to end; a second time, at once."""
        if self._server is not None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, but does not listen yet.

    Raises:
        RunError: the port is taken, or the address is none of this machine.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, number)
    except OSError:
        raise RunError(f"--host {host}: expected an address of this machine, such as 127.0.0.1") from None
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        raise bind_error(host, port, error) from None
    return made


def bind_error(host: str, port: int, error: OSError) -> RunError:
    """Return what to tell where a port cannot be bound."""
    why = {
        errno.EADDRINUSE: "another program listens there: give another --port, or 0 for a free one",
        errno.EACCES: "this user may not listen there: give a --port above 1023",
        errno.EADDRNOTAVAIL: "it is no address of this machine: give another --host",
    }
    return RunError(f"{host}:{port}: {why.get(error.errno or 0, error.strerror)}")


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
