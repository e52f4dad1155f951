"""Drawing on Matplotlib axes: one series with its forecast, and the curve of a training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import tzinfo
from typing import IO

import matplotlib.dates as mdates
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, MaxNLocator

from tsattn.report.excerpt import Excerpt, Interval
from tsattn.report.text import fixed

INK = "#3a4252"
"""History, training loss."""
ACCENT = "#d55e00"
"""Forecast, validation loss: the vermillion of Okabe and Ito, told from the ink in any kind of colour vision."""
MUTED = "#7b8494"
"""Axes, grid and marks."""

_GRID = "#e6e9ee"
_FEW = 40
"""Up to this many points, each is marked."""
_LARGE = 1e7
"""From here on, ticks are written as 20 M."""
_DATES = {
    "formats": ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
    "zero_formats": ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
    "offset_formats": ["", "%Y", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"],
}
"""Ticks at years, months, days, hours, minutes and seconds; a day always has its month beside it."""
_WHOLES = {mdates.MONTHLY: 12, mdates.HOURLY: 24, mdates.MINUTELY: 60, mdates.SECONDLY: 60}
"""Ticks a whole year, day, hour or minute apart, without which Matplotlib finds none that are few enough for, say,
61 hours, and warns."""

Floats = npt.NDArray[np.float64]


def shades(intervals: Sequence[Interval]) -> list[str]:
    """Return the colour of each interval, widest first and lightest."""
    strengths = np.linspace(0.2, 0.42, len(intervals))
    accent = np.array(to_rgb(ACCENT))
    return [to_hex(tuple(1 - strength * (1 - accent))) for strength in strengths]


def draw_series(axes: Axes, excerpt: Excerpt, *, ticks: int) -> None:
    """Draw a history, what was forecast after it, and the origin between them.

    Args:
        axes: empty axes.
        excerpt: the series.
        ticks: the most ticks in time.
    """
    past, ahead = _numbers(excerpt.history["ds"]), _numbers(excerpt.forecast["ds"])
    seen = _floats(excerpt.history["y"])
    # From the last observation on, so that a horizon of one step is still a line.
    joined = len(seen) > 0 and bool(np.isfinite(seen[-1]))
    x = np.append(past[-1], ahead) if joined else ahead
    marker = "o" if len(seen) + len(ahead) <= _FEW else ""

    def after(column: str) -> Floats:
        values = _floats(excerpt.forecast[column])
        return np.append(seen[-1], values) if joined else values

    if len(past):
        axes.axvline(past[-1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    for shade, interval in zip(shades(excerpt.intervals), excerpt.intervals, strict=True):
        low, high = after(interval.low), after(interval.high)
        axes.fill_between(x, low, high, color=shade, linewidth=0, zorder=1.2)
    axes.plot(past, seen, color=INK, linewidth=1.3, marker=marker, markersize=3)
    if not marker:
        alone = _alone(seen)
        axes.plot(past[alone], seen[alone], color=INK, linestyle="", marker="o", markersize=2)
    axes.plot(x, after("y"), color=ACCENT, linewidth=1.7)
    axes.plot(ahead, _floats(excerpt.forecast["y"]), color=ACCENT, linestyle="", marker=marker, markersize=3.5)
    _style(axes)
    _time_ticks(axes, excerpt.forecast["ds"], ticks)


def draw_losses(axes: Axes, losses: pd.DataFrame) -> None:
    """Draw training and validation loss by epoch, and mark the epoch that was chosen."""
    epoch = _floats(losses["epoch"])
    marker = "o" if len(epoch) <= _FEW else ""
    chosen = losses["chosen"].to_numpy(dtype=bool)
    axes.plot(epoch, _floats(losses["loss"]), color=INK, linewidth=1.4, marker=marker, markersize=3.5)
    axes.plot(epoch, _floats(losses["validation"]), color=ACCENT, linewidth=1.7, marker=marker, markersize=3.5)
    for at in epoch[chosen]:
        axes.axvline(at, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    _style(axes)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=INK, fontsize=9)


def legend_entries(intervals: Sequence[Interval]) -> list[Artist]:
    """Return what explains `draw_series`."""
    entries: list[Artist] = [
        Line2D([], [], color=INK, linewidth=1.6, label="history"),
        Line2D([], [], color=ACCENT, linewidth=2, label="forecast (median)"),
    ]
    entries += [
        Patch(facecolor=shade, label=interval.label)
        for shade, interval in zip(shades(intervals), intervals, strict=True)
    ]
    entries.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="forecast origin"))
    return entries


def write_png(figure: Figure, target: IO[bytes], dpi: int) -> None:
    """Write a figure as PNG, without a display."""
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # An id in a script that the font lacks is drawn as boxes; that is no reason to warn in the user's code.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(target, format="png", dpi=dpi, facecolor="white")


def _numbers(stamps: pd.Series) -> Floats:
    """Return stamps as Matplotlib counts them: days in UTC, or the integers themselves."""
    if not pd.api.types.is_datetime64_any_dtype(stamps.dtype):
        return _floats(stamps)
    if isinstance(stamps.dtype, pd.DatetimeTZDtype):
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(mdates.date2num(stamps.to_numpy()))  # type: ignore[no-untyped-call]


def _floats(values: pd.Series) -> Floats:
    """Return numbers, None and whatever is not finite as NaN."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _alone(values: Floats) -> npt.NDArray[np.bool_]:
    """Tell which values stand between two gaps, where a line would not show them."""
    seen = np.concatenate([[False], np.isfinite(values), [False]])
    return np.asarray(seen[1:-1] & ~seen[:-2] & ~seen[2:])


def _style(axes: Axes) -> None:
    axes.set_facecolor("white")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, length=3, color=MUTED)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.08)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    largest = max(abs(bound) for bound in axes.get_ylim())
    axes.yaxis.set_major_formatter(EngFormatter() if largest >= _LARGE else _Plain())


class _Plain(Formatter):
    """Ticks with thousands separated and all of the same decimals: neither 1e6 nor an offset in a corner."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        ticks = np.asarray(values, dtype=np.float64)
        tolerance = 1e-6 * float(np.ptp(ticks)) if len(ticks) else 0.0
        exact = (n for n in range(16) if (np.abs(ticks - np.round(ticks, n)) <= tolerance).all())
        decimals = next(exact, 16)
        return [fixed(tick, decimals) for tick in ticks]

    def __call__(self, value: float, position: int | None = None) -> str:
        return self.format_ticks([value])[0]


def _time_ticks(axes: Axes, stamps: pd.Series, ticks: int) -> None:
    """Label the time axis: dates in the data's own time zone, integers as they are (a year has no comma)."""
    if not pd.api.types.is_datetime64_any_dtype(stamps.dtype):
        axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:.0f}"))
        return
    zone: tzinfo | None = stamps.dt.tz
    locator = mdates.AutoDateLocator(tz=zone, minticks=3, maxticks=ticks)  # type: ignore[no-untyped-call]
    for unit, whole in _WHOLES.items():
        locator.intervald[unit] = [*locator.intervald[unit], whole]
    axes.xaxis.set_major_locator(locator)
    labels = mdates.ConciseDateFormatter(locator, tz=zone, **_DATES)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(labels)
    axes.xaxis.get_offset_text().set(size=9, color=MUTED)
