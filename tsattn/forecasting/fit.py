"""Fit one model: fill in the configuration, train, score, calibrate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import keras
import numpy as np

from tsattn.config import BaseConfig, RunConfig
from tsattn.data.adjacency import read_adjacency
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.errors import ConfigError, DataError
from tsattn.forecasting.finetuning import inherit_options
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models import get_model, resolve_options
from tsattn.models.defaults import DataSummary, default_context, default_patch_length, fill_options
from tsattn.models.forecast_model import ForecastGraph, build_graph, build_untrained
from tsattn.models.loading import read_model
from tsattn.models.options import CombinationOptions, NetworkOptions
from tsattn.models.registry import ModelEntry, check_graph
from tsattn.scoring.calibration import HISTORY_CALIBRATION, Calibration, calibrate
from tsattn.scoring.comparison import KerasForecaster, baseline_spec, compare, decide_fallback, with_naive_baselines
from tsattn.scoring.metrics import Scores
from tsattn.scoring.model_choice import BaselineFallback
from tsattn.smoothing import default_window
from tsattn.timeseries.panel import Panel, covariate_statistics, static_statistics, summarize_panel
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.seasonality import combined_seasons
from tsattn.timeseries.window_spec import WEIGHTS, WindowSpec
from tsattn.timeseries.windows import Windows, min_series_length
from tsattn.training.defaults import (
    MAX_VALIDATION_ROWS,
    NODES_PER_ROW,
    TrainingPlan,
    default_learning_rate,
    default_validation_steps,
    error_scales,
    plan_training,
    scaling_statistics,
    training_windows,
)
from tsattn.training.trainer import Deadline, History, train

VALIDATED_TIME_FRACTION = 2 / 3
"""Fraction of the time for the validated training, if a refit for half as many epochs follows."""

CallbackFactory = Callable[[str], AbstractContextManager[Any]]
"""Takes the title of a training and returns a context that yields a Keras callback, or None."""


class NetworkTrainer:
    """Trains one network, once or twice, within the time limit of the configuration.

    Args:
        config: The configuration, with a model name.
        options: Options of the architecture, filled in.
        spec: The window.
        callback: Makes the callback of each training.
        adjacency: Edge weights between the targets, float32 [targets, targets], for a graph model.
        start: Model whose weights the first training starts from; random weights if None.
    """

    def __init__(
        self,
        config: RunConfig,
        options: NetworkOptions,
        spec: WindowSpec,
        callback: CallbackFactory | None = None,
        adjacency: Floats | None = None,
        start: keras.Model | None = None,
    ) -> None:
        self.options = options
        self._config = config
        self._entry = get_model(config.model["name"])
        self._start = start
        self._spec = spec
        self._callback = callback or (lambda title: nullcontext())
        self._adjacency = adjacency
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
        windows = self._windows(panel)
        training = config.training if epochs is None else config.training.model_copy(update={"epochs": epochs})
        rate = training.learning_rate or default_learning_rate(panel.num_observed, fine_tuning=fine_tuning)
        max_windows = max(MAX_VALIDATION_ROWS // self._rows, 1)
        begin, seconds = monotonic(), self._remaining_seconds(last=epochs is not None)
        deadline = None if seconds is None else Deadline(seconds)
        with self._callback(title) as callback:
            history = train(
                graph,
                windows,
                plan_training(training, windows, self._rows, self._segments),
                rate,
                training.patience,
                config.seed,
                error_scales(panel, common=self._entry.graph),
                loss=training.loss,
                validation=validate and Windows.in_last_steps(validate[0], spec, validate[1], max_windows),
                callbacks=[each for each in (callback, deadline) if each is not None],
                keep_initial_weights=fine_tuning and is_new,
            )
        self._seconds += monotonic() - begin
        return graph, replace(history, out_of_time=deadline is not None and deadline.reached)

    def plan(self, panel: Panel) -> TrainingPlan:
        """Return the sizes of a training on a panel."""
        return plan_training(self._config.training, self._windows(panel), self._rows, self._segments)

    def _remaining_seconds(self, *, last: bool) -> float | None:
        """Return the time limit of a training; the ``last`` one gets all of the remaining time."""
        training = self._config.training
        if training.max_seconds is None:
            return None
        fraction = 1.0 if last or not training.refit else VALIDATED_TIME_FRACTION
        return max(training.max_seconds * fraction - self._seconds, 0.0)

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
) -> NetworkTrainer:
    """Fill in the options of a network and return its trainer.

    Args:
        config: The configuration, with the options of the run that it starts from; see `inherit_options`.
        options: Options of the architecture.
        spec: The window.
        panel: The series.
        source: Name of the data in errors.
        callback: See `CallbackFactory`.

    Raises:
        ConfigError: The options contradict each other.
        DataError: The data do not fit the graph.
        RunError: The run that the training starts from cannot be read.
    """
    check_head(options, config)
    if config.init_from is not None:
        # A graph is part of the weights.
        start = read_model(Path(config.init_from) / "model.keras", spec)
        return NetworkTrainer(config, options, spec, callback, start=start)
    adjacency = read_graph(get_model(config.model["name"]), config.data.graph, panel, source)
    summary = DataSummary.of(panel, spec, graph=adjacency is not None)
    return NetworkTrainer(config, fill_options(options, spec.season, summary), spec, callback, adjacency)


def check_head(options: NetworkOptions, config: RunConfig) -> None:
    """Raise a ConfigError if the head of a network does not fit the domain of the targets or the loss."""
    if options.head == "negative_binomial" and config.data.support != "count":
        raise ConfigError(
            "model.head=negative_binomial is a distribution of counts. Received: support=" + config.data.support,
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


def window_sizes(config: RunConfig, panel: Panel, schema: Schema, source: str) -> tuple[int, int]:
    """Return the context length and the number of validation steps."""
    longest, horizon = int(panel.lengths.max()), schema.horizon
    required = min_series_length(horizon)
    if longest < required:
        raise DataError(
            f"{source}: a horizon of {horizon} needs a series of at least {required} rows, "
            f"and the longest has {longest}",
            f"limit {{horizon}} to {(longest - 1) // 2}" if longest > 2 else "provide more data",
        )
    context = config.data.context or default_context(schema.season, horizon, int(np.median(panel.lengths)))
    steps = config.data.validation or default_validation_steps(panel, horizon)
    if not horizon <= steps < longest - horizon:
        if config.data.validation is not None:
            raise DataError(
                f"{source}: the validation part must hold a horizon of {horizon} and leave as many of the {longest} "
                f"rows for training. Received: validation={steps}"
            )
        steps = longest - horizon - 1
    if not np.isfinite(panel.tail(steps).values).any():
        raise DataError(
            f"{source}: expected values in the last {steps} rows of a series, the validation part, but all are empty",
            "remove the rows that lie in the future, which are forecast anyway",
        )
    return context, steps


def check_support(panel: Panel, support: str, source: str) -> None:
    """Raise a DataError if a target has a value outside its domain."""
    observed = np.isfinite(panel.values)
    wrong = {
        "real": np.zeros_like(observed),
        "positive": observed & (panel.values < 0),
        "count": observed & ((panel.values < 0) | (panel.values != np.round(panel.values))),
    }[support]
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        domain = {"positive": "no value below 0", "count": "integers of 0 and more"}[support]
        raise DataError(
            f"{source}: support={support} means {domain}. Received: {panel.values[row, column]:g} in "
            f"'{panel.targets[column]}', and {int(wrong.sum())} such values in all",
            "leave out {support}",
            "correct the data",
        )


@dataclass(frozen=True)
class _FittedModel:
    """A fitted model with its options, its window and how good it is."""

    model: keras.Model
    name: str
    options: BaseConfig
    spec: WindowSpec
    scores: Scores
    calibration: Calibration
    history: History | None = None
    choice: BaselineFallback | None = None


def fit_model(
    config: RunConfig, panel: Panel, schema: Schema, source: str = "the panel", callback: CallbackFactory | None = None
) -> FittedForecaster:
    """Train the model that a configuration names, or the default one, and evaluate it on the validation part.

    Raises:
        ConfigError: An option has a value that is not allowed.
        DataError: The data are too short for the horizon, or do not fit the model.
    """
    config = inherit_options(config)
    entry, options = resolve_options(config.model, source="Forecaster")
    if config.init_from is None:  # else the graph is part of the weights
        check_graph(entry, options, config.data.graph, source="Forecaster")
    is_default = not config.model
    config = config.model_copy(update={"model": {**config.model, "name": entry.name}})
    check_support(panel, config.data.support, source)
    context, steps = window_sizes(config, panel, schema, source)
    if config.init_from is None:  # else the categories are those of the weights
        schema = restrict_to_training_categories(schema, panel, steps)
    spec = WindowSpec.from_schema(schema, config, context)
    if isinstance(options, NetworkOptions):
        trainer = prepare_training(config, options, spec, panel, source, callback)
        fitted = _fit_network(trainer, config, spec, panel, steps, is_default=is_default)
    else:
        spec = baseline_spec(panel, spec)
        if isinstance(options, CombinationOptions):
            options, spec = _plan_combination(options, config, spec, panel, schema)
        model = build_untrained(entry, spec, options)
        scores = _score(entry.name, model, spec, panel, steps)
        calibration = HISTORY_CALIBRATION if WEIGHTS in model.output else calibrate(model, spec, panel, steps)
        fitted = _FittedModel(model, entry.name, options, spec, scores, calibration)
    return FittedForecaster(
        config=_fill_config(config, fitted, schema, steps),
        schema=schema,
        spec=fitted.spec,
        model=fitted.model,
        # Enough for forecasts and for a plot.
        panel=panel.tail(max(fitted.spec.context, 4 * schema.season, 3 * schema.horizon)),
        training_data=summarize_panel(panel),
        scores=fitted.scores.total,
        notes=fitted.scores.notes,
        calibration=fitted.calibration,
        history=fitted.history,
        choice=fitted.choice,
    )


def _plan_combination(
    options: CombinationOptions, config: RunConfig, spec: WindowSpec, panel: Panel, schema: Schema
) -> tuple[CombinationOptions, WindowSpec]:
    """Return the options with the second season filled in, and the window that the combination reads."""
    if options.second_season is None:
        seasons = combined_seasons(panel, schema, given=config.data.season is not None)
        options = CombinationOptions(second_season=seasons[1] if len(seasons) > 1 else 0)
    seasons = options.seasons(spec.season)
    return options, replace(spec, context=config.data.context or default_window(spec.horizon, seasons))


def _fit_network(
    trainer: NetworkTrainer, config: RunConfig, spec: WindowSpec, panel: Panel, steps: int, *, is_default: bool
) -> _FittedModel:
    """Train a network, or return the naive baseline that the default network does not beat."""
    name, refit = str(config.model["name"]), config.training.refit
    options: BaseConfig = trainer.options
    graph, history = trainer.train(panel.drop_last(steps), "training", validate=(panel, steps))
    model = graph.inference()
    scores = _score(name, model, spec, panel, steps)
    choice = decide_fallback(scores.total, name, panel, spec, steps) if is_default else None
    if choice is not None and not choice.uses_network:
        name, refit = choice.baseline, False
        spec, options = baseline_spec(panel, spec), resolve_options({"name": name})[1]
        model = build_untrained(get_model(name), spec)
    # After the scores, which are those of the same windows. A network that is trained further keeps its factors.
    calibration = calibrate(model, spec, panel, steps)
    if refit and history.best_epoch:
        graph, _ = trainer.train(panel, "training to the end", graph=graph, epochs=-(-history.best_epoch // 2))
        model = graph.inference()
    return _FittedModel(model, name, options, spec, scores, calibration, history, choice)


def _score(name: str, model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Scores:
    return compare(with_naive_baselines(name, KerasForecaster(model, spec), panel), panel, steps)


def _fill_config(config: RunConfig, fitted: _FittedModel, schema: Schema, steps: int) -> RunConfig:
    """Return the configuration with every option filled in, so that it reproduces the run."""
    spec = fitted.spec
    sizes = {"horizon": spec.horizon, "season": spec.season, "context": spec.context, "validation": steps}
    data = config.data.model_copy(update={**sizes, "freq": schema.freq})
    return config.model_copy(update={"model": {"name": fitted.name, **fitted.options.model_dump()}, "data": data})
