"""Fit one model: fill in the configuration, train, score, calibrate."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TypeVar

import keras
import numpy as np

from tsattn._text import format_timestamp
from tsattn.config import BaseConfig, RunConfig, Support
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.errors import ConfigError, DataError
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.network_trainer import (
    FINE_TUNING_VALUES,
    CallbackFactory,
    NetworkTrainer,
    fit_zero_shot,
    prepare_training,
    train_to_end,
)
from tsattn.forecasting.warm_start import inherit_options
from tsattn.layers import ZeroShotForecast
from tsattn.models import COMBINATION, get_model, resolve_options
from tsattn.models.combination import COMBINATION_LAYER, combine_with_zero_shot, combined_window
from tsattn.models.defaults import default_context
from tsattn.models.forecast_model import build_untrained
from tsattn.models.options import CombinationOptions, NetworkOptions, ZeroShotOptions
from tsattn.models.registry import check_graph
from tsattn.pretrained.zero_shot import zero_shot_window
from tsattn.scoring.calibration import HISTORY_CALIBRATION, Calibration, calibrate
from tsattn.scoring.comparison import ValidationForecasts, ValidationSummary, baseline_spec, compare
from tsattn.scoring.forecast_weights import MIN_VALUES, ForecastWeights, learn_weights
from tsattn.scoring.metrics import Scores
from tsattn.smoothing import default_window
from tsattn.timeseries.characteristics import combined_seasons
from tsattn.timeseries.panel import Panel, summarize_panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WindowSpec, min_series_length
from tsattn.training.checkpoints import Checkpoints
from tsattn.training.defaults import default_validation_steps
from tsattn.training.trainer import History

T = TypeVar("T", bound=ZeroShotOptions)

_logger = logging.getLogger(__name__)


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


def check_support(panel: Panel, support: Support | None, source: str) -> None:
    """Raise a DataError if a target has a value outside the domain that the user gave."""
    if support in ("positive", "count") and panel.levels is not None:
        id, target = np.argwhere(panel.levels)[0]
        name = panel.targets[target] if len(panel) == 1 else panel.ids[id]
        raise DataError(
            f"{source}: support={support} needs values that float32 holds, but '{name}' changes by less than its "
            f"resolution at {panel.levels[id, target]:.10g}",
            "leave out {support}",
        )
    observed = np.isfinite(panel.values)
    wrong = {
        "real": np.zeros_like(observed),
        "positive": observed & (panel.values < 0),
        "count": observed & ((panel.values < 0) | (panel.values != np.round(panel.values))),
    }[support or "real"]
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        series = int(np.searchsorted(panel.series.offsets, row, side="right")) - 1
        time = format_timestamp(panel.times(series)[row - panel.series.offsets[series]])
        where = f" of '{panel.ids[series]}'" if len(panel) > 1 else ""
        others = f", and in {int(wrong.sum()) - 1} others" if wrong.sum() > 1 else ""
        domain = {"positive": "no value below 0", "count": "integers of 0 and more"}[support or "real"]
        raise DataError(
            f"{source}: support={support} means {domain}. Received: {panel.values[row, column]:g} in "
            f"'{panel.targets[column]}'{where} at {time}{others}",
            "leave out {support}",
            "correct the data",
        )


MAX_NETWORK_VALUE = 1e17
"""Largest absolute value of the training data of a network, whose squares float32 has to hold."""


def check_magnitude(panel: Panel, source: str) -> None:
    """Raise a DataError if the values are too large or too small for the arithmetic of a network."""
    largest = np.nanmax(np.abs(panel.values), axis=0, initial=0.0)
    for target, value in zip(panel.targets, largest.tolist(), strict=True):
        if value > MAX_NETWORK_VALUE or 0 < value < 1 / MAX_NETWORK_VALUE:
            raise DataError(
                f"{source}: networks are trained on values whose largest is between {1 / MAX_NETWORK_VALUE:g} and "
                f"{MAX_NETWORK_VALUE:g}. Received: {value:g} in '{target}'",
                "multiply the column by a constant",
                "set {model} to combination, which has no network",
            )


@dataclass(frozen=True)
class _FittedModel:
    """A fitted model with its options, its window and how good it is."""

    model: keras.Model
    name: str
    options: BaseConfig
    spec: WindowSpec
    scores: tuple[Scores, ValidationSummary | None]
    calibration: Calibration
    history: History | None = None
    choice: ForecastWeights | None = None


def fit_model(
    config: RunConfig,
    panel: Panel,
    schema: Schema,
    source: str = "the panel",
    callback: CallbackFactory | None = None,
    checkpoints: Checkpoints | None = None,
) -> FittedForecaster:
    """Train the model that a configuration names, or the default one, and evaluate it on the validation part.

    The default combines seq2seq with the zero-shot forecast of `combination`; see `tsattn.scoring.forecast_weights`.

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
    if isinstance(options, ZeroShotOptions):
        options = _fill_zero_shot(options, config, panel, schema, is_default=is_default)
    choice = _without_network(entry.name, panel, schema) if is_default else None
    if choice is not None:
        assert isinstance(options, ZeroShotOptions)
        fitted = _fit_combination(options, config, spec, panel, steps, choice=choice)
    elif isinstance(options, NetworkOptions):
        check_magnitude(panel, source)
        trainer = prepare_training(config, options, spec, panel, source, callback, checkpoints)
        fitted = _fit_network(trainer, config, spec, panel, steps)
    elif isinstance(options, CombinationOptions):
        fitted = _fit_combination(options, config, spec, panel, steps)
    else:
        spec = baseline_spec(panel, spec)
        model = build_untrained(entry, spec, options)
        forecasts = _validate(entry.name, model, spec, panel, steps)
        scores = compare(entry.name, forecasts)
        fitted = _FittedModel(model, entry.name, options, spec, scores, calibrate(model, forecasts))
    scored, validation = fitted.scores
    return FittedForecaster(
        config=_fill_config(config, fitted, schema, context, steps),
        schema=schema,
        spec=fitted.spec,
        model=fitted.model,
        # Enough for forecasts and for a plot.
        panel=panel.tail(max(fitted.spec.context, 4 * schema.season, 3 * schema.horizon)),
        training_data=summarize_panel(panel),
        scores=scored.total,
        notes=scored.notes,
        calibration=fitted.calibration,
        history=fitted.history,
        choice=fitted.choice,
        validation=validation,
    )


