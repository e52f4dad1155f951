"""Folder of a backtest: finished folds, so that an interrupted backtest resumes, and the results.

====================================  =========================================================================
``backtest.json``                     identity of the backtest: data, origins, options with their files, versions
``folds/1/seq2seq.parquet``           forecasts of a model for a fold
``folds/1/seq2seq.json``              ``options`` of the model, its ``model_choice`` and ``fit_failures``; ``hashes``
                                      (SHA-256) of the forecasts and of this record, checked when they are read
``forecasts.csv``                     all forecasts, one column per model
``leaderboard.csv``                   scores of the models, best first
``scores.csv``                        scores by series and origin
====================================  =========================================================================
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from tsattn.atomic_io import READ_ERRORS, hash_file, write_frame, write_text
from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.evaluation.origins import EvaluationWindows
from tsattn.scoring.metrics import Scores
from tsattn.scoring.model_choice import ModelChoice, read_model_choice
from tsattn.scoring.window_forecaster import FitFailures
from tsattn.timeseries.panel import summarize_panel

DESCRIPTION = "backtest.json"
FOLDS = "folds"
RESULTS = ("forecasts.csv", "leaderboard.csv", "scores.csv")


@dataclass(frozen=True)
class Fold:
    """Forecasts of a model at one origin of all series.

    Args:
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``y`` and the columns of the model.
        choice: Record of the choice, if the model makes one.
        failures: Histories that a classical baseline could not be fitted to.
    """

    forecasts: pd.DataFrame
    choice: ModelChoice | None = None
    failures: FitFailures = field(default_factory=FitFailures)


class FoldStore:
    """Stores the finished folds of a backtest.

    Args:
        folder: Folder of the backtest; None stores nothing.
        description: Identity of the backtest, see `describe_backtest`.
        replace: Whether `begin` removes the backtest that is there.
    """

    def __init__(
        self, folder: Path | None = None, description: dict[str, Any] | None = None, *, replace: bool = False
    ) -> None:
        self._folder = folder
        self._description = description
        self._replace = replace

    @classmethod
    def open(
        cls, folder: Path, windows: EvaluationWindows, config: RunConfig, refit: str, *, overwrite: bool = False
    ) -> FoldStore:
        """Return the store of a backtest in a folder, which is new or has finished folds of the same backtest.

        Args:
            folder: Folder of the backtest.
            windows: The forecasts to make.
            config: The configuration. Its model does not matter: forecasts are stored per model.
            refit: How often models are trained.
            overwrite: Whether another backtest in the folder is removed; other files stay.

        Raises:
            RunError: The folder holds another backtest, or something else.
        """
        description = describe_backtest(windows, config, refit)
        found = read_description(folder)
        if found is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder}: already exists and is not a backtest", "choose another {out}")
        if found not in (None, description) and not overwrite:
            raise RunError(
                f"{folder}: holds a backtest with {_difference(found or {}, description)}",
                "choose another {out}",
                "set {overwrite} to replace it",
            )
        return cls(folder, description, replace=overwrite and found is not None)

    def begin(self) -> None:
        """Create the folder.

        Raises:
            RunError: It cannot be written.
        """
        if self._folder is None:
            return
        if self._replace:
            _remove(self._folder)
            self._replace = False
        _make_folder(self._folder)
        write_text(json.dumps(self._description, indent=2) + "\n", self._folder / DESCRIPTION)

    def has(self, number: int, name: str) -> bool:
        """Return whether the fold of a model is finished."""
        return self._folder is not None and self._path(number, name, "json").exists()

    def read(self, number: int, name: str, options: dict[str, Any]) -> Fold | None:
        """Return the fold of a model if it is finished.

        Raises:
            RunError: It was made with other options, was changed, or cannot be read.
        """
        if not self.has(number, name):
            return None
        path, record_path = (self._path(number, name, suffix) for suffix in ("parquet", "json"))
        reading = record_path
        try:
            record = json.loads(record_path.read_text())
            hashes = dict(record.pop("hashes"))
            reading = path
            found = {"forecasts": hash_file(path), "record": _hash_record(number, name, record)}
            for file, key in ((record_path, "record"), (path, "forecasts")):
                if hashes[key] != found[key]:
                    message = f"{file}: was changed after it was written"
                    raise RunError(message, "set {overwrite} to repeat the backtest")
            choice = record["model_choice"] and read_model_choice(record["model_choice"])
            fold = Fold(pd.read_parquet(path), choice, FitFailures(**record["fit_failures"]))
            same = record["options"] == _as_json(options)
        except RunError:
            raise
        except READ_ERRORS as error:
            raise RunError(f"{reading}: cannot be read: {error}", "set {overwrite} to repeat the backtest") from None
        if not same:
            raise RunError(
                f"{self._folder}: has forecasts of {name} with other options",
                "choose another {out}",
                "set {overwrite} to repeat the backtest",
            )
        return fold

    def write(self, number: int, name: str, options: dict[str, Any], fold: Fold) -> Fold:
        """Store the fold of a model, whole or not at all, and return it as `read` does."""
        if self._folder is None:
            return fold
        record = {
            "options": _as_json(options),
            "model_choice": fold.choice and fold.choice.to_dict(),
            "fit_failures": asdict(fold.failures),
        }
        _make_folder(self._path(number, name, "json").parent)
        # `read` looks for the record, so it is written last.
        path = self._path(number, name, "parquet")
        write_frame(fold.forecasts, path)
        record["hashes"] = {"forecasts": hash_file(path), "record": _hash_record(number, name, record)}
        write_text(json.dumps(record, indent=2) + "\n", self._path(number, name, "json"))
        stored = self.read(number, name, options)
        assert stored is not None
        return stored

    def finish(self, forecasts: pd.DataFrame, scores: Scores) -> None:
        """Write the results."""
        if self._folder is None:
            return
        results = (forecasts, scores.total, scores.by_origin)
        for name, frame in zip(RESULTS, results, strict=True):
            write_frame(frame, self._folder / name)

    def _path(self, number: int, name: str, suffix: str) -> Path:
        assert self._folder is not None
        return self._folder / FOLDS / str(number + 1) / f"{name}.{suffix}"


def _hash_record(number: int, name: str, record: dict[str, Any]) -> str:
    """Return the hash of a record with its fold and model, so that files of other folds are noticed as well."""
    return hashlib.sha256(json.dumps([number, name, record], sort_keys=True).encode()).hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None


def _remove(folder: Path) -> None:
    """Remove the files of a backtest and nothing else in its folder."""
    try:
        if (folder / FOLDS).exists():
            shutil.rmtree(folder / FOLDS)
        for name in (*RESULTS, DESCRIPTION):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be removed: {error.strerror}") from None


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return the identity of the backtest in a folder; None if there is no backtest."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        return None
    return description if isinstance(description, dict) else None


def describe_backtest(windows: EvaluationWindows, config: RunConfig, refit: str) -> dict[str, Any]:
    """Return the identity of a backtest, which is the same for backtests whose forecasts are comparable."""
    schema = windows.schema
    covariates = [*schema.future_covariates, *schema.past_covariates, *schema.static_covariates]
    return {
        "data": summarize_panel(windows.panel),
        "window": {"horizon": schema.horizon, "season": schema.season, "covariates": covariates},
        "backtest": {"folds": len(windows), "step": windows.step, "refit": refit},
        "options": config.model_dump(mode="json", exclude={"model"}),
        "files": _hash_files(config),
        "versions": {name: version(name) for name in ("tsattn", "keras", "numpy")},
    }


def _hash_files(config: RunConfig) -> dict[str, str]:
    """Return hashes of the files that options name, whose contents may change."""
    weights = config.init_from and str(Path(config.init_from) / "model.keras")
    paths = {name: Path(path) for name, path in (("graph", config.data.graph), ("init_from", weights)) if path}
    return {name: hash_file(path) for name, path in paths.items() if path.is_file()}


def _difference(found: dict[str, Any], description: dict[str, Any]) -> str:
    """Return the first difference between two descriptions."""
    words = {
        "data": "other data",
        "versions": "other versions of tsattn, Keras or NumPy",
        "files": "another graph or other initial weights",
    }
    for group, values in description.items():
        old = found.get(group)
        if old == values:
            continue
        if group in words or not isinstance(old, dict):
            return words.get(group, "another format")
        changed = next((key for key in values if old.get(key) != values[key]), group)
        if group == "options":
            return f"other options ({changed})"
        return f"{changed}={old.get(changed)} instead of {values.get(changed)}"
    return "another format"


def _as_json(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as they are read from JSON."""
    result: dict[str, Any] = json.loads(json.dumps(options))
    return result
