"""Configuration of a run: data, model and training.

`tsattn tune` searches an option whose annotation declares a space::

    depth: Annotated[int, Choice(1, 2, 3)] = Field(2, ge=1, description="layers that mix each patch")
    rate: Annotated[float, Range(0.0, 0.5)] = Field(0.1, ge=0, lt=1, description="dropout rate")

Options without a space keep their value, and so do options that the user has set. The space always contains the
default; where the default is None, the value that a rule computes from the data.
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

from tsattn._text import did_you_mean
from tsattn.errors import ConfigError

Unless = Mapping[str, tuple[Any, ...]]
"""Values of other options of the same model that exclude an option from the search. Options that a model does not have
are ignored."""


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values: names, or numbers in ascending order.

    Args:
        values: The values.
        unless: Values of other options with which this option has no effect.
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
    """A number from ``low`` to ``high``, both included; an integer if both bounds are.

    Args:
        low: Lower bound.
        high: Upper bound.
        log: Whether to sample on a logarithmic scale.
        unless: Values of other options with which this option has no effect.
    """

    low: float
    high: float
    log: bool = False
    unless: Unless = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, init=False)
class Multiples:
    """An integer: the default, or what a rule computes from the data, times one of several factors.

    Args:
        factors: The factors.
        unless: Values of other options with which this option has no effect.
    """

    factors: tuple[float, ...]
    unless: Unless = field(default_factory=dict)

    def __init__(self, *factors: float, unless: Unless | None = None) -> None:
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "unless", unless or {})

    def __str__(self) -> str:
        return ", ".join(f"{factor:g}" for factor in self.factors) + " times the default"


OptionSpace = Choice | Range | Multiples


def option_spaces(options: type[BaseModel]) -> dict[str, OptionSpace]:
    """Return the search spaces that a group of options declares, by option name."""
    return {
        name: space
        for name, option in options.model_fields.items()
        for space in option.metadata
        if isinstance(space, OptionSpace)
    }


T = TypeVar("T", bound="BaseConfig")

AUTO = "auto"
"""Model name that selects the best of several models, see `tsattn.evaluation.model_selection`."""


Aggregation = Literal["mean", "sum", "last"]
"""How several values of one time step are aggregated; missing values are skipped."""


class BaseConfig(BaseModel):
    """Base class of every group of options: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _split_names(value: Any) -> Any:
    """Return names that are separated by commas as a tuple."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _path_to_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


Support = Literal["real", "positive", "count"]
"""Domain of the targets: all numbers, numbers of 0 and more, or the integers 0, 1, 2, ..."""

Loss = Literal["pinball", "squared"]
"""Training loss: pinball estimates the median, squared the mean."""


Decimal = Literal[".", ","]
"""Decimal sign of numbers in text files."""


class ReadOptions(BaseConfig):
    """How files are read. Options that are left out are inferred from each file and reported.

    Args:
        encoding: Encoding of text files, such as cp1251.
        delimiter: Sign between cells of text files, or "blanks".
        decimal: Decimal sign of text files.
        no_header: Whether files begin with data instead of a header.
        na: Text or numbers that mark missing values, in addition to the usual marks.
        sheet: Name of the sheet of spreadsheets.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: Decimal | None = None
    no_header: bool = False
    na: tuple[str, ...] = ()
    sheet: str | None = None