def _fill_zero_shot(options: T, config: RunConfig, panel: Panel, schema: Schema, *, is_default: bool) -> T:
    """Return the options with the second season filled in, and whether the zero-shot forecast is used."""
    zero_shot = True
    if isinstance(options, NetworkOptions):
        zero_shot = is_default if options.zero_shot is None else options.zero_shot
        if zero_shot and options.head != "quantiles":
            raise ConfigError(
                f"model.zero_shot=true combines quantiles. Received: model.head={options.head}",
                "leave out model.zero_shot",
                "set model.head=quantiles",
            )
        enough = panel.num_observed >= FINE_TUNING_VALUES
        fine_tuning = zero_shot and (enough if options.fine_tuning is None else options.fine_tuning)
        options = options.model_copy(update={"zero_shot": zero_shot, "fine_tuning": fine_tuning})
    if not zero_shot or options.second_season is not None:
        return options
    seasons = combined_seasons(panel, schema, given=config.data.season is not None)
    return options.model_copy(update={"second_season": seasons[1] if len(seasons) > 1 else 0})


def _without_network(network: str, panel: Panel, schema: Schema) -> ForecastWeights | None:
    """Return the weights of the default for data that are too few for a network; None if they are enough.

    Covariates are always given to a network, because the zero-shot forecast does not use them.
    """
    if panel.num_observed >= MIN_VALUES or schema.covariates or schema.static_covariates:
        return None
    reason = f"networks are trained from {MIN_VALUES} observed values on, and the data have {panel.num_observed}"
    return ForecastWeights(network, (0.0,) * schema.horizon, reason=reason)


