"""Training with a time limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster

pytestmark = pytest.mark.usefixtures("eager_training")


def fitted(**training: Any) -> Forecaster:
    """A small network on a wave."""
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120), "y": np.sin(np.arange(120.0))})
    return Forecaster("tcn", horizon=5, options={"units": 4}, training={"steps_per_epoch": 3, **training}).fit(frame)


def test_it_stops_at_a_batch_and_is_validated() -> None:
    short = fitted(epochs=50, patience=50, refit=False, max_seconds=1e-6)
    assert short.history_ is not None and len(short.history_.loss) == 1
    expected = "The time limit ended the training in epoch 1; the weights after epoch 1 are used. "
    assert str(short.history_.summary()).startswith(expected)
    assert np.isfinite(short.history_.val_loss).all() and np.isfinite(short.predict()["y"]).all()


@pytest.mark.slow
def test_the_time_limit_includes_the_final_training(limits: list[float]) -> None:
    history = fitted(epochs=2, patience=50, max_seconds=600.0).history_
    assert history is not None and len(history.loss) == 2 and history.summary() is None
    first, last = limits
    assert first == pytest.approx(400) and 200 < last < 600, "the final training gets the rest of the time"
