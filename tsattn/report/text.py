"""Numbers, stamps and names as people read them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

DASH = "\N{EN DASH}"
"""Where there is no number."""


def fixed(value: float, decimals: int) -> str:
    """Return a number with thousands separated; a dash where it is missing."""
    if not math.isfinite(value):
        return DASH
    rounded = round(value, decimals) + 0.0  # what rounds to -0 is 0
    return f"{rounded:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def decimals_for(values: pd.Series | pd.DataFrame) -> int:
    """Return the decimals that tell values apart: four digits of the largest, three of the spread."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or not numbers.any():
        return 0
    decimals = 3 - math.floor(math.log10(np.abs(numbers).max()))
    spread = float(np.ptp(numbers))
    if spread > 0:
        decimals = max(decimals, 2 - math.floor(math.log10(spread)))
    return min(max(decimals, 0), 8)


def stamps_text(stamps: pd.Series) -> list[str]:
    """Return stamps as text: dates alone where every one is midnight, else to the minute or second."""
    if not pd.api.types.is_datetime64_any_dtype(stamps.dtype):
        return [str(stamp) for stamp in stamps]
    wall = stamps.dt.tz_localize(None)
    if (wall == wall.dt.normalize()).all():
        form = "%Y-%m-%d"
    else:
        form = "%Y-%m-%d %H:%M" if (wall == wall.dt.floor("min")).all() else "%Y-%m-%d %H:%M:%S"
    return list(wall.dt.strftime(form))


def shorten(text: str, most: int) -> str:
    """Return ``text``, its middle left out where it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
