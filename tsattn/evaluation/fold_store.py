"""What is done of a backtest, kept in a folder so that it goes on where it was stopped.

====================================  =========================================================================
``backtest.json``                     what the backtest is of: data, origins, options with their files, versions
``folds/1/seq2seq.parquet``           the forecasts of a model for a fold
``folds/1/seq2seq.json``              the options that made them, and what the model chose
``forecasts.csv``                     all forecasts, a column a model, when all is done
``leaderboard.csv``                   the scores of the models, best first
``scores.csv``                        the same by series and origin
====================================  =========================================================================
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from tsattn.atomic_io import write_frame, write_text
from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.evaluation.origins import BacktestPlan
from tsattn.scoring.metrics import Scores
from tsattn.scoring.model_choice import Chosen, read_chosen
from tsattn.timeseries.panel import summary

ABOUT = "backtest.json"
PARTS = "folds"
RESULTS = ("forecasts.csv", "leaderboard.csv", "scores.csv")


@dataclass(frozen=True)
class Fold:
    """What a model forecast at one origin of all series.

    Args:
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``y`` and the columns of the model.
        choice: what was kept, where the model chose.
        unfitted: histories that a classical baseline could not be fitted to.
        histories: those that it was to be fitted to.
    """

    forecasts: pd.DataFrame
    choice: Chosen | None = None
    unfitted: int = 0
    histories: int = 0


class Folds:
    """The folds of a backtest that are done.

    Args:
        folder: where they are kept; None keeps nothing.
        asked: what the backtest is of, see `about`.
        anew: whether a backtest that is there is removed, when `begin` is called.
    """

    def __init__(self, folder: Path | None = None, asked: dict[str, Any] | None = None, *, anew: bool = False) -> None:
        self._folder = folder
        self._asked = asked
        self._anew = anew

    @classmethod
    def open(cls, folder: Path, plan: BacktestPlan, config: RunConfig, refit: str, *, overwrite: bool = False) -> Folds:
        """Return the folds of a backtest in a folder, which `begin` makes, or has some of the same backtest already.

        Args:
            folder: where they are kept.
            plan: the series and their origins.
            config: the configuration, of which everything counts but the model: each model has its own forecasts.
            refit: how often models are trained.
            overwrite: whether a backtest in the folder is removed; what else is there stays.

        Raises:
            RunError: there is another backtest, or something else.
        """
        asked = about(plan, config, refit)
        there = known(folder)
        anew = overwrite and there is not None
        if there is not None and there != asked and not anew:
            raise RunError(
                f"{folder}: is a backtest of {_difference(there, asked)}: give another --out, or --overwrite to "
                "replace it"
            )
        elif there is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder}: is there already and is no backtest: give another --out")
        return cls(folder, asked, anew=anew)

    def begin(self) -> None:
        """Make the folder, when it is known that the backtest can be.

        Raises:
            RunError: it cannot be written.
        """
        if self._folder is None:
            return
        if self._anew:
            _remove(self._folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self._folder}: cannot be written: {error.strerror}") from None
        write_text(json.dumps(self._asked, indent=2) + "\n", self._folder / ABOUT)

    def read(self, number: int, name: str, asked: dict[str, Any]) -> Fold | None:
        """Return the fold of a model where it is done.

        Raises:
            RunError: it was done with other options, or cannot be read.
        """
        if self._folder is None or not self._path(number, name, "parquet").exists():
            return None
        try:
            told = json.loads(self._path(number, name, "json").read_text())
            choice = told["choice"] and read_chosen(told["choice"])
            frame = pd.read_parquet(self._path(number, name, "parquet"))
            fold = Fold(frame, choice, told["unfitted"], told["histories"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(
                f"{self._path(number, name, 'parquet')}: cannot be read: {error}: give --overwrite to do all again"
            ) from None
        if told["model"] != _plain(asked):
            raise RunError(
                f"{self._folder}: has forecasts of {name} with other options: give another --out, or --overwrite to "
                "do all again"
            )
        return fold

    def write(self, number: int, name: str, asked: dict[str, Any], fold: Fold) -> Fold:
        """Keep the fold of a model, whole or not at all, and return it as it will be read."""
        if self._folder is None:
            return fold
        told = {
            "model": _plain(asked),
            "choice": None if fold.choice is None else fold.choice.to_dict(),
            "unfitted": fold.unfitted,
            "histories": fold.histories,
        }
        try:
            self._path(number, name, "json").parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self._folder}: cannot be written: {error.strerror}") from None
        # The forecasts come last: where they are, all is.
        write_text(json.dumps(told, indent=2) + "\n", self._path(number, name, "json"))
        write_frame(fold.forecasts, self._path(number, name, "parquet"))
        found = self.read(number, name, asked)
        assert found is not None
        return found

    def finish(self, forecasts: pd.DataFrame, scores: Scores) -> None:
        """Write all forecasts and the scores."""
        if self._folder is None:
            return
        results = (forecasts, scores.total, scores.by_origin)
        for name, frame in zip(RESULTS, results, strict=True):
            write_frame(frame, self._folder / name)

    def _path(self, number: int, name: str, ending: str) -> Path:
        assert self._folder is not None
        return self._folder / PARTS / str(number + 1) / f"{name}.{ending}"


def _remove(folder: Path) -> None:
    """Remove what a backtest has written, and nothing else that is in its folder."""
    try:
        if (folder / PARTS).exists():
            shutil.rmtree(folder / PARTS)
        for name in (*RESULTS, ABOUT):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be removed: {error.strerror}") from None


def known(folder: Path) -> dict[str, Any] | None:
    """Return what the backtest in a folder is of; None where there is none."""
    try:
        told = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def about(plan: BacktestPlan, config: RunConfig, refit: str) -> dict[str, Any]:
    """Return what a backtest is of: the same for backtests whose forecasts may stand in one table."""
    schema = plan.schema
    return {
        "data": summary(plan.panel),
        "window": {"horizon": schema.horizon, "season": schema.season, "covariates": list(_covariates(plan))},
        "backtest": {"folds": len(plan), "step": plan.step, "refit": refit},
        "options": config.model_dump(mode="json", exclude={"model"}),
        "files": _files(config),
        "versions": {name: version(name) for name in ("tsattn", "keras", "numpy")},
    }


def _files(config: RunConfig) -> dict[str, str]:
    """Return hashes of the files that options name, for what they hold may change."""
    named = {"graph": config.data.graph, "init": config.init and str(Path(config.init) / "model.keras")}
    paths = {name: Path(path) for name, path in named.items() if path is not None}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if path.is_file()}


def _covariates(plan: BacktestPlan) -> tuple[str, ...]:
    schema = plan.schema
    return (*schema.future_covariates, *schema.past_covariates, *schema.static_covariates)


def _difference(there: dict[str, Any], asked: dict[str, Any]) -> str:
    """Return in what a backtest is another one."""
    words = {
        "data": "other data",
        "versions": "other versions of tsattn, Keras or NumPy",
        "files": "another graph, or another run to start from",
    }
    for group, values in asked.items():
        old = there.get(group)
        if old == values:
            continue
        if group in words or not isinstance(old, dict):
            return words.get(group, "another form")
        changed = next((key for key in values if old.get(key) != values[key]), group)
        return (
            f"another {changed} ({old.get(changed)}, now {values[changed]})"
            if group != "options"
            else (f"other options ({changed})")
        )
    return "another form"


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    """Return options as JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain
