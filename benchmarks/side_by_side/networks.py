"""Networks of neuralforecast, trained for the number of steps that fits into the budget, with the best weights."""

from __future__ import annotations

import logging
import math
import time
import warnings
from datetime import timedelta
from typing import Any

import neuralforecast.models
import numpy as np
import pytorch_lightning as pl
from neuralforecast import NeuralForecast

from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted, Values

PILOT_STEPS, WARMUP_STEPS = 30, 10
"""Steps to measure the time per step, and how many of them are ignored because the first are slower."""

MAX_VALIDATIONS, MAX_VALIDATION_FRACTION = 20, 0.15
"""Maximum number of validations, and the maximum fraction of the time for them."""

VALIDATION_WINDOWS = 4000
"""Approximate number of evenly spaced validation windows over all series, as in tsattn."""

BUDGET_FRACTION = 0.95
"""Fraction of the remaining budget that is planned for."""


class BestWeights(pl.Callback):
    """Restore the weights with the lowest validation error, which neuralforecast does not, and record times.

    Args:
        stride: Steps between the windows of the validation part.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self.steps: list[float] = []
        self.validation_seconds = 0.0
        self.best = math.inf
        self.best_step = 0
        self._weights: dict[str, Any] = {}
        self._begin = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append(time.monotonic())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin = time.monotonic()
        # Training and validation windows have the same option in neuralforecast.
        pl_module.step_size = self._stride

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.step_size = 1
        self.validation_seconds += time.monotonic() - self._begin
        error = float(trainer.callback_metrics["ptl/val_loss"])
        if error < self.best:
            self.best, self.best_step = error, len(self.steps)
            self._weights = {name: values.clone() for name, values in pl_module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._weights:
            pl_module.load_state_dict(self._weights)


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Measure the time per step in a short training that does not count, then train for the steps that fit."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    training = data.to_long()

    with clock.stopped():
        begin = time.monotonic()
        _, pilot = _train(data, training, options, seed, PILOT_STEPS, 1)
        step = (pilot.steps[-1] - pilot.steps[WARMUP_STEPS - 1]) / (PILOT_STEPS - WARMUP_STEPS)
        start = max(pilot.steps[0] - begin - step, 0.0)
    validation = pilot.validation_seconds
    available = BUDGET_FRACTION * clock.remaining() - start
    validations = int(np.clip(MAX_VALIDATION_FRACTION * available / validation, 1, MAX_VALIDATIONS))
    steps = max(int((available - validations * validation) / step), validations)
    # If steps become slower than in the pilot, training stops early, with one more validation.
    limit = timedelta(seconds=max(clock.remaining() - start - 1.2 * (step + validation) - 1, 1))
    forecaster, weights = _train(data, training, options, seed, steps, validations, max_time=limit)

    def forecast(history: Data, windows: int) -> Values:
        if windows == 1:
            frame = forecaster.predict(history.to_long())
        else:
            # The last horizon is padding, which networks do not see.
            frame = forecaster.cross_validation(
                history.to_long(padding=history.horizon),
                n_windows=None,
                test_size=windows - 1 + history.horizon,
                use_fitted=True,
            )
        column: Values = frame[options["model"]].to_numpy()
        return column.reshape(len(history.names), windows, history.horizon).transpose(1, 2, 0)

    details = {
        "steps": len(weights.steps),
        "planned_steps": steps,
        "best_step": weights.best_step,
        "validation_error": weights.best,
        "step_seconds": round(step, 4),
        "validation_seconds": round(validation, 2),
        "start_seconds": round(start, 2),
    }
    return Fitted(forecast, details)


def _train(
    data: Data, frame: Any, options: dict[str, Any], seed: int, steps: int, validations: int, **trainer: Any
) -> tuple[NeuralForecast, BestWeights]:
    """Return a network trained for a number of steps, and its callback."""
    arguments = dict(options)
    model, scaler = getattr(neuralforecast.models, arguments.pop("model")), arguments.pop("local_scaler_type", None)
    windows = (data.validation - data.horizon + 1) * len(data.names)
    network = model(
        h=data.horizon,
        random_seed=seed,
        max_steps=steps,
        val_check_steps=max(steps // validations, 1),
        callbacks=[BestWeights(math.ceil(windows / VALIDATION_WINDOWS))],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
        **trainer,
    )
    forecaster = NeuralForecast([network], freq=1, local_scaler_type=scaler)
    forecaster.fit(frame, val_size=data.validation)
    # NeuralForecast trains a copy of the network.
    return forecaster, forecaster.models[0].trainer_kwargs["callbacks"][0]
