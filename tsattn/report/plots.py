"""Plots: series with their forecasts, and the training curve."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from datetime import tzinfo
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO

import matplotlib.dates as mdates
import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter

from tsattn.errors import ConfigError
from tsattn.report.excerpts import (
    Excerpt,
    Interval,
    count_shown,
    find_intervals,
    format_number,
    shorten,
    standard_names,
    take_excerpts,
    time_zone,
)

INK = "#3a4252"
"""History, training loss."""
ACCENT = "#d55e00"
"""Forecast, validation loss: the vermillion of Okabe and Ito, distinct from INK in every kind of colour vision."""
MUTED = "#7b8494"
"""Axes, grid and marks."""

HEAT = LinearSegmentedColormap.from_list("heat", [(*to_rgb(ACCENT), 0.0), (*to_rgb(ACCENT), 1.0)])
"""Colours of a map, from transparent to ACCENT, for light and dark pages."""

GRID = "#e6e9ee"
_MAX_MARKERS = 40
"""Number of points up to which each one has a marker."""
_MIN_ENGINEERING = 1e7
"""Largest tick from which ticks are written as 20 M."""
_DATES = {
    "formats": ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
    "zero_formats": ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
    "offset_formats": ["", "%Y", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"],
}
"""Tick labels at years, months, days, hours, minutes and seconds. A day always includes its month."""
_WHOLE_UNITS = {mdates.MONTHLY: 12, mdates.HOURLY: 24, mdates.MINUTELY: 60, mdates.SECONDLY: 60}
"""Intervals of a whole year, day, hour or minute. Without them Matplotlib finds too many ticks for some spans, such as
61 hours, and warns."""

Floats = npt.NDArray[np.float64]


def interval_colors(intervals: Sequence[Interval]) -> list[str]:
    """Return the colour of each interval. The widest is first and lightest."""
    accent = np.array(to_rgb(ACCENT))
    return [to_hex(tuple(1 - strength * (1 - accent))) for strength in interval_strengths(intervals)]


def interval_strengths(intervals: Sequence[Interval]) -> list[float]:
    """Return how strong the colour of each interval is, 0 for the colour of the page."""
    return [float(strength) for strength in np.linspace(0.2, 0.42, len(intervals))]


def draw_series(axes: Axes, excerpt: Excerpt, *, ticks: int) -> None:
    """Draw the history, the forecast and the forecast origin of a series.

    Args:
        ticks: Maximum number of ticks on the time axis.
    """
    past, ahead = _date_numbers(excerpt.history["ds"]), _date_numbers(excerpt.forecast["ds"])
    seen = _floats(excerpt.history["y"])
    # Starts at the last observation, so that a horizon of one step is a line, too.
    joined = len(seen) > 0 and bool(np.isfinite(seen[-1]))
    x = np.append(past[-1], ahead) if joined else ahead
    marker = "o" if len(seen) + len(ahead) <= _MAX_MARKERS else ""

    def after(column: str) -> Floats:
        values = _floats(excerpt.forecast[column])
        return np.append(seen[-1], values) if joined else values

    if len(past):
        axes.axvline(past[-1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    for color, interval in zip(interval_colors(excerpt.intervals), excerpt.intervals, strict=True):
        low, high = after(interval.low), after(interval.high)
        axes.fill_between(x, low, high, color=color, linewidth=0, zorder=1.2)
    axes.plot(past, seen, color=INK, linewidth=1.3, marker=marker, markersize=3)
    if not marker:
        isolated = _is_isolated(seen)
        axes.plot(past[isolated], seen[isolated], color=INK, linestyle="", marker="o", markersize=2)
    axes.plot(x, after("y"), color=ACCENT, linewidth=1.7)
    axes.plot(ahead, _floats(excerpt.forecast["y"]), color=ACCENT, linestyle="", marker=marker, markersize=3.5)
    style_axes(axes)
    _time_ticks(axes, excerpt.forecast["ds"], ticks)
    zone = time_zone(excerpt.forecast["ds"])
    label_axes(axes, f"{excerpt.time} ({zone})" if zone else excerpt.time, excerpt.value)


def draw_example(axes: Axes, excerpt: Excerpt, *, ticks: int) -> None:
    """Draw a forecast of known values: the history of the excerpt continues next to the forecast."""
    past, ahead = _date_numbers(excerpt.history["ds"]), _date_numbers(excerpt.forecast["ds"])
    for color, interval in zip(interval_colors(excerpt.intervals), excerpt.intervals, strict=True):
        low, high = _floats(excerpt.forecast[interval.low]), _floats(excerpt.forecast[interval.high])
        axes.fill_between(ahead, low, high, color=color, linewidth=0, zorder=1.2)
    marker = "o" if len(past) <= _MAX_MARKERS else ""
    axes.plot(past, _floats(excerpt.history["y"]), color=INK, linewidth=1.3, marker=marker, markersize=3)
    axes.plot(ahead, _floats(excerpt.forecast["y"]), color=ACCENT, linewidth=1.7, marker=marker, markersize=3.5)
    style_axes(axes)
    _time_ticks(axes, excerpt.forecast["ds"], ticks)
    label_axes(axes, excerpt.time, excerpt.value)


def draw_losses(axes: Axes, losses: pd.DataFrame) -> None:
    """Draw training and validation loss by epoch, and mark the selected epoch."""
    epoch = _floats(losses["epoch"])
    marker = "o" if len(epoch) <= _MAX_MARKERS else ""
    chosen = losses["best"].to_numpy(dtype=bool)
    axes.plot(epoch, _floats(losses["loss"]), color=INK, linewidth=1.4, marker=marker, markersize=3.5)
    axes.plot(epoch, _floats(losses["val_loss"]), color=ACCENT, linewidth=1.7, marker=marker, markersize=3.5)
    for at in epoch[chosen]:
        axes.axvline(at, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    label_axes(axes, "epoch", "loss")


def draw_errors(axes: Axes, errors: pd.DataFrame, unit: str) -> None:
    """Draw the error by step of a model, the second column, and of others."""
    steps, names = _floats(errors["step"]), list(errors.columns[1:])
    marker = "o" if len(steps) <= _MAX_MARKERS else ""
    for name, color in zip(names, (ACCENT, INK), strict=False):
        axes.plot(steps, _floats(errors[name]), color=color, linewidth=1.6, marker=marker, markersize=3.5)
    style_axes(axes)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    label_axes(axes, "step ahead", f"error ({unit})")


def draw_calibration(axes: Axes, coverage: pd.DataFrame) -> None:
    """Draw the fraction of values below each quantile over its level; calibrated quantiles lie on the diagonal."""
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    axes.plot(
        coverage["level"], coverage["fraction"], color=ACCENT, linewidth=1.6, marker="o", markersize=5, clip_on=False
    )
    style_axes(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    label_axes(axes, "quantile level", "values below it")


def legend_entries(intervals: Sequence[Interval]) -> list[Artist]:
    """Return the legend entries of `draw_series`."""
    entries: list[Artist] = [
        Line2D([], [], color=INK, linewidth=1.6, label="history"),
        Line2D([], [], color=ACCENT, linewidth=2, label="forecast (median)"),
    ]
    entries += [
        Patch(facecolor=color, label=interval.label)
        for color, interval in zip(interval_colors(intervals), intervals, strict=True)
    ]
    entries.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="forecast origin"))
    return entries


def write_png(figure: Figure, target: IO[bytes], dpi: int) -> None:
    """Write a figure as PNG, without a display."""
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes. The user cannot act on that warning.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(target, format="png", dpi=dpi, facecolor="white")


def _date_numbers(times: pd.Series) -> Floats:
    """Return timestamps as Matplotlib date numbers, in UTC. Integers stay as they are."""
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        return _floats(times)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(mdates.date2num(times.to_numpy()))  # type: ignore[no-untyped-call]


def _floats(values: pd.Series) -> Floats:
    """Return values as floats, with missing and infinite ones as NaN."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _is_isolated(values: Floats) -> npt.NDArray[np.bool_]:
    """Return which values lie between two gaps, where a line does not show them."""
    seen = np.concatenate([[False], np.isfinite(values), [False]])
    return np.asarray(seen[1:-1] & ~seen[:-2] & ~seen[2:])


