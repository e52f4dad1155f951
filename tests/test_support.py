"""Targets that are not negative, or are counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster, forecast
from tsattn.data.loader import load
from tsattn.errors import DataError

QUICK = {"epochs": 1, "steps_per_epoch": 2, "refit": False}


def sales(seed: int = 0) -> pd.DataFrame:
    """Small daily counts, often 0."""
    pieces = np.random.default_rng(seed).poisson(0.7, 200)
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=200), "sold": pieces})


@pytest.mark.usefixtures("eager_training", "without_export")
@pytest.mark.parametrize("model", ["naive", pytest.param("seq2seq", marks=pytest.mark.slow)])
def test_forecasts_are_within_the_domain(model: str, tmp_path: Path) -> None:
    options = {"units": 4} if model == "seq2seq" else None
    training = QUICK if model == "seq2seq" else None
    made = {}
    for support in ("real", "positive", "count"):
        forecaster = Forecaster(model, 14, season=7, support=support, options=options, training=training)
        made[support] = forecaster.fit(sales()).predict()[["sold-lo-80", "sold", "sold-hi-80"]].to_numpy()
    assert made["real"].min() < 0, "without a domain the lower bound is negative here"
    np.testing.assert_allclose(made["positive"], np.maximum(made["real"], 0), atol=1e-5)
    np.testing.assert_array_equal(made["count"], np.round(made["positive"]))
    forecaster.save(tmp_path / "run")
    again = Forecaster.load(tmp_path / "run")
    assert again.support == "count"
    np.testing.assert_array_equal(again.predict()[["sold-lo-80", "sold", "sold-hi-80"]].to_numpy(), made["count"])


@pytest.mark.parametrize(("support", "value"), [("positive", -1.0), ("count", -1.0), ("count", 0.5)])
def test_data_outside_the_domain_are_rejected(support: str, value: float) -> None:
    data = sales().astype({"sold": float})
    data.loc[7, "sold"] = value
    with pytest.raises(DataError, match=rf"support={support} means .* Received: {value:g} in 'sold' at 2024-01-08"):
        Forecaster("naive", 7, support=support).fit(data)


def test_the_domain_is_inferred_and_reported() -> None:
    lower = forecast(sales(), 14, levels=(0.01, 0.5, 0.99))["sold-lo-98"]
    assert lower.min() == 0
    assert forecast(sales(), 14, levels=(0.01, 0.5, 0.99), support="real")["sold-lo-98"].min() < 0
    (setting,) = [setting for setting in load(sales())[1].inferred_settings if setting.field == "support"]
    assert setting.value == "positive" and not setting.given and "'sold'" in setting.reason


@pytest.mark.parametrize("shift", [50, -1])
def test_the_domain_of_values_far_from_0_or_below_it_is_all_numbers(shift: int) -> None:
    assert load(sales().assign(sold=sales()["sold"] + shift))[1].support == "real"
