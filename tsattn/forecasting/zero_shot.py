"""The zero-shot forecast that a fit combines with its network: as it is, or fine-tuned where that is better."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import keras
import numpy as np

from tsattn.forecasting.network_trainer import NetworkTrainer
from tsattn.layers import ZeroShotForecast
from tsattn.models import COMBINATION, get_model
from tsattn.models.combination import COMBINATION_LAYER, combined_window
from tsattn.models.forecast_model import build_untrained
from tsattn.models.options import CombinationOptions
from tsattn.scoring.forecast_weights import MIN_GAIN, TEMPERATURE, ValidationWindows, evidence
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.windows import WindowSpec
from tsattn.training.callbacks import is_interrupted
from tsattn.training.fine_tuning import BATCH_ROWS, RATE, FineTuner, default_steps

FINE_TUNING_VALUES = 2_000
"""Observed values from which the pretrained network is trained on the data by rule."""

PRIORS = (0.3, 0.5, 0.7, 0.9)
"""Weights of a fine-tuned network without past forecasts, among which the validation part decides."""

MAX_ROWS = 150
"""Maximum of windows times targets by which fine-tuning is judged."""

REFIT_RATE = 0.3
"""Factor of the learning rate of the training on all data."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ZeroShotModel:
    """The zero-shot forecast as a model.

    Args:
        model: The model.
        spec: Its window.
        initial_error: Error on the validation part before fine-tuning; NaN if it is not fine-tuned.
        tuner: Trains it further, if it is fine-tuned.
    """

    model: keras.Model
    spec: WindowSpec
    initial_error: float = np.nan
    tuner: FineTuner | None = None

    @property
    def layer(self) -> ZeroShotForecast:
        """The layer with the weights."""
        layer: ZeroShotForecast = self.model.get_layer(COMBINATION_LAYER)
        return layer


def fit_zero_shot(trainer: NetworkTrainer, panel: Panel, steps: int) -> ZeroShotModel:
    """Return the zero-shot forecast, fine-tuned if the options ask for it and that is better on the validation part.

    Args:
        trainer: The trainer of the network, with options, time limit and callbacks.
        panel: The series.
        steps: Length of the validation part.
    """
    options, spec = trainer.options, trainer.spec
    own = combined_window(spec.without_covariates(), options.seasons(spec.season))
    model = build_untrained(get_model(COMBINATION), own, CombinationOptions(second_season=options.second_season))
    found = ZeroShotModel(model, own)
    if trainer.start_zero_shot is not None:
        found.layer.set_weights(trainer.start_zero_shot.get_weights())
    if not options.fine_tuning or is_interrupted():
        return found
    windows = ValidationWindows.of(panel, own, steps, MAX_ROWS)
    initial, initial_error = found.layer.get_weights(), windows.error(windows.forecast(model, own))
    training, tuner = panel.drop_last(steps), FineTuner(found.layer.network, trainer.seed)
    with trainer.session("fine-tuning the pretrained network", BATCH_ROWS, trainer.fine_tuning_fraction) as callbacks:
        tuner.train(training, _number_of_steps(trainer, training), RATE, callbacks)
    errors = []
    for prior in PRIORS:
        found.layer.prior.assign(prior)
        errors.append(windows.error(windows.forecast(model, own)))
    prior, error = _mean_prior(np.array(errors), evidence(panel, own, steps))
    _logger.info("Validation error of the zero-shot forecast: %.4g, fine-tuned %.4g", initial_error, error)
    if not error < (1.0 - MIN_GAIN) * initial_error:
        found.layer.set_weights(initial)
        return found
    found.layer.prior.assign(prior)
    return ZeroShotModel(model, own, initial_error, tuner)


def _number_of_steps(trainer: NetworkTrainer, panel: Panel) -> int:
    """Return the number of steps by rule, at most those of the network."""
    plan = trainer.plan(panel)
    return min(default_steps(panel.num_observed), plan.epochs * plan.steps_per_epoch)


def _mean_prior(errors: np.ndarray, evidence: float) -> tuple[float, float]:
    """Return the mean of the priors and of their errors, by a density that falls with the relative error."""
    relative = errors / errors.min() - 1.0 if errors.min() > 0 else np.sign(errors)
    density = np.exp(-TEMPERATURE * evidence * relative)
    density /= density.sum()
    return float(density @ PRIORS), float(density @ errors)


def train_to_end(zero_shot: ZeroShotModel, trainer: NetworkTrainer, panel: Panel, model: keras.Model) -> None:
    """Train a fine-tuned network on all data, for half as many steps, and set its weights in the fitted model."""
    if zero_shot.tuner is None or is_interrupted():
        return
    steps = _number_of_steps(trainer, panel) // 2
    with trainer.session("fine-tuning to the end", BATCH_ROWS, 1.0) as callbacks:
        zero_shot.tuner.train(panel, steps, REFIT_RATE * RATE, callbacks)
    model.get_layer(COMBINATION_LAYER).set_weights(zero_shot.layer.get_weights())