def _fit_combination(
    options: ZeroShotOptions,
    config: RunConfig,
    spec: WindowSpec,
    panel: Panel,
    steps: int,
    choice: ForecastWeights | None = None,
    history: History | None = None,
    fine_tuned: ZeroShotForecast | None = None,
) -> _FittedModel:
    """Return the zero-shot forecast alone, with the weights of a layer if one is given."""
    own = CombinationOptions(second_season=options.second_season)
    longest = default_window(spec.horizon, own.seasons(spec.season))
    window = min(zero_shot_window(spec.horizon, own.seasons(spec.season)), max(longest, int(panel.lengths.max())))
    given = config.data.context if choice is None else None
    spec = replace(baseline_spec(panel, spec), context=given or window)
    model = build_untrained(get_model(COMBINATION), spec, own)
    if fine_tuned is not None:
        model.get_layer(COMBINATION_LAYER).set_weights(fine_tuned.get_weights())
    scores = compare(COMBINATION, _validate(COMBINATION, model, spec, panel, steps))
    return _FittedModel(model, COMBINATION, own, spec, scores, HISTORY_CALIBRATION, history, choice)


def _fit_network(
    trainer: NetworkTrainer, config: RunConfig, spec: WindowSpec, panel: Panel, steps: int
) -> _FittedModel:
    """Train a network, and combine it with the zero-shot forecast if the options ask for it."""
    name, refit, options = str(config.model["name"]), config.training.refit, trainer.options
    graph, history = trainer.train(panel.drop_last(steps), "training", validate=(panel, steps))
    model, window, choice, zero_shot = graph.inference(), spec, None, None
    if options.zero_shot:
        seasons = options.seasons(spec.season)
        zero_shot = fit_zero_shot(trainer, panel, steps)
        _logger.info("Weighting the network and the zero-shot forecast")
        choice = learn_weights(name, (model, spec), (zero_shot.model, zero_shot.spec), panel, steps)
        choice = replace(choice, initial_error=zero_shot.initial_error)
        if not choice.uses_network:
            fitted = _fit_combination(options, config, spec, panel, steps, choice, history, zero_shot.layer)
            if refit:
                train_to_end(zero_shot, trainer, panel, fitted.model)
            return fitted
        if choice.uses_zero_shot:
            # Its layers are those of the graph, so it changes with further training.
            model = combine_with_zero_shot(model, spec, seasons, choice.weights, zero_shot.layer)
            window = combined_window(spec, seasons)
        else:
            options = options.model_copy(update={"zero_shot": False, "fine_tuning": False})
    selected = name if choice is None else choice.selected
    forecasts = _validate(selected, model, window, panel, steps)
    scores = compare(selected, forecasts)
    # A network that is trained further keeps its factors.
    calibration = calibrate(model, forecasts)
    if refit and history.best_epoch and not history.interrupted:
        graph, _ = trainer.train(panel, "training to the end", graph=graph, epochs=-(-history.best_epoch // 2))
        if zero_shot is not None and options.zero_shot:
            train_to_end(zero_shot, trainer, panel, model)
        else:
            model = graph.inference()
    return _FittedModel(model, name, options, window, scores, calibration, history, choice)


def _validate(name: str, model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> ValidationForecasts:
    _logger.info("Scoring %s on the validation part", name)
    return ValidationForecasts.of(model, spec, panel, steps)


def _fill_config(config: RunConfig, fitted: _FittedModel, schema: Schema, context: int, steps: int) -> RunConfig:
    """Return the configuration with every option filled in, so that it reproduces the run."""
    spec = fitted.spec
    # The window of a network is that of the run without the extension for the zero-shot forecast.
    context = context if isinstance(fitted.options, NetworkOptions) else spec.context
    sizes = {"horizon": spec.horizon, "season": spec.season, "context": context, "validation": steps}
    data = config.data.model_copy(update={**sizes, "freq": schema.freq, "support": schema.support})
    return config.model_copy(
        update={"model": {"name": fitted.name, **fitted.options.model_dump(exclude_none=True)}, "data": data}
    )
