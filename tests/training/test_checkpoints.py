"""Interrupted trainings continue with the same result, and a loss that is not finite lowers the learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import eager_training
from numpy_reference import Array

from tsattn.errors import RunError, TsattnError
from tsattn.models import resolve_options
from tsattn.models.architecture import ArchitectureInputs, ArchitectureOutputs
from tsattn.models.forecast_model import ForecastGraph, window_inputs
from tsattn.models.options import NetworkOptions
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import Windows, WindowSpec
from tsattn.training.checkpoints import Checkpoint, Checkpoints, TrainingState
from tsattn.training.defaults import TrainingPlan
from tsattn.training.trainer import RATE_FACTOR, History, train

SPEC = WindowSpec(context=4, horizon=2, targets=("y",))
PLAN = TrainingPlan(epochs=3, batch_size=4, steps_per_epoch=1)


class Linear:
    """An architecture of one layer and dropout, whose random state is part of a training."""

    def __init__(self) -> None:
        self._dropout = keras.layers.Dropout(0.5)
        self._dense = keras.layers.Dense(SPEC.horizon * len(SPEC.levels))

    def __call__(self, inputs: ArchitectureInputs, target: Any = None) -> ArchitectureOutputs:
        outputs = self._dense(self._dropout(inputs.values[:, :, 0]))
        return ArchitectureOutputs(keras.ops.reshape(outputs, (-1, SPEC.horizon, 1, len(SPEC.levels))))


class Interrupted(Exception):
    """A simulated end of the process."""


class At(keras.callbacks.Callback):
    """Calls a function at the first batch of some epochs, once each."""

    def __init__(self, epochs: dict[int, Any]) -> None:
        super().__init__()
        self._epochs = dict(epochs)
        self.rates: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        action = self._epochs.pop(self.epoch, None)
        if action is not None:
            action(self.model)


def interrupt(model: keras.Model) -> None:
    raise Interrupted


def diverge(model: keras.Model) -> None:
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, np.nan))


def run(checkpoint: Checkpoint | None, epochs: dict[int, Any] | None = None) -> tuple[History, list[Array], At]:
    """Train a small network with dropout and return its history and its weights."""
    rng = np.random.default_rng(0)
    values = (10 + rng.normal(size=(30, 1))).astype("float32")
    panel = Panel(RaggedArray(values, np.array([0, 30])), ("a",), ("y",), np.zeros(1, "int64"), Grid("D", "2024-01-01"))
    keras.utils.set_random_seed(1)
    options = resolve_options({"name": "attention_pooling"})[1]
    assert isinstance(options, NetworkOptions)
    graph = ForecastGraph(window_inputs(SPEC), SPEC, options, [Linear()])
    at = At(epochs or {})
    with eager_training():
        history = train(
            graph,
            Windows.for_training(panel.drop_last(6), SPEC, 4),
            PLAN,
            learning_rate=0.01,
            patience=9,
            seed=0,
            scales=np.ones((1, 1), "float32"),
            validation=Windows.in_last_steps(panel, SPEC, 6),
            callbacks=[at],
            checkpoint=checkpoint,
        )
    return history, graph.inference().get_weights(), at


@pytest.fixture(scope="module")
def undisturbed() -> tuple[History, list[Array], At]:
    return run(None)


def assert_same(result: tuple[History, list[Array], At], known: tuple[History, list[Array], At]) -> None:
    assert result[0] == known[0]
    for weight, other in zip(result[1], known[1], strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize("epoch", [1, *(pytest.param(epoch, marks=pytest.mark.slow) for epoch in (0, 2))])
def test_a_training_that_is_killed_continues_with_the_same_result(
    epoch: int, undisturbed: tuple[History, list[Array], At], tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "state.npz")
    with pytest.raises(Interrupted):
        run(checkpoint, {epoch: interrupt})
    result = run(checkpoint)
    assert len(result[2].rates) == PLAN.epochs - epoch, "finished epochs are not repeated"
    assert_same(result, undisturbed)
    again = run(checkpoint)
    assert again[2].rates == [], "a finished training is not repeated"
    assert_same(again, undisturbed)


STATE = TrainingState(
    2, [np.arange(5.0), np.ones((2, 3), "int32")], [np.zeros(4)], (2.0, 1.5), (3.0, float("nan")), 3.0, 1, (1,)
)


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    Checkpoint(path).write(STATE)
    found = Checkpoint(path).read()
    assert found is not None and str(found) == str(STATE)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:200] + b"\0" * 50 + whole[250:]):
        path.write_bytes(damaged)
        assert Checkpoint(path).read() is None


def test_a_loss_that_is_not_finite_repeats_the_epoch_with_a_lower_rate() -> None:
    history, weights, at = run(None, {1: diverge})
    # The weights diverge at the end of the second epoch, and the loss of the third one is not finite.
    lower = 0.01 * RATE_FACTOR
    assert at.rates == pytest.approx([0.01, 0.01, 0.01, lower, lower])
    assert history.lowered == (2,) and len(history.loss) == 3 and np.isfinite(history.loss).all()
    assert all(np.isfinite(weight).all() for weight in weights)
    assert "epoch 2" in (history.summary() or "")


@pytest.mark.slow
def test_a_loss_that_is_never_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(At, "on_train_batch_end", lambda self, batch, logs=None: diverge(self.model))
    with pytest.raises(TsattnError, match=r"diverged in epoch 1.*learning_rate"):
        run(None)


def test_the_states_are_those_of_one_training(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints.stored()
    checkpoints.of("data", "options").write(STATE)
    assert checkpoints.stored()
    with pytest.raises(RunError, match="other data or options"):
        Checkpoints(tmp_path, resume=True).of("data", "other options")
    assert Checkpoints(tmp_path, resume=True).of("data", "options").read() is not None
    assert Checkpoints(tmp_path).of("data", "options").read() is None, "without resume it begins again"
