"""The work of one process on a search: one trial after another, until there is none left or the time is over."""

from __future__ import annotations

from collections.abc import Callable

from tsattn.tuning.journal import Journal
from tsattn.tuning.result import Standing
from tsattn.tuning.trial import Task, run_trial

Watch = Callable[[Standing], None]
"""Takes how far a search is."""

MOST_SAME = 20
"""Proposals in a row that were made before, after which a space is taken to be at its end."""


def work(task: Task, journal: Journal, watch: Watch | None = None) -> None:
    """Do trials of a search until it has all of them, or the time is over.

    Args:
        task: what to work on.
        journal: its journal.
        watch: told of every epoch and every trial.
    """

    def told(now: str) -> None:
        if watch is not None:
            watch(Standing.of(journal, task.trials, now))

    same = 0
    while same < MOST_SAME:
        trial = journal.ask(task.trials, last=task.is_over())
        if trial is None:
            break
        same = 0 if run_trial(trial, task, journal, told) else same + 1
        told("")
