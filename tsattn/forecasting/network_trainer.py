"""Training of one network, with options by rule, initial weights and a time limit, and of the zero-shot forecast.

The zero-shot forecast, which a fit combines with its network, is used as it is, or fine-tuned where that is better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import keras
import numpy as np

from tsattn.config import RunConfig, TrainingConfig
from tsattn.data.adjacency import read_adjacency
from tsattn.errors import ConfigError, DataError
from tsattn.forecasting.fitted import read_model
from tsattn.layers import ZeroShotForecast
from tsattn.models import COMBINATION, get_model
from tsattn.models.combination import COMBINATION_LAYER, combined_window, get_network
from tsattn.models.defaults import DataSummary, default_patch_length, fill_options
from tsattn.models.forecast_model import ForecastGraph, build_graph, build_untrained
from tsattn.models.options import CombinationOptions, NetworkOptions
from tsattn.models.registry import ModelEntry
from tsattn.models.training_range import TrainingRange
from tsattn.scoring.forecast_weights import MIN_GAIN, TEMPERATURE, ValidationWindows, evidence
from tsattn.timeseries.panel import Panel, covariate_statistics, fingerprint, static_statistics
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.windows import Windows, WindowSpec
from tsattn.training.batches import batch_division, process_errors
from tsattn.training.callbacks import Deadline, TrainingProgress, is_interrupted
from tsattn.training.checkpoints import Checkpoint, Checkpoints
from tsattn.training.defaults import (
    MAX_VALIDATION_ROWS,
    NODES_PER_ROW,
    TrainingPlan,
    default_learning_rate,
    error_scales,
    plan_training,
    scaling_statistics,
    training_windows,
)
from tsattn.training.fine_tuning import BATCH_ROWS, RATE, FineTuner, default_steps
from tsattn.training.trainer import History, train

VALIDATED_TIME_FRACTION = 2 / 3
"""Fraction of the time for the validated training, if a refit for half as many epochs follows."""

NETWORK_TIME_FRACTION = 3 / 4
"""Fraction of the time for the network, if the pretrained network is trained as well."""

CallbackFactory = Callable[[str], AbstractContextManager[Any]]
"""Takes the title of a training and returns a context that yields a Keras callback, or None."""

FINE_TUNING_VALUES = 2_000
"""Observed values from which the pretrained network is trained on the data by rule."""

PRIORS = (0.05, 0.2, 0.5, 0.8)
"""Weights of a fine-tuned network without past forecasts or a season, among which the validation part decides."""

MAX_ROWS = 150
"""Maximum of windows times targets by which fine-tuning is judged."""

REFIT_RATE = 0.3
"""Factor of the learning rate of the training on all data."""

_logger = logging.getLogger(__name__)


class NetworkTrainer:
    """Trains one network, once or twice, within the time limit of the configuration.

    Args:
        config: The configuration, with a model name.
        options: Options of the architecture, filled in.
        spec: The window.
        callback: Makes the callback of each training.
        adjacency: Edge weights between the targets, float32 [targets, targets], for a graph model.
        start: Network whose weights the first training starts from; random weights if None.
        start_zero_shot: Zero-shot forecast whose weights fine-tuning starts from; those of the package if None.
        checkpoints: Where the states of the trainings are stored, and continued.
    """

    def __init__(
        self,
        config: RunConfig,
        options: NetworkOptions,
        spec: WindowSpec,
        callback: CallbackFactory | None = None,
        adjacency: Floats | None = None,
        start: keras.Model | None = None,
        start_zero_shot: ZeroShotForecast | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.options = options
        self.spec = spec
        self.seed = config.seed
        self.start_zero_shot = start_zero_shot
        self._config = config
        self._entry = get_model(config.model["name"])
        self._start = start
        self._spec = spec
        self._callback = callback or (lambda title: nullcontext())
        self._adjacency = adjacency
        self._checkpoints = checkpoints
        self._seconds = 0.0

    def train(
        self,
        panel: Panel,
        title: str,
        *,
        validate: tuple[Panel, int] | None = None,
        graph: ForecastGraph | None = None,
        epochs: int | None = None,
    ) -> tuple[ForecastGraph, History]:
        """Train a network on a panel.

        Args:
            panel: The training data.
            title: Title of the training, for the callback.
            validate: The whole panel and the number of its validation steps.
            graph: Network to continue with; a new one if None.
            epochs: Exact number of epochs.
        """
        config, spec = self._config, self._spec
        fine_tuning, is_new = self._start is not None, graph is None
        if graph is None:
            graph = self._build(panel)
            # Of all data, so that the series that the network is trained on to the end are within.
            whole = panel if validate is None else validate[0]
            steps = min(default_patch_length(spec.season), spec.context)
            graph.training_range = TrainingRange.of(whole, spec, steps)
        windows = self._windows(panel)
        training = config.training if epochs is None else config.training.model_copy(update={"epochs": epochs})
        rate = training.learning_rate or default_learning_rate(panel.num_observed, fine_tuning=fine_tuning)
        max_windows = max(MAX_VALIDATION_ROWS // self._rows, 1)
        plan = plan_training(training, windows, self._rows, self._segments)
        fraction = 1.0 if epochs is not None else self._validated_fraction()
        with self.session(title, plan.batch_size, fraction) as callbacks:
            history = train(
                graph,
                windows,
                plan,
                rate,
                training.patience,
                config.seed,
                error_scales(panel, common=self._entry.graph),
                loss=training.loss,
                validation=validate and Windows.in_last_steps(validate[0], spec, validate[1], max_windows),
                callbacks=callbacks,
                keep_initial_weights=fine_tuning and is_new,
                checkpoint=self._checkpoint(panel, title, training),
            )
        return graph, history

    @contextmanager
    def session(self, title: str, batch_size: int, fraction: float) -> Iterator[list[keras.callbacks.Callback]]:
        """Yield the callbacks of a training, whose seconds count towards the time limit.

        Args:
            title: Title of the training.
            batch_size: Windows per batch.
            fraction: Fraction of the whole time after which the training has to end.
        """
        begin, limit = monotonic(), self._config.training.max_seconds
        if limit is not None and batch_division()[1] > 1:
            raise ConfigError(
                f"several processes would end at different batches. Received: training.max_seconds={limit:g}",
                "leave it out, and name a model instead of auto",
            )
        deadline = None if limit is None else Deadline(max(limit * fraction - self._seconds, 0.0))
        with self._callback(title) as own, process_errors():
            callbacks = (TrainingProgress(title, batch_size), own, deadline)
            yield [callback for callback in callbacks if callback is not None]
        self._seconds += monotonic() - begin

    def _checkpoint(self, panel: Panel, title: str, training: TrainingConfig) -> Checkpoint | None:
        """Return the checkpoint of a training, which everything identifies that it depends on."""
        if self._checkpoints is None:
            return None
        config = self._config.model_copy(update={"training": training})
        return self._checkpoints.of(title, config.to_toml(), self.options, self._spec, fingerprint(panel))

    def plan(self, panel: Panel) -> TrainingPlan:
        """Return the sizes of a training on a panel."""
        return plan_training(self._config.training, self._windows(panel), self._rows, self._segments)

    def _validated_fraction(self) -> float:
        """Return the fraction of the time after which the validated training of the network has to end."""
        fraction = VALIDATED_TIME_FRACTION if self._config.training.refit else 1.0
        return fraction * (NETWORK_TIME_FRACTION if self.options.fine_tuning else 1.0)

    @property
    def fine_tuning_fraction(self) -> float:
        """Fraction of the time after which the fine-tuning of the pretrained network has to end."""
        return self._validated_fraction() / NETWORK_TIME_FRACTION

    def _windows(self, panel: Panel) -> Windows:
        return training_windows(panel, self._spec, default_patch_length(self._spec.season))

    @property
    def _segments(self) -> int:
        """Segments of the history of a row."""
        return -(-self._spec.context // (self.options.patch_length or 1))

    @property
    def _rows(self) -> int:
        """Rows of the network per window."""
        channels = len(self._spec.targets)
        if self.options.channels == "joint":
            return 1
        return -(-channels // NODES_PER_ROW) if self._entry.graph else channels

    def _build(self, panel: Panel) -> ForecastGraph:
        """Build the network with its initial weights and the statistics of a panel."""
        spec = self._spec
        keras.utils.set_random_seed(self._config.seed)
        graph = build_graph(self._entry, self.options, spec)
        if self._start is not None:
            graph.inference().set_weights(self._start.get_weights())
        median, spread, ratio = scaling_statistics(panel)
        graph.scaling.fit(median, spread, ratio)
        if graph.residual.mean_reversion is not None:
            # Weights of a single series may be trained further on several, which have no common level to revert to.
            graph.residual.mean_reversion.fit(median, spread if len(panel) == 1 else [0.0] * len(spread))
        if self._adjacency is not None:
            graph.set_adjacency(self._adjacency)
        if self._start is not None:
            # The weights depend on the units of the covariates, so their statistics stay.
            return graph
        if graph.covariate_scaling is not None:
            graph.covariate_scaling.fit(*covariate_statistics(panel, spec.past_covariates))
        if graph.static_scaling is not None:
            graph.static_scaling.fit(*static_statistics(panel, graph.static_numbers))
        return graph


def prepare_training(
    config: RunConfig,
    options: NetworkOptions,
    spec: WindowSpec,
    panel: Panel,
    source: str,
    callback: CallbackFactory | None = None,
    checkpoints: Checkpoints | None = None,
) -> NetworkTrainer:
    """Fill in the options of a network and return its trainer.

    Args:
        config: The configuration, with the options of the run that it starts from; see `inherit_options`.
        options: Options of the architecture.
        spec: The window.
        panel: The series.
        source: Name of the data in errors.
        callback: See `CallbackFactory`.
        checkpoints: Where the states of the trainings are stored, and continued.

    Raises:
        ConfigError: The options contradict each other.
        DataError: The data do not fit the graph.
        RunError: The run that the training starts from cannot be read.
    """
    check_head(options, config)
    if config.init_from is not None:
        # A graph is part of the weights.
        window = combined_window(spec, options.seasons(spec.season)) if options.zero_shot else spec
        model = read_model(Path(config.init_from) / "model.keras", window)
        zero_shot = model.get_layer(COMBINATION_LAYER) if options.zero_shot else None
        return NetworkTrainer(
            config, options, spec, callback, None, get_network(model), zero_shot, checkpoints=checkpoints
        )
    adjacency = read_graph(get_model(config.model["name"]), config.data.graph, panel, source)
    summary = DataSummary.of(panel, spec, graph=adjacency is not None)
    options = fill_options(options, spec.season, summary)
    return NetworkTrainer(config, options, spec, callback, adjacency, checkpoints=checkpoints)


def check_head(options: NetworkOptions, config: RunConfig) -> None:
    """Raise a ConfigError if the head of a network does not fit the domain of the targets or the loss."""
    if options.head == "negative_binomial" and config.data.support != "count":
        raise ConfigError(
            "model.head=negative_binomial is a distribution of counts. "
            f"Received: support={config.data.support or 'real'}",
            "set {support}count",
            "use model.head=normal or student_t",
        )
    if options.head != "quantiles" and config.training.loss != "pinball":
        raise ConfigError(
            f"model.head={options.head} is trained by its likelihood, without another loss. Received: "
            f"training.loss={config.training.loss}",
            "leave it out",
            "set model.head=quantiles",
        )


def read_graph(entry: ModelEntry, graph: str | None, panel: Panel, source: str) -> Floats | None:
    """Read the graph between the targets of a panel, if the model takes one and a file is given.

    Raises:
        DataError: The panel has a single target, or the file is not a graph of its targets.
    """
    if not entry.graph:
        return None
    if len(panel.targets) == 1:
        pivot = ", pivoted by timestamp and id as DataFrame.pivot does" if len(panel) > 1 else ""
        raise DataError(
            f"{source}: model {entry.name} forecasts the columns of wide data together, as the nodes of a graph. "
            f"Received: {len(panel)} series of the one target '{panel.targets[0]}'",
            f"provide one column per series{pivot}",
        )
    return None if graph is None else read_adjacency(graph, panel.targets)


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
