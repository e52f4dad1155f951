"""Which columns are forecast, which are not, and the notes on their series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.timeseries.schema import Schema

DAYS = pd.date_range("2021-01-01", periods=120)
RNG = np.random.default_rng(0)
SALES = RNG.normal(100, 10, 120).round(1)


def daily(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"date": DAYS, **columns, "sales": SALES})


def reasons(schema: Schema) -> str:
    return next((setting.reason for setting in schema.inferred_settings if setting.field == "left out"), "")


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("record", 500 + np.arange(120), "numbers the rows"),
        ("depot", np.full(120, 7.0), "holds one value"),
        ("open", np.arange(120) % 7 > 0, ""),
        ("promo", (np.arange(120) % 7 > 0).astype(int), "is a flag of 0 and 1"),
        ("lat", 50 + RNG.random(120), "is a coordinate"),
        ("season", np.arange(120) // 40, "counts the calendar"),
        ("years_since", np.array(DAYS.month) - 1, "counts the calendar"),
        ("dow", np.array(DAYS.dayofweek) + 1, ""),
    ],
)
def test_columns_that_are_no_targets_unless_asked_for(name: str, values: Any, reason: str) -> None:
    frame = daily(**{name: values})
    schema = load(frame)[1]
    assert schema.targets == ("sales",) and reason in reasons(schema)
    assert load(frame.assign(**{name: frame[name].astype(float)}), DataConfig(target=(name,)))[1].targets == (name,)


def test_a_column_is_forecast_if_no_better_one_remains() -> None:
    flags = pd.DataFrame({"date": DAYS, "open": np.arange(120) % 2})
    assert load(flags)[1].targets == ("open",)
    counter = pd.DataFrame({"date": DAYS, "total": 1000 + np.arange(120)})
    assert load(counter)[1].targets == ("total",)


def test_numbers_with_one_value_per_series_are_static() -> None:
    parts = [daily(shop=f"S{n}", lat=50.0 + n, opened=1990 + n).assign(sales=SALES + n) for n in range(3)]
    schema = load(pd.concat(parts))[1]
    assert (schema.targets, schema.static_covariates) == (("sales",), ("lat", "opened"))


def test_columns_that_end_first_are_the_targets() -> None:
    frame = daily(price=RNG.random(120), promo=np.arange(120) % 2)
    frame.loc[106:, "sales"] = np.nan
    panel, schema = load(frame)
    assert (schema.targets, schema.future_covariates) == (("sales",), ("price", "promo"))
    assert (schema.horizon, panel.lengths.tolist()) == (14, [106])
    assert schema.notes[0].message == "'sales' end before 'price', 'promo', which are read as known ahead"
    assert load(frame, DataConfig(future_covariates=()))[1].targets == ("price", "sales")


def test_one_of_many_channels_that_ends_early_is_noted() -> None:
    frame = daily(**{name: RNG.random(120) for name in "abcd"})
    frame.loc[112:, "b"] = np.nan
    schema = load(frame)[1]
    assert schema.targets == ("a", "b", "c", "d", "sales") and "'b' by 8 steps" in schema.notes[0].message


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (DAYS[DAYS.dayofweek != 6], "on Sunday; 2 of 14 steps"),
        (pd.date_range("2021-03-01", periods=960, freq="h"), "from 21:00 to 08:00; 22 of 48 steps"),
    ],
)
def test_times_without_any_value_are_noted(times: pd.DatetimeIndex, expected: str) -> None:
    if len(times) == 960:
        times = times[(times.hour >= 8) & (times.hour <= 20)]
    schema = load(pd.DataFrame({"ds": times, "y": np.arange(len(times)) % 11}))[1]
    assert f"there is never a value {expected}" in schema.notes[0].message


def test_series_of_another_frequency_are_named() -> None:
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    frame = pd.concat(
        [
            pd.DataFrame({"unique_id": "m", "ds": months, "y": np.arange(60) % 7}),
            pd.DataFrame({"unique_id": "q", "ds": months[::3], "y": np.arange(20) % 7}),
        ]
    )
    notes = [note.message for note in load(frame)[1].notes]
    assert notes == ["steps of 'QS' in series 'q' are on the grid of 'MS', with missing values between"]