def style_axes(axes: Axes) -> None:
    """Set colours, grid and the format of the values."""
    axes.set_facecolor("white")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, length=3, color=MUTED)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.08)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    largest = max(abs(bound) for bound in axes.get_ylim())
    axes.yaxis.set_major_formatter(EngFormatter() if largest >= _MIN_ENGINEERING else _PlainFormatter())


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name the axes; names of columns are text, not formulas."""
    axes.set_xlabel(shorten(x, 40), color=INK, fontsize=9, parse_math=False)
    axes.set_ylabel(shorten(y, 24), color=INK, fontsize=9, parse_math=False)


class _PlainFormatter(Formatter):
    """Formats ticks with thousands separators and the same number of decimals, without exponents and offsets."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        ticks = np.asarray(values, dtype=np.float64)
        tolerance = 1e-6 * float(np.ptp(ticks)) if len(ticks) else 0.0
        exact = (n for n in range(16) if (np.abs(ticks - np.round(ticks, n)) <= tolerance).all())
        decimals = next(exact, 16)
        return [format_number(tick, decimals) for tick in ticks]

    def __call__(self, value: float, position: int | None = None) -> str:
        return self.format_ticks([value])[0]


def _time_ticks(axes: Axes, times: pd.Series, ticks: int) -> None:
    """Label the time axis: dates in the time zone of the data, integers without separators, as for years."""
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:.0f}"))
        return
    zone: tzinfo | None = times.dt.tz
    locator = mdates.AutoDateLocator(tz=zone, minticks=3, maxticks=ticks)  # type: ignore[no-untyped-call]
    for unit, whole in _WHOLE_UNITS.items():
        locator.intervald[unit] = [*locator.intervald[unit], whole]
    axes.xaxis.set_major_locator(locator)
    labels = mdates.ConciseDateFormatter(locator, tz=zone, **_DATES)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(labels)
    axes.xaxis.get_offset_text().set(size=9, color=MUTED)


