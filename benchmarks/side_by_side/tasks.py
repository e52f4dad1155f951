"""Training data, prediction inputs and scores of the contestants.

Imported in every environment, so it needs NumPy and pandas only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.ett import read_ett
from benchmarks.accuracy.scores import m4_scores, window_scores
from benchmarks.accuracy.tasks import M4_HORIZON, Task

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """Series up to some step.

    Args:
        task: The task.
        frame: The series as in the file: ETT with one column per series, standardized by the training part; M4 with one
            row per series.
    """

    task: Task
    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of the series."""
        columns = self.frame.columns
        return list(columns.drop("date")) if self.task.protocol == "ett" else list(self.frame[columns[0]])

    @property
    def series(self) -> list[Values]:
        """Values of each series, [steps]."""
        if self.task.protocol == "ett":
            return list(self.frame[self.names].to_numpy(float).T)
        return [row[np.isfinite(row)] for row in self.frame.iloc[:, 1:].to_numpy(float)]

    @property
    def horizon(self) -> int:
        """Steps to forecast."""
        assert self.task.horizon is not None
        return self.task.horizon

    @property
    def season(self) -> int:
        """Season length."""
        assert self.task.season is not None
        return self.task.season

    @property
    def validation(self) -> int:
        """Length of the validation part at the end of each series."""
        return self.task.parts[1] if self.task.protocol == "ett" else M4_HORIZON

    @property
    def refit(self) -> bool:
        """Whether models may be fitted to the validation part after selection; not in the ETT protocol."""
        return self.task.protocol == "m4"

    def to_long(self, padding: int = 0) -> pd.DataFrame:
        """Return the series in long format for the peers: unique_id, ds and y, the first two as integers.

        Args:
            padding: Number of zeros appended to each series.
        """
        series = [np.append(values, np.zeros(padding)) for values in self.series]
        lengths = [len(values) for values in series]
        steps = [np.arange(length) for length in lengths]
        ids = np.repeat(np.arange(len(series)), lengths)
        return pd.DataFrame({"unique_id": ids, "ds": np.concatenate(steps), "y": np.concatenate(series)})


@dataclass(frozen=True)
class Fitted:
    """A fitted contestant, returned by the ``fit`` of its module.

    Args:
        forecast: Takes histories and the number of origins at their end, see `prediction_inputs`; returns
            [windows, horizon, series].
        details: Selected options and times, stored with the result.
    """

    forecast: Callable[[Data, int], npt.NDArray[Any]]
    details: dict[str, Any] = field(default_factory=dict)


def training_data(task: Task, folder: Path) -> Data:
    """Return the data for fitting and selection."""
    if task.protocol == "ett":
        train, validation, _ = task.parts
        return Data(task, read_ett(_ett(task, folder), train + validation, train))
    return Data(task, pd.read_csv(folder / "M4" / "Hourly-train.csv"))


def prediction_inputs(task: Task, folder: Path) -> tuple[Data, int]:
    """Return the histories to forecast from, and the number of origins at the end of each, one step apart.

    The last origin is after the last step.
    """
    if task.protocol == "ett":
        assert task.horizon is not None
        train, validation, test = task.parts
        frame = read_ett(_ett(task, folder), train + validation + test - task.horizon, train)
        return Data(task, frame), test - task.horizon + 1
    return training_data(task, folder), 1


def to_scored_shape(task: Task, forecasts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return forecasts [windows, horizon, series] in the shape that `scores` expects: [series, horizon] for M4."""
    return forecasts if task.protocol == "ett" else forecasts[0].T


def scores(task: Task, folder: Path, forecasts: npt.NDArray[Any]) -> dict[str, float]:
    """Return the figures of forecasts in the shape of `to_scored_shape`, by the protocol."""
    if task.protocol == "ett":
        train, validation, test = task.parts
        frame = read_ett(_ett(task, folder), train + validation + test, train)
        return window_scores(frame.drop(columns="date").to_numpy(float)[-test:], forecasts)
    actual = pd.read_csv(folder / "M4" / "Hourly-test.csv").iloc[:, 1:].to_numpy(float)
    if forecasts.shape != actual.shape:
        raise ValueError(f"expected forecasts of the shape {actual.shape}, got {forecasts.shape}")
    return m4_scores(training_data(task, folder).series, actual, forecasts.astype(np.float64))


def _ett(task: Task, folder: Path) -> Path:
    return folder / "ETT" / f"{task.data}.csv"
