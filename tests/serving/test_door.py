"""The friendlier door answers what `Forecaster.predict` says, whatever form the rows come in."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from serving.door_help import VERSION, Client, client_of, fitted, near

from tsattn import Forecaster
from tsattn.errors import DataWarning

HOURS = pd.date_range("2024-01-01", periods=120, freq="h")
CSV = {"content-type": "text/csv"}


def wave(steps: int, level: float = 100.0) -> np.ndarray:
    step = np.arange(steps)
    return np.round(level + 10 * np.sin(2 * np.pi * step / 24) + np.cos(step), 3)


def ragged() -> pd.DataFrame:
    """Three series of different lengths and scales, with gaps, the rows of which are not in order."""
    parts = []
    for name, steps, level in (("a", 120, 100.0), ("b/c", 70, 5000.0), ("ü", 31, 0.1)):
        parts.append(pd.DataFrame({"unique_id": name, "ds": HOURS[:steps], "y": wave(steps, level)}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[::17, "y"] = np.nan
    return frame.drop(index=range(40, 50)).sample(frac=1, random_state=0).reset_index(drop=True)


def covered(steps: int = 120) -> pd.DataFrame:
    """Two series with covariates of every kind; the targets end before what is known ahead."""
    parts = []
    for name, size in (("north", 3.0), ("south", 9.0)):
        heat, visits = wave(steps, 20), wave(steps, 7)
        part = pd.DataFrame({"shop": name, "time": HOURS[:steps], "sales": wave(steps, 50) + heat, "heat": heat})
        part = part.assign(sky=np.where(heat > 20, "sun", "rain"), visits=visits, size=size, kind=name[:1])
        part.loc[steps - 6 :, ["sales", "visits"]] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


ROLES: dict[str, Any] = {
    "target": "sales",
    "id": "shop",
    "future_covariates": ["heat", "sky"],
    "past_covariates": "visits",
    "static_covariates": ["size", "kind"],
    "calendar": ["hour_of_day", "day_of_week"],
}


@pytest.fixture(scope="module")
def long() -> Forecaster:
    return fitted(ragged())


@pytest.fixture(scope="module")
def client(long: Forecaster) -> Client:
    return client_of(long)


@pytest.fixture(scope="module")
def rich() -> Forecaster:
    return fitted(covered(), **ROLES)


def as_csv(frame: pd.DataFrame, **options: Any) -> bytes:
    return frame.to_csv(index=False, **options).encode()


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    assert text is not None
    return json.loads(text)


def ask(client: Client, body: bytes, **headers: str) -> pd.DataFrame:
    answer = client.post("/v1/forecast", content=body, headers={**CSV, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return pd.read_csv(io.StringIO(answer.text))


def same(answer: pd.DataFrame, known: pd.DataFrame, frame: pd.DataFrame, target: str = "y") -> None:
    """Check an answer against `predict`, to 1e-5 of the spread of the data."""
    assert list(answer.columns) == list(known.columns)
    assert list(answer["unique_id"].astype(str)) == list(known["unique_id"])
    if pd.api.types.is_datetime64_any_dtype(known["ds"]):
        pd.testing.assert_index_equal(
            pd.DatetimeIndex(pd.to_datetime(answer["ds"], utc=True)).as_unit("us"),
            pd.DatetimeIndex(pd.to_datetime(known["ds"], utc=True)).as_unit("us"),
            check_names=False,
        )
    else:
        assert list(answer["ds"]) == list(known["ds"])
    near(answer.iloc[:, 2:], known.iloc[:, 2:], float(np.nanstd(frame[target])))


def test_ragged_csv_with_gaps_in_any_order(long: Forecaster, client: Client) -> None:
    same(ask(client, as_csv(ragged())), long.predict(ragged()), ragged())


def test_records_are_answered_as_records(long: Forecaster, client: Client) -> None:
    known = long.predict(ragged())
    for body in (as_records(ragged()), {"records": as_records(ragged()), "version": VERSION}):
        answer = client.post("/v1/forecast", json=body).json()
        assert (answer["model"], answer["version"], answer["notes"]) == ("shop", VERSION, [])
        assert list(answer["forecast"][0]) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
        same(pd.DataFrame(answer["forecast"]), known, ragged())


def test_accept_decides_what_comes_back(client: Client) -> None:
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
def test_a_body_without_a_type_tells_itself(client: Client, kind: str) -> None:
    for body, given in ((as_csv(ragged()), "csv"), (b" \n" + json.dumps(as_records(ragged())).encode(), "json")):
        answer = client.post("/v1/forecast", content=body, headers={"content-type": kind} if kind else {})
        assert answer.status_code == 200 and given in answer.headers["content-type"]


def test_csv_in_any_form(long: Forecaster, client: Client) -> None:
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
        same(ask(client, body), known, frame)
    same(ask(client, gzip.compress(table.encode()), **{"content-encoding": "gzip"}), known, frame)


def test_two_targets_side_by_side_or_below_one_another() -> None:
    frame = pd.DataFrame({"ds": HOURS, "a": wave(120), "b": wave(120, 7)})
    forecaster = fitted(frame)
    client, known = client_of(forecaster), forecaster.predict(frame)
    same(ask(client, as_csv(frame)), known, frame, "a")
    below = frame.melt("ds", var_name="unique_id", value_name="y").sample(frac=1, random_state=1)
    same(ask(client, as_csv(below)), known, frame, "a")
    lacking = client.post("/v1/forecast", content=as_csv(below[below["unique_id"] == "a"]), headers=CSV)
    assert lacking.status_code == 400 and "expected the channels 'a', 'b'" in lacking.json()["error"]
    twice = client.post("/v1/forecast", content=as_csv(pd.concat([below, below])), headers=CSV)
    assert twice.status_code == 400 and "stands there twice" in twice.json()["error"]


def test_one_series_needs_no_id_and_several_are_told_apart_by_one() -> None:
    frame = pd.DataFrame({"Month": HOURS, "load": wave(120)})
    forecaster = fitted(frame)
    client, known = client_of(forecaster), forecaster.predict(frame)
    same(ask(client, as_csv(frame)), known, frame, "load")
    plain = frame.set_axis(["ds", "y"], axis=1)
    same(ask(client, as_csv(plain)), known, frame, "load")
    both = pd.concat([plain.assign(unique_id="p"), plain.assign(unique_id="q", y=2 * plain["y"])])
    answer = ask(client, as_csv(both))
    assert list(answer["unique_id"]) == ["p"] * 6 + ["q"] * 6
    near(answer["y"][:6], known["y"], 10)
    twice = client.post("/v1/forecast", content=as_csv(both.drop(columns="unique_id")), headers=CSV)
    assert twice.status_code == 400 and "expected each stamp once" in twice.json()["error"]
    assert "--" not in twice.json()["error"]


def test_long_data_without_an_id_are_one_series(long: Forecaster, client: Client) -> None:
    one = ragged().query("unique_id == 'a'")
    answer = ask(client, as_csv(one.drop(columns="unique_id")))
    near(answer["y"], long.predict(one)["y"], 10)
    assert set(answer["unique_id"]) == {"y"}


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


def test_a_series_a_row_and_a_row_a_step() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"V1": ["H1", "H2", "H3"], **{f"V{i}": rng.normal(50, 9, 3).round(2) for i in range(2, 60)}})
    wide.iloc[1, 40:] = np.nan
    forecaster = fitted(wide)
    client, known = client_of(forecaster), forecaster.predict(wide)
    assert forecaster.schema_.layout == "rows"
    same(ask(client, as_csv(wide)), known, wide, "V2")
    long = wide.melt("V1", value_name="y", var_name="step").dropna()
    long = long.assign(unique_id=long["V1"], ds=long["step"].str[1:].astype(int) - 2)[["unique_id", "ds", "y"]]
    shuffled = long.sample(frac=1, random_state=0).sort_values("unique_id", kind="stable")
    same(ask(client, as_csv(shuffled)), known, wide, "V2")
    same(ask(client, as_csv(long.drop(columns="ds"))), known, wide, "V2")
    dated = client.post("/v1/forecast", json=[{"unique_id": "a", "ds": "2020-01-01", "y": 1.5}]).json()
    assert dated["forecast"][0]["ds"] == 1 and "'ds' is not used" in dated["notes"][0]


def test_a_year_a_row() -> None:
    months = [*"JFMAMJJASOND"]
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    assert len(months) == 12
    table = pd.DataFrame(wave(120).reshape(10, 12), columns=names)
    table.insert(0, "Year", range(1990, 2000))
    forecaster = fitted(table)
    client, known = client_of(forecaster), forecaster.predict(table)
    assert forecaster.schema_.layout == "months"
    same(ask(client, as_csv(table)), known, table, "Jan")
    plain = pd.DataFrame({"ds": pd.date_range("1990-01-01", periods=120, freq="MS"), "y": wave(120)})
    same(ask(client, as_csv(plain)), known, table, "Jan")


def test_integer_stamps_and_steps_without_stamps() -> None:
    frame = pd.DataFrame({"ds": np.arange(100, 220), "y": wave(120)})
    forecaster = fitted(frame, freq="1")
    answer = client_of(forecaster).post("/v1/forecast", json=as_records(frame)).json()
    assert [row["ds"] for row in answer["forecast"]] == list(range(220, 226))
    same(pd.DataFrame(answer["forecast"]), forecaster.predict(frame), frame)
    bare = frame[["y"]]
    forecaster = fitted(bare)
    client, known = client_of(forecaster), forecaster.predict(bare)
    same(ask(client, as_csv(bare)), known, bare)
    same(ask(client, as_csv(bare.assign(ds=range(120)).iloc[::-1])), known, bare)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_time_zones(zone: str) -> None:
    stamps = pd.date_range("2024-10-24", periods=120, freq="h", tz=zone)
    frame = pd.DataFrame({"ds": stamps, "y": wave(120)})
    forecaster = fitted(frame)
    client, known = client_of(forecaster), forecaster.predict(frame)
    answer = client.post("/v1/forecast", json=[{"ds": s.isoformat(), "y": y} for s, y in frame.to_numpy()]).json()
    assert answer["forecast"][0]["ds"] == known["ds"][0].isoformat()
    same(pd.DataFrame(answer["forecast"]), known, frame)
    same(ask(client, as_csv(frame)), known, frame)
    utc = [{"ds": s.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"), "y": y} for s, y in frame.to_numpy()]
    assert client.post("/v1/forecast", json=utc).json()["forecast"] == answer["forecast"]
    bare = client.post("/v1/forecast", json=[{"ds": "2024-10-24T01:00", "y": 1}])
    assert bare.status_code == 400 and f"expected stamps with {zone}" in bare.json()["error"]


def test_other_forms_of_stamps_and_iso_dates_instead() -> None:
    days = pd.date_range("2024-01-10", periods=120, freq="D")
    written = pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "y": wave(120)})
    forecaster = fitted(written)
    assert "%" in forecaster.schema_.time_format
    client, known = client_of(forecaster), forecaster.predict(written)
    plain = pd.DataFrame({"ds": days, "y": wave(120)})
    for frame in (written, plain, plain.rename(columns={"ds": "day"})):
        same(ask(client, as_csv(frame)), known, written)
        rows = as_records(frame)
        same(pd.DataFrame(client.post("/v1/forecast", json=rows).json()["forecast"]), known, written)
    parts = pd.DataFrame({"year": np.repeat(range(1990, 2020), 4), "quarter": [1, 2, 3, 4] * 30, "y": wave(120)})
    forecaster = fitted(parts)
    assert forecaster.schema_.time_format == "parts"
    client, known = client_of(forecaster), forecaster.predict(parts)
    same(ask(client, as_csv(parts)), known, parts)
    plain = pd.DataFrame({"ds": pd.date_range("1990-01-01", periods=120, freq="QS"), "y": wave(120)})
    same(ask(client, as_csv(plain)), known, parts)


def test_the_end_of_the_history_comes_back_where_it_is_asked_for(client: Client) -> None:
    answer = client.post("/v1/forecast?history=5", json=as_records(ragged())).json()
    found = pd.DataFrame(answer["history"])
    known = ragged().sort_values("ds", kind="stable")
    assert (found.groupby("unique_id").size() == 5).all()
    last = known[known["unique_id"] == "ü"].iloc[-1]
    assert found.iloc[-1]["ds"] == last["ds"].isoformat()
    assert "history" not in client.post("/v1/forecast", json=as_records(ragged())).json()


def test_many_series_are_run_in_parts() -> None:
    frame = pd.DataFrame({"unique_id": np.repeat(np.arange(700), 3), "ds": [*HOURS[:3]] * 700, "y": wave(2100)})
    forecaster = fitted(ragged())
    client = client_of(forecaster)
    known = forecaster.predict(frame)
    same(ask(client, as_csv(frame)), known, frame)
    assert client.app.state.engine.most_rows == 256


def test_get_tells_what_to_send_and_its_example_is_answered(long: Forecaster, rich: Forecaster, client: Client) -> None:
    told = client.get("/v1/forecast").json()
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


def test_versions(client: Client) -> None:
    body = as_csv(ragged())
    assert client.post(f"/v1/forecast?version={VERSION}", content=body, headers=CSV).status_code == 200
    assert client.post("/v1/forecast?version=8", content=body, headers=CSV).status_code == 404
    assert client.get("/v1/forecast?version=8").status_code == 404
    for version in ("-1", "x", "1e3", "9" * 30, "٣"):
        assert client.post("/v1/forecast", params={"version": version}, content=body, headers=CSV).status_code == 400
