"""The data of the ETT protocol; needs pandas only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def read_ett(file: Path, rows: int, train: int, target: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the first rows of an ETT file, standardized by the mean and deviation of the first ``train`` rows.

    Args:
        file: CSV file with the column ``date`` and one column per channel.
        rows: Number of rows.
        train: Length of the training part.
        target: The channels; all if None.

    Raises:
        ValueError: The file is shorter.
    """
    frame = pd.read_csv(file, nrows=rows)
    if len(frame) != rows:
        raise ValueError(f"{file}: the protocol needs {rows} rows, got {len(frame)}")
    frame = frame[["date", *(target or frame.columns.drop("date"))]]
    channels = frame.columns.drop("date")
    training = frame[channels].iloc[:train]
    frame[channels] = (frame[channels] - training.mean()) / training.std(ddof=0)
    return frame
