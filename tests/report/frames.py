"""Histories and forecasts to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def series(stamps: Any, horizon: int, id: str = "sales", shares: tuple[int, ...] = (80,)) -> tuple[pd.DataFrame, ...]:
    """Return a wave over all stamps as history and, for the last ``horizon`` of them, as forecast."""
    values = 100 + 10 * np.sin(np.arange(len(stamps)) / 3)
    whole = pd.DataFrame({"unique_id": id, "ds": stamps, "y": values})
    past, ahead = whole.iloc[: len(whole) - horizon], whole.iloc[len(whole) - horizon :]
    bounds = {}
    for share in shares:
        bounds |= {f"y-lo-{share}": ahead["y"] - share / 10, f"y-hi-{share}": ahead["y"] + share / 10}
    return past, ahead.assign(**bounds)


def many(count: int, steps: int = 40, horizon: int = 5) -> tuple[pd.DataFrame, ...]:
    """Return several series, named H1, H2 and so on."""
    pairs = [series(np.arange(steps), horizon, f"H{number + 1}") for number in range(count)]
    return tuple(pd.concat(frames, ignore_index=True) for frames in zip(*pairs, strict=True))
