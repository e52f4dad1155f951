"""``tsattn serve``: it prints its address, and finishes all requests before it stops."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from cli.conftest import tsattn
from serving.live_server import NAME, SECONDS, columns, wait_for

from tsattn.serving.engine import Engine
from tsattn.serving.servable import Servable
from tsattn.serving.server import Server
from tsattn.serving.settings import Settings

SERVE = [sys.executable, "-c", "from tsattn.cli import main; main()", "serve"]


@contextlib.contextmanager
def serving(path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a separate process, and its address."""
    process = subprocess.Popen(
        [*SERVE, str(path), "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        assert isinstance(process.stdout, IO) or process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, process.communicate()[1]
        yield process, line
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


def url(line: str) -> str:
    found = re.search(r"http://[^\s,]+", line)
    assert found
    return found[0]


def test_the_command_serves_with_its_options_until_a_signal(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    options = ("--grpc-port", "0", "--name", "other", "--label", "stable=1", "--token-file", str(tmp_path / "token"))
    with serving(plain, *options, "--batch-timeout-micros", "3000000") as (process, line):
        assert re.fullmatch(r"Serving other, version 1, at http://127\.0\.0\.1:\d+, gRPC at 127\.0\.0\.1:\d+\n", line)
        model = f"{url(line)}/v1/models/other"
        assert httpx.get(f"{model}/labels/stable").status_code == 401
        headers = {"authorization": "Bearer secret"}
        assert httpx.get(f"{model}/labels/stable", headers=headers).status_code == 200
        with ThreadPoolExecutor(1) as pool, httpx.Client(headers=headers, timeout=SECONDS) as client:
            call = pool.submit(client.post, f"{model}:predict", content=json.dumps({"inputs": columns()}))
            # The request waits for others to fill its batch.
            while "tsattn_queue_rows 1.0" not in client.get(f"{url(line)}/monitoring/prometheus/metrics").text:
                pass
            process.send_signal(signal.SIGTERM)
            assert call.result().status_code == 200
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert errors.splitlines()[0] == "Loading TensorFlow" and errors.splitlines()[-1] == "Stopped."
    with pytest.raises(httpx.ConnectError):
        httpx.get(url(line))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_current_requests(
    plain: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    begun, go, run = threading.Event(), threading.Event(), Servable.run
    settings = Settings(port=0)
    server, engine, calls = Server(settings), Engine.open(plain, settings), []

    def slow(self: Servable, signature: str, tensors: Any) -> Any:
        begun.set()
        assert go.wait(SECONDS)
        return run(self, signature, tensors)

    def is_closed() -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port)):
            return False
        return True

    def ask() -> int:
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            return client.post(f"/v1/models/{NAME}:predict", content=json.dumps({"inputs": columns()})).status_code

    def interrupt() -> None:
        assert begun.wait(SECONDS)
        os.kill(os.getpid(), number)
        wait_for(is_closed)
        go.set()

    monkeypatch.setattr(Servable, "run", slow)
    with ThreadPoolExecutor(2) as pool:
        server.run(engine, lambda: calls.extend([pool.submit(ask), pool.submit(interrupt)]))
    assert [call.result() for call in calls] == [200, None]
    assert server.is_interrupted == (number == signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_ends_with_its_status(plain: Path) -> None:
    with serving(plain) as (process, _):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 130 and errors.splitlines()[-2:] == ["Stopped.", "Interrupted."]


def test_errors_take_one_line(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code, words in (
            ([plain, "--port", port], 1, "another program uses the port"),
            ([tmp_path, "--port", 0], 1, "expected a folder with a number"),
            ([tmp_path / "none", "--port", 0], 1, "expected a run directory or a SavedModel"),
            ([plain, "--port", 0, "--host", "192.0.2.1"], 1, "does not belong to this machine"),
            ([plain, "--port", 0, "--host", "no host"], 1, "expected an address of this machine"),
            ([plain, "--port", 0, "--label", "stable"], 2, "such as stable=1"),
            ([plain, "--port", 0, "--label", "stable=7"], 1, "version 7 for the label stable"),
            ([plain, "--port", 0, "--name", "a/b"], 2, "change --name"),
            ([plain, "--port", 0, "--token-file", tmp_path / "empty"], 1, "it is empty"),
            ([plain, "--port", 0, "--token-file", tmp_path / "none"], 1, "cannot be read"),
            ([plain, "--port", 70000], 2, "70000"),
        ):
            result = tsattn("serve", *arguments)
            assert result.exit_code == code and words in result.output, result.output
            assert "Traceback" not in result.output
    monkeypatch.setenv("TSATTN_TOKEN", "two words")
    assert "without spaces" in tsattn("serve", plain, "--port", 0).output


def test_a_missing_package_is_named(plain: Path) -> None:
    script = "import sys; sys.modules['uvicorn'] = None; from tsattn.cli import main; main()"
    command = [sys.executable, "-c", script, "serve", str(plain), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "pip install 'tsattn[serve]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_public_address_without_a_token_is_warned_of(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = []
    monkeypatch.setattr(Server, "run", lambda _, engine, *__: tokens.append(engine.settings.token))
    monkeypatch.setattr("tsattn.serving.server.bind", lambda *_: socket.create_server(("127.0.0.1", 0)))
    assert "set TSATTN_TOKEN" in tsattn("serve", plain, "--host", "0.0.0.0").output
    assert "Warning" not in tsattn("serve", plain, "--host", "::1").output
    monkeypatch.setenv("TSATTN_TOKEN", "secret")
    assert "Warning" not in tsattn("serve", plain, "--host", "0.0.0.0").output
    assert tokens == [None, None, "secret"]


def test_help_is_there_without_tensorflow() -> None:
    script = (
        "import sys; from tsattn.cli import main\n"
        "try: main(['serve', '--help'])\n"
        "finally: assert not {'tensorflow', 'keras', 'starlette', 'uvicorn'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--max-batch-size" in result.stdout, result.stderr
