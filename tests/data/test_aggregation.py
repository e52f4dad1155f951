"""Aggregation of the rows of a step, compared with pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError

RNG = np.random.default_rng(3)


def long_frame() -> pd.DataFrame:
    """Two daily series of two targets with repeated and missing timestamps; some values are missing."""
    timestamps = pd.Timestamp("2024-02-20") + pd.to_timedelta(RNG.integers(0, 30, 80), unit="D")
    values = RNG.normal(size=(80, 2)).round(2)
    values[::7, 0] = np.nan
    id = np.where(RNG.random(80) < 0.5, "a", "b")
    return pd.DataFrame({"unique_id": id, "ds": timestamps, "p": values[:, 0], "q": values[:, 1]})


@pytest.mark.parametrize("how", ["mean", "sum", "last"])
def test_rows_with_the_same_timestamp_are_aggregated(how: Any) -> None:
    frame = long_frame()
    panel, schema = load(frame, DataConfig(on_duplicate=how, freq="D"))
    grouped = frame.groupby(["unique_id", "ds"])
    expected = grouped.sum(min_count=1) if how == "sum" else grouped.agg(how)
    for index, id in enumerate(panel.ids):
        known = expected.loc[id].asfreq("D")
        np.testing.assert_allclose(panel.series[index], known.to_numpy(), rtol=1e-6, atol=1e-6)
        assert list(panel.times(index)) == list(known.index)
    setting = next(setting for setting in schema.inferred_settings if setting.field == "on_duplicate")
    assert setting.value == how and str(frame.duplicated(["unique_id", "ds"]).sum()) in setting.reason
    again, _ = load(frame, schema=schema)
    np.testing.assert_array_equal(again.values, panel.values)


@pytest.mark.parametrize("freq", ["h", "6h", "D", "W-SUN", "MS", "ME", "QS"])
@pytest.mark.parametrize("how", ["mean", "sum", "last"])
def test_rows_of_a_step_are_aggregated(freq: str, how: Any) -> None:
    timestamps = pd.Timestamp("2024-01-03 05:17") + pd.to_timedelta(
        np.sort(RNG.integers(0, 400 * 86400, 900)), unit="s"
    )
    series = pd.Series(RNG.normal(size=900), index=timestamps)
    panel, _ = load(pd.DataFrame({"ds": timestamps, "y": series.to_numpy()}), DataConfig(freq=freq, resample=how))
    # Weeks begin at their timestamp here, as all steps do; those of pandas end there.
    grouped = series.resample(freq, **({"closed": "left", "label": "left"} if freq.startswith("W") else {}))
    known = grouped.sum(min_count=1) if how == "sum" else getattr(grouped, how)()
    np.testing.assert_allclose(panel.values[:, 0], known, rtol=1e-5, atol=1e-6)
    assert list(panel.times(0)) == list(known.index)


def test_irregular_timestamps_are_resampled_to_a_usual_step_and_it_is_reported() -> None:
    timestamps = pd.Timestamp("2024-03-01 10:03:11") + pd.to_timedelta(np.cumsum(RNG.exponential(420, 600)), unit="s")
    series = pd.Series(np.arange(600.0), index=timestamps)
    panel, schema = load(series.rename("y").rename_axis("ds").reset_index())
    assert schema.resample == "mean" and schema.freq in ("5min", "10min")
    known = series.resample(schema.freq).mean()
    np.testing.assert_allclose(panel.values[:, 0], known, rtol=1e-6)
    reason = next(setting.reason for setting in schema.inferred_settings if setting.field == "freq")
    assert "irregular" in reason and "the rows" in reason and "aggregated by mean" in reason
    newer = series.tail(50).rename("y").rename_axis("ds").reset_index()
    fresh, _ = load(newer, schema=schema)
    np.testing.assert_allclose(fresh.values[1:, 0], known.tail(len(fresh.values) - 1), rtol=1e-6)


def test_timestamps_with_jitter_keep_their_steps() -> None:
    exact = pd.date_range("2024-03-01", periods=500, freq="5min", tz="Europe/Berlin")
    late = pd.to_timedelta(RNG.normal(0, 4, 500).round(1), unit="s")
    frame = pd.DataFrame({"ds": exact + late, "y": np.arange(500.0)})
    panel, schema = load(frame)
    assert schema.freq == "5min" and list(panel.times(0)) == list(exact)
    np.testing.assert_array_equal(panel.values[:, 0], frame["y"])


def test_one_timestamp_off_the_grid_is_a_mistake_unless_resampled(tmp_path: Path) -> None:
    timestamps = [*pd.date_range("2024-01-01", periods=20), pd.Timestamp("2024-01-05 09:00")]
    frame = pd.DataFrame({"ds": timestamps, "y": 1.0})
    with pytest.raises(DataError, match=r"is between two of them: .*freq= or .*resample="):
        load(frame)
    panel, _ = load(frame, DataConfig(resample="sum", freq="D"))
    assert panel.values[4, 0] == 2 and panel.values.sum() == 21
