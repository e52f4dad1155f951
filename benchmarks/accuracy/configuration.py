"""The complete configuration of a run from the settings of a variant, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import Task
from tsattn.config import RunConfig, override, read_toml
from tsattn.errors import ConfigError
from tsattn.models import BASELINES, resolve_options

ROOT = Path(__file__).parents[2]

Configuration = dict[str, Any]
"""`RunConfig` as JSON with all options of the model, without the seed; may have the key `DEFAULT`."""

FORMER_BEHAVIOUR = {"model.mean_reversion": False, "model.linear_residual": False, "training.history_truncation": 0.0}
"""Options whose defaults differ from the behaviour of the code before the option existed: that behaviour."""

NEAR_ZERO = ("solar", "sunspots")
"""Data whose forecasts are never below 0 by rule; before the rule, `data.support` was "real" for all."""

DEFAULT = "default"
"""True if no model is named, so that the network is combined with the zero-shot forecast."""


@cache
def renamed_options() -> dict[str, str]:
    """Return the current names of options by the former names that recorded results and their fingerprints use.

    Read on first use: a snapshot of the code has no results.
    """
    names: dict[str, str] = json.loads((ROOT / "benchmarks" / "results" / "renamed_options.json").read_text("utf-8"))
    return names


def resolve(task: Task, settings: Iterable[str] = (), config: str | None = None) -> Configuration:
    """Return everything that determines a run except its data and seed.

    Args:
        task: The task; its protocol prescribes some settings.
        settings: ``key=value`` settings over the defaults.
        config: TOML file that the settings override, relative to the root of the project.

    Raises:
        ConfigError: An option is unknown, or the protocol or the plan of the benchmark decides it.
    """
    values = override(read_toml(ROOT / config) if config else {}, settings)
    fixed, given = task.settings(), _flatten(values)
    for key in ("seed", *fixed):
        if given.get(key) is not None:
            raise ConfigError(f"{task.name}: '{key}' is decided by the protocol or the plan, not by a variant")
    run = RunConfig.from_dict(override(values, (f"{key}={value}" for key, value in fixed.items())), source=task.name)
    entry, options = resolve_options(run.model, source=task.name)
    complete = run.model_copy(update={"model": {"name": entry.name, **options.model_dump()}})
    configuration = complete.model_dump(mode="json", exclude={"seed"})
    return configuration if run.model else {**configuration, DEFAULT: True}


def make_run_config(configuration: Configuration, seed: int) -> RunConfig:
    """Return the configuration of the forecaster."""
    values = {**configuration, "seed": seed}
    if values.pop(DEFAULT, False):
        values["model"] = {}
    return RunConfig.from_dict(values)


def fingerprint(configuration: Configuration) -> str:
    """Return eight hexadecimal digits that identify a configuration, computed with the recorded option names."""
    recorded = {new: old for old, new in renamed_options().items()}
    named = {
        recorded.get(key, key): {
            recorded.get(f"{key}.{name}", f"{key}.{name}").removeprefix(f"{key}."): option
            for name, option in value.items()
        }
        if isinstance(value, dict)
        else value
        for key, value in configuration.items()
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:8]


def is_equivalent(earlier: Configuration, task: Task, wanted: Configuration) -> bool:
    """Return whether the configuration of a result of an earlier commit is equivalent to the wanted one.

    An option that did not exist then must now have its default, or the value of `FORMER_BEHAVIOUR`. Training options
    are ignored for naive baselines.
    """
    name = wanted["model"]["name"]
    groups = {"model", "data"} if name in BASELINES else wanted.keys() | earlier.keys()
    before, now = (
        _flatten({key: value for key, value in values.items() if key in groups}) for values in (earlier, wanted)
    )
    before = {renamed_options().get(key, key): value for key, value in before.items()}
    if before.get("data.support") == "real" and now["data.support"] is None and task.data not in NEAR_ZERO:
        before["data.support"] = None
    if any(now.get(key, ...) != value for key, value in before.items()):
        return False
    default = {**_flatten(resolve(task, [f"model.name={name}"])), **FORMER_BEHAVIOUR}
    return all(now[key] == default.get(key) for key in now.keys() - before.keys())


def _flatten(values: Configuration, prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
