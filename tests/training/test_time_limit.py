"""Training with a time limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster


def test_it_stops_at_a_batch_and_is_validated() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120), "y": np.sin(np.arange(120.0))})
    options = {"epochs": 50, "steps_per_epoch": 3, "patience": 50, "refit": False}
    short = Forecaster("tcn", horizon=5, options={"units": 4}, training={**options, "max_seconds": 1e-6}).fit(frame)
    assert short.history_ is not None and len(short.history_.loss) == 1
    expected = "The time limit ended the training in epoch 1; the weights after epoch 1 are used. "
    assert str(short.history_.summary()).startswith(expected)
    assert np.isfinite(short.history_.val_loss).all() and np.isfinite(short.predict()["y"]).all()
    whole = Forecaster("tcn", horizon=5, options={"units": 4}, training={**options, "epochs": 2, "max_seconds": 600.0})
    history = whole.fit(frame).history_
    assert history is not None and len(history.loss) == 2 and history.summary() is None


def test_the_time_limit_includes_the_final_training(limits: list[float]) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120), "y": np.sin(np.arange(120.0))})
    training = {"epochs": 2, "steps_per_epoch": 3, "max_seconds": 600.0}
    Forecaster("tcn", horizon=5, options={"units": 4}, training=training).fit(frame)
    first, last = limits
    assert first == pytest.approx(400) and 200 < last < 600, "the final training gets the rest of the time"
