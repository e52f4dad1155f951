"""Training of a network: losses over observed targets, in units of their series, and the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from tsattn.config import Loss
from tsattn.errors import TsattnError
from tsattn.layers.distributions import get_distribution
from tsattn.layers.ops import Tensor
from tsattn.models.forecast_model import ForecastGraph, window_inputs
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.windows import TARGET, TARGET_OBSERVED, TARGET_SCALE, Windows
from tsattn.training.batches import OrderedWindows, ShuffledWindows
from tsattn.training.callbacks import Deadline, StopAtInterrupt
from tsattn.training.checkpoints import Checkpoint, StateRecorder, TrainingState, get_variables
from tsattn.training.defaults import TrainingPlan

MAX_LOWERED = 3
"""How often a training whose loss is not finite continues with a lower learning rate, before it fails."""

RATE_FACTOR = 0.3
"""Factor of the learning rate after a loss that is not finite."""


class ForecastLoss(keras.layers.Layer):
    """Add the mean loss over observed targets: of all levels in training, of the point forecast in validation.

    The loss of a level is the pinball loss. With ``squared`` the loss of level 0.5, the point forecast, is half the
    squared error, which estimates the mean instead of the median.

    The validation loss is that of the point forecast alone: the outer quantiles improve long after the point forecast
    is at its best, and would stop a training too late.

    Errors are divided by one scale per series, not per window: as in every metric, an error in a quiet window of a
    series must not weigh more than the same error in a volatile one.

    Args:
        levels: Quantile levels.
        squared: Whether the point forecast has the squared error.

    Call arguments:
        quantiles: `(batch, members, horizon, channels, levels)` in scaled space. In training each ensemble member has
            its own loss, otherwise their mean has one.
        target: `(batch, horizon, channels)` in scaled space.
        observed: `(batch, horizon, channels)`; targets with 0 are ignored.
        weight: `(batch, 1, channels)`, scale of the window divided by that of its series.
        training: Whether all levels count.

    Output shape:
        `(batch,)`, the loss of each window, summed over its observed targets.

    Reference:
        Koenker and Bassett 1978, Regression Quantiles.
    """

    def __init__(self, levels: tuple[float, ...], squared: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.levels = tuple(levels)
        self.squared = squared

    def call(
        self, quantiles: Tensor, target: Tensor, observed: Tensor, weight: Tensor, training: bool | None = None
    ) -> Tensor:
        quantiles = ops.cast(quantiles, "float32")
        if not training:
            quantiles = ops.mean(quantiles, axis=1, keepdims=True)
        error = ops.expand_dims(ops.cast(target, "float32")[:, None], -1) - quantiles
        level = ops.array(self.levels, dtype="float32")
        # In units of the series.
        error = error * weight[:, None, :, :, None]
        losses = ops.maximum(level * error, (level - 1) * error)
        if self.squared:
            losses = ops.where(level == 0.5, error**2 / 2, losses)
        counted = ops.mean(losses, axis=-1) if training else losses[..., self.levels.index(0.5)]
        loss = ops.mean(counted, axis=1) * observed
        self.add_loss(ops.sum(loss) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(loss, axis=(1, 2))

    def compute_output_spec(self, quantiles: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((quantiles.shape[0],), dtype="float32")


class LikelihoodLoss(keras.layers.Layer):
    """Add the mean loss over observed targets: the negative log-likelihood in training, the error in validation.

    The likelihood is invariant to units up to a constant, and weighs errors by the predicted scale, so windows are not
    weighted. Densities are in units of the series, as errors are.

    The validation loss is half the absolute error of the forecast, as with quantiles (`ForecastLoss`), so that epochs
    and models are selected by the same measure whatever the output.

    Args:
        distribution: Name of the distribution, see `tsattn.layers.DistributionHead`.

    Call arguments:
        parameters: `(batch, members, horizon, channels, parameters)`. In training each ensemble member has its own
            loss, otherwise the mean of their parameters has one.
        target: `(batch, horizon, channels)`, in the units of the parameters: scaled space, or counts.
        observed: `(batch, horizon, channels)`; targets with 0 are ignored.
        weight: `(batch, 1, channels)`, that unit divided by the scale of the series.
        training: Whether to use the likelihood.

    Output shape:
        `(batch,)`, the loss of each window, summed over its observed targets.
    """

    def __init__(self, distribution: str, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self._family = get_distribution(distribution)

    def call(
        self, parameters: Tensor, target: Tensor, observed: Tensor, weight: Tensor, training: bool | None = None
    ) -> Tensor:
        target = ops.cast(target, "float32")
        if training:
            likelihood = ops.mean(self._family.log_likelihood(parameters, ops.expand_dims(target, 1)), axis=1)
            losses = -likelihood if self._family.is_discrete else ops.log(weight) - likelihood
        else:
            forecast = self._family.quantiles(ops.mean(parameters, axis=1), 0.0)
            losses = ops.abs(target - forecast) * weight / 2
        losses = ops.where(observed > 0, losses, ops.zeros_like(losses))
        self.add_loss(ops.sum(losses) / ops.maximum(ops.sum(observed), 1.0))
        return ops.sum(losses, axis=(1, 2))

    def compute_output_spec(self, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((parameters.shape[0],), dtype="float32")


def training_model(graph: ForecastGraph, loss: Loss = "pinball") -> keras.Model:
    """Return the training model of a forecaster: the same weights, the target as additional input, and the loss."""
    shapes = window_inputs(graph.spec, training=True)
    target, observed, scale = shapes[TARGET], shapes[TARGET_OBSERVED], shapes[TARGET_SCALE]
    scaled = graph.scale_target(target, observed)
    series_scale = keras.ops.expand_dims(scale, 1)
    layer: keras.layers.Layer
    if graph.distribution is None:
        members, _ = graph.scaled_quantiles(scaled)
        layer = ForecastLoss(graph.spec.levels, loss == "squared", name="loss")
    else:
        members, _ = graph.parameters(scaled, scaled=not graph.distribution.is_discrete)
        layer = LikelihoodLoss(graph.distribution.name, name="loss")
    if graph.distribution is not None and graph.distribution.is_discrete:
        expected, weight = target, 1.0 / series_scale
    else:
        expected, weight = scaled, graph.window.scale / series_scale
    losses = layer(keras.ops.stack(members, axis=1), expected, observed, weight)
    inputs = {**graph.inputs, TARGET: target, TARGET_OBSERVED: observed, TARGET_SCALE: scale}
    return keras.Model(inputs, losses, name="training")


@dataclass(frozen=True)
class History:
    """Losses of a training.

    Args:
        loss: Training loss of each epoch, averaged over all levels, in units of the spread of each series.
        val_loss: Loss of the point forecast on the validation windows by epoch, half its absolute or half its squared
            error; empty without validation windows.
        best_epoch: Number of epochs after which the weights were best, counted from 1; 0 if the initial weights were.
        out_of_time: Whether the time limit ended the training within the last epoch.
        interrupted: Whether Ctrl-C did.
        lowered: Epochs, counted from 1, in which the loss was not finite, so that they were repeated from the weights
            before them with a lower learning rate.
    """

    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_epoch: int
    out_of_time: bool = False
    interrupted: bool = False
    lowered: tuple[int, ...] = ()

    def summary(self) -> str | None:
        """Return sentences on a training that was ended early or whose loss was not finite, else None."""
        sentences = [
            f"The loss was not finite in epoch {epoch}, which was repeated from the weights before it with "
            f"{RATE_FACTOR:g} times the learning rate."
            for epoch in self.lowered
        ]
        if self.out_of_time or self.interrupted:
            reason = "Ctrl-C" if self.interrupted else "The time limit"
            best = f"; the weights after epoch {self.best_epoch} are used" if self.best_epoch else ""
            sentences.append(f"{reason} ended the training in epoch {len(self.loss)}{best}.")
            sentences.append("More time may improve the forecast.")
        return " ".join(sentences) or None


def train(
    graph: ForecastGraph,
    windows: Windows,
    plan: TrainingPlan,
    learning_rate: float,
    patience: int,
    seed: int,
    scales: Floats,
    *,
    loss: Loss = "pinball",
    validation: Windows | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    keep_initial_weights: bool = False,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train the weights of a forecaster in place and restore the best ones.

    Args:
        graph: The forecaster.
        windows: The training windows.
        plan: Sizes of the training.
        learning_rate: Learning rate of Adam.
        patience: Number of epochs without a better validation loss before training stops.
        seed: Seed of the order of the windows.
        scales: Scales by which the errors of each series are divided, [series, targets].
        loss: Loss of the point forecast.
        validation: Validation windows for early stopping; without them all epochs of the plan are trained.
        callbacks: Additional Keras callbacks, such as a progress bar.
        keep_initial_weights: Whether to restore the initial weights if no epoch improves the validation loss.
        checkpoint: Stores the state of the training at each epoch; a stored one is continued.

    Raises:
        TsattnError: The loss is not finite, even with a lower learning rate.
        RunError: The checkpoint cannot be written.
    """
    model = training_model(graph, loss)
    # Averaging the weights over about half an epoch replaces a learning rate schedule, and needs no fixed last epoch.
    optimizer = keras.optimizers.Adam(
        learning_rate, clipnorm=1.0, use_ema=True, ema_momentum=1 - 2 / max(plan.steps_per_epoch, 4)
    )
    # XLA makes these recurrent steps slower, see docs/design/training.md.
    model.compile(optimizer, jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
    # TensorFlow traces the step a second time if the first trace creates the variables of the optimizer.
    optimizer.build(model.trainable_variables)
    batches = ShuffledWindows(
        windows,
        plan.batch_size,
        plan.steps_per_epoch,
        seed,
        scales,
        graph.context_lengths,
        balanced=plan.balanced,
        truncation_rate=plan.truncation_rate,
        min_history=plan.min_history,
    )
    set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=batches.set_epoch)
    stopping, optional = None, []
    if validation is not None:
        optional = [
            stopping := keras.callbacks.EarlyStopping(
                "val_loss", patience=patience, mode="min", restore_best_weights=True
            )
        ]
    validation_data = None if validation is None else OrderedWindows(validation, plan.batch_size, scales)
    initial_weights, initial_loss = None, math.inf
    if keep_initial_weights and validation_data is not None:
        initial_weights = model.get_weights()
        initial_loss = float(model.evaluate(validation_data, verbose=0, return_dict=True)["loss"])
    interruption = StopAtInterrupt()
    state = (checkpoint and checkpoint.read()) or TrainingState(0, get_variables(model))
    while not state.finished:
        state.restore(model)
        recorder = StateRecorder(state, stopping, checkpoint)
        # The order matters: the callbacks after it see the averaged weights at the end of an epoch.
        averaging = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(
            batches,
            initial_epoch=state.epoch,
            epochs=plan.epochs,
            validation_data=validation_data,
            callbacks=[set_epoch, averaging, interruption, *callbacks, *optional, recorder],
            shuffle=False,
            verbose=0,
        )
        losses, val_losses = recorder.losses
        if not math.isfinite(losses[-1]):
            state = _lower_rate(recorder.state, model)
            continue
        finite = [value if math.isfinite(value) else math.inf for value in val_losses]
        best_epoch = finite.index(min(finite)) + 1 if finite else len(losses)
        if initial_weights is not None and initial_loss <= min(finite):
            model.set_weights(initial_weights)
            best_epoch = 0
        state = replace(
            recorder.state,
            epoch=len(losses),
            variables=get_variables(model),
            best_weights=[],
            losses=losses,
            val_losses=val_losses,
            finished=True,
            best_epoch=best_epoch,
            out_of_time=any(isinstance(callback, Deadline) and callback.reached for callback in callbacks),
            interrupted=interruption.reached,
        )
        if checkpoint is not None:
            checkpoint.write(state)
    state.restore(model)
    lowered = tuple(epoch + 1 for epoch in state.lowered)
    return History(state.losses, state.val_losses, state.best_epoch, state.out_of_time, state.interrupted, lowered)


def _lower_rate(state: TrainingState, model: keras.Model) -> TrainingState:
    """Return to a state before the loss was not finite, with a lower learning rate.

    Raises:
        TsattnError: This was tried often enough.
    """
    if len(state.lowered) >= MAX_LOWERED:
        raise TsattnError(f"the training diverged in epoch {state.epoch + 1}", "set a lower training.learning_rate")
    state.restore(model)
    rate = model.optimizer.learning_rate
    rate.assign(rate * RATE_FACTOR)
    return replace(state, variables=get_variables(model), lowered=(*state.lowered, state.epoch))
