"""Covariates in the forecast API: values, missing ones, and the example of a model."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from keras_help import eager_training
from serving.forecast_data import (
    CSV,
    HOURS,
    ROLES,
    as_csv,
    as_records,
    ask,
    assert_same_forecast,
    covered,
    ragged,
    wave,
)
from serving.in_process import VERSION, Client, fit_baseline, make_client, make_forecaster

from tsattn import Forecaster
from tsattn.errors import DataWarning
from tsattn.serving.app import create_app
from tsattn.serving.engine import Engine


@pytest.fixture(scope="module")
def rich() -> Forecaster:
    return make_forecaster(covered(), **ROLES)


def test_covariates_of_every_kind(rich: Forecaster) -> None:
    client, frame = make_client(rich), covered()
    known = rich.predict(frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame, "sales")
    plain = frame.rename(columns={"shop": "unique_id", "time": "ds", "sales": "y"}).assign(more="x")
    assert_same_forecast(ask(client, as_csv(plain)), known, frame, "sales")
    history = frame[frame["time"] < HOURS[114]]
    ahead = frame[frame["time"] >= HOURS[114]][["shop", "time", "heat", "sky"]]
    body = {"records": as_records(history), "future": as_records(ahead)}
    answer = client.post("/v1/forecast", json=body).json()
    assert answer["notes"] == []
    assert_same_forecast(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    body["future"] = as_records(ahead.rename(columns={"shop": "unique_id", "time": "ds"}))
    assert client.post("/v1/forecast", json=body).json()["forecast"] == answer["forecast"]


def test_missing_covariates_have_notes(rich: Forecaster) -> None:
    client, frame = make_client(rich), covered()
    history = frame[frame["time"] < HOURS[114]]
    with pytest.warns(DataWarning, match="24 of 24") as caught:
        known = rich.predict(history)
    answer = client.post("/v1/forecast", json=as_records(history)).json()
    assert_same_forecast(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    assert len(answer["notes"]) == 1 and answer["notes"][0].endswith("means of the training data replace them")
    assert f"{answer['notes'][0]}: give all of them by future=" == str(caught[0].message)
    known = rich.predict(frame.assign(size=np.nan, kind=None))
    response = client.post("/v1/forecast", content=as_csv(frame.drop(columns=["size", "kind"])), headers=CSV)
    assert_same_forecast(pd.read_csv(io.StringIO(response.text)), known, frame, "sales")
    assert json.loads(response.headers["tsattn-notes"]) == ["'size', 'kind': missing, treated as unknown"]
    lacking = client.post("/v1/forecast", content=as_csv(frame.drop(columns="heat")), headers=CSV)
    assert lacking.status_code == 400
    assert lacking.json()["error"].startswith("the request: expected a column 'heat'")


def test_a_baseline_needs_no_covariates() -> None:
    frame = covered()
    forecaster = fit_baseline(frame, **ROLES)
    client, known = make_client(forecaster), forecaster.predict(frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame, "sales")
    history = frame[frame["time"] < HOURS[114]][["shop", "time", "sales"]]
    body = {"records": as_records(history), "future": [{"time": "2024-01-05", "heat": 1}]}
    answer = client.post("/v1/forecast", json=body).json()
    assert_same_forecast(pd.DataFrame(answer["forecast"]), known, frame, "sales")
    assert "is not used" in answer["notes"][0]


def test_get_returns_the_columns_and_an_example_that_can_be_forecast(rich: Forecaster) -> None:
    long = fit_baseline(ragged())
    description = make_client(long).get("/v1/forecast").json()
    assert (description["model"], description["version"], description["horizon"], description["frequency"]) == (
        "shop",
        VERSION,
        6,
        "h",
    )
    assert [column["name"] for column in description["columns"]] == ["unique_id", "ds", "y"]
    wide = pd.DataFrame({"V1": ["H1", "H2"], **{f"V{i}": [1.0 * i, 2.0] for i in range(2, 60)}})
    parts = pd.DataFrame({"year": np.repeat(range(1990, 2020), 4), "quarter": [1, 2, 3, 4] * 30, "y": wave(120)})
    zoned = pd.DataFrame({"ds": HOURS.tz_localize("Europe/Berlin"), "y": wave(120)})
    numbers = pd.DataFrame({"ds": np.arange(120), "y": wave(120)})
    seconds = pd.DataFrame({"ts": HOURS.as_unit("s").asi8, "y": wave(120)})
    made = [fit_baseline(frame) for frame in (wide, parts, zoned, numbers, numbers[["y"]])]
    made.append(fit_baseline(seconds, time="ts"))
    for forecaster in (long, rich, *made):
        client = make_client(forecaster)
        description = client.get("/v1/forecast").json()
        answer = client.post(
            "/v1/forecast", content=description["example"], headers={**CSV, "accept": "application/json"}
        )
        assert answer.status_code == 200, (answer.text, description["example"][:200])
        assert answer.json()["notes"] == []
        assert len({row["unique_id"] for row in answer.json()["forecast"]}) == (
            2 if description["columns"][0]["meaning"].startswith("id") else 1
        )
        assert all(np.isfinite(row["y"]) for row in answer.json()["forecast"])


def test_the_example_is_of_the_kind_of_the_training_data() -> None:
    frame = covered().assign(promo=lambda data: (np.arange(len(data)) % 4 == 0).astype(int))
    frame["sales"] = (10 * frame["sales"]).round()
    roles = {**ROLES, "future_covariates": ["heat", "sky", "promo"]}
    description = make_client(make_forecaster(frame, **roles)).get("/v1/forecast").json()
    example = pd.read_csv(io.StringIO(description["example"]))
    assert set(example["promo"]) == {0, 1} and 0.1 < example["promo"].mean() < 0.45
    assert set(example["sky"]) == {"sun", "rain"} and set(example["size"]) <= {3, 9}
    known = example["sales"].dropna()
    assert known.between(frame["sales"].min(), frame["sales"].max()).all() and (known == known.round()).all()
    assert known.std() > 0.2 * frame["sales"].std()
    assert example["heat"].between(frame["heat"].min(), frame["heat"].max()).all() and example["heat"].nunique() > 20


@pytest.mark.slow
def test_an_exported_network_in_the_whole_application(tmp_path: Path) -> None:
    training = {"epochs": 1, "steps_per_epoch": 2, "refit": False}
    with eager_training():
        network = Forecaster("seq2seq", 6, options={"units": 8}, training=training, **ROLES).fit(covered())
    network.save(tmp_path / "run")
    engine = Engine.open(tmp_path / "run")
    client, frame = Client(create_app(engine)), covered()
    try:
        assert_same_forecast(ask(client, as_csv(frame)), network.predict(frame), frame, "sales")
        description = client.get("/v1/forecast").json()
        assert (description["model"], description["version"]) == ("run", 1)
        assert client.post("/v1/forecast", content=description["example"], headers=CSV).status_code == 200
        refused = client.post("/v1/forecast", content="ds,y\n", headers=CSV)
        assert refused.status_code == 400 and list(refused.json()) == ["error"]
        assert client.get("/").status_code == 200
    finally:
        engine.close()
