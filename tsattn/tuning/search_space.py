"""What a search goes through: the options of each model, of the training and of the window that are not fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from tsattn.config import AUTO, Choice, DataConfig, Declared, Range, RunConfig, Times, TrainingConfig, Unless, declared
from tsattn.data.panel_builder import restrict_to_training_categories
from tsattn.errors import ConfigError
from tsattn.forecasting.fit import check_support, start_fitting, window_sizes, window_spec
from tsattn.models import MODELS, resolve_options
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import check_graph
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.training.defaults import learning_rate

MODEL = "model"
"""Name of the parameter that says which model it is, where there are several."""

Values = dict[str, Any]
"""Values of options by name, such as ``training.learning_rate``."""


@dataclass(frozen=True)
class Space:
    """What a search goes through.

    Args:
        config: what is fixed.
        dimensions: for each model the options that are searched.
    """

    config: RunConfig
    dimensions: dict[str, tuple[Dimension, ...]]

    @classmethod
    def of(cls, config: RunConfig, models: Sequence[str], panel: Panel, schema: Schema, source: str) -> Space:
        """Return the space of models on data.

        Args:
            config: what is fixed.
            models: names of the models.
            panel: the series.
            schema: how they were read.
            source: what errors call the data.

        Raises:
            ConfigError: an option is not one of every model, the options contradict each other, a model has nothing to
                train, or nothing is left to search.
            DataError: the data are too short, or not what a model takes.
        """
        if config.init is not None:
            raise ConfigError("a search trains from the beginning: leave init out")
        if AUTO in models:
            raise ConfigError(f"model {AUTO} compares models as they are: name those to search, such as seq2seq,tcn")
        check_support(panel, config.data.support, source)
        dimensions = {name: _dimensions(config.named(name), panel, schema, source) for name in dict.fromkeys(models)}
        if len(dimensions) == 1 and not any(dimensions.values()):
            raise ConfigError("nothing is left to search: every option that could be is given")
        return cls(config, dimensions)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.dimensions)

    def suggest(self, trial: optuna.Trial) -> tuple[str, Values]:
        """Return the model that a trial tries, and the values of its options."""
        models = self.models
        model = trial.suggest_categorical(MODEL, models) if len(models) > 1 else models[0]
        return model, self._walk(model, lambda dimension: dimension.suggest(trial))

    def default(self, model: str) -> Values:
        """Return the values of the default."""
        return self._walk(model, lambda dimension: dimension.default)

    def start(self, model: str) -> dict[str, Any]:
        """Return the parameters of the default, as the study has them."""
        active = self.default(model)
        parameters = {x.name: x.start for x in self.dimensions[model] if x.option in active}
        return {**({MODEL: model} if len(self.models) > 1 else {}), **parameters}

    def configured(self, model: str, values: Values) -> RunConfig:
        """Return the configuration of a model with values; the default's have nothing but what is fixed.

        Where a value follows from another by rule, the rule would give another value beside other ones, so that all
        that were searched are set.
        """
        config = self.config.named(model)
        if values == self.default(model):
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

    def described(self) -> dict[str, dict[str, str]]:
        """Return in words what is searched, by model and option."""
        return {model: {x.option: str(x.space) for x in several} for model, several in self.dimensions.items()}

    def _walk(self, model: str, choose: Callable[[Dimension], Any]) -> Values:
        """Return what is chosen of each option that has a use."""
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
    """Stands for an option that a model does not have."""


def _dimensions(config: RunConfig, panel: Panel, schema: Schema, source: str) -> tuple[Dimension, ...]:
    """Return what is searched of one model."""
    entry, options = resolve_options(config.model, source="tune")
    if not isinstance(options, NetworkOptions):
        others = ", ".join(name for name, other in MODELS.items() if other.trained)
        raise ConfigError(f"model {entry.name} has nothing to tune: give one of {others}")
    check_graph(entry, options, config.data.graph, source="tune")
    context, steps = window_sizes(config, panel, schema, source)
    spec = window_spec(restrict_to_training_categories(schema, panel, steps), config, context)
    fitting = start_fitting(config, options, spec, panel, source, None)
    train = panel.head(steps)
    defaults = {
        "model": fitting.options.model_dump(),
        "data": {"context": context},
        "training": {
            **config.training.model_dump(),
            "learning_rate": learning_rate(train.observed),
            "batch_size": fitting.plan(train).batch_size,
        },
    }
    given = {
        "model": {name for name, value in config.model.items() if value is not None},
        "data": {name for name, value in config.data if value is not None},
        "training": {name for name in config.training.model_fields_set if getattr(config.training, name) is not None},
    }
    # Behind a longer look-back there would be no window to train on.
    longest = {"data.context": max(int(np.median(train.lengths)) - spec.horizon, context)}
    found = []
    for group, kind in (("model", entry.options), ("data", DataConfig), ("training", TrainingConfig)):
        for name, space in declared(kind).items():
            if name in given[group] or name not in defaults[group]:
                continue
            option = f"{group}.{name}"
            key = f"{entry.name}.{option.removeprefix('model.')}"
            found.append(Dimension.of(key, option, defaults[group][name], space, longest.get(option)))
    return _in_order([dimension for dimension in found if not dimension.single])


def _in_order(dimensions: list[Dimension]) -> tuple[Dimension, ...]:
    """Return dimensions with those that depend on others behind them."""
    order: list[Dimension] = []
    while pending := [dimension for dimension in dimensions if dimension not in order]:
        names = {dimension.option.removeprefix("model.") for dimension in pending}
        order += [dimension for dimension in pending if not names & set(dimension.unless)] or pending
    return tuple(order)


@dataclass(frozen=True)
class Dimension:
    """One option that is searched.

    Args:
        name: its name in the study, with the model in front where it is an option of one.
        option: its name in the configuration, such as ``model.units``.
        default: its value in the default.
        space: what it can be; the default is part of it.
        unless: values of other options of the model of which it is not searched.
    """

    name: str
    option: str
    default: Any
    space: Choice | Range
    unless: Unless

    @classmethod
    def of(cls, name: str, option: str, default: Any, declared: Declared, most: float | None = None) -> Dimension:
        """Return the dimension of a declared space.

        Args:
            name: its name in the study.
            option: its name in the configuration.
            default: its value in the default, by rule where it was left open.
            declared: the space.
            most: the most that the data allow.

        Raises:
            ConfigError: the default cannot be part of the space.
        """
        if isinstance(declared, Range):
            space: Choice | Range = _widened(option, default, declared)
        else:
            values = _multiples(option, default, declared, most) if isinstance(declared, Times) else declared.values
            space = Choice(*_ordered((*values, default)))
        return cls(name, option, default, space, declared.unless)

    def suggest(self, trial: optuna.Trial) -> Any:
        """Return the value that a trial tries."""
        space = self.space
        if isinstance(space, Choice):
            if _are_numbers(space.values):
                # By its place, so that the sampler knows which values are next to each other.
                return space.values[trial.suggest_int(self.name, 0, len(space.values) - 1)]
            return trial.suggest_categorical(self.name, space.values)
        if isinstance(space.low, int) and isinstance(space.high, int):
            return trial.suggest_int(self.name, space.low, space.high, log=space.log)
        value = trial.suggest_float(self.name, space.low, space.high, log=space.log)
        # Two digits are as many as make a difference, and can be read.
        return self.default if value == self.default else min(max(float(f"{value:.2g}"), space.low), space.high)

    @property
    def start(self) -> Any:
        """The default, as the study has it."""
        if isinstance(self.space, Choice) and _are_numbers(self.space.values):
            return self.space.values.index(self.default)
        return self.default

    @property
    def single(self) -> bool:
        """Whether the default is all there is."""
        if isinstance(self.space, Choice):
            return len(self.space.values) == 1
        return self.space.low == self.space.high


def _multiples(option: str, default: Any, declared: Times, most: float | None) -> tuple[int, ...]:
    """Return the multiples of a default that the data allow."""
    if not isinstance(default, (int, float)):
        raise ConfigError(f"{option}: its space is multiples of the default, which {default!r} has none of")
    multiples = (max(round(default * factor), 1) for factor in declared.factors)
    return tuple(value for value in multiples if most is None or value <= most)


def _widened(option: str, default: Any, declared: Range) -> Range:
    """Return a range with the default in it."""
    number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if not number or (declared.log and default <= 0):
        what = "positive numbers" if declared.log else "numbers"
        raise ConfigError(f"{option}: its space is a range of {what}, which its default {default!r} is not")
    return Range(min(declared.low, default), max(declared.high, default), declared.log)


def _ordered(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values once each, numbers in ascending order."""
    unique = tuple(dict.fromkeys(values))
    return tuple(sorted(unique)) if _are_numbers(unique) else unique


def _are_numbers(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
