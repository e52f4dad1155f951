"""``python -m benchmarks.serving``: throughput and latency of the server with and without micro-batching; memory.

Two models with the default architecture, briefly trained: airline passengers (context 72, horizon 12) and synthetic
hourly series (context 504, horizon 48). `tsattn serve` serves each of them on this machine, and wrk sends requests for
one series, in columnar JSON, over the loopback device. Server and wrk use the same processors. For comparison the
signature `serving_default` is called in process, without JSON.

A load test then sends half an hour's requests at a hundred per second from eight connections, as fast as they are
answered. It reports the memory of the server after a tenth of the requests, and at the end.

Writes `benchmarks/results/serving.json` and its table `serving.md`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "serving.json"
DATASETS = Path(__file__).parents[1] / "datasets"
CONNECTIONS = (1, 8, 64)
SOAK_REQUESTS = 30 * 60 * 100
"""Half an hour at a hundred requests per second."""

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{path}")
wrk.body = file:read("*a")
function done(summary, latency, requests)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors))
end
"""


def make_hourly() -> pd.DataFrame:
    """Return synthetic hourly series with a daily season."""
    rng = np.random.default_rng(0)
    steps, series = 700, 20
    season = 10 * np.sin(np.arange(steps) * 2 * np.pi / 24)
    values = 100 + season[None] + rng.normal(size=(series, steps)).cumsum(axis=1) / 5
    times = np.tile(pd.date_range("2024-01-01", periods=steps, freq="h"), series)
    ids = np.repeat([f"S{number}" for number in range(series)], steps)
    return pd.DataFrame({"unique_id": ids, "ds": times, "y": values.ravel()})


def export_model(name: str, folder: Path) -> Path:
    """Fit a model, export it and return the path of its SavedModel."""
    from tsattn import Forecaster

    data, context = (pd.read_csv(DATASETS / "Airline.csv"), 72) if name == "airline" else (make_hourly(), 504)
    horizon = 12 if name == "airline" else 48
    training = {"epochs": 1, "refit": False}
    forecaster = Forecaster("seq2seq", horizon=horizon, context=context, training=training).fit(data)
    return forecaster.export(folder / name)


def make_request(context: int) -> dict[str, Any]:
    """Return the inputs of a request for one series with a full context."""
    values = np.round(100 + 10 * np.sin(np.arange(context) / 5), 2)
    return {"past": values[None, :, None].tolist(), "length": [context]}


def time_in_process(version: Path, inputs: dict[str, Any], calls: int) -> float:
    """Return the median time of a call of the signature, in seconds."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    tensors = {"past": tf.constant(inputs["past"], tf.float32), "length": tf.constant(inputs["length"], tf.int32)}
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        serve(**tensors)["quantiles"].numpy()
        times.append(time.perf_counter() - start)
    return statistics.median(times[calls // 10 :])


@contextmanager
def server(folder: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Serve a folder of versions and yield the port and the process id."""
    command = [str(Path(sys.executable).with_name("tsattn")), "serve", str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                yield int(found[1]), process.pid
                return
        raise click.ClickException("the server did not start")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run_wrk(port: int, name: str, body: Path, connections: int, seconds: int) -> dict[str, float]:
    """Return the requests per second, and the median and 99th percentile of the latency in milliseconds."""
    script = body.with_suffix(".lua")
    script.write_text(SCRIPT.format(path=body))
    url = f"http://127.0.0.1:{port}/v1/models/{name}:predict"
    # The first 2 seconds are for warm-up.
    for duration in (2, seconds):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--timeout", "30s", "-s", str(script), url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, micros, median, last, errors = (int(word) for word in text.split("RESULT")[1].split())
    assert not errors, text
    return {"rate": round(count / micros * 1e6, 1), "p50": round(median / 1e3, 2), "p99": round(last / 1e3, 2)}


async def soak(port: int, name: str, body: bytes, pid: int, count: int) -> dict[str, float]:
    """Send requests from eight connections and return errors, time and the memory of the server."""
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    sent = errors = 0
    memory = {}
    start = time.perf_counter()

    async def send() -> None:
        nonlocal sent, errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while sent < count:
            sent += 1
            if sent in (count // 10, count):
                memory[sent] = resident_memory(pid)
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            data = await reader.readexactly(int(length[1]))
            errors += not answer.startswith(b"HTTP/1.1 200") or not data.startswith(b'{"outputs"')
        writer.close()

    await asyncio.gather(*(send() for _ in range(8)))
    seconds = time.perf_counter() - start
    first, last = memory[count // 10], memory[count]
    return {"requests": count, "errors": errors, "seconds": round(seconds), "mb_first": first, "mb_last": last}


def resident_memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def measure(name: str, folder: Path, seconds: int, requests: int) -> dict[str, Any]:
    """Return all figures of a model."""
    version = export_model(name, folder)
    inputs = make_request(72 if name == "airline" else 504)
    body = folder / f"{name}.json"
    body.write_text(json.dumps({"inputs": inputs}))
    found: dict[str, Any] = {"in_process": round(1e3 * time_in_process(version, inputs, 500), 2)}
    for title, options in {"batching": [], "alone": ["--no-batching", "--max-enqueued-batches", "1000"]}.items():
        with server(version.parent, *options) as (port, pid):
            found[title] = {str(count): run_wrk(port, name, body, count, seconds) for count in CONNECTIONS}
            if title == "batching" and requests:
                found["soak"] = asyncio.run(soak(port, name, body.read_bytes(), pid, requests))
        click.echo(f"{name}, {title}: {json.dumps(found)}")
    found["gain"] = round(found["batching"]["64"]["rate"] / found["alone"]["64"]["rate"], 2)
    found["over"] = round(found["batching"]["1"]["p50"] / found["in_process"], 2)
    return found


def render(results: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    latency = ("p50, ms", "p99, ms")
    head = ("model", "connections", "requests per second", *latency, "without batching", *latency)
    lines = [
        (name, count, *found["batching"][str(count)].values(), *found["alone"][str(count)].values())
        for name, found in results.items()
        for count in CONNECTIONS
    ]
    notes = []
    for name, found in results.items():
        notes.append(
            f"* {name}: the signature takes {found['in_process']} ms in process; the median latency at one connection "
            f"is {found['over']} times that. At 64 connections, batching answers {found['gain']} times as many "
            "requests per second."
        )
        if soak := found.get("soak"):
            notes[-1] += (
                f" {soak['requests']:,} requests in {soak['seconds']} s, {soak['errors']} errors, "
                f"{soak['mb_first']} MB after a tenth of them and {soak['mb_last']} MB at the end."
            )
    about = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    return "\n".join(["# Serving", "", about, "", text_table(head, lines), *notes]) + "\n"


@click.command()
@click.option("--seconds", default=10, show_default=True, help="Duration of each measurement.")
@click.option("--requests", default=SOAK_REQUESTS, show_default=True, help="Requests of the load test; 0 skips it.")
@TABLE_ONLY
def main(seconds: int, requests: int, table_only: bool) -> None:
    """Measure the server."""
    if not table_only and shutil.which("wrk") is None:
        raise click.ClickException("needs wrk: apt-get install wrk")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = read_results(RESULTS)
    with tempfile.TemporaryDirectory() as folder:
        for model in () if table_only else ("airline", "hourly"):
            results[model] = measure(model, Path(folder), seconds, requests if model == "airline" else 0)
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
