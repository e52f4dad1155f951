"""``python -m benchmarks.serving``: how fast the server answers, with and without micro-batching, and for how long.

Two models of the default kind, with the weights of a short training: airline passengers (72 steps of history, 12 ahead)
and made hourly series (504 steps, 48 ahead). Each is served by `tsattn serve` on this machine, and asked for one series
at a time, as JSON by column, by wrk on the loopback device: the server and wrk share the processors. Beside it stands
the signature `serving_default` called in process, without reading and writing JSON.

Then so many requests as half an hour of a hundred a second would be, from eight connections: the memory of the server
after a tenth of them, and at the end.

Writes `benchmarks/results/serving.json` and the table of it, `serving.md`.
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

RESULTS = Path(__file__).with_name("results") / "serving.json"
DATASETS = Path(__file__).parents[1] / "datasets"
CONNECTIONS = (1, 8, 64)
SOAK = 30 * 60 * 100
"""Requests of half an hour at a hundred a second."""

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


def hourly() -> pd.DataFrame:
    """Return made hourly series with a daily season."""
    rng = np.random.default_rng(0)
    steps, series = 700, 20
    season = 10 * np.sin(np.arange(steps) * 2 * np.pi / 24)
    values = 100 + season[None] + rng.normal(size=(series, steps)).cumsum(axis=1) / 5
    stamps = np.tile(pd.date_range("2024-01-01", periods=steps, freq="h"), series)
    ids = np.repeat([f"S{number}" for number in range(series)], steps)
    return pd.DataFrame({"unique_id": ids, "ds": stamps, "y": values.ravel()})


def exported(name: str, folder: Path) -> Path:
    """Fit a model and return its SavedModel."""
    from tsattn import Forecaster

    data, context = (pd.read_csv(DATASETS / "Airline.csv"), 72) if name == "airline" else (hourly(), 504)
    horizon = 12 if name == "airline" else 48
    training = {"epochs": 1, "refit": False}
    forecaster = Forecaster("seq2seq", horizon=horizon, context=context, training=training).fit(data)
    return forecaster.export(folder / name)


def make_request(context: int) -> dict[str, Any]:
    """Return the inputs of a request for one series with the whole history."""
    values = np.round(100 + 10 * np.sin(np.arange(context) / 5), 2)
    return {"past": values[None, :, None].tolist(), "length": [context]}


def in_process(version: Path, inputs: dict[str, Any], calls: int) -> float:
    """Return the median seconds of a call of the signature."""
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
    """Serve a folder of versions; give port and process number."""
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


def wrk(port: int, name: str, body: Path, connections: int, seconds: int) -> dict[str, float]:
    """Return requests a second, and the median and the 99th percentile of their milliseconds."""
    script = body.with_suffix(".lua")
    script.write_text(SCRIPT.format(path=body))
    url = f"http://127.0.0.1:{port}/v1/models/{name}:predict"
    for warm in (2, seconds):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{warm}s", "--timeout", "30s", "-s", str(script), url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, micros, median, last, errors = (int(word) for word in text.split("RESULT")[1].split())
    assert not errors, text
    return {"rate": round(count / micros * 1e6, 1), "p50": round(median / 1e3, 2), "p99": round(last / 1e3, 2)}


async def soak(port: int, name: str, body: bytes, pid: int, count: int) -> dict[str, float]:
    """Send requests from eight connections, and return what the server's memory did."""
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    sent = errors = 0
    memory = {}
    start = time.perf_counter()

    async def ask() -> None:
        nonlocal sent, errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while sent < count:
            sent += 1
            if sent in (count // 10, count):
                memory[sent] = resident(pid)
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            data = await reader.readexactly(int(length[1]))
            errors += not answer.startswith(b"HTTP/1.1 200") or not data.startswith(b'{"outputs"')
        writer.close()

    await asyncio.gather(*(ask() for _ in range(8)))
    seconds = time.perf_counter() - start
    first, last = memory[count // 10], memory[count]
    return {"requests": count, "errors": errors, "seconds": round(seconds), "mb_first": first, "mb_last": last}


def resident(pid: int) -> float:
    """Return the memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def measured(name: str, folder: Path, seconds: int, requests: int) -> dict[str, Any]:
    """Return all figures of one model."""
    version = exported(name, folder)
    inputs = make_request(72 if name == "airline" else 504)
    body = folder / f"{name}.json"
    body.write_text(json.dumps({"inputs": inputs}))
    found: dict[str, Any] = {"in_process": round(1e3 * in_process(version, inputs, 500), 2)}
    for title, options in {"batching": [], "alone": ["--no-batching", "--max-enqueued-batches", "1000"]}.items():
        with server(version.parent, *options) as (port, pid):
            found[title] = {count: wrk(port, name, body, count, seconds) for count in CONNECTIONS}
            if title == "batching" and requests:
                found["soak"] = asyncio.run(soak(port, name, body.read_bytes(), pid, requests))
        click.echo(f"{name}, {title}: {json.dumps(found)}")
    found["gain"] = round(found["batching"][64]["rate"] / found["alone"][64]["rate"], 2)
    found["over"] = round(found["batching"][1]["p50"] / found["in_process"], 2)
    return found


def table(results: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    head = ("model", "connections", "requests a second", "p50, ms", "p99, ms", "without batching", "p50, ms", "p99, ms")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in results.items():
        for count in CONNECTIONS:
            figures = [
                found[title][count][figure] for title in ("batching", "alone") for figure in ("rate", "p50", "p99")
            ]
            lines.append(f"| {name} | {count} | {' | '.join(str(figure) for figure in figures)} |")
    lines.append("")
    for name, found in results.items():
        lines += [
            f"* {name}: the signature in process {found['in_process']} ms; at one connection {found['over']} times "
            f"that; at 64 connections {found['gain']} times the requests a second that are answered one by one."
        ]
        if "soak" in found:
            told = found["soak"]
            lines[-1] += (
                f" {told['requests']:,} requests in {told['seconds']} s, {told['errors']} errors, "
                f"{told['mb_first']} MB after a tenth of them and {told['mb_last']} MB at the end."
            )
    return "\n".join(lines)


@click.command()
@click.option("--seconds", default=10, show_default=True, help="Of each measurement.")
@click.option("--requests", default=SOAK, show_default=True, help="Of the long run; 0 leaves it out.")
def main(seconds: int, requests: int) -> None:
    """Measure the server."""
    if shutil.which("wrk") is None:
        raise click.ClickException("needs wrk: apt-get install wrk")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = {}
    with tempfile.TemporaryDirectory() as name:
        for model in ("airline", "hourly"):
            results[model] = measured(model, Path(name), seconds, requests if model == "airline" else 0)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    about = (__doc__ or "").split("\n\n")[1:3]
    RESULTS.with_suffix(".md").write_text("\n\n".join(["# Serving", *about, table(results)]) + "\n")


if __name__ == "__main__":
    main()
