"""The forecast API reads every layout and time format as `Forecaster.predict` does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from serving.forecast_data import CSV, HOURS, as_csv, as_records, ask, assert_same_forecast, wave
from serving.in_process import assert_close, fit_baseline, make_client


def test_two_targets_in_wide_or_long_format() -> None:
    frame = pd.DataFrame({"ds": HOURS, "a": wave(120), "b": wave(120, 7)})
    forecaster = fit_baseline(frame)
    client, known = make_client(forecaster), forecaster.predict(frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame, "a")
    below = frame.melt("ds", var_name="unique_id", value_name="y").sample(frac=1, random_state=1)
    assert_same_forecast(ask(client, as_csv(below)), known, frame, "a")
    lacking = client.post("/v1/forecast", content=as_csv(below[below["unique_id"] == "a"]), headers=CSV)
    assert lacking.status_code == 400 and "expected the channels 'a', 'b'" in lacking.json()["error"]
    twice = client.post("/v1/forecast", content=as_csv(pd.concat([below, below])), headers=CSV)
    assert twice.status_code == 400 and "expected unique timestamps in channel" in twice.json()["error"]


def test_one_series_needs_no_id_and_several_do() -> None:
    frame = pd.DataFrame({"Month": HOURS, "load": wave(120)})
    forecaster = fit_baseline(frame)
    client, known = make_client(forecaster), forecaster.predict(frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame, "load")
    plain = frame.set_axis(["ds", "y"], axis=1)
    assert_same_forecast(ask(client, as_csv(plain)), known, frame, "load")
    both = pd.concat([plain.assign(unique_id="p"), plain.assign(unique_id="q", y=2 * plain["y"])])
    answer = ask(client, as_csv(both))
    assert list(answer["unique_id"]) == ["p"] * 6 + ["q"] * 6
    assert_close(answer["y"][:6], known["load"], 10)
    twice = client.post("/v1/forecast", content=as_csv(both.drop(columns="unique_id")), headers=CSV)
    assert twice.status_code == 400 and "expected each timestamp once" in twice.json()["error"]
    assert "--" not in twice.json()["error"]


def test_one_row_per_series_and_one_row_per_step() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"V1": ["H1", "H2", "H3"], **{f"V{i}": rng.normal(50, 9, 3).round(2) for i in range(2, 60)}})
    wide.iloc[1, 40:] = np.nan
    forecaster = fit_baseline(wide)
    client, known = make_client(forecaster), forecaster.predict(wide)
    assert forecaster.schema_.layout == "rows"
    assert_same_forecast(ask(client, as_csv(wide)), known, wide, "V2")
    long = wide.melt("V1", value_name="y", var_name="step").dropna()
    long = long.assign(unique_id=long["V1"], ds=long["step"].str[1:].astype(int) - 2)[["unique_id", "ds", "y"]]
    shuffled = long.sample(frac=1, random_state=0).sort_values("unique_id", kind="stable")
    assert_same_forecast(ask(client, as_csv(shuffled)), known, wide, "V2")
    assert_same_forecast(ask(client, as_csv(long.drop(columns="ds"))), known, wide, "V2")
    dated = client.post("/v1/forecast", json=[{"unique_id": "a", "ds": "2020-01-01", "y": 1.5}]).json()
    assert dated["forecast"][0]["ds"] == 1 and "'ds' is not used" in dated["notes"][0]


def test_one_row_per_year() -> None:
    months = [*"JFMAMJJASOND"]
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    assert len(months) == 12
    table = pd.DataFrame(wave(120).reshape(10, 12), columns=names)
    table.insert(0, "Year", range(1990, 2000))
    forecaster = fit_baseline(table)
    client, known = make_client(forecaster), forecaster.predict(table)
    assert forecaster.schema_.layout == "months"
    assert_same_forecast(ask(client, as_csv(table)), known, table, "Jan")
    plain = pd.DataFrame({"ds": pd.date_range("1990-01-01", periods=120, freq="MS"), "y": wave(120)})
    assert_same_forecast(ask(client, as_csv(plain)), known, table, "Jan")


def test_integer_timestamps_and_none() -> None:
    frame = pd.DataFrame({"ds": np.arange(100, 220), "y": wave(120)})
    forecaster = fit_baseline(frame, freq="1")
    answer = make_client(forecaster).post("/v1/forecast", json=as_records(frame)).json()
    assert [row["ds"] for row in answer["forecast"]] == list(range(220, 226))
    assert_same_forecast(pd.DataFrame(answer["forecast"]), forecaster.predict(frame), frame)
    bare = frame[["y"]]
    forecaster = fit_baseline(bare)
    client, known = make_client(forecaster), forecaster.predict(bare)
    assert_same_forecast(ask(client, as_csv(bare)), known, bare)
    assert_same_forecast(ask(client, as_csv(bare.assign(ds=range(120)).iloc[::-1])), known, bare)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_time_zones(zone: str) -> None:
    times = pd.date_range("2024-10-24", periods=120, freq="h", tz=zone)
    frame = pd.DataFrame({"ds": times, "y": wave(120)})
    forecaster = fit_baseline(frame)
    client, known = make_client(forecaster), forecaster.predict(frame)
    answer = client.post("/v1/forecast", json=[{"ds": s.isoformat(), "y": y} for s, y in frame.to_numpy()]).json()
    assert answer["forecast"][0]["ds"] == known["ds"][0].isoformat()
    assert_same_forecast(pd.DataFrame(answer["forecast"]), known, frame)
    assert_same_forecast(ask(client, as_csv(frame)), known, frame)
    utc = [{"ds": s.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"), "y": y} for s, y in frame.to_numpy()]
    assert client.post("/v1/forecast", json=utc).json()["forecast"] == answer["forecast"]
    bare = client.post("/v1/forecast", json=[{"ds": "2024-10-24T01:00", "y": 1}])
    assert bare.status_code == 400 and f"expected timestamps with {zone}" in bare.json()["error"]


def test_other_time_formats_and_iso_dates_instead() -> None:
    days = pd.date_range("2024-01-10", periods=120, freq="D")
    written = pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "y": wave(120)})
    forecaster = fit_baseline(written)
    assert "%" in forecaster.schema_.time_format
    client, known = make_client(forecaster), forecaster.predict(written)
    plain = pd.DataFrame({"ds": days, "y": wave(120)})
    for frame in (written, plain, plain.rename(columns={"ds": "day"})):
        assert_same_forecast(ask(client, as_csv(frame)), known, written)
        rows = as_records(frame)
        assert_same_forecast(pd.DataFrame(client.post("/v1/forecast", json=rows).json()["forecast"]), known, written)
    parts = pd.DataFrame({"year": np.repeat(range(1990, 2020), 4), "quarter": [1, 2, 3, 4] * 30, "y": wave(120)})
    forecaster = fit_baseline(parts)
    assert forecaster.schema_.time_format == "year+quarter"
    client, known = make_client(forecaster), forecaster.predict(parts)
    assert_same_forecast(ask(client, as_csv(parts)), known, parts)
    plain = pd.DataFrame({"ds": pd.date_range("1990-01-01", periods=120, freq="QS"), "y": wave(120)})
    assert_same_forecast(ask(client, as_csv(plain)), known, parts)
