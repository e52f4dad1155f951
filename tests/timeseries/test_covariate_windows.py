"""Covariates in panels and windows against the frame that they were read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import Table
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.panel import covariate_statistics
from tsattn.timeseries.windows import FUTURE_COVARIATES, LENGTH, PAST, PAST_COVARIATES, WindowSpec, gather

GIVEN = DataConfig(target=("y",), future_covariates=("price",), past_covariates=("visits",), freq="D")
SPEC = WindowSpec(6, 4, ("y",), past_covariates=("price", "visits"), future_covariates=("price",))


def frame(ahead: int = 4) -> pd.DataFrame:
    """Return two series of 20 and 12 days with prices of some days after them and gaps in all columns."""
    rng = np.random.default_rng(0)
    parts = []
    for name, steps in (("a", 20), ("b", 12)):
        times = pd.date_range("2024-05-01", periods=steps + ahead)
        part = pd.DataFrame({"unique_id": name, "ds": times, "y": 1.0, "price": 1.0, "visits": 1.0})
        part[["y", "price", "visits"]] = rng.normal(size=(steps + ahead, 3)).round(3)
        part.loc[steps:, ["y", "visits"]] = np.nan
        part.loc[3, ["y", "price"]] = np.nan
        parts.append(part.drop(index=5))
    return pd.concat(parts, ignore_index=True)


def test_series_end_with_their_last_value_and_have_future_covariates() -> None:
    panel, schema = load(frame(), GIVEN)
    assert panel.targets == ("y",) and panel.lengths.tolist() == [20, 12]
    assert panel.covariates is not None and panel.covariates.series.lengths.tolist() == [24, 16]
    settings = {setting.field: setting.value for setting in schema.inferred_settings}
    assert (settings["future covariates"], settings["past covariates"]) == ("price", "visits")
    reason = next(setting.reason for setting in schema.inferred_settings if setting.field == "freq")
    assert "2 of 40 steps have no row" in reason, "rows of future covariates are not gaps"
    again, _ = load(frame(), schema=schema)
    np.testing.assert_array_equal(again.covariates.series.values, panel.covariates.series.values)


def test_windows_hold_the_features_of_their_steps() -> None:
    data = frame()
    panel, _ = load(data, GIVEN)
    for series, origin in ((0, 9), (0, 20), (1, 12), (1, 3)):
        batch = gather(panel, SPEC, np.array([series]), np.array([origin]))
        rows = data[data["unique_id"] == panel.ids[series]].set_index("ds")[["price", "visits"]].asfreq("D").to_numpy()
        length = int(batch[LENGTH][0])
        assert length == min(origin, 6)
        np.testing.assert_allclose(batch[PAST_COVARIATES][0, :length], rows[origin - length : origin], rtol=1e-6)
        assert np.isnan(batch[PAST_COVARIATES][0, length:]).all()
        np.testing.assert_allclose(batch[FUTURE_COVARIATES][0], rows[origin : origin + 4, :1], rtol=1e-6)
        assert batch[PAST].shape == (1, 6, 1)


def test_sliced_series_have_the_features_of_their_steps() -> None:
    panel, _ = load(frame(), GIVEN)
    tail = panel.tail(6)
    for origin, whole in ((6, (20, 12)), (2, (16, 8))):
        one = gather(tail, SPEC, np.array([0, 1]), np.array([origin, origin]), max_length=np.array([2, 2]))
        other = gather(panel, SPEC, np.array([0, 1]), np.array(whole), max_length=np.array([2, 2]))
        for name in (PAST_COVARIATES, FUTURE_COVARIATES):
            np.testing.assert_array_equal(one[name], other[name])
    rest = panel.slice(0, np.array([0, 12])).drop_empty()
    assert rest.ids == ("b",)
    both = [gather(p, SPEC, np.array([s]), np.array([12]))[FUTURE_COVARIATES] for p, s in ((rest, 0), (panel, 1))]
    np.testing.assert_array_equal(*both)


def test_future_covariates_may_be_added_in_any_order() -> None:
    whole, schema = load(frame(), GIVEN)
    short, _ = load(frame(0), GIVEN)
    rows = frame()[["ds", "unique_id", "price"]].sample(frac=1, random_state=0)
    known = add_future_covariates(short, Table(rows), schema)
    spec = WindowSpec(6, 4, ("y",), past_covariates=("price", "visits"), future_covariates=("price",))
    for panel in (short, known):
        batch = gather(panel, spec, np.array([0, 1]), panel.lengths)
        expected = gather(whole, spec, np.array([0, 1]), whole.lengths)[FUTURE_COVARIATES]
        if panel is short:
            assert np.isnan(batch[FUTURE_COVARIATES]).all()
        else:
            np.testing.assert_array_equal(batch[FUTURE_COVARIATES], expected)
    with pytest.raises(DataError, match="expected the series of the history, got 'c'"):
        add_future_covariates(short, Table(rows.replace({"unique_id": {"b": "c"}})), schema)
    with pytest.raises(DataError, match="expected a column 'price'"):
        add_future_covariates(short, Table(rows.drop(columns="price")), schema)


def test_statistics_are_those_of_the_history() -> None:
    data = frame()
    data.loc[data["y"].isna() & data["visits"].isna(), "price"] += 1e6
    panel, _ = load(data, GIVEN)
    mean, spread = covariate_statistics(panel, ("price", "visits"))
    ends = {"a": pd.Timestamp("2024-05-20"), "b": pd.Timestamp("2024-05-12")}
    history = data[data["ds"] <= data["unique_id"].map(ends)]
    np.testing.assert_allclose(mean, history[["price", "visits"]].mean(), rtol=1e-4)
    np.testing.assert_allclose(spread, history[["price", "visits"]].std(ddof=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"future_covariates": ("rent",)}, ["future_covariates", "'rent'"]),
        ({"future_covariates": ("price",), "past_covariates": ("price",)}, ["'price'", "target"]),
        ({"future_covariates": ("y",), "target": ("y",)}, ["'y'", "target"]),
    ],
)
def test_columns_that_cannot_be_covariates(given: dict[str, Any], parts: list[str], tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        load(frame(), DataConfig(**given))
    assert [part for part in parts if part not in str(caught.value)] == []
    (tmp_path / "m.csv").write_text("name,a,b,c\nx,1,2,3\ny,1,2,3\n")
    with pytest.raises(DataError, match="got one row per series"):
        load(tmp_path / "m.csv", DataConfig(future_covariates=("c",)))
