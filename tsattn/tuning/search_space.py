"""Search space: the options of each model, of the training and of the window that are not fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from tsattn.config import (
    AUTO,
    Choice,
    DataConfig,
    Multiples,
    OptionSpace,
    Range,
    RunConfig,
    TrainingConfig,
    Unless,
    option_spaces,
)
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.errors import ConfigError
from tsattn.forecasting.fit import check_support, window_sizes
from tsattn.forecasting.network_trainer import prepare_training
from tsattn.models import MODELS, resolve_options
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import check_graph
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WindowSpec
from tsattn.training.defaults import default_learning_rate

MODEL = "model"
"""Name of the parameter for the model, in a search of several models."""

Values = dict[str, Any]
"""Values of options by name, such as ``training.learning_rate``."""


def check_not_fine_tuned(config: RunConfig) -> None:
    """Raise a ConfigError for a configuration that starts from the weights of a run."""
    if config.init_from is not None:
        raise ConfigError("a search trains from random weights", "leave out {init_from}")


@dataclass(frozen=True)
class SearchSpace:
    """Search space of one or several models.

    Args:
        config: Options that are fixed.
        dimensions: Searched options of each model.
    """

    config: RunConfig
    dimensions: dict[str, tuple[Dimension, ...]]

    @classmethod
    def from_config(
        cls, config: RunConfig, models: Sequence[str], panel: Panel, schema: Schema, source: str
    ) -> SearchSpace:
        """Return the search space of models for data.

        Args:
            config: Options that are fixed.
            models: Names of the models.
            source: Name of the data in errors.

        Raises:
            ConfigError: A model does not have an option, options contradict each other, a model is not trained, or no
                option is left to search.
            DataError: The data are too short, or a model does not take them.
        """
        check_not_fine_tuned(config)
        if AUTO in models:
            raise ConfigError(f"expected models to search, such as seq2seq,tcn, got {AUTO}, which compares models")
        check_support(panel, config.data.support, source)
        dimensions = {
            name: _dimensions(config.with_model(name), panel, schema, source) for name in dict.fromkeys(models)
        }
        if len(dimensions) == 1 and not any(dimensions.values()):
            raise ConfigError("no option is left to search: all options with a search space are given")
        return cls(config, dimensions)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.dimensions)

    def suggest(self, trial: optuna.Trial) -> tuple[str, Values]:
        """Return the model and the option values of a trial."""
        models = self.models
        model = trial.suggest_categorical(MODEL, models) if len(models) > 1 else models[0]
        return model, self._walk(model, lambda dimension: dimension.suggest(trial))

    def default_values(self, model: str) -> Values:
        """Return the option values of the default."""
        return self._walk(model, lambda dimension: dimension.default)

    def default_parameters(self, model: str) -> dict[str, Any]:
        """Return the default as parameters of the study."""
        active = self.default_values(model)
        parameters = {x.name: x.default_parameter for x in self.dimensions[model] if x.option in active}
        return {**({MODEL: model} if len(self.models) > 1 else {}), **parameters}

    def with_values(self, model: str, values: Values) -> RunConfig:
        """Return the configuration of a model with option values. That of the default sets only the fixed options.

        All searched options are set, because the rules for options that are left out depend on other options.
        """
        config = self.config.with_model(model)
        if values == self.default_values(model):
            return config
        groups: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "training": {}}
        for option, value in values.items():
            group, name = option.split(".", 1)
            groups[group][name] = value
        return config.model_copy(
            update={
                "model": {**config.model, **groups["model"]},
                "data": config.data.model_copy(update=groups["data"]),
                "training": config.training.model_copy(update=groups["training"]),
            }
        )

    def describe(self) -> dict[str, dict[str, str]]:
        """Return the searched values as text, by model and option."""
        return {model: {x.option: str(x.space) for x in several} for model, several in self.dimensions.items()}

    def _walk(self, model: str, choose: Callable[[Dimension], Any]) -> Values:
        """Return the chosen value of each option that has an effect."""
        fields = resolve_options({"name": model})[1].model_dump()
        known = {**fields, **{key: value for key, value in self.config.model.items() if key != "name"}}
        values: Values = {}
        for dimension in self.dimensions[model]:
            if any(known.get(name, _Absent) in refused for name, refused in dimension.unless.items()):
                continue
            value = values[dimension.option] = choose(dimension)
            group, name = dimension.option.split(".", 1)
            if group == "model":
                known[name] = value
        return values


class _Absent:
    """Value of an option that a model does not have."""


def _dimensions(config: RunConfig, panel: Panel, schema: Schema, source: str) -> tuple[Dimension, ...]:
    """Return the searched options of one model."""
    entry, options = resolve_options(config.model, source="tune")
    if not isinstance(options, NetworkOptions):
        others = ", ".join(name for name, other in MODELS.items() if other.trained)
        raise ConfigError(f"expected a model with options to tune, such as {others}, got {entry.name}")
    check_graph(entry, options, config.data.graph, source="tune")
    context, steps = window_sizes(config, panel, schema, source)
    spec = WindowSpec.from_schema(restrict_to_training_categories(schema, panel, steps), config, context)
    trainer = prepare_training(config, options, spec, panel, source)
    train = panel.drop_last(steps)
    defaults = {
        "model": trainer.options.model_dump(),
        "data": {"context": context},
        "training": {
            **config.training.model_dump(),
            "learning_rate": default_learning_rate(train.num_observed),
            "batch_size": trainer.plan(train).batch_size,
        },
    }
    given = {
        "model": {name for name, value in config.model.items() if value is not None},
        "data": {name for name, value in config.data if value is not None},
        "training": {name for name in config.training.model_fields_set if getattr(config.training, name) is not None},
    }
    # A longer context leaves no window to train on.
    longest = {"data.context": max(int(np.median(train.lengths)) - spec.horizon, context)}
    found = []
    for group, kind in (("model", entry.options), ("data", DataConfig), ("training", TrainingConfig)):
        for name, space in option_spaces(kind).items():
            if name in given[group] or name not in defaults[group]:
                continue
            option = f"{group}.{name}"
            key = f"{entry.name}.{option.removeprefix('model.')}"
            found.append(Dimension.from_declaration(key, option, defaults[group][name], space, longest.get(option)))
    return _in_order([dimension for dimension in found if not dimension.is_constant])


def _in_order(dimensions: list[Dimension]) -> tuple[Dimension, ...]:
    """Return dimensions, each of them after those on which it depends."""
    order: list[Dimension] = []
    while pending := [dimension for dimension in dimensions if dimension not in order]:
        names = {dimension.option.removeprefix("model.") for dimension in pending}
        order += [dimension for dimension in pending if not names & set(dimension.unless)] or pending
    return tuple(order)


@dataclass(frozen=True)
class Dimension:
    """One searched option.

    Args:
        name: Name in the study, with the model as a prefix for an option of a model.
        option: Name in the configuration, such as ``model.units``.
        default: Value in the default.
        space: Possible values, including the default.
        unless: Values of other options of the model that exclude this one from the search.
    """

    name: str
    option: str
    default: Any
    space: Choice | Range
    unless: Unless

    @classmethod
    def from_declaration(
        cls, name: str, option: str, default: Any, declared: OptionSpace, maximum: float | None = None
    ) -> Dimension:
        """Return the dimension of a declared search space, extended by the default.

        Args:
            name: Name in the study.
            option: Name in the configuration.
            default: Value in the default; the one by rule if the option is left out.
            declared: The search space.
            maximum: Maximum that the data allow.

        Raises:
            ConfigError: The default cannot be part of the space.
        """
        if isinstance(declared, Range):
            space: Choice | Range = _extend_range(option, default, declared)
        else:
            values = (
                _multiples(option, default, declared, maximum) if isinstance(declared, Multiples) else declared.values
            )
            space = Choice(*_sort_unique((*values, default)))
        return cls(name, option, default, space, declared.unless)

    def suggest(self, trial: optuna.Trial) -> Any:
        """Return the value for a trial."""
        space = self.space
        if isinstance(space, Choice):
            if _are_numbers(space.values):
                # By index, so that the sampler knows the order of the values.
                return space.values[trial.suggest_int(self.name, 0, len(space.values) - 1)]
            return trial.suggest_categorical(self.name, space.values)
        if isinstance(space.low, int) and isinstance(space.high, int):
            return trial.suggest_int(self.name, space.low, space.high, log=space.log)
        value = trial.suggest_float(self.name, space.low, space.high, log=space.log)
        # Two digits are sufficient and easy to read.
        return self.default if value == self.default else min(max(float(f"{value:.2g}"), space.low), space.high)

    @property
    def default_parameter(self) -> Any:
        """The default as a parameter of the study."""
        if isinstance(self.space, Choice) and _are_numbers(self.space.values):
            return self.space.values.index(self.default)
        return self.default

    @property
    def is_constant(self) -> bool:
        """Whether the default is the only value."""
        if isinstance(self.space, Choice):
            return len(self.space.values) == 1
        return self.space.low == self.space.high


def _multiples(option: str, default: Any, declared: Multiples, maximum: float | None) -> tuple[int, ...]:
    """Return the multiples of a default that are within the maximum."""
    if not isinstance(default, (int, float)):
        raise ConfigError(f"{option}: its search space needs a default that is a number, got {default!r}")
    multiples = (max(round(default * factor), 1) for factor in declared.factors)
    return tuple(value for value in multiples if maximum is None or value <= maximum)


def _extend_range(option: str, default: Any, declared: Range) -> Range:
    """Return a range that includes the default."""
    is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if not is_number or (declared.log and default <= 0):
        kind = "positive number" if declared.log else "number"
        raise ConfigError(f"{option}: its search space needs a default that is a {kind}, got {default!r}")
    return Range(min(declared.low, default), max(declared.high, default), declared.log)


def _sort_unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values without duplicates, numbers in ascending order."""
    unique = tuple(dict.fromkeys(values))
    return tuple(sorted(unique)) if _are_numbers(unique) else unique


def _are_numbers(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
