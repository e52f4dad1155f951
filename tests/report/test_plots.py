"""Plots of forecasts: panels, ticks, legends and odd values."""

from __future__ import annotations

import struct
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from frames import many, series
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsattn.report.plots import forecast_figure, write_forecast_plot, write_png


def drawn(figure: Figure, path: Path) -> list[Axes]:
    """Draw a figure, which sets its ticks, and return its panels."""
    with path.open("wb") as target:
        write_png(figure, target, dpi=50)
    return [axes for axes in figure.axes if axes.axison]


def headline(figure: Figure) -> str:
    return " ".join(figure.get_suptitle().split())


def ticks(axes: Axes) -> list[str]:
    """Return the visible labels of the time axis."""
    low, high = axes.get_xlim()
    labels = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for at, label in labels if low <= at <= high]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_png_has_a_sensible_size(tmp_path: Path) -> None:
    path = tmp_path / "forecast.png"
    settings = dict(mpl.rcParams)
    write_forecast_plot(*series(pd.date_range("2020-01-01", periods=60), 10), path, title="Sales")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 1200 <= width <= 2400 and 500 <= height <= 1200
    assert len(content) < 300_000
    assert dict(mpl.rcParams) == settings


def test_six_of_many_series_are_shown_and_counted(tmp_path: Path) -> None:
    figure = forecast_figure(*many(414), title="M4")
    panels = drawn(figure, tmp_path / "p.png")
    assert [axes.get_title(loc="left") for axes in panels] == ["H1", "H2", "H3", "H4", "H5", "H6"]
    assert headline(figure) == "M4 · 6 of 414 series"


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_each_series_has_a_panel(tmp_path: Path, count: int) -> None:
    figure = forecast_figure(*many(count), title="few")
    assert len(drawn(figure, tmp_path / "p.png")) == count
    assert headline(figure) == "few"


def test_years_are_whole_numbers_without_separators(tmp_path: Path) -> None:
    [axes] = drawn(forecast_figure(*series(np.arange(1900, 2009), 11), title="years"), tmp_path / "p.png")
    labels = ticks(axes)
    assert len(labels) >= 3 and all(len(label) == 4 and label.isdecimal() for label in labels)


def test_ticks_are_in_the_time_zone_of_the_data(tmp_path: Path) -> None:
    times = pd.date_range("2024-06-01 06:00", periods=30, freq="15min", tz="Asia/Tokyo")
    figure = forecast_figure(*series(times, 6), title="power")
    [axes] = drawn(figure, tmp_path / "p.png")
    assert "times in Asia/Tokyo" in headline(figure)
    assert ticks(axes)[0].startswith("06:") and ticks(axes)[-1].startswith("13:")


def test_gaps_and_isolated_points_are_visible(tmp_path: Path) -> None:
    past, ahead = series(pd.date_range("2020-01-01", periods=60), 16)
    past.loc[[20, 21, 23, 24], "y"] = np.nan
    figure = forecast_figure(past, ahead, title="gaps")
    [axes] = drawn(figure, tmp_path / "p.png")
    history, isolated = axes.lines[1:3]
    assert np.isnan(np.asarray(history.get_ydata())).sum() == 4
    assert list(isolated.get_ydata()) == [past["y"][22]]


def test_intervals_are_bands_with_their_level(tmp_path: Path) -> None:
    frames = series(pd.date_range("2020-01-01", periods=60, freq="MS"), 12, levels=(50, 80, 95))
    figure = forecast_figure(*frames, title="bands")
    [axes] = drawn(figure, tmp_path / "p.png")
    assert legend(figure)[2:5] == ["95 % interval", "80 % interval", "50 % interval"]
    assert len(axes.collections) == 3

    figure = forecast_figure(*series(np.arange(60), 12, levels=()), title="no bands")
    [axes] = drawn(figure, tmp_path / "p.png")
    assert legend(figure) == ["history", "forecast (median)", "forecast origin"]
    assert len(axes.collections) == 0


def test_history_is_a_few_horizons_or_seasons_long() -> None:
    def shown(horizon: int, season: int) -> int:
        frames = series(np.arange(5000), horizon)
        return len(forecast_figure(*frames, title="", season=season).axes[0].lines[1].get_ydata())

    assert shown(48, 24) == 144
    assert shown(12, 52) == 208
    assert shown(1, 1) == 24
    assert shown(48, 2000) == 400


@pytest.mark.parametrize("times", [np.arange(2001, 2003), pd.date_range("2020-01-31", periods=2, freq="ME")])
def test_one_point_of_history_and_one_of_forecast(tmp_path: Path, times: object) -> None:
    figure = forecast_figure(*series(times, 1), title="short")
    [axes] = drawn(figure, tmp_path / "p.png")
    assert ticks(axes)


@pytest.mark.parametrize("freq", ["s", "min", "h", "D", "MS", "YS"])
def test_any_span_has_a_few_ticks(freq: str) -> None:
    for steps in (7, 31, 61, 100, 170):
        times = pd.date_range("2023-12-30 21:00", periods=steps, freq=freq, tz="Europe/Berlin")
        figure = forecast_figure(*series(times, steps // 4), title="span")
        assert 2 <= len(ticks(figure.axes[0])) <= 10, steps


@pytest.mark.parametrize("values", [np.nan, 0.0, 1e-9, 3e9, np.inf])
def test_any_values_can_be_drawn(tmp_path: Path, values: float) -> None:
    past, ahead = series(pd.date_range("2020-01-01", periods=40), 5)
    write_forecast_plot(past.assign(y=values), ahead, tmp_path / "p.png", title="values")


def test_names_may_be_long_or_foreign_and_hold_math(tmp_path: Path) -> None:
    names = ["$x_1$ & $", "株価", "two\nlines", "n" * 500]
    pairs = [series(np.arange(30), 5, name) for name in names]
    past, ahead = (pd.concat(frames) for frames in zip(*pairs, strict=True))
    panels = drawn(forecast_figure(past, ahead, title="$ of 株"), tmp_path / "p.png")
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[:3] == ["$x_1$ & $", "株価", "two lines"]
    assert len(titles[3]) == 50
