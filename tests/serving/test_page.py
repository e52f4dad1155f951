"""The page in headless Chromium shows the forecasts of `Forecaster.predict`."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uvicorn
from serving import chromium
from serving.in_process import InProcess, assert_close, make_app, make_client, make_forecaster
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tsattn import Forecaster

HORIZON = 6
NAMES = ("north", "<img src=x onerror=alert(1)>")
READY = "!document.getElementById('go').disabled"
SAMPLE_INPUTS = "document.querySelector('#chart path.forecast')"
FAILED = "!document.getElementById('error').hidden"


def frame() -> pd.DataFrame:
    step = np.arange(100)
    times = pd.date_range("2024-01-01", periods=100, freq="h")
    parts = [
        pd.DataFrame({"unique_id": name, "ds": times, "y": (level * (5 + np.sin(step / 4))).round(2)})
        for name, level in zip(NAMES, (10, 3000), strict=True)
    ]
    whole = pd.concat(parts, ignore_index=True)
    whole.loc[[90, 92], "y"] = np.nan
    return whole


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return make_forecaster(frame(), levels=(0.05, 0.1, 0.5, 0.9, 0.95))


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an app on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            # Connections wait in the queue of the socket until the server takes them.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address(forecaster: Forecaster) -> Iterator[str]:
    with served(make_app(InProcess(forecaster))) as where:
        yield where


@pytest.fixture
def page(browser: chromium.Page, address: str) -> chromium.Page:
    browser.events.clear()
    browser.look(1280, 900)
    browser.open(address)
    browser.wait(READY)
    return browser


def paste(page: chromium.Page, text: str) -> None:
    page.run("document.getElementById('data').value = ''")
    page.type("data", text)
    page.click("go")


def table(page: chromium.Page) -> pd.DataFrame:
    """Return the values on the page before rounding for display."""
    rows = page.run(
        "[...document.querySelectorAll('#table tbody tr')]"
        ".map((row) => [...row.children].map((cell, i) => i ? cell.title : cell.textContent))"
    )
    head = page.run("[...document.querySelectorAll('#table thead th')].map((cell) => cell.textContent)")
    assert head == ["", "forecast", "80\u00a0% from", "to", "90\u00a0% from", "to"]
    columns = ["ds", "y", "y-lo-80", "y-hi-80", "y-lo-90", "y-hi-90"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], float))


def assert_same_forecast(page: chromium.Page, known: pd.DataFrame) -> None:
    found = table(page)
    assert list(pd.to_datetime(found["ds"])) == list(known["ds"])
    assert_close(found.iloc[:, 1:], known[list(found.columns[1:])], 10)


def problems(page: chromium.Page) -> list[Any]:
    """Return console messages, including violations of the content security policy."""
    page.run("1")
    kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for event in page.events if event["method"] in kinds]


def test_a_pasted_csv_is_drawn(page: chromium.Page, forecaster: Forecaster, address: str) -> None:
    known = forecaster.predict(frame())
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    assert page.run("document.getElementById('title').textContent") == "north"
    # From the last observation to the end of the horizon.
    line = page.run("document.querySelector('#chart path.forecast').getAttribute('d')")
    assert line.count("M") == 1 and line.count("L") == HORIZON
    bands = page.run("[...document.querySelectorAll('#chart path.band')].map((band) => band.getAttribute('d'))")
    assert [band.count("L") for band in bands] == [2 * HORIZON, 2 * HORIZON]
    tall = page.run("[...document.querySelectorAll('#chart path.band')].map((band) => band.getBBox().height)")
    assert tall[0] > tall[1] > 0
    # Two gaps, with an isolated value between them, which is a dot.
    assert page.run("document.querySelector('#chart path.history').getAttribute('d')").count("M") == 3
    assert page.run("document.querySelectorAll('#chart circle.dot[r=\"1.6\"]').length") == 1
    assert_same_forecast(page, known.iloc[:HORIZON])
    sent = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert len(sent) >= 6 and all(url.startswith((address, "data:")) for url in sent)
    assert problems(page) == []


def test_series_are_chosen_and_their_names_are_text(page: chromium.Page, forecaster: Forecaster) -> None:
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    page.run(
        "(() => { const list = document.getElementById('series'); list.selectedIndex = 1;"
        " list.dispatchEvent(new Event('change')); })()"
    )
    assert_same_forecast(page, forecaster.predict(frame()).iloc[HORIZON:])
    assert page.run("document.getElementById('title').textContent") == NAMES[1]
    assert page.run("document.querySelectorAll('img').length") == 0 and problems(page) == []


def test_a_file_in_another_encoding_is_uploaded(page: chromium.Page, forecaster: Forecaster, tmp_path: Path) -> None:
    path = tmp_path / "Läden.csv"
    path.write_text(frame().to_csv(index=False, sep=";", decimal=","), encoding="utf-16")
    page.upload("upload", path)
    page.wait("!document.getElementById('file').hidden")
    assert page.run("document.getElementById('file-name').textContent").startswith("Läden.csv, ")
    page.click("go")
    page.wait(SAMPLE_INPUTS)
    assert_same_forecast(page, forecaster.predict(frame()).iloc[:HORIZON])


def test_the_example_is_forecast(page: chromium.Page) -> None:
    page.click("example")
    page.click("go")
    page.wait(SAMPLE_INPUTS)
    assert len(table(page)) == HORIZON
    assert page.run("[...document.getElementById('series').options].map((option) => option.value)") == [
        "north",
        "south",
    ]


def test_the_command_for_programs_and_the_document(page: chromium.Page, address: str) -> None:
    command = page.run("document.getElementById('curl').textContent")
    assert command == f"curl -H 'Content-Type: text/csv' --data-binary @data.csv {address}v1/forecast"
    links = page.run("[...document.querySelectorAll('footer a, .api a')].map((link) => link.href)")
    assert set(links) == {f"{address}docs", f"{address}openapi.json"}


def test_errors_are_shown(page: chromium.Page) -> None:
    page.click("go")
    page.wait(FAILED)
    assert page.run("document.getElementById('error').textContent").startswith("There are no data yet")
    paste(page, "unique_id,ds,y\na,2024-01-01,<b>many</b>\n")
    page.wait("document.getElementById('error').textContent.startsWith('Line 2')")
    message = page.run("document.getElementById('error').textContent")
    assert message.startswith("Line 2: column 'y': expected a number, got '<b>many</b>'")
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    assert page.run("document.getElementById('error').hidden")


PRESSED = """(() => {
    const picture = document.querySelector('#chart svg');
    for (const key of ['End', 'ArrowLeft']) picture.dispatchEvent(new KeyboardEvent('keydown', { key }));
    const readout = document.querySelector('.readout');
    return !readout.hidden && readout.innerText;
})()"""


def test_the_readout_follows_the_arrow_keys(page: chromium.Page, forecaster: Forecaster) -> None:
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    # Repeated, because the chart is drawn again for another width, and then has no readout yet.
    readout = page.wait(PRESSED)
    row = forecaster.predict(frame()).iloc[HORIZON - 2]
    assert f"{row['y']:.3f}" in readout and f"80\u00a0%: {row['y-lo-80']:.3f} to {row['y-hi-80']:.3f}" in readout
    assert "2024-01-05 08:00" in readout


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_has_a_dark_mode(page: chromium.Page, dark: bool) -> None:
    page.look(360, 740, dark=dark, phone=True)
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.run("document.querySelector('details').open = true")
    clipped = page.run(
        "[...document.querySelectorAll('main *')].filter((part) => !part.closest('.scroll, textarea, svg') &&"
        " part.getClientRects().length && part.getBoundingClientRect().right > 361).map((part) => part.outerHTML)"
    )
    assert clipped == []
    inside = "document.querySelector('#chart svg').getBoundingClientRect()"
    assert page.run(f"{inside}.right <= 360 && {inside}.left >= 0")
    ground, ink = page.run(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('h1')).color]"
    )
    lightness = [sum(map(int, colour[4:-1].split(","))) for colour in (ground, ink)]
    assert (lightness[0] < lightness[1]) == dark and abs(lightness[0] - lightness[1]) > 400


def test_the_file_to_download_is_the_forecast(page: chromium.Page, forecaster: Forecaster, tmp_path: Path) -> None:
    paste(page, frame().to_csv(index=False))
    page.wait(SAMPLE_INPUTS)
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("download")
    page.until("Page.downloadProgress", state="completed")
    known = forecaster.predict(frame())
    found = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["ds"])
    assert list(found.columns) == list(known.columns) and list(found["unique_id"]) == list(known["unique_id"])
    assert_close(found.iloc[:, 2:], known.iloc[:, 2:], 10)


def test_the_document_of_the_api_is_shown(browser: chromium.Page, forecaster: Forecaster) -> None:
    app = make_app(InProcess(forecaster))
    schemas = {"Rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}, "Row": {"type": "object"}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rows"}}}}
    post = {"summary": "Forecast from rows.", "requestBody": body, "responses": {"200": body}}
    get = {"summary": "Columns.", "parameters": [{"name": "version", "description": "A version."}], "responses": {}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "shop: forecasts", "version": "1", "description": "Words."},
        "paths": {"/health": {"get": get}, "/v1/forecast": {"post": post}},
        "components": {"schemas": schemas},
    }

    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(document)

    app.router.routes.append(Route("/openapi.json", openapi))
    with served(app) as address:
        browser.look(360, 740, phone=True)
        browser.events.clear()
        browser.open(f"{address}docs")
        browser.wait("document.querySelectorAll('.operation').length === 2")
        shown = browser.run("[...document.querySelectorAll('.operation summary')].map((line) => line.innerText)")
        assert [" ".join(line.split()) for line in shown] == [
            "POST /v1/forecast Forecast from rows.",
            "GET /health Columns.",
        ]
        browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
        body = browser.run("document.querySelector('.operation pre').textContent")
        assert json.loads(body) == {"type": "array", "items": {"type": "object"}}
        assert browser.run("document.documentElement.scrollWidth") <= 360
        assert problems(browser) == []


class Locked:
    """An application whose API requires a token."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization")
        if scope["path"].startswith("/v1/") and given != b"Bearer secret":
            await JSONResponse({"error": "expected a token"}, status_code=401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def test_a_token_is_requested(browser: chromium.Page, forecaster: Forecaster) -> None:
    with served(Locked(make_app(InProcess(forecaster)))) as address:
        browser.open(address)
        browser.wait("!document.getElementById('access').hidden")
        for token, condition in (("wrong", f"{FAILED} && !{READY}"), ("secret", READY)):
            browser.run("document.getElementById('token').value = ''")
            browser.type("token", token)
            browser.run("document.getElementById('access').requestSubmit()")
            browser.wait(condition)
        assert browser.run("document.getElementById('access').hidden")
        paste(browser, frame().to_csv(index=False))
        browser.wait(SAMPLE_INPUTS)


def test_the_page_loads_only_its_own_files(forecaster: Forecaster) -> None:
    client = make_client(forecaster)
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    parts = {path.name: path.read_text(encoding="utf-8") for path in files("tsattn.serving").joinpath("page").iterdir()}
    kinds = {"css": "text/css", "js": "text/javascript"}
    for name, text in parts.items():
        assert "innerHTML" not in text and "eval(" not in text, name
        assert json.dumps(text).replace("http://www.w3.org/2000/svg", "").count("://") == 0, name
        if name == "docs.html":
            assert client.get("/docs").text == text
        elif name != "index.html":
            part = client.get(f"/page/{name}")
            assert part.text == text and part.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
