"""The training of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import keras

from tsattn.config import Loss
from tsattn.errors import TsattnError
from tsattn.models.forecast_model import ForecastGraph
from tsattn.timeseries.panel import Floats
from tsattn.timeseries.windows import Windows
from tsattn.training.batches import OrderedWindows, ShuffledWindows
from tsattn.training.defaults import Plan
from tsattn.training.losses import training_model


@dataclass(frozen=True)
class History:
    """How a training went.

    Args:
        loss: loss in training of each epoch, the mean over all levels; each series in units of its spread.
        validation: loss of the forecast, half its absolute or half its squared error, on the validation windows; empty
            where there were none.
        chosen: number of epochs after which the weights were best, counted from 1; 0 where those that it started from
            were kept.
        cut: whether the time for it was over within the last epoch.
    """

    loss: tuple[float, ...]
    validation: tuple[float, ...]
    chosen: int
    cut: bool = False

    def sentence(self) -> str | None:
        """Return one sentence on a training whose time was over, else None."""
        if not self.cut:
            return None
        count = len(self.loss)
        kept = f", and the weights after epoch {self.chosen} are kept" if self.chosen else ""
        return f"The time for the training was over in epoch {count}{kept}: with more of it, it may come out better."


def train(
    graph: ForecastGraph,
    windows: Windows,
    plan: Plan,
    learning_rate: float,
    patience: int,
    seed: int,
    scales: Floats,
    *,
    loss: Loss = "pinball",
    validation: Windows | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    keep_start: bool = False,
) -> History:
    """Train the weights of a graph in place and leave the best ones in it.

    Args:
        graph: the forecaster.
        windows: what is trained on.
        plan: sizes of the training.
        learning_rate: step size of Adam.
        patience: epochs without a better validation error before it stops.
        seed: seed of the order of the windows.
        scales: what errors of each series are divided by, [series, targets].
        loss: what the forecast is trained for.
        validation: windows that decide when to stop; without them all epochs of the plan are trained.
        callbacks: further Keras callbacks, such as a progress bar.
        keep_start: whether the weights that it starts from stay where no epoch makes them better on the validation.

    Raises:
        TsattnError: the loss is no longer a number.
    """
    model = training_model(graph, loss)
    # Averaging the weights over about half an epoch stands in for a falling learning rate, and needs no last epoch.
    optimizer = keras.optimizers.Adam(
        learning_rate, clipnorm=1.0, use_ema=True, ema_momentum=1 - 2 / max(plan.steps, 4)
    )
    # Measured on two cores: XLA makes these recurrent steps slower (75 ms against 55 ms) and doubles the start.
    model.compile(optimizer, jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
    # TensorFlow traces the step a second time if the first trace made the optimizer's variables.
    optimizer.build(model.trainable_variables)
    # Its place matters: the callbacks behind it see the averaged weights at the end of an epoch.
    averaging = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    batches = ShuffledWindows(
        windows,
        plan.batch_size,
        plan.steps,
        seed,
        scales,
        graph.lookbacks,
        balanced=plan.balanced,
        short=plan.short,
        shortest=plan.shortest,
    )
    turning = keras.callbacks.LambdaCallback(on_epoch_begin=batches.begin_epoch)
    used = [keras.callbacks.TerminateOnNaN(), turning, averaging, *callbacks]
    if validation is not None:
        used.append(keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min", restore_best_weights=True))
    held_out = None if validation is None else OrderedWindows(validation, plan.batch_size, scales)
    start, before = None, math.inf
    if keep_start and held_out is not None:
        start = model.get_weights()
        before = float(model.evaluate(held_out, verbose=0, return_dict=True)["loss"])
    result = model.fit(
        batches,
        epochs=plan.epochs,
        validation_data=held_out,
        callbacks=used,
        shuffle=False,
        verbose=0,
    ).history
    trained, losses = result["loss"], result.get("val_loss", [])
    if not math.isfinite(trained[-1]):
        raise TsattnError(f"the training diverged in epoch {len(trained)}: set a lower training.learning_rate")
    known = [value if math.isfinite(value) else math.inf for value in losses]
    if start is not None and before <= min(known):
        model.set_weights(start)
        return History(tuple(trained), tuple(losses), 0)
    return History(tuple(trained), tuple(losses), known.index(min(known)) + 1 if known else len(trained))


class Deadline(keras.callbacks.Callback):
    """Stops a training at the first batch behind so many seconds; what was trained of the epoch is validated.

    Args:
        seconds: from the beginning of the training, tracing included.

    Attributes:
        over: whether the time was over before the training was.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._end = 0.0
        self.over = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._end = monotonic() + self._seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if monotonic() >= self._end:
            self.model.stop_training = self.over = True
