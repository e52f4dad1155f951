"""What `tsattn tune` searches of an option, declared beside the option itself.

An option is searched where its annotation says in what space::

    depth: Annotated[int, Choice(1, 2, 3)] = Field(2, ge=1, description="layers that mix each segment")
    rate: Annotated[float, Range(0.0, 0.5)] = Field(0.1, ge=0, lt=1, description="share that is dropped")

Others stay as they are, and so does what a user has set. The default always belongs to the space, with what a rule
makes of it for the data where it is None.
"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tsattn.errors import ConfigError

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


T = TypeVar("T", bound="Options")

AUTO = "auto"
"""The name of the model that is the best of several, see `tsattn.evaluation.auto`."""


Combine = Literal["mean", "sum", "last"]
"""How several values of one step become one; missing ones are skipped."""


class Options(BaseModel):
    """Base of every group of options: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Support = Literal["real", "positive", "count"]
"""What values a target can have: any, none below 0, or 0, 1, 2, ..."""

Loss = Literal["pinball", "squared"]
"""What a network is trained for: pinball makes the forecast the median, squared the mean."""


class DataConfig(Options):
    """How a file is read as series. What is left out is inferred from the data and told."""

    time: str | None = Field(None, description="column of the time stamps")
    id: str | None = Field(None, description="column that tells the series apart (long data)")
    target: tuple[str, ...] | None = Field(None, description="columns to forecast")
    future_covariates: tuple[str, ...] | None = Field(None, description="columns known over the horizon too, or none")
    past_covariates: tuple[str, ...] | None = Field(None, description="columns known up to the forecast only")
    static_covariates: tuple[str, ...] | None = Field(None, description="columns with one value a series, or none")
    categories: tuple[str, ...] | None = Field(
        None, description="covariates that are categories though they are numbers"
    )
    calendar: tuple[str, ...] | None = Field(
        None, description="cycles of the calendar as covariates; auto for those that fit"
    )
    holidays: str | None = Field(None, description="country whose public holidays are a covariate: DE, or DE-BY")
    graph: str | None = Field(None, description="CSV of the graph between targets: a matrix, or a list of edges")
    support: Support = Field(
        "real", description="what values the targets can have: any, none below 0 (positive), or 0, 1, 2, ... (count)"
    )
    freq: str | None = Field(None, description="pandas frequency alias (h, D, MS, W-SAT), or a whole number")
    on_duplicate: Combine | None = Field(None, description="what rows with the same stamp become; refused if left out")
    resample: Combine | None = Field(None, description="what the values within a step become, for stamps off the grid")
    season: int | None = Field(None, ge=1, description="season length in steps; 1 where there is none")
    horizon: int | None = Field(None, ge=1, description="steps to forecast")
    context: Annotated[int | None, Times(0.25, 0.5, 1, 2)] = Field(
        None, ge=1, description="look-back: steps of history the model sees"
    )
    validation: int | None = Field(None, ge=1, description="last steps of each series kept for validation")

    @field_validator("graph", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator(
        "target", "future_covariates", "past_covariates", "static_covariates", "categories", "calendar", mode="before"
    )
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value == "none":
            return ()
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


class TrainingConfig(Options):
    """How the model is trained. What is left out is chosen by rule from the size of the data."""

    epochs: int | None = Field(None, ge=1, description="most epochs; training stops earlier by itself")
    batch_size: Annotated[int | None, Times(0.5, 1, 2)] = Field(None, ge=1, description="windows in a batch")
    steps_per_epoch: int | None = Field(None, ge=1, description="most batches in an epoch")
    sampling: Literal["windows", "series"] = Field(
        "windows", description="windows: each as often; series: each series as often, however long"
    )
    short_histories: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the windows whose history is cut to a random length, a segment at least, so that series "
        "with less than the context are forecast well, too",
    )
    learning_rate: Annotated[float | None, Range(1e-4, 1e-2, log=True)] = Field(
        None, gt=0, description="step size of Adam"
    )
    loss: Loss = Field(
        "pinball",
        description="what the forecast is trained for: pinball makes it the median, of least absolute error, squared "
        "the mean, of least squared error; the other levels are quantiles in both",
    )
    seconds: float | None = Field(
        None, gt=0, description="most seconds of the training, of which the one to the end of the data has a third"
    )
    patience: int = Field(3, ge=1, description="epochs without improvement before training stops")
    refit: bool = Field(True, description="train on to the end of the data, for half the chosen epochs")


