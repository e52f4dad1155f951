"""Covariates in panels and windows: against what stands in the frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.data.prediction_inputs import know_ahead
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.panel import covariate_statistics
from tsattn.timeseries.window_spec import FUTURE_COVARIATES, LENGTH, PAST, PAST_COVARIATES, WindowSpec
from tsattn.timeseries.windows import gather

GIVEN = DataConfig(target=("y",), future_covariates=("price",), past_covariates=("visits",), freq="D")
SPEC = WindowSpec(6, 4, ("y",), past_covariates=("price", "visits"), future_covariates=("price",))


def frame(ahead: int = 4) -> pd.DataFrame:
    """Two series of 20 and 12 days; the prices of some days after them are known; gaps in everything."""
    rng = np.random.default_rng(0)
    parts = []
    for name, steps in (("a", 20), ("b", 12)):
        stamps = pd.date_range("2024-05-01", periods=steps + ahead)
        part = pd.DataFrame({"unique_id": name, "ds": stamps, "y": 1.0, "price": 1.0, "visits": 1.0})
        part[["y", "price", "visits"]] = rng.normal(size=(steps + ahead, 3)).round(3)
        part.loc[steps:, ["y", "visits"]] = np.nan
        part.loc[3, ["y", "price"]] = np.nan
        parts.append(part.drop(index=5))
    return pd.concat(parts, ignore_index=True)


def test_series_end_with_their_last_value_and_know_what_comes() -> None:
    panel, schema = load(frame(), GIVEN)
    assert panel.targets == ("y",) and panel.lengths.tolist() == [20, 12]
    assert panel.covariates is not None and panel.covariates.lengths.tolist() == [24, 16]
    assert [d.value for d in schema.decisions if d.field.startswith("known")] == ["price", "visits"]
    reason = next(d.reason for d in schema.decisions if d.field == "freq")
    assert "2 of 40 steps have no row" in reason, "rows that are known ahead are no gaps"
    again, _ = load(frame(), schema=schema)
    np.testing.assert_array_equal(again.covariates.values, panel.covariates.values)


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


def test_cut_series_take_their_features_along() -> None:
    panel, _ = load(frame(), GIVEN)
    tail = panel.tail(6)
    for origin, whole in ((6, (20, 12)), (2, (16, 8))):
        one = gather(tail, SPEC, np.array([0, 1]), np.array([origin, origin]), most=np.array([2, 2]))
        other = gather(panel, SPEC, np.array([0, 1]), np.array(whole), most=np.array([2, 2]))
        for name in (PAST_COVARIATES, FUTURE_COVARIATES):
            np.testing.assert_array_equal(one[name], other[name])
    kept = panel.cut(np.zeros(2, np.int64), np.array([0, 12])).without_empty()
    assert kept.ids == ("b",)
    both = [gather(p, SPEC, np.array([s]), np.array([12]))[FUTURE_COVARIATES] for p, s in ((kept, 0), (panel, 1))]
    np.testing.assert_array_equal(*both)


def test_what_is_known_ahead_may_come_later_in_any_order() -> None:
    whole, schema = load(frame(), GIVEN)
    short, _ = load(frame(0), GIVEN)
    rows = frame()[["ds", "unique_id", "price"]].sample(frac=1, random_state=0)
    known = know_ahead(short, rows, schema, "the frame")
    spec = WindowSpec(6, 4, ("y",), past_covariates=("price", "visits"), future_covariates=("price",))
    for panel in (short, known):
        batch = gather(panel, spec, np.array([0, 1]), panel.lengths)
        expected = gather(whole, spec, np.array([0, 1]), whole.lengths)[FUTURE_COVARIATES]
        if panel is short:
            assert np.isnan(batch[FUTURE_COVARIATES]).all()
        else:
            np.testing.assert_array_equal(batch[FUTURE_COVARIATES], expected)
    with pytest.raises(DataError, match="'c' are none of them"):
        know_ahead(short, rows.replace({"unique_id": {"b": "c"}}), schema, "the frame")
    with pytest.raises(DataError, match="expected a column 'price'"):
        know_ahead(short, rows.drop(columns="price"), schema, "the frame")


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
        ({"future_covariates": ("rent",)}, ["--future-covariates", "'rent'"]),
        ({"future_covariates": ("price",), "past_covariates": ("price",)}, ["'price'", "target"]),
        ({"future_covariates": ("y",), "target": ("y",)}, ["'y'", "target"]),
    ],
)
def test_columns_that_cannot_be_covariates(given: dict[str, Any], parts: list[str], tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        load(frame(), DataConfig(**given))
    assert [part for part in parts if part not in str(caught.value)] == []
    (tmp_path / "m.csv").write_text("name,a,b,c\nx,1,2,3\ny,1,2,3\n")
    with pytest.raises(DataError, match="each series is a row"):
        load(tmp_path / "m.csv", DataConfig(future_covariates=("c",)))
