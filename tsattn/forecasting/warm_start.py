"""Warm start: options and data format that a training inherits from the run whose weights it starts from.

The weights only fit the architecture, the window and the data format of that run, so these are inherited. The
configuration may repeat them but not change them. Free are the training options, the seed, and the options in
`FREE_DATA_OPTIONS`, which depend on the new data.

Of the statistics that scale the inputs, those of the targets are computed from the new data: they are used where a
history has no values, and with ``model.scaling=training`` they map every window to the range that the weights expect.
Those of the covariates are inherited, because the weights depend on the units of each covariate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsattn._text import quote_list
from tsattn.config import DataConfig, RunConfig
from tsattn.data.inference import infer_panel
from tsattn.data.loader import Frame, load, to_table
from tsattn.data.prediction_inputs import add_future_covariates
from tsattn.data.table import Table
from tsattn.errors import ConfigError
from tsattn.forecasting.run_metadata import RunMetadata
from tsattn.models import get_model
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

AGGREGATION_OPTIONS = ("on_duplicate", "resample")

FREE_DATA_OPTIONS = ("validation", *AGGREGATION_OPTIONS)
"""Data options that are not inherited."""

_DEFAULT = RunConfig()


def read_series(
    X: Frame | Path | str, config: RunConfig, future: Frame | Path | str | None = None
) -> tuple[Panel, Schema]:
    """Read training data by the configuration, or by the schema of the run that the training starts from.

    Args:
        X: The data.
        config: The configuration.
        future: Timestamps, ids and future covariates after the end of the data.

    Raises:
        ConfigError: The configuration contradicts the run.
        DataError: The data cannot be read as series, or not in the format of the run.
        RunError: The run cannot be read.
    """
    options = config.data.read_options
    if config.init_from is not None:
        panel, schema = _read_by_run(X, config)
        return (panel, schema) if future is None else _add_future(panel, to_table(future, options), schema, config.data)
    if future is None:
        return load(X, config.data)
    return infer_with_future(to_table(X, options), config.data, to_table(future, options))


def infer_with_future(table: Table, config: DataConfig, future: Table) -> tuple[Panel, Schema]:
    """Return the series of a table with the future covariates of another one, and how they were read.

    Raises:
        DataError: The tables cannot be read as series and their covariates.
    """
    panel, schema = infer_panel(table, _with_future_covariates(table, config, future))
    if config.future_covariates is None:
        reason = f"they are columns of {future.name} as well"
        schema = _replace_setting(schema, field="future covariates", reason=reason)
    return _add_future(panel, future, schema, config)


def _read_by_run(X: Frame | Path | str, config: RunConfig) -> tuple[Panel, Schema]:
    """Read training data by the schema of the run that the training starts from."""
    run = _read_run(config)
    reason = f"as in {config.init_from}"
    inferred_settings = tuple(
        setting.model_copy(update={"given": False, "reason": reason}) for setting in run.schema.inferred_settings
    )
    own = {name: value for name in AGGREGATION_OPTIONS if (value := getattr(config.data, name)) is not None}
    return load(X, schema=run.schema.model_copy(update={"inferred_settings": inferred_settings, **own}))


def _with_future_covariates(table: Table, config: DataConfig, future: Table) -> DataConfig:
    """Return a configuration whose future covariates are those of a table with them, unless they are given."""
    if config.future_covariates is not None:
        return config
    _, schema = infer_panel(table, config)
    known = (*schema.time, *schema.id, *(config.target or ()))
    names = tuple(name for name in future.columns if name in table and name not in known)
    if not names:
        raise future.error(f"expected future covariates, which are columns of {table.name} as well, got none")
    return config.model_copy(update={"future_covariates": names})


def _add_future(panel: Panel, future: Table, schema: Schema, config: DataConfig) -> tuple[Panel, Schema]:
    """Return the series with future covariates, and a horizon over which these are known unless one is given."""
    panel = add_future_covariates(panel, future, schema)
    assert panel.covariates is not None
    known = int((panel.covariates.series.lengths - panel.lengths).min())
    if config.horizon is not None or not 0 < known < schema.horizon:
        return panel, schema
    reason = "as far as the future covariates are known"
    schema = _replace_setting(schema, field="horizon", value=str(known), reason=reason)
    return panel, schema.model_copy(update={"horizon": known})


def _replace_setting(schema: Schema, field: str, **changes: str) -> Schema:
    """Return a schema with another value or reason of an inferred setting."""
    settings = tuple(
        setting.model_copy(update={"given": False, **changes}) if setting.field == field else setting
        for setting in schema.inferred_settings
    )
    return schema.model_copy(update={"inferred_settings": settings})


def inherit_options(config: RunConfig) -> RunConfig:
    """Return a configuration with the options of the run that it starts from; others are returned unchanged.

    Raises:
        ConfigError: The configuration contradicts the run, or the run has no weights.
        RunError: The run cannot be read.
    """
    if config.init_from is None:
        return config
    run = _read_run(config)
    data = run.config.data.model_copy(update={name: getattr(config.data, name) for name in FREE_DATA_OPTIONS})
    training = config.training
    if training.loss == _DEFAULT.training.loss:
        training = training.model_copy(update={"loss": run.config.training.loss})
    inherited = {"model": run.config.model, "levels": run.config.levels, "data": data, "training": training}
    return config.model_copy(update=inherited)


def _read_run(config: RunConfig) -> RunMetadata:
    """Return the run that a configuration starts from, after a check that they do not contradict each other."""
    assert config.init_from is not None
    run = RunMetadata.read(Path(config.init_from))
    name = run.config.model["name"]
    if not get_model(name).trained:
        raise ConfigError(
            f"{run.path}: {name} has no weights to start from", "leave out {init_from}", "give another run"
        )
    accepted = _accepted_values(run)
    given: dict[str, Any] = {f"model.{key}": value for key, value in config.model.items()}
    given |= {key: value for key, value in config.data if key not in FREE_DATA_OPTIONS and value is not None}
    if config.levels != _DEFAULT.levels:
        given["levels"] = config.levels
    for key, value in given.items():
        values = accepted.get(key, (None,))
        if not any(_equal(value, other) for other in values):
            raise ConfigError(
                f"{key}={_format(value)} contradicts the run that the training starts from, {run.path}, which has "
                f"{_format(values[-1])}",
                "leave it out",
                "train from the beginning, without {init_from}",
            )
    return run


def _accepted_values(run: RunMetadata) -> dict[str, tuple[Any, ...]]:
    """Return the values of each option that agree with a run: as configured, and as inferred from its data."""
    schema = run.schema
    inferred = {
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
    accepted: dict[str, tuple[Any, ...]] = {
        key: (value, inferred[key]) if key in inferred else (value,) for key, value in run.config.data
    }
    accepted |= {f"model.{key}": (value,) for key, value in run.config.model.items()}
    return {**accepted, "levels": (run.config.levels,)}


def _equal(value: Any, other: Any) -> bool:
    return bool(set(value) == set(other) if isinstance(value, tuple) and isinstance(other, tuple) else value == other)


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return quote_list(value, quote="") or "none"
    return "none" if value is None else str(value)
