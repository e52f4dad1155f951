"""Covariates at the friendlier door, what is told of those that are missing, and examples with them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from serving.door_help import VERSION, Client, client_of, fitted
from serving.rows import CSV, HOURS, ROLES, as_csv, as_records, ask, covered, ragged, same, wave

from tsattn import Forecaster
from tsattn.errors import DataWarning
from tsattn.serving.app import create_app
from tsattn.serving.engine import Engine


@pytest.fixture(scope="module")
def rich() -> Forecaster:
    return fitted(covered(), **ROLES)


def test_covariates_of_every_kind(rich: Forecaster) -> None:
    client, frame = client_of(rich), covered()
    known = rich.predict(frame)
    same(ask(client, as_csv(frame)), known, frame, "sales")
    plain = frame.rename(columns={"shop": "unique_id", "time": "ds", "sales": "y"}).assign(more="x")
    same(ask(client, as_csv(plain)), known, frame, "sales")
    history = frame[frame["time"] < HOURS[114]]
    ahead = frame[frame["time"] >= HOURS[114]][["shop", "time", "heat", "sky"]]
    body = {"records": as_records(history), "future": as_records(ahead)}
    answer = client.post("/v1/forecast", json=body).json()
    assert answer["notes"] == []
    same(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    body["future"] = as_records(ahead.rename(columns={"shop": "unique_id", "time": "ds"}))
    assert client.post("/v1/forecast", json=body).json()["forecast"] == answer["forecast"]


def test_what_is_unknown_is_told(rich: Forecaster) -> None:
    client, frame = client_of(rich), covered()
    history = frame[frame["time"] < HOURS[114]]
    with pytest.warns(DataWarning, match="36 of 168") as told:
        known = rich.predict(history)
    answer = client.post("/v1/forecast", json=as_records(history)).json()
    same(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    assert len(answer["notes"]) == 1 and answer["notes"][0].endswith("means of the training data stand in for them")
    assert str(told[0].message).partition("values")[2] == answer["notes"][0].partition("values")[2]
    known = rich.predict(frame.assign(size=np.nan, kind=None))
    response = client.post("/v1/forecast", content=as_csv(frame.drop(columns=["size", "kind"])), headers=CSV)
    same(pd.read_csv(io.StringIO(response.text)), known, frame, "sales")
    assert json.loads(response.headers["tsattn-notes"]) == ["'size', 'kind': not given, and taken as unknown"]
    lacking = client.post("/v1/forecast", content=as_csv(frame.drop(columns="heat")), headers=CSV)
    assert lacking.status_code == 400
    assert lacking.json()["error"].startswith("the request: expected a column 'heat'")


def test_a_baseline_that_was_kept_needs_no_covariates() -> None:
    frame = covered()
    forecaster = fitted(frame, model="seasonal_naive", **ROLES)
    client, known = client_of(forecaster), forecaster.predict(frame)
    same(ask(client, as_csv(frame)), known, frame, "sales")
    history = frame[frame["time"] < HOURS[114]][["shop", "time", "sales"]]
    body = {"records": as_records(history), "future": [{"time": "2024-01-05", "heat": 1}]}
    answer = client.post("/v1/forecast", json=body).json()
    same(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    assert "is not used" in answer["notes"][0]


def test_get_tells_what_to_send_and_its_example_is_answered(rich: Forecaster) -> None:
    long = fitted(ragged(), model="naive")
    told = client_of(long).get("/v1/forecast").json()
    assert (told["model"], told["version"], told["horizon"], told["frequency"]) == ("shop", VERSION, 6, "h")
    assert [column["name"] for column in told["columns"]] == ["unique_id", "ds", "y"]
    wide = pd.DataFrame({"V1": ["H1", "H2"], **{f"V{i}": [1.0 * i, 2.0] for i in range(2, 60)}})
    parts = pd.DataFrame({"year": np.repeat(range(1990, 2020), 4), "quarter": [1, 2, 3, 4] * 30, "y": wave(120)})
    zoned = pd.DataFrame({"ds": HOURS.tz_localize("Europe/Berlin"), "y": wave(120)})
    numbers = pd.DataFrame({"ds": np.arange(120), "y": wave(120)})
    seconds = pd.DataFrame({"ts": HOURS.as_unit("s").asi8, "y": wave(120)})
    made = [fitted(frame, model="naive") for frame in (wide, parts, zoned, numbers, numbers[["y"]])]
    made.append(fitted(seconds, model="naive", time="ts"))
    for forecaster in (long, rich, *made):
        client = client_of(forecaster)
        told = client.get("/v1/forecast").json()
        answer = client.post("/v1/forecast", content=told["example"], headers={**CSV, "accept": "application/json"})
        assert answer.status_code == 200, (answer.text, told["example"][:200])
        assert answer.json()["notes"] == []
        assert len({row["unique_id"] for row in answer.json()["forecast"]}) == (
            2 if told["columns"][0]["meaning"].startswith("id") else 1
        )
        assert all(np.isfinite(row["y"]) for row in answer.json()["forecast"])


@pytest.mark.slow
def test_an_exported_model_behind_the_whole_server(rich: Forecaster, tmp_path: Path) -> None:
    rich.save(tmp_path / "run")
    engine = Engine.open(tmp_path / "run")
    client, frame = Client(create_app(engine)), covered()
    try:
        same(ask(client, as_csv(frame)), rich.predict(frame), frame, "sales")
        told = client.get("/v1/forecast").json()
        assert (told["model"], told["version"]) == ("run", 1)
        assert client.post("/v1/forecast", content=told["example"], headers=CSV).status_code == 200
        refused = client.post("/v1/forecast", content="ds,y\n", headers=CSV)
        assert refused.status_code == 400 and list(refused.json()) == ["error"]
        assert client.get("/").status_code == 200
    finally:
        engine.close()
