"""Training on several devices or processes, among which Keras divides each batch, gives the weights of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from on_jax import Arrays, run_on_jax

STEPS = 50
BATCH = 64


def train(arrays: Arrays) -> Arrays:
    """Train a small network on one and on all devices; return its weights and the number of devices that hold them."""
    import keras

    one = train_once(arrays)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return {**{f"one {name}": x for name, x in one.items()}, **train_once(arrays)}


def train_once(arrays: Arrays) -> Arrays:
    from tsattn import Forecaster

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
    made = run_on_jax(__file__, "train", {"values": values}, devices=3)
    assert (made["one devices"], made["devices"]) == (1, 3)
    np.testing.assert_allclose(made["weights"], made["one weights"], rtol=1e-5, atol=1e-6)


DEAD = 9
EPOCH_STEPS = 10


def train_epochs(arrays: Arrays) -> Arrays:
    """Train a small network of one layer and dropout; a process may end in the fourth epoch."""
    import keras
    from training.test_checkpoints import SPEC, Linear

    from tsattn.errors import RunError
    from tsattn.models import resolve_options
    from tsattn.models.forecast_model import ForecastGraph, window_inputs
    from tsattn.timeseries.grid import Grid
    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.ragged import RaggedArray
    from tsattn.timeseries.windows import Windows
    from tsattn.training.batches import process_errors
    from tsattn.training.checkpoints import Checkpoint
    from tsattn.training.defaults import TrainingPlan
    from tsattn.training.trainer import train

    class Dies(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            if batch == 2 and self.model.optimizer.iterations > 3 * EPOCH_STEPS and arrays["dies"] == process:
                os._exit(DEAD)

    process = int(os.environ["KERAS_DISTRIBUTION_PROCESS_ID"])
    values = arrays["values"].astype("float32")
    offsets = np.arange(len(values) + 1) * values.shape[1]
    ids, starts = tuple(map(str, range(len(values)))), np.zeros(len(values), "int64")
    panel = Panel(RaggedArray(values.reshape(-1, 1), offsets), ids, ("y",), starts, Grid("D", "2024-01-01"))
    keras.utils.set_random_seed(1)
    graph = ForecastGraph(window_inputs(SPEC), SPEC, resolve_options({"name": "attention_pooling"})[1], [Linear()])
    try:
        with process_errors():
            history = train(
                graph,
                Windows.for_training(panel.drop_last(6), SPEC, 4),
                TrainingPlan(STEPS // EPOCH_STEPS, BATCH, EPOCH_STEPS),
                learning_rate=0.01,
                patience=9,
                seed=0,
                scales=np.ones((len(values), 1), "float32"),
                validation=Windows.in_last_steps(panel, SPEC, 6),
                callbacks=[Dies()],
                checkpoint=Checkpoint(Path(str(arrays["folder"])) / "state.npz"),
            )
    except RunError as error:
        assert arrays["dies"] >= 0 and "start all of them again" in str(error.hints)
        os._exit(0)  # without waiting for the connections of JAX to time out
    return {
        "losses": np.array(history.loss),
        "weights": np.concatenate(list(map(np.ravel, graph.inference().get_weights()))),
    }


@pytest.mark.slow
def test_several_processes_train_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = 10 + np.sin(np.arange(100) * 2 * np.pi / 7) + rng.normal(0, 0.3, (5, 100))

    def run(processes: int, name: str, *, dies: int = -1) -> Arrays:
        """Train in several processes with a folder for the checkpoint; one of them may end early."""
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        arrays = {"values": values, "folder": np.array(str(folder)), "dies": np.array(dies)}
        codes = [DEAD if number == dies else 0 for number in range(processes)]
        return run_on_jax(__file__, "train_epochs", arrays, processes=processes, codes=codes)

    one = run(1, "one")
    # Neither the batches nor the validation windows are a multiple of three. One of three dies, and all start again.
    assert run(3, "three", dies=1) == {}
    assert (tmp_path / "three" / "state.npz").exists()
    three = run(3, "three")
    np.testing.assert_allclose(three["weights"], one["weights"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(three["losses"], one["losses"], rtol=1e-6)
