"""Fine-tuning: what a training takes over from the run whose weights it starts from.

Architecture, window and reading of the data are those of the run, for its weights mean nothing elsewhere. What is given
beside it may say the same or be left out. Free are the training, the seed, the length of the validation part, and what
becomes of rows that fall together (``on_duplicate``, ``resample``), which is a matter of the new data.

Of the statistics that a network scales by, those of the targets are those of the new data: they stand in where a
history tells nothing, and there the level of the new series is the better guess; where they scale every window
(``model.scaling=training``) they bring the new series to the range that the weights know. Those of the covariates are
kept: the weights have learned what a degree or a euro does, and other statistics would move every one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsattn._text import quote_list
from tsattn.config import RunConfig
from tsattn.data.loader import Frame, load
from tsattn.errors import ConfigError
from tsattn.forecasting.run_metadata import Decided
from tsattn.models import get_model
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

FREE = ("validation", "on_duplicate", "resample")
"""Options of the data that are those of the new data."""

_DEFAULT = RunConfig()


def read_series(X: Frame | Path | str, config: RunConfig) -> tuple[Panel, Schema]:
    """Read the data of a training: as the run reads them that it starts from, or as the configuration says.

    Raises:
        ConfigError: the configuration contradicts the run.
        DataError: the data cannot be read as series, or not as those of the run.
        RunError: there is no such run.
    """
    if config.init is None:
        return load(X, config.data)
    run = Decided.read(Path(config.init))
    _check(config, run)
    reason = f"as in {config.init}"
    decisions = tuple(
        decision.model_copy(update={"given": False, "reason": reason}) for decision in run.schema.decisions
    )
    own = {name: value for name in FREE[1:] if (value := getattr(config.data, name)) is not None}
    return load(X, schema=run.schema.model_copy(update={"decisions": decisions, **own}))


def continued(config: RunConfig) -> RunConfig:
    """Return a configuration with all that the run decides which it starts from; others as they are.

    Raises:
        ConfigError: it contradicts the run, or that has no weights.
        RunError: there is no such run.
    """
    if config.init is None:
        return config
    run = Decided.read(Path(config.init))
    _check(config, run)
    data = run.config.data.model_copy(update={name: getattr(config.data, name) for name in FREE})
    training = config.training
    if training.loss == _DEFAULT.training.loss:
        training = training.model_copy(update={"loss": run.config.training.loss})
    decided = {"model": run.config.model, "levels": run.config.levels, "data": data, "training": training}
    return config.model_copy(update=decided)


def _check(config: RunConfig, run: Decided) -> None:
    """Raise a ConfigError where a configuration says otherwise than a run, or the run has no weights."""
    name = run.config.model["name"]
    if not get_model(name).trained:
        raise ConfigError(f"{run.path}: {name} has no weights to start from: leave init out, or give another run")
    known = _known(run)
    given: dict[str, Any] = {f"model.{key}": value for key, value in config.model.items()}
    given |= {key: value for key, value in config.data if key not in FREE and value is not None}
    if config.levels != _DEFAULT.levels:
        given["levels"] = config.levels
    for key, value in given.items():
        if not any(_same(value, other) for other in known.get(key, (None,))):
            theirs = _text(known.get(key, (None,))[-1])
            raise ConfigError(
                f"{key}={_text(value)} contradicts the run that it starts from, {run.path}, which has {theirs}: "
                "leave it out, or train from the beginning without init"
            )


def _known(run: Decided) -> dict[str, tuple[Any, ...]]:
    """Return what a run has for each option: as it was given, and as it was decided."""
    schema = run.schema
    decided = {
        "time": "+".join(schema.time) or None,
        "id": "+".join(schema.id) or None,
        "target": schema.targets,
        "future_covariates": schema.future_covariates,
        "past_covariates": schema.past_covariates,
        "static_covariates": schema.static_covariates,
        "categories": tuple(schema.categories),
        "calendar": schema.calendar,
        "holidays": schema.holidays,
        "freq": schema.freq,
    }
    known: dict[str, tuple[Any, ...]] = {
        key: (value, decided[key]) if key in decided else (value,) for key, value in run.config.data
    }
    known |= {f"model.{key}": (value,) for key, value in run.config.model.items()}
    return {**known, "levels": (run.config.levels,)}


def _same(value: Any, other: Any) -> bool:
    several = isinstance(value, tuple) and isinstance(other, tuple)
    return bool(set(value) == set(other) if several else value == other)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return quote_list(value, quote="") or "none"
    return "none" if value is None else str(value)
