"""Drawing on Matplotlib axes: one series with its forecast, and the curve of a training."""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from io import BytesIO
from pathlib import Path
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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, MaxNLocator

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


_DPI = 150
_WIDTH = 11.0
_LAYOUT = partial(ConstrainedLayoutEngine, w_pad=0.12, h_pad=0.08, hspace=0.04, wspace=0.03)


def plot_forecast(history: pd.DataFrame, forecast: pd.DataFrame, path: Path, *, title: str, season: int = 1) -> None:
    """Write the picture of a forecast as PNG; the arguments are those of `forecast_figure`."""
    picture = BytesIO()
    write_png(forecast_figure(history, forecast, title=title, season=season), picture, _DPI)
    path.write_bytes(picture.getvalue())


def forecast_figure(history: pd.DataFrame, forecast: pd.DataFrame, *, title: str, season: int = 1) -> Figure:
    """Return the picture of a forecast: up to six series, each with the last of its history.

    Args:
        history: `unique_id`, `ds`, `y`, gaps as NaN; `ds` dates, time-zone-aware or not, or integers.
        forecast: `unique_id`, `ds`, `y` (the median) and any intervals such as `y-lo-80`, `y-hi-80`.
        title: the first line of the picture.
        season: season length in steps; 1 where there is none.
    """
    shown = excerpts(history, forecast, season)
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    height = 4.4 if columns == 1 else 1.1 + 2.2 * rows
    figure = Figure(figsize=(_WIDTH, height), layout=_LAYOUT(), facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, excerpt in zip(grid, shown, strict=False):
        draw_series(axes, excerpt, ticks=9 if columns == 1 else 6)
        name = shorten(excerpt.name, 100 // columns)
        axes.set_title(name, loc="left", fontsize=10, color=MUTED, parse_math=False)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    headline = _headline(title, forecast)
    figure.suptitle(headline, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    entries = legend_entries(intervals_of(forecast))
    figure.legend(
        handles=entries,
        loc="outside lower left",
        ncols=len(entries),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    return figure


def _headline(title: str, forecast: pd.DataFrame) -> str:
    zone = time_zone(forecast["ds"])
    parts = [title, series_count(forecast), f"times in {zone}" if zone else ""]
    return textwrap.fill(" · ".join(part for part in parts if part), 100)


MOST_SERIES = 6
"""Series that are shown; the rest are counted."""

_LEAST_STEPS = 24
_MOST_STEPS = 400


@dataclass(frozen=True)
class Interval:
    """Two columns of a forecast that bound a share of the outcomes.

    Args:
        share: percent between the bounds, as the columns have it ("80").
        low: column of the lower bound.
        high: column of the upper bound.
    """

    share: str
    low: str
    high: str

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.share} % interval"


@dataclass(frozen=True)
class Excerpt:
    """One series to show.

    Args:
        name: its id, on one line.
        history: the last steps before the forecast, `ds` and `y`; may be empty.
        forecast: `ds`, `y` and the bounds of the intervals.
        intervals: the intervals, widest first.
    """

    name: str
    history: pd.DataFrame
    forecast: pd.DataFrame
    intervals: tuple[Interval, ...]


def intervals_of(forecast: pd.DataFrame) -> tuple[Interval, ...]:
    """Return the intervals that a forecast has, widest first."""
    shares = [found[1] for name in forecast.columns if (found := re.fullmatch(r"y-lo-([\d.]+)", str(name)))]
    known = [share for share in shares if f"y-hi-{share}" in forecast.columns]
    return tuple(Interval(share, f"y-lo-{share}", f"y-hi-{share}") for share in sorted(known, key=float, reverse=True))


def excerpts(history: pd.DataFrame, forecast: pd.DataFrame, season: int) -> list[Excerpt]:
    """Return the first series of a forecast, each with as much history as reads well beside it.

    Args:
        history: `unique_id`, `ds`, `y`, gaps as NaN.
        forecast: `unique_id`, `ds`, `y` and intervals such as `y-lo-80`, `y-hi-80`.
        season: season length in steps; 1 where there is none.
    """
    intervals = intervals_of(forecast)
    found = []
    for id in forecast["unique_id"].unique()[:MOST_SERIES]:
        ahead = forecast[forecast["unique_id"] == id].reset_index(drop=True)
        past = history.loc[history["unique_id"] == id, ["ds", "y"]]
        past = past.tail(_steps(len(ahead), season)).reset_index(drop=True)
        found.append(Excerpt(" ".join(str(id).split()), past, ahead, intervals))
    return found


def _steps(horizon: int, season: int) -> int:
    """Return the steps of history to show: three horizons or four seasons, within what a picture can hold."""
    wanted = max(3 * horizon, 4 * season, _LEAST_STEPS)
    return min(wanted, max(_MOST_STEPS, horizon))


def series_count(forecast: pd.DataFrame) -> str:
    """Return "6 of 414 series" where not all of them are shown, else nothing."""
    total = forecast["unique_id"].nunique()
    return f"{MOST_SERIES} of {total:,} series" if total > MOST_SERIES else ""


def time_zone(stamps: pd.Series) -> str:
    """Return the name of the stamps' time zone, or nothing."""
    return str(stamps.dt.tz) if isinstance(stamps.dtype, pd.DatetimeTZDtype) else ""


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
