"""Limits of size, time and number of requests, and the token."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from serving.live_server import NAME, SECONDS, columns, running, wait_for
from serving.test_bad_requests import check_error

from tsattn.serving.servable import Servable

HEAD = b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\n"


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Return the status and the body of a response that may arrive in several parts."""
    with HTTPResponse(connection) as response:
        response.begin()
        assert response.version == 11, "HTTP/1.1"
        return response.status, response.read()


def test_a_body_that_is_too_long_is_refused(plain: Path) -> None:
    with running(plain, max_request_bytes=2000) as served:
        text = json.dumps({"inputs": columns()}).encode()
        assert served.predict(text + b" " * (2000 - len(text))).status_code == 200
        check_error(served.predict(text + b" " * (2001 - len(text))), 413)
        check_error(served.http.post("/v1/forecast", content=b"y" * 2001), 413)
        # A chunked body has no length in its headers.
        check_error(served.http.post("/v1/forecast", content=(b"y" * 500 for _ in range(50))), 413)
        with socket.create_connection(served.address, SECONDS) as connection:
            connection.sendall(HEAD + b"Content-Length: " + b"9" * 15 + b"\r\n\r\n")
            assert read_answer(connection)[0] == 413
        assert served.predict(text).status_code == 200


def test_a_request_that_does_not_arrive_times_out(plain: Path) -> None:
    with running(plain, read_timeout=0.7) as served:
        with socket.create_connection(served.address, SECONDS) as connection:
            connection.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
            status, body = read_answer(connection)
            assert status == 408 and b'"error"' in body
        refused = HEAD + b"Content-Length: 99999999999\r\n\r\n{"
        for part in (b"", HEAD, refused):
            with socket.create_connection(served.address, SECONDS) as connection:
                connection.sendall(part)
                if part == HEAD:
                    status, body = read_answer(connection)
                    assert status == 408 and b'"error"' in body
                if part == refused:
                    assert read_answer(connection)[0] == 413
                    connection.sendall(b"{")
                assert connection.recv(65536) == b""
        assert served.predict({"inputs": columns()}).status_code == 200


@pytest.mark.parametrize("line", [b"X-Many: 1\r\n" * 100, b"9" * 1000])
def test_endless_headers_are_rejected(plain: Path, line: bytes) -> None:
    with running(plain) as served:
        with socket.create_connection(served.address, SECONDS) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nX-Long: ")
            with contextlib.suppress(OSError):
                for _ in range(2_000):
                    connection.sendall(line)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")
        long = {"x-long": "9" * 20_000}
        assert served.http.get("/health", headers=long).status_code == 200


def test_a_client_that_disconnects_does_not_affect_others(plain: Path) -> None:
    with running(plain) as served:
        for part in (b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
            with socket.create_connection(served.address, SECONDS) as connection:
                connection.sendall(HEAD + part)
        assert served.predict({"inputs": columns()}).status_code == 200


def test_too_many_requests_at_a_time_are_refused(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, run = threading.Event(), threading.Event(), Servable.run

    def slow(self: Servable, signature: str, tensors: Any) -> Any:
        begun.set()
        assert go.wait(SECONDS)
        return run(self, signature, tensors)

    with running(plain, max_connections=2) as served, ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(Servable, "run", slow)
        calls = [pool.submit(served.predict, {"inputs": columns()})]
        assert begun.wait(SECONDS)
        calls.append(pool.submit(served.predict, {"inputs": columns()}))
        wait_for(lambda: served.engine.metrics.registry.get_sample_value("tsattn_queue_rows") == 1)
        answer = served.predict({"inputs": columns()})
        check_error(answer, 503)
        assert answer.headers["retry-after"]
        go.set()
        assert [call.result().status_code for call in calls] == [200, 200]


def test_a_token_is_required_if_one_is_set(plain: Path) -> None:
    path = f"/v1/models/{NAME}"
    with running(plain, token="secret") as served:
        assert served.http.get(path, headers={"authorization": "bearer secret"}).status_code == 200
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}, {"authorization": "ü"}):
            encoded = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = served.http.get(path, headers=encoded)
            check_error(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        check_error(served.http.get(f"{path}?token=secret&access_token=secret"), 401)
        check_error(served.http.get("/openapi.json"), 401)
        check_error(served.http.get("/monitoring/prometheus/metrics"), 401)
        for open_path in ("/health", "/v2/health/live", "/v2/health/ready", "/", "/page/page.js"):
            assert served.http.get(open_path).status_code == 200
        assert served.http.get(path, headers={"authorization": "Bearer secret"}).status_code == 200
        document = served.http.get("/openapi.json", headers={"authorization": "Bearer secret"}).json()
        assert document["security"] == [{"token": []}]


def test_internal_errors_have_no_details(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Servable, signature: str, tensors: Any) -> Any:
        raise RuntimeError("a secret detail")

    with running(plain) as served:
        with monkeypatch.context() as patched:
            patched.setattr(Servable, "run", broken)
            assert "secret" not in check_error(served.predict({"inputs": columns()}), 500)
        assert served.predict({"inputs": columns()}).status_code == 200