class SelectionConfig(Options):
    """What ``--model auto`` compares, and for how long."""

    models: tuple[str, ...] | None = Field(None, description="networks to compare, in this order, while there is time")
    budget: float | None = Field(None, gt=0, description="seconds for all of it; the rest of the models is left out")
    folds: int | None = Field(None, ge=1, description="how many times each model forecasts; by rule if left out")

    @field_validator("models", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


class RunConfig(Options):
    """Everything that decides a run, apart from the data.

    Where ``model`` is empty, it is seq2seq or, where that is no better, a naive baseline. A model that has a name or an
    option is trained and kept, whatever its scores.
    """

    model: dict[str, Any] = Field({}, description="name of the model and its options; if left out, it is chosen")
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    levels: tuple[float, ...] = Field((0.1, 0.5, 0.9), description="quantile levels; 0.5 is the forecast")
    seed: int = Field(0, ge=0, description="seed of every random choice")
    selection: SelectionConfig | None = Field(None, description="what the model auto is chosen from")
    init: str | None = Field(None, description="run directory whose weights the training starts from")

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.init is not None and self.model.get("name") == AUTO:
            raise ValueError("model=auto compares several models, and init is the weights of one: leave one out")
        return self

    @field_validator("init", mode="before")
    @classmethod
    def _init_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("levels")
    @classmethod
    def _levels_in_order(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)) or not all(0 < level < 1 for level in levels):
            raise ValueError("must be ascending and between 0 and 1")
        if 0.5 not in levels:
            raise ValueError("must hold 0.5, the level of the point forecast")
        return levels

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, source: str = "the configuration") -> Self:
        """Validate nested ``values``.

        Raises:
            ConfigError: a key is unknown or a value is not allowed; the message names it.
        """
        return validated(cls, values, source)

    @classmethod
    def read(cls, path: Path | str, settings: Iterable[str] = ()) -> Self:
        """Read a TOML file and lay ``key=value`` settings over it."""
        return cls.from_dict(override(read_toml(path), settings), source=str(path))

    def named(self, model: str) -> Self:
        """Return this configuration with another model."""
        return self.model_copy(update={"model": {**self.model, "name": model}})

    def to_toml(self) -> str:
        """Return the TOML form; options that are left to inference are left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def validated(kind: type[T], values: dict[str, Any], source: str) -> T:
    """Return ``kind(**values)``, with pydantic's complaints as one :class:`ConfigError`."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            message = f"{source}: unknown option '{key}'; the options here are {_known(kind, first['loc'][:-1])}"
        else:
            message = (
                f"{source}: '{key}' = {first['input']!r} is not allowed: {first['msg'].removeprefix('Value error, ')}"
            )
        raise ConfigError(message) from None


def _known(kind: type[BaseModel], path: tuple[int | str, ...]) -> str:
    """Return the names of the options in the group at a path."""
    for part in path:
        annotation = kind.model_fields[str(part)].annotation
        for group in (annotation, *get_args(annotation)):
            if isinstance(group, type) and issubclass(group, BaseModel):
                kind = group
    return ", ".join(kind.model_fields) or "none"


def group_of(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a group of options, made if it is not there.

    Raises:
        ConfigError: there is a value in its place.
    """
    group = values.setdefault(name, {})
    if not isinstance(group, dict):
        raise ConfigError(
            f"'{name}' holds a value, {group!r}, where a group of options is expected, as in model.name=seq2seq"
        )
    return group


def read_toml(path: Path | str) -> dict[str, Any]:
    """Return the contents of a TOML file."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: expected a configuration file, but it cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a TOML file: {error}") from None


def override(values: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return ``values`` with dotted ``key=value`` settings laid over it; a value is read as JSON, else as text."""
    result = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{setting}' is no setting: write it as key=value, such as model.units=64")
        *parents, last = key.strip().split(".")
        group = result
        for parent in parents:
            group = group_of(group, parent)
        try:
            group[last] = json.loads(text)
        except json.JSONDecodeError:
            group[last] = text
    return result
