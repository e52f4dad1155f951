"""What is run and shown: ``plan.toml``, validate, and the runs that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from benchmarks.accuracy.configuration import Configuration, fingerprint, resolve
from benchmarks.accuracy.tasks import TEST, Stage, Task, task
from tsattn.config import BaseConfig, read_toml, validate
from tsattn.errors import ConfigError

PLAN = Path(__file__).with_name("plan.toml")


class Variant(BaseConfig):
    """One row of ours: a configuration by name.

    Args:
        name: what the table calls it.
        settings: ``key=value``, as in ``tsattn --set``, over the defaults.
        config: TOML file under the settings, relative to the root of the project.
        tasks: only these tasks of the table; all if left out.
        chosen: whether its test figures may be computed: the choice was made on validation figures, or there was none.
        baseline: a naive row, which has no seeds.
    """

    name: str
    settings: tuple[str, ...] = ()
    config: str | None = None
    tasks: tuple[str, ...] | None = None
    chosen: bool = False
    baseline: bool = False

    def configuration(self, of: Task, more: Sequence[str] = ()) -> Configuration:
        """Return the whole configuration of a run; a naive row takes the season of the task."""
        season = [f"data.season={of.season}"] if self.baseline and of.season else []
        return resolve(of, [*self.settings, *season, *more], self.config)


class Table(BaseConfig):
    """One section of the results.

    Args:
        name: what ``--table`` calls it, and the key of its published rows.
        title: heading.
        kind: what its columns are: a ``task`` each, a ``metric`` each of one task, the ``difference`` of each task to
            the first row, the ``file`` of a task as row and the variants as columns, the ``interval`` errors of each
            task before and after the calibration, or the errors of ``cold`` starts by the seasons that are known.
        about: a sentence or two under the heading.
        tasks: names of the tasks, in order.
        average: whether a column for the average over the tasks is added (of a `task` table).
        baselines: naive models shown beside.
        settings: those of all of our rows, before their own.
        variants: our rows.
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
    def _known(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        for name in tasks:
            task(name)
        return tasks

    def rows(self) -> list[Variant]:
        """Return the naive rows, then ours."""
        naive = (
            Variant(name=name.replace("_", " "), settings=(f"model.name={name}",), chosen=True, baseline=True)
            for name in self.baselines
        )
        return [*naive, *self.ours]

    @property
    def ours(self) -> list[Variant]:
        """Our rows, with the settings of the table."""
        return [row.model_copy(update={"settings": (*self.settings, *row.settings)}) for row in self.variants]

    def tasks_of(self, variant: Variant) -> list[Task]:
        """Return the tasks that a variant is run on."""
        return [task(name) for name in self.tasks if variant.tasks is None or name in variant.tasks]


class Plan(BaseConfig):
    """The whole benchmark: its seeds and tables."""

    seeds: tuple[int, ...]
    table: tuple[Table, ...]


@dataclass(frozen=True)
class Run:
    """One training and its scores: what goes into one JSON, but for the commit."""

    task: Task
    variant: str
    configuration: Configuration
    seed: int

    @property
    def hash(self) -> str:
        """The fingerprint of the configuration."""
        return fingerprint(self.configuration)


@dataclass(frozen=True)
class Choice:
    """What of a plan is run; names may hold ``*``."""

    tables: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ("*",)
    variants: tuple[str, ...] = ("*",)
    seeds: tuple[int, ...] | None = None
    settings: tuple[str, ...] = ()


def read_plan(path: Path = PLAN) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: a key is unknown or a value is not allowed.
    """
    return validate(Plan, read_toml(path), str(path))


def runs(plan: Plan, stage: Stage, choice: Choice) -> list[Run]:
    """Return the runs of a stage, each once, those of the first seed first.

    Raises:
        ConfigError: nothing is left to run, or settings from outside the plan would be held against test data.
    """
    if choice.settings and stage == TEST:
        raise ConfigError("--set is for --stage validation: what is tested stands in the plan, marked 'chosen'")
    found: dict[tuple[str, str, int], Run] = {}
    for run in _all(plan, stage, choice):
        found.setdefault((run.task.name, run.hash, run.seed), run)
    if not found:
        raise ConfigError(
            "nothing in the plan has these names"
            + (", or none of it is marked 'chosen': try --stage validation" if stage == TEST else "")
        )
    return sorted(found.values(), key=lambda run: run.seed)


def _all(plan: Plan, stage: Stage, choice: Choice) -> Iterator[Run]:
    for table in plan.table:
        for variant in table.rows():
            wanted = _matches(table.name, choice.tables) and _matches(variant.name, choice.variants)
            if not wanted or (stage == TEST and not variant.chosen):
                continue
            for of in table.tasks_of(variant):
                if _matches(of.name, choice.tasks):
                    configuration = variant.configuration(of, choice.settings)
                    seeds = choice.seeds or plan.seeds
                    for seed in seeds[:1] if variant.baseline else seeds:
                        yield Run(of, variant.name, configuration, seed)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
