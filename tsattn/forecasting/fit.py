"""One fit: what is left open is resolved, then the network is trained once or twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import keras
import numpy as np

from tsattn.config import Options, RunConfig
from tsattn.data.adjacency import read_adjacency
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.errors import ConfigError, DataError
from tsattn.forecasting.finetuning import continued
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models import defaults as rules
from tsattn.models import get_model, resolve_options
from tsattn.models.forecast_model import ForecastGraph, build_baseline, build_graph
from tsattn.models.loading import read_model
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import ModelEntry, check_graph
from tsattn.scoring.calibration import calibrate
from tsattn.scoring.comparison import Candidate, baseline_spec, beside_baselines, choose_model, compare
from tsattn.scoring.metrics import Scores
from tsattn.scoring.model_choice import Choice
from tsattn.timeseries.calendar import calendar_features
from tsattn.timeseries.panel import Floats, Panel, covariate_statistics, static_statistics, summary
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.window_spec import StaticInput, WindowSpec
from tsattn.timeseries.windows import Windows, shortest
from tsattn.training.defaults import (
    NODES,
    VALIDATION_ROWS,
    Plan,
    error_scales,
    learning_rate,
    plan,
    scaling_statistics,
    training_windows,
    validation_steps,
)
from tsattn.training.trainer import Deadline, History, train

FIRST = 2 / 3
"""Share of the time for the training that chooses the epochs, where one of half as many follows."""

Watch = Callable[[str], AbstractContextManager[Any]]
"""Takes the title of a training and gives the Keras callback that shows it, as a context."""


Fit = Callable[["RunConfig", Panel, Schema, str, "Watch | None"], FittedForecaster]
"""Trains a forecaster by a configuration."""


class Fitting:
    """One architecture, trained once or twice.

    Args:
        config: the configuration.
        options: those of the architecture, with nothing left open.
        spec: the window.
        watch: shows the trainings.
        adjacency: weights of the edges between targets, float32 [targets, targets], where a graph is given.
        start: model whose weights the first training starts from, instead of random ones.
    """

    def __init__(
        self,
        config: RunConfig,
        options: NetworkOptions,
        spec: WindowSpec,
        watch: Watch,
        adjacency: Floats | None = None,
        start: keras.Model | None = None,
    ) -> None:
        self.options = options
        self._config = config
        self._start = start
        self._spec = spec
        self._watch = watch
        self._adjacency = adjacency
        self._spent = 0.0

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
            panel: what is trained on.
            title: what the progress bar calls it.
            validate: the whole panel and its validation steps.
            graph: goes on with this network instead of a fresh one.
            epochs: trains exactly so many.
        """
        config, spec = self._config, self._spec
        fresh = graph is None
        if graph is None:
            graph = self._made(panel)
        windows = self._windows(panel)
        training = config.training if epochs is None else config.training.model_copy(update={"epochs": epochs})
        tuning = self._start is not None
        rate = training.learning_rate or learning_rate(panel.observed, tuning=tuning)
        rows = self._rows
        most = max(VALIDATION_ROWS // rows, 1)
        begin, allowed = monotonic(), self._allowed(last=epochs is not None)
        deadline = None if allowed is None else Deadline(allowed)
        with self._watch(title) as shown:
            history = train(
                graph,
                windows,
                plan(training, windows, rows, self._segments),
                rate,
                training.patience,
                config.seed,
                error_scales(panel, common=get_model(config.model["name"]).graph),
                loss=training.loss,
                validation=validate and Windows.over_last(validate[0], spec, validate[1], most),
                callbacks=[watching for watching in (shown, deadline) if watching is not None],
                keep_start=tuning and fresh,
            )
        self._spent += monotonic() - begin
        return graph, replace(history, cut=deadline is not None and deadline.over)

    def plan(self, panel: Panel) -> Plan:
        """Return the sizes of a training on a panel."""
        return plan(self._config.training, self._windows(panel), self._rows, self._segments)

    def _allowed(self, *, last: bool) -> float | None:
        """Return the seconds that a training may take, the ``last`` one what is left; None for as many as it takes."""
        training = self._config.training
        if training.seconds is None:
            return None
        return max(training.seconds * (1.0 if last or not training.refit else FIRST) - self._spent, 0.0)

    def _windows(self, panel: Panel) -> Windows:
        return training_windows(panel, self._spec, rules.patch_length(self._spec.season))

    @property
    def _segments(self) -> int:
        """Segments of the history of a row."""
        return -(-self._spec.context // (self.options.patch_length or 1))

    @property
    def _rows(self) -> int:
        """Rows of the network that a window is."""
        channels = len(self._spec.targets)
        nodes = get_model(self._config.model["name"]).graph
        return 1 if self.options.channels == "joint" else -(-channels // NODES) if nodes else channels

    def _made(self, panel: Panel) -> ForecastGraph:
        """Return the network with the weights and statistics that a training on a panel starts from."""
        config, spec = self._config, self._spec
        keras.utils.set_random_seed(config.seed)
        graph = build_graph(get_model(config.model["name"]), self.options, spec)
        if self._start is not None:
            graph.inference().set_weights(self._start.get_weights())
        median, spread, ratio = scaling_statistics(panel)
        graph.scaling.fit(median, spread, ratio)
        if graph.beside.reversion is not None:
            # What was learned of one series may be trained on with several, of which none has a level of its own here.
            graph.beside.reversion.fit(median, spread if len(panel) == 1 else [0.0] * len(spread))
        if self._adjacency is not None:
            graph.connect(self._adjacency)
        if self._start is not None:
            # The weights have learned what a unit of a covariate does.
            return graph
        if graph.covariate_scaling is not None:
            graph.covariate_scaling.fit(*covariate_statistics(panel, spec.past_covariates))
        if graph.static_scaling is not None:
            graph.static_scaling.fit(*static_statistics(panel, graph.static_numbers))
        return graph


def start_fitting(
    config: RunConfig, options: NetworkOptions, spec: WindowSpec, panel: Panel, source: str, watch: Watch | None
) -> Fitting:
    """Return the fitting of a network, with the options filled in that are left open.

    Args:
        config: the configuration; with all that the run decides where it starts from one, see `tsattn.continued`.
        options: those of the architecture.
        spec: the window.
        panel: the series.
        source: what errors call the data.
        watch: shows the trainings.

    Raises:
        ConfigError: the options contradict each other.
        DataError: the data are not what a graph is between.
        RunError: the run that it starts from cannot be read.
    """
    watch = watch or (lambda title: nullcontext())
    check_head(options, config)
    if config.init is not None:
        # A graph is among the weights.
        return Fitting(config, options, spec, watch, start=read_model(Path(config.init) / "model.keras", spec))
    entry = get_model(config.model["name"])
    adjacency = read_graph(entry, options, config.data.graph, panel, source)
    known = rules.Known.of(panel, spec, graph=adjacency is not None)
    return Fitting(config, rules.resolve(options, spec.season, known), spec, watch, adjacency)


def check_head(options: NetworkOptions, config: RunConfig) -> None:
    """Raise a ConfigError where what is forecast does not go with the support of the targets, or with the loss."""
    if options.head == "negative_binomial" and config.data.support != "count":
        raise ConfigError(
            f"model.head=negative_binomial is a distribution of counts. Received: support={config.data.support}: set "
            "support=count, or take the head normal or student_t"
        )
    if options.head != "quantiles" and config.training.loss != "pinball":
        raise ConfigError(
            f"model.head={options.head} is trained by its likelihood, and leaves no choice of a loss. Received: "
            f"training.loss={config.training.loss}: leave it out, or set model.head=quantiles"
        )


def read_graph(entry: ModelEntry, options: Options, graph: str | None, panel: Panel, source: str) -> Floats | None:
    """Return the graph between the targets of a panel, where one is given.

    Args:
        entry: the model.
        options: its options.
        graph: the file.
        panel: the series.
        source: what errors call the data.

    Raises:
        DataError: the panel has one target, which is no graph, or the file cannot be read as one of its targets.
    """
    if not entry.graph:
        return None
    if len(panel.targets) == 1:
        mend = " by its time stamps and ids, as DataFrame.pivot does" if len(panel) > 1 else ""
        raise DataError(
            f"{source}: model {entry.name} forecasts the columns of wide data together, as the nodes of a graph. "
            f"Received: {len(panel)} series of the one target '{panel.targets[0]}': give a column a series{mend}"
        )
    return None if graph is None else read_adjacency(graph, panel.targets)


def window_sizes(config: RunConfig, panel: Panel, schema: Schema, source: str) -> tuple[int, int]:
    """Return the steps of history that the model sees and those of the validation part."""
    longest, horizon = int(panel.lengths.max()), schema.horizon
    least = shortest(horizon)
    if longest < least:
        mend = f"give a horizon of at most {(longest - 1) // 2}" if longest > 2 else "give more data"
        raise DataError(
            f"{source}: a horizon of {horizon} needs a series of at least {least} rows, "
            f"and the longest has {longest}: {mend}"
        )
    context = config.data.context or rules.context(schema.season, horizon, int(np.median(panel.lengths)))
    steps = config.data.validation or validation_steps(panel, horizon)
    if not horizon <= steps < longest - horizon:
        if config.data.validation is not None:
            raise DataError(
                f"{source}: the validation part must hold a horizon of {horizon} and leave as much to train on "
                f"of {longest} rows. Received: validation={steps}"
            )
        steps = longest - horizon - 1
    if not np.isfinite(panel.tail(steps).values).any():
        raise DataError(
            f"{source}: expected values in the last {steps} rows of a series, which are kept for validation, "
            "but all are empty: leave out rows that are still to come, they are forecast without being asked for"
        )
    return context, steps


def check_support(panel: Panel, support: str, source: str) -> None:
    """Raise a DataError where a target has a value that its support does not have."""
    known = np.isfinite(panel.values)
    wrong = {
        "real": np.zeros_like(known),
        "positive": known & (panel.values < 0),
        "count": known & ((panel.values < 0) | (panel.values != np.round(panel.values))),
    }[support]
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        means = {"positive": "no value below 0", "count": "whole numbers, 0 or more"}[support]
        raise DataError(
            f"{source}: support={support} means {means}. Received: {panel.values[row, column]:g} in "
            f"'{panel.targets[column]}', and {int(wrong.sum())} such values in all: leave it out, or mend the data"
        )


def window_spec(schema: Schema, config: RunConfig, context: int) -> WindowSpec:
    """Return the window of data that were read by a schema."""
    ahead, past = (
        tuple(feature for name in group for feature in schema.features_of(name))
        for group in (schema.future_covariates, schema.past_covariates)
    )
    ahead = (*ahead, *calendar_features(schema))
    return WindowSpec(
        context,
        schema.horizon,
        schema.targets,
        schema.season,
        tuple(config.levels),
        past_covariates=(*ahead, *past),
        future_covariates=ahead,
        static=StaticInput.several(schema.static_covariates, schema.categories),
        support=config.data.support,
    )


def resolved(config: RunConfig, options: dict[str, Any], spec: WindowSpec, schema: Schema, steps: int) -> RunConfig:
    """Return the configuration with nothing left open, so that it makes the same run again."""
    data = config.data.model_copy(
        update={
            "horizon": spec.horizon,
            "season": spec.season,
            "context": spec.context,
            "freq": schema.freq,
            "validation": steps,
        }
    )
    return config.model_copy(update={"model": {"name": config.model["name"], **options}, "data": data})


def fit_model(config: RunConfig, panel: Panel, schema: Schema, source: str, watch: Watch | None) -> FittedForecaster:
    """Train the model that a configuration names, or the default one, and evaluate it on the validation part.

    Raises:
        ConfigError: a parameter has a value that is not allowed.
        DataError: the data are too short for the horizon, or are not what the model takes.
    """
    given = continued(config)
    entry, options = resolve_options(given.model, source="Forecaster")
    if given.init is None:  # else the graph is among the weights that it starts from
        check_graph(entry, options, given.data.graph, source="Forecaster")
    config = given.model_copy(update={"model": {**given.model, "name": entry.name}})
    check_support(panel, config.data.support, source)
    context, steps = window_sizes(config, panel, schema, source)
    # A run that the training starts from knows the categories that it was trained on, and has no place for others.
    known = schema if config.init else restrict_to_training_categories(schema, panel, steps)
    spec = window_spec(known, config, context)
    history: History | None = None
    choice: Choice | None = None
    if isinstance(options, NetworkOptions):
        fitting = start_fitting(config, options, spec, panel, source, watch)
        options, refit = fitting.options, config.training.refit
        graph, history = fitting.train(panel.head(steps), "training", validate=(panel, steps))
        model = graph.inference()
        scored = _scored(entry.name, model, spec, panel, steps)
        if not given.model:
            choice = choose_model(scored.total, entry.name, panel, spec, steps)
            if not choice.keeps_network:
                spec = baseline_spec(panel, spec)
                model, refit = build_baseline(get_model(choice.kept), spec), False
        # After the scores, which are computed on these windows; a network that is trained on keeps its factors.
        calibration = calibrate(model, spec, panel, steps)
        if refit and history.chosen:
            graph, _ = fitting.train(panel, "training to the end", graph=graph, epochs=-(-history.chosen // 2))
            model = graph.inference()
    else:
        spec = baseline_spec(panel, spec)
        model = build_baseline(entry, spec, options)
        scored = _scored(entry.name, model, spec, panel, steps)
        calibration = calibrate(model, spec, panel, steps)
    if choice is not None and choice.kept != entry.name:
        config = config.model_copy(update={"model": {"name": choice.kept}})
        options = resolve_options(config.model)[1]
    return FittedForecaster(
        config=resolved(config, options.model_dump(), spec, known, steps),
        schema=known,
        spec=spec,
        model=model,
        # Enough to forecast from, and for a picture.
        panel=panel.tail(max(spec.context, 4 * schema.season, 3 * schema.horizon)),
        training_data=summary(panel),
        scores=scored.total,
        left_out=scored.left_out,
        calibration=calibration,
        history=history,
        choice=choice,
    )


def _scored(name: str, model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Scores:
    return compare(beside_baselines(name, Candidate(model, spec), panel), panel, steps)
