"""One option that is searched: what is declared of it, made exact for the data by its default there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna

from tsattn.errors import ConfigError
from tsattn.space import Choice, Declared, Range, Times, Unless


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
