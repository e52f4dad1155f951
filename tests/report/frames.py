"""Synthetic histories and forecasts for the tests of plots and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def series(times: Any, horizon: int, id: str = "sales", levels: tuple[int, ...] = (80,)) -> tuple[pd.DataFrame, ...]:
    """Return a wave over all times as history and, for the last ``horizon`` of them, as forecast."""
    values = 100 + 10 * np.sin(np.arange(len(times)) / 3)
    whole = pd.DataFrame({"unique_id": id, "ds": times, "y": values})
    past, ahead = whole.iloc[: len(whole) - horizon], whole.iloc[len(whole) - horizon :]
    bounds = {}
    for level in levels:
        bounds |= {f"y-lo-{level}": ahead["y"] - level / 10, f"y-hi-{level}": ahead["y"] + level / 10}
    return past, ahead.assign(**bounds)


def many(count: int, steps: int = 40, horizon: int = 5) -> tuple[pd.DataFrame, ...]:
    """Return several series, named H1, H2 and so on."""
    pairs = [series(np.arange(steps), horizon, f"H{number + 1}") for number in range(count)]
    return tuple(pd.concat(frames, ignore_index=True) for frames in zip(*pairs, strict=True))
