"""What the contestants are given to fit to, what they are asked behind it, and what they are scored by.

Imported in every environment: NumPy and pandas alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.reading import ett_frame
from benchmarks.accuracy.scores import m4_scores, window_scores
from benchmarks.accuracy.tasks import M4_HORIZON, Task

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """Series up to some step.

    Args:
        task: whose they are.
        frame: in the form of the file; those of ETT standardised by the train part, with a column a series, those of M4
            with a row a series.
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
        """Their values, each [steps]."""
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
        """Steps of a season."""
        assert self.task.season is not None
        return self.task.season

    @property
    def validation(self) -> int:
        """Steps at the end of each series by which a choice is made."""
        return self.task.parts[1] if self.task.protocol == "ett" else M4_HORIZON

    @property
    def refit(self) -> bool:
        """Whether the validation part may be fitted to once the choice is made; the protocol of ETT says no."""
        return self.task.protocol == "m4"

    def long(self, add: int = 0) -> pd.DataFrame:
        """Return the series below each other, as the peers take them: unique_id, ds and y, the first two as numbers.

        Args:
            add: zeros added behind each.
        """
        series = [np.append(values, np.zeros(add)) for values in self.series]
        lengths = [len(values) for values in series]
        steps = [np.arange(length) for length in lengths]
        ids = np.repeat(np.arange(len(series)), lengths)
        return pd.DataFrame({"unique_id": ids, "ds": np.concatenate(steps), "y": np.concatenate(series)})


@dataclass(frozen=True)
class Fitted:
    """What the ``fit`` of a contestant's module returns.

    Args:
        forecast: takes histories and at how many origins at the end of each it is asked, see `question`; returns
            [windows, horizon, series].
        told: what the fitting chose, for the result.
    """

    forecast: Callable[[Data, int], npt.NDArray[Any]]
    told: dict[str, Any] = field(default_factory=dict)


def known(task: Task, folder: Path) -> Data:
    """Return all that may be fitted to and chosen by."""
    if task.protocol == "ett":
        train, validation, _ = task.parts
        return Data(task, ett_frame(_ett(task, folder), train + validation, train))
    return Data(task, pd.read_csv(folder / "M4" / "Hourly-train.csv"))


def question(task: Task, folder: Path) -> tuple[Data, int]:
    """Return the histories to forecast from, and at how many origins at the end of each, one step apart.

    The last origin lies behind the last step.
    """
    if task.protocol == "ett":
        assert task.horizon is not None
        train, validation, test = task.parts
        frame = ett_frame(_ett(task, folder), train + validation + test - task.horizon, train)
        return Data(task, frame), test - task.horizon + 1
    return known(task, folder), 1


def answered(task: Task, forecasts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return forecasts [windows, horizon, series] in the shape that is scored: [series, horizon] for M4."""
    return forecasts if task.protocol == "ett" else forecasts[0].T


def scores(task: Task, folder: Path, forecasts: npt.NDArray[Any]) -> dict[str, float]:
    """Return the figures of what `answered` returns, by the protocol."""
    if task.protocol == "ett":
        train, validation, test = task.parts
        frame = ett_frame(_ett(task, folder), train + validation + test, train)
        return window_scores(frame.drop(columns="date").to_numpy(float)[-test:], forecasts)
    actual = pd.read_csv(folder / "M4" / "Hourly-test.csv").iloc[:, 1:].to_numpy(float)
    if forecasts.shape != actual.shape:
        raise ValueError(f"expected forecasts of the shape {actual.shape}, got {forecasts.shape}")
    return m4_scores(known(task, folder).series, actual, forecasts.astype(np.float64))


def _ett(task: Task, folder: Path) -> Path:
    return folder / "ETT" / f"{task.data}.csv"
