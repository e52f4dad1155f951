"""Data sets: bundled files, local copies, and downloads from a local server."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cli.conftest import tsattn

from tsattn.data import datasets
from tsattn.data.datasets import DATASETS, fetch
from tsattn.errors import ConfigError, DataError

CONTENT = b"ds,y\n" + b"".join(b"2020-01-%02d,%d\n" % (day, day) for day in range(1, 31))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`, also from a byte on, and records the requested ranges."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if self.path != "/data.csv":
            self.send_error(404)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        self.wfile.write(CONTENT[first:])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a server; downloads go to a folder of the test, and there are no local copies."""
    monkeypatch.setenv("TSATTN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TSATTN_DATA_DIR", raising=False)
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def register(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes = CONTENT) -> None:
    """Set the address and the content of ETTh1."""
    changed = replace(DATASETS["etth1"], url=url, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(datasets.DATASETS, "etth1", changed)


def test_bundled_files() -> None:
    for dataset in DATASETS.values():
        assert len(dataset.sha256) == 64 and dataset.licence and dataset.shape
        if not dataset.url:
            assert hashlib.sha256(fetch(dataset.name).read_bytes()).hexdigest() == dataset.sha256


def test_local_copies(data_dir: Path) -> None:
    for dataset in DATASETS.values():
        assert not dataset.url or fetch(dataset.name) == data_dir / dataset.path


def test_a_local_copy_that_was_changed_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ETT").mkdir()
    (tmp_path / "ETT" / "ETTh1.csv").write_bytes(CONTENT)
    monkeypatch.setenv("TSATTN_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"ETTh1\.csv: .*checksum"):
        fetch("etth1")


def test_a_download_is_cached(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, f"{server}/data.csv")
    first = fetch("etth1")
    assert first.read_bytes() == CONTENT and first.parent == tmp_path / "cache"
    assert fetch("etth1") == first and Handler.asked == [None]
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_an_interrupted_download_is_resumed(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, f"{server}/data.csv")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "etth1.csv.part").write_bytes(CONTENT[:100])
    assert fetch("etth1").read_bytes() == CONTENT and Handler.asked == ["bytes=100-"]


def test_failed_downloads(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, f"{server}/gone.csv")
    with pytest.raises(DataError, match=r"gone\.csv: cannot be downloaded: 404"):
        fetch("etth1")
    register(monkeypatch, f"{server}/data.csv", b"other")
    with pytest.raises(DataError, match=r"data\.csv: expected the data set etth1, got a file with another checksum"):
        fetch("etth1")
    register(monkeypatch, "http://127.0.0.1:9/data.csv")
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("etth1")
    with pytest.raises(ConfigError, match="there are airline, co2"):
        fetch("etth2")


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    listed = tsattn("datasets").stdout
    assert all(name in listed for name in DATASETS) and "CC BY-ND 4.0" in listed and "ETDataset" in listed
    assert Path(tsattn("datasets", "airline").stdout.strip()).name == "Airline.csv"
    wrong = tsattn("datasets", "nothing")
    assert wrong.exit_code == 2 and "there is no data set 'nothing'" in wrong.output
