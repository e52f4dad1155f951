"""``tsattn serve``: it prints its address, and finishes all requests before it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest
from cli.conftest import tsattn
from serving.live_server import NAME, SECONDS, columns

SERVE = [sys.executable, "-c", "from tsattn.cli import main; main()", "serve"]


@contextmanager
def serving(path: Path, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a separate process, and its address."""
    process = subprocess.Popen(
        [*SERVE, str(path), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_current_requests(plain: Path, number: signal.Signals) -> None:
    with serving(plain, "--batch-timeout-micros", "3000000") as (process, line):
        assert line.startswith(f"Serving {NAME}, version 1, at http://127.0.0.1:")
        begun, answers = threading.Event(), []

        def ask() -> None:
            with httpx.Client(base_url=url(line), timeout=SECONDS) as client:
                client.get("/health")
                begun.set()
                answers.append(client.post(f"/v1/models/{NAME}:predict", content=json.dumps({"inputs": columns()})))

        thread = threading.Thread(target=ask)
        thread.start()
        assert begun.wait(SECONDS)
        with httpx.Client(base_url=url(line), timeout=SECONDS) as client:
            # The request waits for others to fill its batch.
            while "tsattn_queue_rows 1.0" not in client.get("/monitoring/prometheus/metrics").text:
                pass
        process.send_signal(number)
        thread.join(SECONDS)
        assert [answer.status_code for answer in answers] == [200]
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert errors.strip() == "Stopped."
    with pytest.raises(httpx.ConnectError):
        httpx.get(url(line))


def test_options_reach_the_server(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    options = ("--grpc-port", "0", "--name", "other", "--label", "stable=1", "--token-file", str(tmp_path / "token"))
    with serving(plain, *options) as (_, line):
        assert re.fullmatch(r"Serving other, version 1, at http://127\.0\.0\.1:\d+, gRPC at 127\.0\.0\.1:\d+\n", line)
        path = f"{url(line)}/v1/models/other/labels/stable"
        assert httpx.get(path).status_code == 401
        assert httpx.get(path, headers={"authorization": "Bearer secret"}).status_code == 200


def test_a_token_from_the_environment(plain: Path) -> None:
    with serving(plain, TSATTN_TOKEN="secret") as (_, line):
        assert httpx.get(f"{url(line)}/v2").status_code == 401


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
    from tsattn.serving.server import Server

    monkeypatch.setattr(Server, "run", lambda *_, **__: None)
    monkeypatch.setattr("tsattn.serving.server.bind", lambda *_: socket.create_server(("127.0.0.1", 0)))
    assert "set TSATTN_TOKEN" in tsattn("serve", plain, "--host", "0.0.0.0").output
    assert "Warning" not in tsattn("serve", plain, "--host", "::1").output
    monkeypatch.setenv("TSATTN_TOKEN", "secret")
    assert "Warning" not in tsattn("serve", plain, "--host", "0.0.0.0").output


def test_help_is_there_without_tensorflow() -> None:
    script = (
        "import sys; from tsattn.cli import main\n"
        "try: main(['serve', '--help'])\n"
        "finally: assert not {'tensorflow', 'keras', 'starlette', 'uvicorn'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--max-batch-size" in result.stdout, result.stderr
