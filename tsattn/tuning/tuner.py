"""The search as a whole."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from tsattn.config import RunConfig
from tsattn.data.loader import Frame
from tsattn.data.locations import name_of
from tsattn.errors import ConfigError
from tsattn.forecasting.finetuning import read_series
from tsattn.models import get_model
from tsattn.timeseries.panel import Panel, fingerprint
from tsattn.timeseries.schema import Schema
from tsattn.tuning.result import Standing, Tuning
from tsattn.tuning.search_space import Space
from tsattn.tuning.study import Journal
from tsattn.tuning.worker import Task, Watch, Work, run_processes, work

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster


DEFAULT_MODEL = "seq2seq"

TRIALS = 30
"""Trials of a search that is not told how many."""


def tune(
    forecaster: Forecaster | RunConfig,
    X: Frame | Path | str,
    *,
    models: Sequence[str] = (),
    trials: int = TRIALS,
    time: float | None = None,
    journal: Path | str | None = None,
    jobs: int = 1,
    watch: Watch | None = None,
) -> Tuning:
    """Search for the options of a model and its training that forecast the validation part best.

    Trained is on what lies before the validation part, as `Forecaster.fit` does it, and compared by what that has in
    ``scores_``: MASE, or RMSSE for a squared loss. What a forecaster has set stays; what else its model and
    `tsattn.config` declare a space of is searched, see `tsattn.space`: by the tree-structured Parzen estimator,
    multivariate, each model's options by themselves. The first trial of each model is its default, so that what is
    found is never worse. A training whose validation loss is worse than the median of the others at the same epoch is
    pruned.

    Args:
        forecaster: a forecaster or configuration: what is fixed. It stays as it is.
        X: what `tsattn.data.load` reads.
        models: names of the models; if left out that of the forecaster, or seq2seq.
        trials: how many the search has, those in the journal among them.
        time: seconds after which it ends; a training that is cut short counts by what it is worth then.
        journal: file that the search goes on from, and shares with other processes; None keeps none.
        jobs: processes that this one starts for it. As always where Python starts processes, a script has to begin it
            under ``if __name__ == "__main__"``.
        watch: told how far it is.

    Raises:
        ConfigError: an option has a value that is not allowed, or nothing is left to search.
        DataError: the data cannot be read as series, or are too short.
        RunError: the journal is none, or that of another search, or nothing could be trained.

    Example:
        >>> tuning = tune(Forecaster(horizon=24), frame, trials=30, time=1200)
        >>> print(tuning.sentence())
        >>> Forecaster.from_config(tuning.config).fit(frame)

    Reference:
        Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Akiba et al. 2019, Optuna.
    """
    started = monotonic()
    config = forecaster if isinstance(forecaster, RunConfig) else forecaster.to_config()
    if config.init is not None:
        raise ConfigError("a search trains from the beginning: leave init out")
    panel, schema = read_series(X, config)
    return tune_panel(
        config,
        panel,
        schema,
        source=name_of(X),
        models=models,
        trials=trials,
        deadline=math.inf if time is None else started + time,
        journal=journal,
        jobs=jobs,
        watch=watch,
    )


def tune_panel(
    config: RunConfig,
    panel: Panel,
    schema: Schema,
    *,
    source: str = "the panel",
    models: Sequence[str] = (),
    trials: int = TRIALS,
    deadline: float = math.inf,
    journal: Path | str | None = None,
    jobs: int = 1,
    watch: Watch | None = None,
) -> Tuning:
    """Like `tune`, of data that were read already; the deadline is one of `time.monotonic`."""
    for name, number in {"trials": trials, "jobs": jobs}.items():
        if number < 1:
            raise ConfigError(f"expected {name} of at least 1. Received: {name}={number}")
    names = tuple(models) or (str(config.model.get("name", DEFAULT_MODEL)),)
    space = Space.of(config, names, panel, schema, source)
    task = Task(space, panel, schema, source, trials, deadline)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal" if journal is None else Path(journal)
        return _search(task, path, jobs, watch)


def _search(task: Task, path: Path, jobs: int, watch: Watch | None) -> Tuning:
    print_of_data = fingerprint(task.panel)
    with closing(Journal.open(path, task.space, print_of_data)) as journal:

        def look() -> None:
            if watch is not None:
                watch(Standing.of(journal, task.trials))

        look()
        if jobs > 1:
            registered = (get_model(name).module for name in task.space.models)
            modules = tuple(dict.fromkeys(module for module in registered if module is not None))
            run_processes(jobs, Work(partial(_share, task, print_of_data, path), modules), look)
        else:
            work(task, journal, watch)
        return Tuning.of(journal)


def _share(task: Task, print_of_data: str, path: Path) -> None:
    """Work on a search beside other processes."""
    with closing(Journal.open(path, task.space, print_of_data)) as journal:
        work(task, journal)
