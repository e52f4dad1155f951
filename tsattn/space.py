"""What `tsattn tune` searches of an option, declared beside the option itself.

An option is searched where its annotation says in what space::

    depth: Annotated[int, Choice(1, 2, 3)] = Field(2, ge=1, description="layers that mix each segment")
    rate: Annotated[float, Range(0.0, 0.5)] = Field(0.1, ge=0, lt=1, description="share that is dropped")

Others stay as they are, and so does what a user has set. The default always belongs to the space, with what a rule
makes of it for the data where it is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Unless = Mapping[str, tuple[Any, ...]]
"""Values of other options of the same model, of any of which an option is not searched; a model without them does not
mind."""


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values: numbers, which have an order then, or names.

    Args:
        values: the values.
        unless: what other options must not be, or this one has no use.
    """

    values: tuple[Any, ...]
    unless: Unless = field(default_factory=dict)

    def __init__(self, *values: Any, unless: Unless | None = None) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "unless", unless or {})

    def __str__(self) -> str:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; a whole one where both are.

    Args:
        low: the least.
        high: the most.
        log: search the logarithm, where the order of magnitude is what matters.
        unless: what other options must not be, or this one has no use.
    """

    low: float
    high: float
    log: bool = False
    unless: Unless = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, init=False)
class Times:
    """A whole number: one of several multiples of the default, such as the rule for the data gives it.

    Args:
        factors: the multiples.
        unless: what other options must not be, or this one has no use.
    """

    factors: tuple[float, ...]
    unless: Unless = field(default_factory=dict)

    def __init__(self, *factors: float, unless: Unless | None = None) -> None:
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "unless", unless or {})

    def __str__(self) -> str:
        return ", ".join(f"{factor:g}" for factor in self.factors) + " times the default"


Declared = Choice | Range | Times


def declared(options: type[BaseModel]) -> dict[str, Declared]:
    """Return the spaces that a group of options declares, by the name of the option."""
    return {
        name: known
        for name, option in options.model_fields.items()
        for known in option.metadata
        if isinstance(known, (Choice, Range, Times))
    }