class DataConfig(BaseConfig):
    """How a table is read as time series. Options that are left out are inferred from the data and reported."""

    time: str | None = Field(
        None, description="column of the timestamps; several columns of date and time, or of year, month, ..."
    )
    time_format: str | None = Field(
        None,
        description="format of the timestamps: a strptime format such as %d/%m/%Y, or date, quarter, half-year, week, "
        "fiscal year, decimal year, excel, seconds, milliseconds, microseconds or nanoseconds",
    )
    id: str | None = Field(None, description="column that identifies the series (long format)")
    target: tuple[str, ...] | None = Field(None, description="columns to forecast")
    future_covariates: tuple[str, ...] | None = Field(
        None,
        description="columns known over the horizon as well, or none; by default the columns with values after the end "
        "of the targets",
    )
    past_covariates: tuple[str, ...] | None = Field(None, description="columns known up to the forecast origin only")
    static_covariates: tuple[str, ...] | None = Field(
        None,
        description="columns with one value per series, or none; by default those with values that several series have",
    )
    categories: tuple[str, ...] | None = Field(
        None, description="covariates that are categories although they hold numbers"
    )
    calendar: tuple[str, ...] | None = Field(
        None, description="calendar cycles to use as covariates, such as day_of_week; auto for those that fit the data"
    )
    holidays: str | None = Field(
        None, description="country, or subdivision, whose public holidays are a covariate: DE or DE-BY"
    )
    graph: str | None = Field(
        None, description="CSV file of the graph between the targets: a weight matrix or a list of edges"
    )
    support: Support | None = Field(
        None,
        description="domain of the targets: real numbers, positive (no value below 0) or count (0, 1, 2, ...); "
        "forecasts and intervals are restricted to it; by default positive if no value is below 0 and some are near it",
    )
    freq: str | None = Field(
        None, description="frequency: a pandas alias (h, 15min, D, W-SAT, MS) or an integer for integer timestamps"
    )
    on_duplicate: Aggregation | None = Field(
        None, description="how rows with the same timestamp are aggregated; an error by default"
    )
    resample: Aggregation | None = Field(
        None, description="how rows within one time step are aggregated when timestamps are off the frequency's grid"
    )
    fill_missing: float | None = Field(
        None,
        description="value of the targets at steps without a row, such as 0 for sales, from the first row of a series "
        "to the last row of the data",
    )
    season: int | None = Field(None, ge=1, description="season length in steps; 1 for no season")
    horizon: int | None = Field(None, ge=1, description="number of steps to forecast")
    context: Annotated[int | None, Multiples(0.25, 0.5, 1, 2)] = Field(
        None, ge=1, description="context length: number of past steps that the model sees"
    )
    validation: int | None = Field(
        None, ge=1, description="number of steps at the end of each series that are held out for validation"
    )

    encoding: str | None = Field(None, description="encoding of text files, such as cp1251, shift_jis or utf-16")
    delimiter: str | None = Field(
        None, description="sign between the cells of text files, such as ; or tab, or blanks for any number of blanks"
    )
    decimal: Decimal | None = Field(None, description="decimal sign of the numbers in text files")
    no_header: bool = Field(False, description="the files begin with data instead of column names")
    na: tuple[str, ...] | None = Field(
        None, description="text or numbers, such as -999, that mark missing values, in addition to the usual marks"
    )
    sheet: str | None = Field(None, description="sheet of a spreadsheet, by its name")

    _paths = field_validator("graph", mode="before")(_path_to_text)

    @property
    def read_options(self) -> ReadOptions:
        """How files are read."""
        given = {name: getattr(self, name) for name in ReadOptions.model_fields}
        return ReadOptions(**{**given, "na": self.na or ()})

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str | None) -> str | None:
        try:
            # Text encodings only, unlike codecs.lookup.
            "a".encode(value or "utf-8")
        except LookupError:
            raise ValueError("must be the name of an encoding, such as utf-8, cp1251 or shift_jis") from None
        return value

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, value: str | None) -> str | None:
        text = "\t" if value in ("tab", "\\t") else value
        if text is not None and text != "blanks" and (len(text) != 1 or text in '"\r\n'):
            raise ValueError("must be one character, tab or blanks")
        return text

    @field_validator(
        "na",
        "target",
        "future_covariates",
        "past_covariates",
        "static_covariates",
        "categories",
        "calendar",
        mode="before",
    )
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return () if value == "none" else _split_names(value)


class TrainingConfig(BaseConfig):
    """How the network is trained. Options that are left out follow by rule from the size of the data."""

    epochs: int | None = Field(None, ge=1, description="maximum number of epochs; training may stop earlier")
    batch_size: Annotated[int | None, Multiples(0.5, 1, 2)] = Field(
        None, ge=1, description="number of windows per batch"
    )
    steps_per_epoch: int | None = Field(None, ge=1, description="maximum number of batches per epoch")
    sampling: Literal["windows", "series"] = Field(
        "windows",
        description="windows draws every window equally often, series every series equally often, whatever its length",
    )
    history_truncation: float = Field(
        0.1,
        ge=0,
        le=1,
        description="fraction of the training windows whose history is truncated to a random length of at least one "
        "patch, so that series shorter than the context are forecast well",
    )
    learning_rate: Annotated[float | None, Range(1e-4, 1e-2, log=True)] = Field(
        None, gt=0, description="learning rate of Adam"
    )
    loss: Loss = Field(
        "pinball",
        description="loss of the point forecast: pinball estimates the median, squared the mean; the other levels are "
        "quantiles with either",
    )
    max_seconds: float | None = Field(
        None,
        gt=0,
        description="maximum training time in seconds; the final training up to the end of the data gets a third of it",
    )
    patience: int = Field(3, ge=1, description="number of epochs without improvement before training stops")
    refit: bool = Field(
        True, description="continue training up to the end of the data, for half the number of selected epochs"
    )


