"""Read ``plan.toml`` and list the runs and tables that it defines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from benchmarks.accuracy.configuration import Configuration, fingerprint, resolve
from benchmarks.accuracy.tasks import TEST, Stage, Task, get_task
from tsattn.config import BaseConfig, read_toml, validate
from tsattn.errors import ConfigError

PLAN = Path(__file__).with_name("plan.toml")


class Variant(BaseConfig):
    """A named configuration of tsattn: one row of a table.

    Args:
        name: Name in the table.
        settings: ``key=value`` settings over the defaults, as in ``tsattn --set``.
        config: TOML file that the settings override, relative to the root of the project.
        tasks: Tasks of the table that it is run on; all by default.
        chosen: Whether test figures may be computed: it was selected on validation figures, or nothing was selected.
        baseline: Whether it is a naive baseline, which has no seeds.
    """

    name: str
    settings: tuple[str, ...] = ()
    config: str | None = None
    tasks: tuple[str, ...] | None = None
    chosen: bool = False
    baseline: bool = False

    def configuration(self, of: Task, extra: Sequence[str] = ()) -> Configuration:
        """Return the complete configuration of a run; a baseline has the season length of the task."""
        season = [f"data.season={of.season}"] if self.baseline and of.season else []
        return resolve(of, [*self.settings, *season, *extra], self.config)


class Table(BaseConfig):
    """One section of the results.

    Args:
        name: Value of ``--table``, and key of its published rows.
        title: The heading.
        kind: Layout of the table. ``task``: one column per task. ``metric``: one column per metric of a single task.
            ``difference``: one column per task, with differences from the first row. ``file``: one row per task, one
            column per variant. ``interval``: interval errors of each task with and without calibration. ``cold``:
            errors by the number of seasons of history.
        about: Text under the heading.
        tasks: Names of the tasks, in order.
        average: Whether to add the average over the tasks (for the kind `task`).
        baselines: Naive baselines to include.
        settings: Settings of all variants; those of a variant override them.
        variants: Configurations of tsattn.
    """

    name: str
    title: str
    kind: Literal["task", "metric", "difference", "file", "interval", "cold"] = "task"
    about: str = ""
    tasks: tuple[str, ...]
    average: bool = True
    baselines: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    variants: tuple[Variant, ...]

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        for name in tasks:
            get_task(name)
        return tasks

    def rows(self) -> list[Variant]:
        """Return the baselines, then the variants."""
        naive = (
            Variant(name=name.replace("_", " "), settings=(f"model.name={name}",), chosen=True, baseline=True)
            for name in self.baselines
        )
        return [*naive, *self.configured_variants]

    @property
    def configured_variants(self) -> list[Variant]:
        """The variants with the settings of the table."""
        return [row.model_copy(update={"settings": (*self.settings, *row.settings)}) for row in self.variants]

    def tasks_of(self, variant: Variant) -> list[Task]:
        """Return the tasks that a variant is run on."""
        return [get_task(name) for name in self.tasks if variant.tasks is None or name in variant.tasks]


class Plan(BaseConfig):
    """The seeds and tables of the benchmark."""

    seeds: tuple[int, ...]
    table: tuple[Table, ...]


@dataclass(frozen=True)
class Run:
    """One training and its scores; together with the commit it identifies a result."""

    task: Task
    variant: str
    configuration: Configuration
    seed: int

    @property
    def hash(self) -> str:
        """The fingerprint of the configuration."""
        return fingerprint(self.configuration)


@dataclass(frozen=True)
class RunFilter:
    """Which runs of a plan to select; names may contain ``*``."""

    tables: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ("*",)
    variants: tuple[str, ...] = ("*",)
    seeds: tuple[int, ...] | None = None
    settings: tuple[str, ...] = ()


def read_plan(path: Path = PLAN) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: A key is unknown or a value is not allowed.
    """
    return validate(Plan, read_toml(path), str(path))


def list_runs(plan: Plan, stage: Stage, selection: RunFilter) -> list[Run]:
    """Return the distinct runs of a stage, sorted by seed.

    Raises:
        ConfigError: No run is selected, or settings that are not in the plan would be evaluated on test data.
    """
    if selection.settings and stage == TEST:
        raise ConfigError("--set is for --stage validation: test runs are variants of the plan marked 'chosen'")
    found: dict[tuple[str, str, int], Run] = {}
    for run in _matching_runs(plan, stage, selection):
        found.setdefault((run.task.name, run.hash, run.seed), run)
    if not found:
        raise ConfigError(
            "no run in the plan has these names"
            + (", or none is marked 'chosen': try --stage validation" if stage == TEST else "")
        )
    return sorted(found.values(), key=lambda run: run.seed)


def _matching_runs(plan: Plan, stage: Stage, selection: RunFilter) -> Iterator[Run]:
    for table in plan.table:
        for variant in table.rows():
            selected = _matches(table.name, selection.tables) and _matches(variant.name, selection.variants)
            if not selected or (stage == TEST and not variant.chosen):
                continue
            for of in table.tasks_of(variant):
                if _matches(of.name, selection.tasks):
                    configuration = variant.configuration(of, selection.settings)
                    seeds = selection.seeds or plan.seeds
                    for seed in seeds[:1] if variant.baseline else seeds:
                        yield Run(of, variant.name, configuration, seed)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
