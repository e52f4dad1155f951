"""Networks of neuralforecast, trained for as many steps as fit into the budget, their best weights kept."""

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

PILOT, WARMUP = 30, 10
"""Steps that tell how long one takes, and how many of them do not count because the first are slower."""

CHECKS, CHECKING = 20, 0.15
"""Most looks at the validation part, and the share of the time that they may take."""

CHECK_ROWS = 4000
"""About so many windows of all series are looked at, thinned out evenly; tsattn looks at as many."""

MARGIN = 0.95
"""Share of what is left of the budget that is planned for."""


class Watch(pl.Callback):
    """Times a training and leaves the weights of least validation error in it, which neuralforecast does not do.

    Args:
        apart: steps from one window of the validation part to the next.
    """

    def __init__(self, apart: int) -> None:
        self._apart = apart
        self.steps: list[float] = []
        self.checking = 0.0
        self.best = math.inf
        self.chosen = 0
        self._weights: dict[str, Any] = {}
        self._begin = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append(time.monotonic())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin = time.monotonic()
        # It has one option for the windows of the training and the validation.
        pl_module.step_size = self._apart

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.step_size = 1
        self.checking += time.monotonic() - self._begin
        error = float(trainer.callback_metrics["ptl/val_loss"])
        if error < self.best:
            self.best, self.chosen = error, len(self.steps)
            self._weights = {name: values.clone() for name, values in pl_module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._weights:
            pl_module.load_state_dict(self._weights)


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Train once to learn what a step takes, which does not count, then with a schedule of the steps that fit."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    frame = data.long()

    with clock.stopped():
        begin = time.monotonic()
        _, pilot = _trained(data, frame, options, seed, PILOT, 1)
        step = (pilot.steps[-1] - pilot.steps[WARMUP - 1]) / (PILOT - WARMUP)
        start = max(pilot.steps[0] - begin - step, 0.0)
    left = MARGIN * clock.left() - start
    checks = int(np.clip(CHECKING * left / pilot.checking, 1, CHECKS))
    steps = max(int((left - checks * pilot.checking) / step), checks)
    # Where the steps become slower than they were, it stops behind one, and looks at the validation part once more.
    latest = timedelta(seconds=max(clock.left() - start - 1.2 * (step + pilot.checking) - 1, 1))
    forecaster, watch = _trained(data, frame, options, seed, steps, checks, max_time=latest)

    def forecast(asked: Data, windows: int) -> Values:
        if windows == 1:
            made = forecaster.predict(asked.long())
        else:
            # The steps of the last horizon are unknown, and no part of what a network sees.
            made = forecaster.cross_validation(
                asked.long(add=asked.horizon),
                n_windows=None,
                test_size=windows - 1 + asked.horizon,
                use_fitted=True,
            )
        column: Values = made[options["model"]].to_numpy()
        return column.reshape(len(asked.names), windows, asked.horizon).transpose(1, 2, 0)

    told = {
        "steps": len(watch.steps),
        "planned": steps,
        "chosen": watch.chosen,
        "validation": watch.best,
        "step_seconds": round(step, 4),
        "check_seconds": round(pilot.checking, 2),
        "start_seconds": round(start, 2),
    }
    return Fitted(forecast, told)


def _trained(
    data: Data, frame: Any, options: dict[str, Any], seed: int, steps: int, checks: int, **trainer: Any
) -> tuple[NeuralForecast, Watch]:
    """Return a network trained for so many steps and what watched it."""
    given = dict(options)
    kind, scaler = getattr(neuralforecast.models, given.pop("model")), given.pop("local_scaler_type", None)
    windows = (data.validation - data.horizon + 1) * len(data.names)
    network = kind(
        h=data.horizon,
        random_seed=seed,
        max_steps=steps,
        val_check_steps=max(steps // checks, 1),
        callbacks=[Watch(math.ceil(windows / CHECK_ROWS))],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **given,
        **trainer,
    )
    forecaster = NeuralForecast([network], freq=1, local_scaler_type=scaler)
    forecaster.fit(frame, val_size=data.validation)
    # It trains a copy of what it was given.
    return forecaster, forecaster.models[0].trainer_kwargs["callbacks"][0]