class SelectionConfig(BaseConfig):
    """Which models the model ``auto`` compares, and for how long."""

    models: tuple[str, ...] | None = Field(
        None, description="networks to compare, in this order, as long as there is time"
    )
    max_seconds: float | None = Field(
        None, gt=0, description="maximum time in seconds for the comparison and the final fit; other models are skipped"
    )
    folds: int | None = Field(None, ge=1, description="number of backtest folds; by rule if left out")

    _names = field_validator("models", mode="before")(_split_names)


class RunConfig(BaseConfig):
    """Everything that determines a run, apart from the data.

    If ``model`` is empty, seq2seq is trained and a naive baseline replaces it where the network is not better. A model
    that has a name or an option is used whatever its scores.
    """

    model: dict[str, Any] = Field({}, description="name of the model and its options; chosen if left out")
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    levels: tuple[float, ...] = Field(
        (0.1, 0.5, 0.9), description="quantile levels, ascending; 0.5 is the point forecast"
    )
    seed: int = Field(0, ge=0, description="seed of the random number generators")
    selection: SelectionConfig | None = Field(None, description="candidates and time limit of the model auto")
    init_from: str | None = Field(None, description="run directory to fine-tune: training starts from its weights")

    @model_validator(mode="after")
    def _check_init_from(self) -> Self:
        if self.init_from is not None and self.model.get("name") == AUTO:
            raise ValueError(
                "model=auto compares several models, but init_from holds the weights of one: leave one of them out"
            )
        return self

    _paths = field_validator("init_from", mode="before")(_path_to_text)

    @field_validator("levels")
    @classmethod
    def _check_levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)) or not all(0 < level < 1 for level in levels):
            raise ValueError("must be ascending and between 0 and 1")
        if 0.5 not in levels:
            raise ValueError("must contain 0.5, the level of the point forecast")
        return levels

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, source: str = "the configuration") -> Self:
        """Validate nested ``values``.

        Raises:
            ConfigError: A key is unknown or a value is not allowed; the message names it.
        """
        return validate(cls, values, source)

    @classmethod
    def read(cls, path: Path | str, settings: Iterable[str] = ()) -> Self:
        """Read a TOML file and override it with ``key=value`` settings."""
        return cls.from_dict(override(read_toml(path), settings), source=str(path))

    def with_model(self, model: str) -> Self:
        """Return this configuration with another model."""
        return self.model_copy(update={"model": {**self.model, "name": model}})

    def to_toml(self) -> str:
        """Return the configuration as TOML, without the options that are None."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def validate(kind: type[T], values: dict[str, Any], source: str) -> T:
    """Return ``kind(**values)`` and raise validation errors as :class:`ConfigError`."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            names, name = _option_names(kind, first["loc"][:-1]), str(first["loc"][-1])
            groups: dict[str, type[BaseModel]] = {"training": TrainingConfig, "data": DataConfig}
            elsewhere = next((f"{group}.{name}" for group, it in groups.items() if name in it.model_fields), None)
            suggestion = did_you_mean(name, names) or (f" (did you mean '{elsewhere}'?)" if elsewhere else "")
            raise ConfigError(
                f"{source}: unknown option '{key}'{suggestion}; the options here are {', '.join(names) or 'none'}"
            ) from None
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: '{key}' = {first['input']!r} is not allowed: {reason}") from None


def _option_names(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the names of the options in the group at a path."""
    for part in path:
        annotation = kind.model_fields[str(part)].annotation
        for group in (annotation, *get_args(annotation)):
            if isinstance(group, type) and issubclass(group, BaseModel):
                kind = group
    return list(kind.model_fields)


def get_group(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a group of options; create it if it is missing.

    Raises:
        ConfigError: The name holds a value instead of a group.
    """
    group = values.setdefault(name, {})
    if not isinstance(group, dict):
        raise ConfigError(f"'{name}' holds a value, {group!r}, but is a group of options, as in model.name=seq2seq")
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
    """Return ``values`` updated with dotted ``key=value`` settings; a value that is not JSON is text."""
    result = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"expected a setting key=value, such as model.units=64. Received: {setting!r}")
        *parents, last = key.strip().split(".")
        group = result
        for parent in parents:
            group = get_group(group, parent)
        try:
            group[last] = json.loads(text)
        except json.JSONDecodeError:
            group[last] = text
    return result
