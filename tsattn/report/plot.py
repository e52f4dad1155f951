"""The picture of a forecast: small multiples, a panel a series."""

from __future__ import annotations

import textwrap
from functools import partial
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tsattn.report.draw import INK, MUTED, draw_series, legend_entries, write_png
from tsattn.report.excerpt import excerpts, intervals_of, series_count, time_zone
from tsattn.report.text import shorten

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
