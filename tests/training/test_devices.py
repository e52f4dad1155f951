"""Training on several devices, among which Keras divides each batch, gives the weights of one device."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from on_jax import Arrays, run_on_jax

STEPS = 50
BATCH = 64


def train(arrays: Arrays) -> Arrays:
    """Train a small network; return its weights and the number of devices that hold them."""
    import jax
    import keras

    from tsattn import Forecaster

    if jax.device_count() > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    days = pd.date_range("2024-01-01", periods=arrays["values"].shape[1])
    frame = pd.concat(
        pd.DataFrame({"unique_id": number, "ds": days, "y": values}) for number, values in enumerate(arrays["values"])
    )
    training = {"epochs": 1, "steps_per_epoch": STEPS, "batch_size": BATCH, "refit": False}
    options = {"units": 8, "dropout": 0.0, "copy_dropout": 0.0}
    forecaster = Forecaster("seq2seq", horizon=7, context=28, options=options, training=training).fit(frame)
    weights = forecaster.fitted_.model.weights
    devices = weights[0].value.sharding.device_set
    return {"devices": np.array(len(devices)), "weights": np.concatenate([np.ravel(weight) for weight in weights])}


@pytest.mark.slow
def test_three_devices_train_as_one() -> None:
    # Neither the batches nor the validation windows are a multiple of three.
    rng = np.random.default_rng(0)
    season = np.sin(np.arange(300) * 2 * np.pi / 7)
    values = np.stack([10 + number + season + rng.normal(0, 0.3, 300) for number in range(5)])
    one, three = (run_on_jax(__file__, "train", {"values": values}, devices) for devices in (1, 3))
    assert (one["devices"], three["devices"]) == (1, 3)
    np.testing.assert_allclose(three["weights"], one["weights"], rtol=1e-5, atol=1e-6)
