"""From the settings of a variant to the whole configuration of a run, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import Task
from tsattn.config import RunConfig, override, read_toml
from tsattn.errors import ConfigError
from tsattn.models import BASELINES, resolve_options

ROOT = Path(__file__).parents[2]

Configuration = dict[str, Any]
"""`RunConfig` as JSON has it, options of the model filled in, without the seed; and perhaps `FALLBACK`."""

ONCE = {"model.mean_reversion": False, "model.linear_residual": False, "training.history_truncation": 0.0}
"""What the code did before there were these options, where that is not what their defaults do."""

RENAMED: dict[str, str] = json.loads((ROOT / "benchmarks" / "results" / "renamed_options.json").read_text("utf-8"))
"""Current names of the options that recorded results, and their fingerprints, have under former names."""

FALLBACK = "fallback"
"""True where no model was named and the default may keep a naive baseline instead of the network."""


def resolve(task: Task, settings: Iterable[str] = (), config: str | None = None) -> Configuration:
    """Return all that decides a run but its data and seed.

    Args:
        task: whose protocol prescribes some settings.
        settings: ``key=value`` settings over the defaults.
        config: TOML file under them, relative to the root of the project.

    Raises:
        ConfigError: an option is unknown, or the protocol or the plan of the benchmark decides it.
    """
    values = override(read_toml(ROOT / config) if config else {}, settings)
    fixed = task.settings()
    for key in ("seed", *fixed):
        if _at(values, key) is not None:
            raise ConfigError(f"{task.name}: '{key}' is decided by the protocol or the plan, not by a variant")
    run = RunConfig.from_dict(override(values, (f"{key}={value}" for key, value in fixed.items())), source=task.name)
    entry, options = resolve_options(run.model, source=task.name)
    complete = run.model_copy(update={"model": {"name": entry.name, **options.model_dump()}})
    configuration = complete.model_dump(mode="json", exclude={"seed"})
    return configuration if run.model or not task.may_fall_back else {**configuration, FALLBACK: True}


def run_config(configuration: Configuration, seed: int) -> RunConfig:
    """Return what the forecaster is made of."""
    values = {**configuration, "seed": seed}
    if values.pop(FALLBACK, False):
        # A model with a name would be kept in any case.
        values["model"] = {}
    return RunConfig.from_dict(values)


def fingerprint(configuration: Configuration) -> str:
    """Return eight hexadecimal digits that identify a configuration, computed with the recorded option names."""
    recorded = {new: old for old, new in RENAMED.items()}
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


def agrees(earlier: Configuration, task: Task, wanted: Configuration) -> bool:
    """Tell whether a result of an earlier commit is one of the wanted configuration.

    An option that the earlier code did not have yet must now be at its default, or at what was done without it. How a
    model is trained is nothing to one that is not.
    """
    name = wanted["model"]["name"]
    told = None if name not in BASELINES else {"model", "data"}
    before, now = (
        _flat({key: x for key, x in values.items() if told is None or key in told}) for values in (earlier, wanted)
    )
    before = {RENAMED.get(key, key): value for key, value in before.items()}
    if any(now.get(key, ...) != value for key, value in before.items()):
        return False
    default = {**_flat(resolve(task, [f"model.name={name}"])), **ONCE}
    return all(now[key] == default.get(key) for key in now.keys() - before.keys())


def _at(values: dict[str, Any], dotted: str) -> Any:
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, dict) else None  # type: ignore[assignment]
    return values


def _flat(values: Configuration, prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
