"""Benchmark data as their protocols have them; pandas alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def ett_frame(file: Path, rows: int, train: int, target: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the first rows of a file in the form of ETT, standardised by the first ``train`` of them.

    Args:
        file: CSV with the column ``date`` and a column a channel.
        rows: how many.
        train: steps of the train part.
        target: the channels; all if None.

    Raises:
        ValueError: the file is shorter.
    """
    frame = pd.read_csv(file, nrows=rows)
    if len(frame) != rows:
        raise ValueError(f"{file}: the protocol needs {rows} rows, got {len(frame)}")
    frame = frame[["date", *(target or frame.columns.drop("date"))]]
    channels = frame.columns.drop("date")
    known = frame[channels].iloc[:train]
    frame[channels] = (frame[channels] - known.mean()) / known.std(ddof=0)
    return frame
