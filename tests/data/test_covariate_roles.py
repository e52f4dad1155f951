"""Covariates: which columns are inferred, and their features in windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holidays
import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import Table
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.windows import WindowSpec, gather

DAYS = 40
AHEAD = 7


def shops(ahead: int = AHEAD) -> pd.DataFrame:
    """Six shops with promotions as future, visits as past, and kind and size as static covariates."""
    rng = np.random.default_rng(0)
    parts = []
    for number in range(6):
        steps = DAYS + number
        part = pd.DataFrame({"date": pd.date_range("2024-04-20", periods=steps + ahead)})
        part.insert(0, "shop", f"S{number}")
        part["sales"] = rng.normal(50, 5, len(part)).round(2)
        part["promo"] = rng.choice(["none", "leaflet", "radio"], len(part))
        part["visits"] = rng.normal(100, 5, len(part)).round(2)
        part["kind"] = ["mall", "street"][number % 2]
        part["size"] = 100.0 * (number // 2)
        part.loc[steps:, ["sales", "visits"]] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def roles(frame: pd.DataFrame, **given: Any) -> dict[str, Any]:
    schema = load(frame, DataConfig(target=("sales",), **given))[1]
    names = ("future_covariates", "past_covariates", "static_covariates", "categories")
    return {name: getattr(schema, name) for name in names if getattr(schema, name)}


def window(frame: pd.DataFrame, series: int, origin: int, **given: Any) -> tuple[dict[str, Any], Any]:
    panel, schema = load(frame, DataConfig(target=("sales",), horizon=AHEAD, **given))
    spec = WindowSpec.from_schema(schema, RunConfig(), 10)
    return gather(panel, spec, np.array([series]), np.array([origin])), spec


def test_unambiguous_covariates_are_inferred() -> None:
    categories = {"kind": ("mall", "street"), "promo": ("leaflet", "none", "radio")}
    expected = {"future_covariates": ("promo",), "static_covariates": ("kind", "size"), "categories": categories}
    assert roles(shops()) == expected
    panel, schema = load(shops(), DataConfig(target=("sales",)))
    assert panel.lengths.tolist() == [DAYS + number for number in range(6)]
    values = {setting.field: setting.value for setting in schema.inferred_settings}
    assert (values["future covariates"], values["static covariates"], values["left out"]) == (
        "promo",
        "kind, size",
        "visits",
    )


def test_a_new_shop_has_no_history_yet() -> None:
    data = shops()
    new = data[(data["shop"] == "S0") & data["sales"].isna()].assign(shop="S9")
    panel, schema = load(pd.concat([data, new]), DataConfig(target=("sales",)))
    assert schema.future_covariates == ("promo",) and panel.lengths[-1] == 0
    assert panel.future_times(6, 1)[0] == new["date"].iloc[0]


def test_a_missing_value_ahead_is_reported() -> None:
    data = shops()
    data.loc[data.index[-1], "promo"] = None
    schema = load(data)[1]
    assert (schema.targets, schema.future_covariates) == (("sales", "visits"), ("promo",))
    message = "'sales', 'visits' end before 'promo', which are read as known ahead; 1 value is missing in 'promo'"
    assert schema.notes[0].message.startswith(message)


def test_ambiguous_covariates_are_not_inferred() -> None:
    past = shops(0)
    late = past.copy()
    late.loc[late.index[-1], "sales"] = np.nan
    assert "future_covariates" not in roles(late), "a last value that came late proves nothing"
    mixed = shops().assign(sort=np.resize(["S", "38", "40"], len(shops())))
    assert "sort" not in roles(mixed)["future_covariates"], "neither numbers nor categories"
    empty = shops()
    empty.loc[empty["sales"].isna(), "promo"] = ""
    assert "future_covariates" not in roles(empty), "empty text is missing"
    assert "future_covariates" not in roles(past), "no column continues in a file that ends with its targets"
    gap = shops()
    gap.loc[gap.groupby("shop").cumcount(ascending=False) < 3, "promo"] = None
    assert "future_covariates" not in roles(gap), "too many of the future rows have no value"
    unique = past.assign(owner=past["shop"].str.lower())
    assert "owner" not in roles(unique)["static_covariates"], "no value occurs in two series"
    moved = past.assign(kind=past["kind"].where(past.index != 3, "street"))
    assert roles(moved)["static_covariates"] == ("size",)
    codes = shops().assign(promo=[f"code {number}" for number in range(len(shops()))])
    assert "future_covariates" not in roles(codes), "hundreds of values are no categories"
    one = past[past["shop"] == "S0"].drop(columns="shop")
    assert roles(one) == {}


def test_given_covariates_replace_inferred_ones() -> None:
    none = {"future_covariates": "none", "static_covariates": ()}
    assert roles(shops(), **none) == {}
    given = roles(shops(), future_covariates=("promo",), past_covariates=("visits",), static_covariates=("size",))
    assert given["past_covariates"] == ("visits",) and given["static_covariates"] == ("size",)
    assert roles(shops(), categories=("size",))["categories"]["size"] == ("0", "100", "200")


def test_targets_in_long_data() -> None:
    schema = load(shops())[1]
    assert schema.targets == ("sales", "visits") and schema.static_covariates == ("kind", "size")
    renamed = shops().drop(columns=["shop", "kind", "size"]).iloc[: DAYS + AHEAD]
    renamed = renamed.rename(columns={"sales": "y", "date": "ds"})
    assert load(renamed)[1].targets == ("y",), "as ds and y are the usual names"


def test_constant_series_are_still_forecast() -> None:
    frame = shops(0)[["shop", "date", "kind", "size"]]
    schema = load(frame)[1]
    assert schema.targets == ("size",) and schema.static_covariates == ("kind",)


def test_categories_become_indicators() -> None:
    data = shops()
    data.loc[3, "promo"] = None
    batch, spec = window(data, 1, 12, past_covariates=("visits",))
    assert spec.future_covariates == ("promo=leaflet", "promo=none", "promo=radio")
    assert spec.past_covariates == (*spec.future_covariates, "visits")
    rows = data[data["shop"] == "S1"].reset_index()
    expected = pd.get_dummies(rows["promo"]).to_numpy(float)
    np.testing.assert_array_equal(batch["future_covariates"][0], expected[12:19])
    np.testing.assert_array_equal(batch["past_covariates"][0, :, :3], expected[2:12])
    np.testing.assert_allclose(batch["past_covariates"][0, :, 3], rows["visits"][2:12], rtol=1e-6)
    empty, _ = window(data, 0, 5)
    assert empty["past_covariates"][0, 3].tolist() == [0, 0, 0], "an empty cell is none of them"
    gone, _ = window(data.drop(index=3), 0, 5)
    assert np.isnan(gone["past_covariates"][0, 3]).all(), "a missing row is missing values"


def test_static_covariates_are_numbers_or_the_number_of_a_category() -> None:
    data = shops()
    data.loc[data["shop"] == "S4", ["kind", "size"]] = [None, np.nan]
    panel, schema = load(data, DataConfig(target=("sales",), static_covariates=("kind", "size"), horizon=AHEAD))
    spec = WindowSpec.from_schema(schema, RunConfig(), 10)
    batch = gather(panel, spec, np.arange(6), np.full(6, 20))
    assert batch["static_kind"].tolist() == [1, 2, 1, 2, 0, 2] and batch["static_kind"].dtype == np.int32
    np.testing.assert_array_equal(batch["static_size"], np.array([0, 0, 100, 100, np.nan, 200], np.float32))
    again, _ = load(data.replace("street", "harbour"), schema=schema)
    assert gather(again, spec, np.arange(6), np.full(6, 20))["static_kind"].tolist() == [1, 0, 1, 0, 0, 0]


def test_static_covariates_with_one_row_per_series(tmp_path: Path) -> None:
    values = "\n".join(f"s{n},{'ab'[n % 2]},1,2,3,4,5,6" for n in range(4))
    (tmp_path / "rows.csv").write_text(f"id,sort,1,2,3,4,5,6\n{values}\n")
    panel, schema = load(tmp_path / "rows.csv", DataConfig(id="id", static_covariates=("sort",)))
    assert schema.layout == "rows" and panel.lengths.tolist() == [6] * 4
    assert panel.static[0].labels == ("a", "b") and panel.static[0].values.tolist() == [0, 1, 0, 1]


def test_static_covariates_with_names_that_graphs_do_not_accept() -> None:
    data = shops(0).rename(columns={"kind": "kind of shop", "size": "kind-of shop"})
    _, schema = load(data, DataConfig(target=("sales",)))
    spec = WindowSpec.from_schema(schema, RunConfig(), 10)
    assert [static.input for static in spec.static] == ["static_kind_of_shop", "static_kind_of_shop_1"]


def test_categories_that_were_not_trained_on_are_unknown() -> None:
    data = shops(0)
    data.loc[data["date"] >= "2024-05-25", "promo"] = "billboard"
    config = DataConfig(target=("sales",), past_covariates=("promo",), horizon=AHEAD)
    panel, schema = load(data, config)
    assert "billboard" in schema.categories["promo"]
    seen = restrict_to_training_categories(schema, panel, 14)
    assert seen.categories["promo"] == ("leaflet", "none", "radio") and seen.categories["kind"] == ("mall", "street")
    batch = gather(panel, WindowSpec.from_schema(seen, RunConfig(), 10), np.array([0]), np.array([DAYS]))
    assert (batch["past_covariates"][0, 5:] == 0).all() and (batch["past_covariates"][0, :5].sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("freq", "cycles", "expected"),
    [
        ("h", "hour_of_day", lambda at: np.sin(2 * np.pi * at.hour / 24)),
        ("10min", "minute_of_hour", lambda at: np.sin(2 * np.pi * at.minute / 60)),
        ("D", "day_of_week", lambda at: at.day_of_week == 0),
        ("D", "day_of_year", lambda at: np.sin(2 * np.pi * (at.day_of_year - 1) / np.where(at.is_leap_year, 366, 365))),
        ("D", "day_of_month", lambda at: np.sin(2 * np.pi * (at.day - 1) / at.days_in_month)),
        ("MS", "month_of_year", lambda at: at.month == 1),
    ],
)
def test_the_calendar(freq: str, cycles: str, expected: Any) -> None:
    timestamps = pd.date_range("2023-01-01", periods=60, freq=freq)
    frame = pd.DataFrame({"ds": timestamps, "y": np.arange(60.0)})
    panel, schema = load(frame, DataConfig(calendar=(cycles,), horizon=5))
    spec = WindowSpec.from_schema(schema, RunConfig(), 8)
    batch = gather(panel, spec, np.array([0]), np.array([60]))
    after = pd.date_range("2023-01-01", periods=65, freq=freq)
    np.testing.assert_allclose(batch["future_covariates"][0, :, 0], expected(after[60:]), atol=1e-6)
    np.testing.assert_allclose(batch["past_covariates"][0, :, 0], expected(after[52:60]), atol=1e-6)
    assert len(panel.series[0]) == 60 and spec.future_covariates[0].startswith(f"{cycles}=")


@pytest.mark.parametrize(
    ("freq", "steps", "found"),
    [
        ("h", 400, ("hour_of_day", "day_of_week")),
        ("h", 20_000, ("hour_of_day", "day_of_week", "day_of_month", "day_of_year")),
        ("15min", 100, ("minute_of_hour",)),
        ("D", 800, ("day_of_week", "day_of_month", "day_of_year")),
        ("W-SUN", 200, ("day_of_month", "day_of_year")),
        ("MS", 60, ("month_of_year",)),
        ("MS", 20, ()),
        ("YS", 60, ()),
    ],
)
def test_cycles_that_suit_the_data(freq: str, steps: int, found: tuple[str, ...]) -> None:
    timestamps = pd.date_range("2000-01-02", periods=steps, freq=freq)
    schema = load(pd.DataFrame({"ds": timestamps, "y": 1.0}), DataConfig(calendar=("auto",)))[1]
    assert schema.calendar == found


@pytest.mark.parametrize("freq", ["h", "D", "B", "W-SUN", "MS", "ME", "QS", "QE", "YS", "YE"])
def test_holidays_are_counted_in_each_step(freq: str) -> None:
    timestamps = pd.date_range("2022-12-20", periods=200 if freq == "h" else 30, freq=freq)
    panel, schema = load(pd.DataFrame({"ds": timestamps, "y": 1.0}), DataConfig(freq=freq, holidays="DE-BY", horizon=6))
    assert panel.covariates is not None and schema.holidays == "DE-BY"
    days = pd.Series(0.0, pd.date_range("2022-01-01", "2070-12-31"))
    days[pd.DatetimeIndex(sorted(holidays.Germany(subdiv="BY", years=range(2022, 2071))))] = 1
    after = pd.date_range(timestamps[0], periods=len(timestamps) + 6, freq=freq)
    expected = days[after.normalize()] if freq in ("h", "B") else days.resample(freq).sum()[after]
    assert expected.sum() > 0
    np.testing.assert_array_equal(panel.covariates.series.values[:, 0], expected)


def test_timestamps_with_a_time_zone_have_its_holidays() -> None:
    timestamps = pd.date_range("2024-12-24 12:00", periods=48, freq="h", tz="Europe/Berlin")
    panel, _ = load(pd.DataFrame({"ds": timestamps, "y": 1.0}), DataConfig(holidays="DE", horizon=2))
    assert panel.covariates is not None
    assert panel.covariates.series.values[:48, 0].tolist() == [float(at.day in (25, 26)) for at in timestamps]


def test_separate_future_covariates_may_be_categories() -> None:
    whole, schema = load(shops(), DataConfig(target=("sales",), horizon=AHEAD, calendar=("day_of_week",)))
    short, _ = load(shops(0), schema=schema)
    known = add_future_covariates(short, Table(shops()[["shop", "date", "promo"]]), schema)
    spec = WindowSpec.from_schema(schema, RunConfig(), 10)
    for name in ("future_covariates", "past_covariates"):
        one, other = (gather(panel, spec, np.arange(6), panel.lengths)[name] for panel in (whole, known))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "error", "parts"),
    [
        ({"static_covariates": ("visits",)}, DataError, ["row 1", "'visits'", "one value for the whole series"]),
        ({"future_covariates": ("sales",)}, ConfigError, ["'sales'", "a target"]),
        ({"categories": ("visits",)}, ConfigError, ["'visits'", "no covariate"]),
        ({"holidays": "utils"}, ConfigError, ["'utils'"]),
        ({"static_covariates": ("kind",), "past_covariates": ("kind",)}, ConfigError, ["'kind'", "static"]),
        ({"past_covariates": ("date",)}, DataError, ["'date'"]),
        ({"categories": ("colour",)}, DataError, ["categories=", "'colour'"]),
        ({"calendar": ("week",)}, ConfigError, ["'week'", "day_of_week", "auto"]),
        ({"holidays": "Bavaria"}, ConfigError, ["'Bavaria'", "DE-BY"]),
        ({"holidays": "DE-XX"}, ConfigError, ["'DE-XX'"]),
        ({"past_covariates": ("visits",), "categories": ("visits",)}, DataError, ["'visits'", "at most 100", "got 2"]),
    ],
)
def test_invalid_covariates(given: dict[str, Any], error: type[Exception], parts: list[str]) -> None:
    with pytest.raises(error) as caught:
        load(shops(0), DataConfig(target=("sales",), **given))
    assert [part for part in parts if part not in str(caught.value)] == [], caught.value
    assert "\n" not in str(caught.value)


def test_two_features_of_one_name() -> None:
    frame = shops().rename(columns={"visits": "holiday"})
    with pytest.raises(ConfigError, match="got 'holiday' twice"):
        load(frame, DataConfig(target=("sales",), past_covariates=("holiday",), holidays="DE"))
    with pytest.raises(DataError, match="expected a column with numbers to forecast"):
        load(shops()[["shop", "date", "sales"]].rename(columns={"sales": "y"}), DataConfig(future_covariates=("y",)))


def test_given_covariates_do_not_identify_series() -> None:
    frame = pd.concat([shops(0).assign(item=item) for item in "abc"])
    frame["rebate"] = np.random.default_rng(0).choice(["none", "10 %", "20 %"], len(frame))
    schema = load(frame, DataConfig(target=("sales",), future_covariates=("rebate",)))[1]
    assert set(schema.id) == {"shop", "item"} and schema.future_covariates == ("rebate",)


def test_covariates_are_averaged_where_targets_are_summed() -> None:
    timestamps = pd.date_range("2024-01-01", periods=90, freq="20min")
    frame = pd.DataFrame({"ds": timestamps, "y": 1.0, "price": 5.0, "promo": np.resize(["a", "b", "b"], 90)})
    panel, _ = load(frame, DataConfig(freq="h", resample="sum", past_covariates=("price", "promo"), target=("y",)))
    assert panel.covariates is not None and panel.values[3].tolist() == [3]
    np.testing.assert_allclose(panel.covariates.series.values[3], [5, 1 / 3, 2 / 3], rtol=1e-6)


def test_other_columns_may_have_any_type() -> None:
    frame = shops(0).assign(tags=[["a", "b"]] * len(shops(0)), took=pd.Timedelta("3h"))
    frame["level"] = pd.Categorical([None if n % 7 == 0 else n % 3 for n in range(len(frame))])
    assert roles(frame) == roles(shops(0))


@pytest.mark.parametrize(
    ("freq", "season", "steps", "given", "found"),
    [
        ("h", 24, 2400, {"context": 96}, ("hour_of_day",)),
        ("15min", 96, 9600, {"context": 96}, ("hour_of_day",)),
        ("D", 7, 700, {"context": 14}, ("day_of_week",)),
        # This cycle alone determines neither hours nor days.
        ("h", 168, 17_000, {"context": 96}, ()),
        ("h", 24, 2399, {"context": 96}, ()),
        ("h", 24, 2400, {"context": 288}, ()),
        ("h", 24, 2400, {}, ()),
        ("h", 24, 2400, {"context": 96, "calendar": "none"}, ()),
        ("h", 24, 2400, {"context": 96, "calendar": "day_of_week"}, ("day_of_week",)),
    ],
)
def test_a_short_context_on_long_series_gets_the_cycle_of_its_season(
    freq: str, season: int, steps: int, given: dict[str, Any], found: tuple[str, ...]
) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2001-01-01", periods=steps, freq=freq), "y": 1.0})
    config = DataConfig(season=season, horizon=5, **given)
    schema = load(frame, config)[1]
    assert schema.calendar == found
    settings = {setting.field: setting for setting in schema.inferred_settings}
    if found and "calendar" not in given:
        assert not settings["calendar"].given and "does not determine the phase" in settings["calendar"].reason
        steps_alone = load(frame.drop(columns="ds"), config)[1]
        assert steps_alone.calendar == (), "there is no calendar without dates"


def test_steps_without_dates_have_no_calendar() -> None:
    with pytest.raises(ConfigError, match="need timestamps that are dates"):
        load(pd.DataFrame({"y": np.arange(50.0)}), DataConfig(calendar=("auto",), holidays="DE"))
