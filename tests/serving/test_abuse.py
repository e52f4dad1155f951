"""Clients that close half, read slowly, open many connections, name other hosts, or send bytes of no protocol."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving.live_server import NAME, SECONDS, Served, columns, instance, running, wait_for, write_version
from serving.test_bad_requests import check_error
from serving.test_limits import HEAD, read_answer

from tsattn.serving.server import MAX_HEAD_BYTES

BODY = json.dumps({"inputs": columns()}).encode()
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def connections(served: Served) -> Any:
    """Open connections of a server."""
    assert served.server._server is not None
    return served.server._server.server_state.connections


def test_a_client_that_closes_its_sending_half_gets_its_answer(plain: Path) -> None:
    with running(plain) as served:
        with socket.create_connection(served.address, SECONDS) as connection:
            connection.sendall(REQUEST)
            connection.shutdown(socket.SHUT_WR)
            assert read_answer(connection)[0] == 200
            assert connection.recv(1) == b"", "the connection is closed after the answer"
        for part in (b"", HEAD, REQUEST[:-3]):
            with socket.create_connection(served.address, SECONDS) as connection:
                connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b"", "no answer to half a request"


@pytest.mark.slow
def test_a_client_that_does_not_read_is_disconnected_and_its_answer_is_not_kept(plain: Path) -> None:
    many = json.dumps({"inputs": {"past": columns()["past"] * 40_000, "length": [9] * 40_000}}).encode()
    with running(plain, write_timeout=0.5) as served, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(SECONDS)
        connection.connect(served.address)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(many) + many)
        address = connection.getsockname()
        wait_for(lambda: address in [other.client for other in list(connections(served))])
        wait_for(lambda: address not in [other.client for other in list(connections(served))])
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += len(part)
        answer = served.predict(many)
        assert answer.status_code == 200 and received < len(answer.content)


def test_answers_are_bounded_as_requests_are(plain: Path) -> None:
    many = {"inputs": {"past": columns()["past"] * 3000, "length": [9] * 3000}}
    with running(plain, max_response_bytes=100_000) as served:
        assert "100000 bytes" in check_error(served.predict(many), 413)
        assert served.predict({"inputs": columns()}).status_code == 200


def test_too_many_connections_of_a_client_are_refused_with_a_status(plain: Path) -> None:
    with running(plain, max_client_connections=3) as served, contextlib.ExitStack() as stack:
        served.http.get("/health")  # holds one
        for _ in range(2):
            stack.enter_context(socket.create_connection(served.address, SECONDS))
        wait_for(lambda: len(connections(served)) == 3)
        with socket.create_connection(served.address, SECONDS) as connection:
            connection.sendall(REQUEST)
            status, body = read_answer(connection)
            assert status == 503 and b"too many connections" in body
        assert served.http.get("/health").status_code == 200


@pytest.mark.parametrize("name", [b"X-Long", b"Cookie"])
def test_the_limit_of_headers_is_exact(plain: Path, name: bytes) -> None:
    with running(plain) as served:
        rest = b"Host: x\r\n"
        # The parts of the head that count: the path, and the headers with their separators.
        room = MAX_HEAD_BYTES - len(b"/health") - len(rest) - len(name) - len(b": \r\n")
        for size, status in ((room, 200), (room + 1, 431)):
            with socket.create_connection(served.address, SECONDS) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\n" + rest + name + b": " + b"9" * size + b"\r\n\r\n")
                assert read_answer(connection)[0] == status


def test_only_allowed_hosts_are_answered(plain: Path) -> None:
    with running(plain, allowed_hosts="api.example.org,*.example.com") as served:
        for host, status in (
            ("api.example.org", 200),
            ("API.example.org:8501", 200),
            ("a.b.example.com", 200),
            ("example.com", 400),
            ("evil.org", 400),
            ("api.example.org.evil.org", 400),
            ("evil.org/api.example.org", 400),
            ("user@api.example.org", 400),
        ):
            assert served.http.get("/health", headers={"host": host}).status_code == status, host


def test_clients_that_hang_up_leave_no_traceback(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), running(plain) as served:
        for part in (REQUEST, REQUEST[:-3], HEAD):
            with socket.create_connection(served.address, SECONDS) as connection:
                # A reset instead of an orderly end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(part)
        assert served.predict({"inputs": columns()}).status_code == 200
    assert not [record for record in caplog.records if record.exc_info], "no traceback"


def test_a_version_that_is_overwritten_in_place_is_served(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "base")
    with running(tmp_path / "base", poll_seconds=0.05) as served:
        before = served.predict({"instances": [instance()]}).json()
        new = write_version(tmp_path / "new" / "1", shift=0.3)
        (tmp_path / "base" / "1").rename(tmp_path / "old")
        new.rename(tmp_path / "base" / "1")
        wait_for(lambda: served.predict({"instances": [instance()]}).json() != before)
        (tmp_path / "base" / "1" / "saved_model.pb").write_bytes(b"damaged")
        wait_for(lambda: 1 in served.engine.repository._failed)
        assert served.predict({"instances": [instance()]}).status_code == 200
        status = served.http.get(f"/v1/models/{NAME}").json()["model_version_status"]
        assert [one["state"] for one in status] == ["AVAILABLE"]


def test_grpc_has_health_checks_and_refuses_bytes_that_are_no_message(plain: Path) -> None:
    with (
        running(plain, grpc_port=0) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tensorflow.serving.PredictionService"):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(asked, timeout=SECONDS).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="other"), timeout=SECONDS)
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
        for path in ("PredictionService/Predict", "ModelService/GetModelStatus"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/tensorflow.serving.{path}")(b"\xff\xff\xff", timeout=SECONDS)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "expected a message" in caught.value.details()