_DPI = 150
_WIDTH = 11.0
_LAYOUT = partial(ConstrainedLayoutEngine, w_pad=0.12, h_pad=0.08, hspace=0.04, wspace=0.03)


def plot_forecast(
    forecast: pd.DataFrame,
    history: pd.DataFrame | None = None,
    *,
    id: str | None = None,
    ax: Axes | None = None,
    season: int = 1,
) -> Axes:
    """Draw the forecast of one series with its intervals, after the end of its history.

    Args:
        forecast: Id, time, forecast and bounds such as `y-lo-80`, `y-hi-80`, as `Forecaster.predict` returns; also
            those of other packages with this form, such as statsforecast.
        history: Id, time and values, with gaps as NaN; its column of values has the name of the forecast or is the
            third one.
        id: The series; the first one by default.
        ax: Where to draw; by default a new figure of pyplot.
        season: Season length in steps, from which the length of the history that is drawn follows.

    Returns:
        The axes, with names, ticks and a legend.

    Raises:
        ConfigError: There is no such series.

    Example:
        >>> forecaster = tsattn.Forecaster(horizon=12).fit(frame)
        >>> tsattn.plot_forecast(forecaster.predict(), frame)
    """
    forecast = nw.from_native(forecast, eager_only=True).to_pandas()
    ids = forecast.iloc[:, 0]
    name = ids.iloc[0] if id is None else id
    if not (ids == name).any():
        raise ConfigError(f"id must be one of the series of the forecast, such as {ids.iloc[0]}. Received: id={name}")
    past = forecast.iloc[:0] if history is None else nw.from_native(history, eager_only=True).to_pandas()
    [excerpt] = take_excerpts(past, forecast[ids == name], season)
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(9, 4), layout="constrained")[1]
    draw_series(ax, excerpt, ticks=9)
    ax.set_title(shorten(excerpt.name, 80), loc="left", fontsize=10, color=INK, parse_math=False)
    entries = legend_entries(excerpt.intervals)
    ax.legend(handles=entries if len(excerpt.history) else entries[1:-1], frameon=False, fontsize=9, labelcolor=INK)
    return ax


def write_forecast_plot(
    history: pd.DataFrame, forecast: pd.DataFrame, path: Path, *, title: str, season: int = 1
) -> None:
    """Write the plot of `forecast_figure` as PNG."""
    picture = BytesIO()
    write_png(forecast_figure(history, forecast, title=title, season=season), picture, _DPI)
    path.write_bytes(picture.getvalue())


def forecast_figure(history: pd.DataFrame, forecast: pd.DataFrame, *, title: str, season: int = 1) -> Figure:
    """Return the plot of a forecast: up to six series, each with the end of its history.

    Args:
        history: Id, time and value, with gaps as NaN. The times are dates, with or without a time zone, or integers.
        forecast: Id, time, median and the bounds of intervals, such as `y-lo-80`, `y-hi-80`.
        title: First line of the plot.
        season: Season length in steps; 1 for no season.
    """
    shown = take_excerpts(history, forecast, season)
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
    forecast = standard_names(forecast)
    headline = _headline(title, forecast)
    figure.suptitle(headline, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    entries = legend_entries(find_intervals(forecast))
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
    parts = [title, count_shown(forecast), f"times in {zone}" if zone else ""]
    return textwrap.fill(" · ".join(part for part in parts if part), 100)
