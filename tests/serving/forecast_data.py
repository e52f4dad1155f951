"""Data for tests of the forecast API, and the comparison of its forecasts."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
from serving.in_process import Client, assert_close

HOURS = pd.date_range("2024-01-01", periods=120, freq="h")
CSV = {"content-type": "text/csv"}
ROLES: dict[str, Any] = {
    "target": "sales",
    "id": "shop",
    "future_covariates": ["heat", "sky"],
    "past_covariates": "visits",
    "static_covariates": ["size", "kind"],
    "calendar": ["hour_of_day", "day_of_week"],
}


def wave(steps: int, level: float = 100.0) -> np.ndarray:
    step = np.arange(steps)
    return np.round(level + 10 * np.sin(2 * np.pi * step / 24) + np.cos(step), 3)


def ragged() -> pd.DataFrame:
    """Three series of different lengths and scales, with gaps and with rows in random order."""
    parts = []
    for name, steps, level in (("a", 120, 100.0), ("b/c", 70, 5000.0), ("ü", 31, 0.1)):
        parts.append(pd.DataFrame({"unique_id": name, "ds": HOURS[:steps], "y": wave(steps, level)}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[::17, "y"] = np.nan
    return frame.drop(index=range(40, 50)).sample(frac=1, random_state=0).reset_index(drop=True)


def covered(steps: int = 120) -> pd.DataFrame:
    """Two series with covariates of every kind; the targets end before the future covariates."""
    parts = []
    for name, size in (("north", 3.0), ("south", 9.0)):
        heat, visits = wave(steps, 20), wave(steps, 7)
        part = pd.DataFrame({"shop": name, "time": HOURS[:steps], "sales": wave(steps, 50) + heat, "heat": heat})
        part = part.assign(sky=np.where(heat > 20, "sun", "rain"), visits=visits, size=size, kind=name[:1])
        part.loc[steps - 6 :, ["sales", "visits"]] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


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


def assert_same_forecast(answer: pd.DataFrame, known: pd.DataFrame, frame: pd.DataFrame, target: str = "y") -> None:
    """Compare a forecast with that of `predict`, to 1e-5 of the standard deviation of the data."""
    known = known.set_axis(answer.columns, axis=1)  # answers have the standard names
    assert list(answer.columns[:3]) == ["unique_id", "ds", "y"]
    assert list(answer["unique_id"].astype(str)) == list(known["unique_id"])
    if pd.api.types.is_datetime64_any_dtype(known["ds"]):
        pd.testing.assert_index_equal(
            pd.DatetimeIndex(pd.to_datetime(answer["ds"], utc=True)).as_unit("us"),
            pd.DatetimeIndex(pd.to_datetime(known["ds"], utc=True)).as_unit("us"),
            check_names=False,
        )
    else:
        assert list(answer["ds"]) == list(known["ds"])
    assert_close(answer.iloc[:, 2:], known.iloc[:, 2:], float(np.nanstd(frame[target])))
