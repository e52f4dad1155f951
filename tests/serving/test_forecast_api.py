"""The forecast API returns the forecasts of `Forecaster.predict`, in the requested format."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from serving.forecast_data import CSV, HOURS, as_csv, as_records, ask, assert_same_forecast, ragged, wave
from serving.in_process import VERSION, Client, InProcess, assert_close, fit_baseline, make_app, make_client

from tsattn import Forecaster
from tsattn.serving.request_frames import ParsedRequest, read_request


@pytest.fixture(scope="module")
def long() -> Forecaster:
    return fit_baseline(ragged())


@pytest.fixture(scope="module")
def client(long: Forecaster) -> Client:
    return make_client(long)


def test_ragged_csv_with_gaps_in_any_order(long: Forecaster, client: Client) -> None:
    assert_same_forecast(ask(client, as_csv(ragged())), long.predict(ragged()), ragged())


def test_records_get_records(long: Forecaster, client: Client) -> None:
    known = long.predict(ragged())
    for body in (as_records(ragged()), {"records": as_records(ragged()), "version": VERSION}):
        answer = client.post("/v1/forecast", json=body).json()
        assert (answer["model"], answer["version"], answer["notes"]) == ("shop", VERSION, [])
        assert list(answer["forecast"][0]) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
        assert_same_forecast(pd.DataFrame(answer["forecast"]), known, ragged())


def test_counters_beyond_float32_are_forecast_in_their_units(long: Forecaster, client: Client) -> None:
    rows = pd.DataFrame({"unique_id": "a", "ds": HOURS, "y": 48_123_457.25 + np.arange(120) / 4})
    answer = ask(client, as_csv(rows))
    np.testing.assert_allclose(answer["y"], long.predict(rows)["y"], rtol=1e-12)
    small = long.predict(rows.assign(y=rows["y"] - 48_123_457.25))
    np.testing.assert_allclose(answer["y"] - 48_123_457.25, small["y"], atol=1e-4)


def test_accept_decides_the_format_of_the_response(client: Client) -> None:
    table, rows = as_csv(ragged()), json.dumps(as_records(ragged()))
    for accept, kind in {
        "application/json": "json",
        "text/csv;q=0.5, application/json": "json",
        "text/csv": "csv",
        "text/*, application/json;q=0.1": "csv",
    }.items():
        for body, sent in ((table, "text/csv"), (rows, "application/json")):
            answer = client.post("/v1/forecast", content=body, headers={"content-type": sent, "accept": accept})
            assert kind in answer.headers["content-type"], accept
    for accept in ("*/*", "text/html", "q=;;,", ""):
        answer = client.post("/v1/forecast", content=table, headers={**CSV, "accept": accept})
        assert "csv" in answer.headers["content-type"]


@pytest.mark.parametrize(
    "kind", ["", "text/plain; charset=utf-8", "application/octet-stream", "application/x-www-form-urlencoded"]
)
def test_the_format_of_a_body_without_a_type_is_detected(client: Client, kind: str) -> None:
    for body, given in ((as_csv(ragged()), "csv"), (b" \n" + json.dumps(as_records(ragged())).encode(), "json")):
        answer = client.post("/v1/forecast", content=body, headers={"content-type": kind} if kind else {})
        assert answer.status_code == 200 and given in answer.headers["content-type"]


def test_csv_in_any_dialect(long: Forecaster, client: Client) -> None:
    frame, known = ragged(), long.predict(ragged())
    table = frame.to_csv(index=False)
    european = frame.to_csv(index=False, sep=";", decimal=",")
    for body in (
        table.encode("utf-16"),
        table.encode("utf-8-sig"),
        table.encode("cp1252"),
        european.encode(),
        frame.to_csv(index=False, sep="\t").encode(),
        ("\n\n" + table.replace("\n", "\r\n")).encode(),
        gzip.compress(table.encode()),
    ):
        assert_same_forecast(ask(client, body), known, frame)
    assert_same_forecast(ask(client, gzip.compress(table.encode()), **{"content-encoding": "gzip"}), known, frame)


def test_long_data_without_an_id_are_one_series(long: Forecaster, client: Client) -> None:
    one = ragged().query("unique_id == 'a'")
    answer = ask(client, as_csv(one.drop(columns="unique_id")))
    assert_close(answer["y"], long.predict(one)["y"], 10)
    assert set(answer["unique_id"]) == {"y"}


def test_the_response_has_history_on_request(client: Client) -> None:
    answer = client.post("/v1/forecast?history=5", json=as_records(ragged())).json()
    found = pd.DataFrame(answer["history"])
    known = ragged().sort_values("ds", kind="stable")
    assert (found.groupby("unique_id").size() == 5).all()
    last = known[known["unique_id"] == "ü"].iloc[-1]
    assert found.iloc[-1]["ds"] == last["ds"].isoformat()
    assert "history" not in client.post("/v1/forecast", json=as_records(ragged())).json()


def test_many_series_run_in_chunks(long: Forecaster) -> None:
    frame = pd.DataFrame({"unique_id": np.repeat(np.arange(700), 3), "ds": [*HOURS[:3]] * 700, "y": wave(2100)})
    client = make_client(long)
    known = long.predict(frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame)
    assert client.app.state.engine.max_rows == 256


def test_versions(client: Client) -> None:
    body = as_csv(ragged())
    assert client.post(f"/v1/forecast?version={VERSION}", content=body, headers=CSV).status_code == 200
    assert client.post("/v1/forecast?version=8", content=body, headers=CSV).status_code == 404
    assert client.get("/v1/forecast?version=8").status_code == 404
    for version in ("-1", "x", "1e3", "9" * 30, "٣"):
        assert client.post("/v1/forecast", params={"version": version}, content=body, headers=CSV).status_code == 400


def test_other_requests_are_answered_while_a_body_is_read(long: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: Any) -> ParsedRequest:
        begun.set()
        assert go_on.wait(60)
        return read_request(*given)

    async def both() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(make_app(InProcess(long)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            post = asyncio.create_task(client.post("/v1/forecast", content=as_csv(ragged()), headers=CSV))
            while not begun.is_set():
                await asyncio.sleep(0)
            other = await client.get("/")
            assert not post.done()
            go_on.set()
            return await post, other

    monkeypatch.setattr("tsattn.serving.forecast_api.read_request", slow)
    assert [answer.status_code for answer in asyncio.run(both())] == [200, 200]
