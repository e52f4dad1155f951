"""The HTML report of a run: one file that needs no network, with inline SVG in the colours of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsattn.errors import escape_controls
from tsattn.models import COMBINATION
from tsattn.report.excerpts import (
    MAX_SERIES,
    Excerpt,
    Interval,
    count_shown,
    decimals_for,
    find_intervals,
    format_number,
    format_timestamps,
    shorten,
    standard_names,
    take_excerpts,
    time_zone,
)
from tsattn.report.plots import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    draw_calibration,
    draw_errors,
    draw_example,
    draw_losses,
    draw_series,
    interval_colors,
    interval_strengths,
)
from tsattn.scoring.comparison import ValidationSummary
from tsattn.timeseries.schema import InferredSetting

_VARIABLES = {INK: "--chart-ink", ACCENT: "--chart-accent", MUTED: "--chart-muted", GRID: "--chart-grid"}
"""Colours of the plots and the variables of the style sheet."""

_WIDE = (9.6, 3.5)
_NARROW = (4.7, 2.6)
_MAX_ROWS = 40
_MIN_WEIGHT = 0.01

_BASELINES = {
    "naive": "repeats the last value",
    "seasonal_naive": "repeats the last season",
    "drift": "extends the line from first to last value",
    "seasonal_mean": "repeats the mean of past seasons",
}


def _to_svg(
    draw: Callable[[Figure], None], size: tuple[float, float], alt: str, id: str, intervals: Sequence[Interval] = ()
) -> str:
    """Return a figure as an SVG element.

    Args:
        draw: Draws into an empty figure.
        size: Width and height in inches; the text has its size at 72 pixels an inch.
        alt: Description.
        id: Prefix of the ids within the element, unique on the page.
        intervals: Drawn intervals, whose tints become translucent.
    """
    figure, target = Figure(figsize=size, layout="constrained"), StringIO()
    draw(figure)
    # Text stays text. The salt makes ids unique on the page and equal in equal reports.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": id}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for color, strength in zip(interval_colors(intervals), interval_strengths(intervals), strict=True):
        text = text.replace(f"fill: {color}", f"fill: {ACCENT}; fill-opacity: {strength:.2f}")
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    return f'<svg class="chart" {box[0]} role="img" aria-label="{escape(alt)}">{rest}'.strip()


@dataclass(frozen=True)
class Picture:
    """A picture of a section.

    Args:
        title: Caption.
        draw: Draws into an empty figure.
        height: Height relative to other pictures.
    """

    title: str
    draw: Callable[[Figure], None]
    height: float = 1.0


def write_report(
    path: Path,
    *,
    title: str,
    inferred_settings: Sequence[InferredSetting],
    scores: pd.DataFrame,
    losses: pd.DataFrame,
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    config: str,
    model: str,
    season: int,
    summary: str,
    validation: ValidationSummary | None = None,
    weights: pd.DataFrame | None = None,
    pictures: Sequence[Picture] = (),
    findings: Sequence[str] = (),
    commands: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the report of a run as one HTML file: the forecast, how good it is, and how it was made.

    Args:
        path: File to write.
        title: Headline.
        inferred_settings: Settings of the schema, given or inferred.
        scores: Models and baselines, best first: `model`, `mase`, `skill`, `smape`, `mae`, `rmse`, `wql`, and coverages
            such as `coverage-80`. Missing metrics are not shown.
        losses: Training curve: `epoch`, `loss`, `val_loss`, `best`. Empty if nothing was trained.
        history: Id, time and value, with gaps as NaN.
        forecast: Id, time, value and the bounds of intervals, such as `y-lo-80`, `y-hi-80`.
        config: Whole configuration in TOML.
        model: Name of the model, the highlighted row of ``scores``.
        season: Season length in steps; 1 for no season.
        summary: Comparison of the model with the baselines, in a sentence or two.
        validation: Forecasts of the validation part.
        weights: Id, time, `method`, `weight` of a model that combines methods.
        pictures: Pictures of what the forecast rests on.
        findings: Sentences on the same.
        commands: Next commands to type, and what each of them does.
        notes: Sentences about series that the scores leave out.
    """
    columns, shown = list(forecast.columns), take_excerpts(history, forecast, season)
    forecast = standard_names(forecast)
    intervals = find_intervals(forecast)
    metrics = _metrics(scores, season, intervals)
    environment = Environment(
        loader=PackageLoader("tsattn.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        forecast_legend=_forecast_legend(intervals),
        plots=[_series_plot(excerpt, f"forecast-{i}", is_only=len(shown) == 1) for i, excerpt in enumerate(shown)],
        shown_series=count_shown(forecast),
        time_zone=time_zone(forecast["ds"]),
        notes=notes,
        metrics=metrics,
        scores=_score_rows(scores, model, metrics),
        validation=None if validation is None else _validation(validation, season, columns),
        weights=[] if weights is None else _weight_rows(weights),
        pictures=[_wide_plot(picture, f"picture-{i}") for i, picture in enumerate(pictures)],
        findings=findings,
        commands=commands,
        training=_training(losses, model) if len(losses) else None,
        inferred_settings=inferred_settings,
        config=config,
        **_forecast_values(forecast),
        columns=columns,
    )
    path.write_text(escape_controls(page) + "\n", encoding="utf-8")


def _series_plot(excerpt: Excerpt, id: str, *, is_only: bool) -> dict[str, Any]:
    """Return the plot of a series. An only plot is wide, with a narrow variant for phones."""
    alt = f"{excerpt.name}: {len(excerpt.history)} steps of history and {len(excerpt.forecast)} of forecast"

    def svg(size: tuple[float, float], ticks: int, suffix: str) -> Markup:
        def draw(figure: Figure) -> None:
            draw_series(figure.subplots(), excerpt, ticks=ticks)

        return Markup(_to_svg(draw, size, alt, f"{id}-{suffix}", excerpt.intervals))

    narrow = svg(_NARROW, 5, "narrow")
    if not is_only:
        return {"name": excerpt.name, "images": [("", narrow)]}
    return {"name": excerpt.name, "images": [("only-wide", svg(_WIDE, 9, "wide")), ("only-narrow", narrow)]}


def _plot(draw: Callable[[Axes], None], name: str, id: str) -> dict[str, Any]:
    """Return a narrow plot on one pair of axes."""
    return {"name": name, "images": [("", Markup(_to_svg(lambda figure: draw(figure.subplots()), _NARROW, name, id)))]}


def _wide_plot(picture: Picture, id: str) -> dict[str, Any]:
    """Return a picture that scrolls on a phone, where its parts next to each other would be too small."""
    size = (_WIDE[0], 2.9 * picture.height)
    return {"name": picture.title, "images": [("scrolled", Markup(_to_svg(picture.draw, size, picture.title, id)))]}


def _validation(validation: ValidationSummary, season: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return the plots of the forecasts of the validation part."""
    names = list(validation.by_step.columns[1:])
    plots = []
    for example in validation.examples:
        # The history includes the steps of the forecast.
        [excerpt] = take_excerpts(example.history, example.forecast, season)
        excerpt = replace(excerpt, time=str(columns[1]), value=str(columns[2]))
        plot = _example_plot(excerpt, f"{example.kind}-example")
        origin = format_timestamps(example.forecast["ds"].head(1))[0]
        error = format_number(example.error, 2)
        name = f"{example.kind}: {shorten(excerpt.name, 40)} from {origin}, {validation.unit} {error}"
        plots.append({**plot, "name": name})
    unit = validation.unit
    return {
        "examples": plots,
        "unit": unit,
        "steps": _plot(lambda axes: draw_errors(axes, validation.by_step, unit), "Error by step", "steps"),
        "legend": [("line", color, name) for name, color in zip(names, ("accent", "ink"), strict=False)],
        "calibration": _plot(lambda axes: draw_calibration(axes, validation.coverage), "Calibration", "calibration"),
    }


def _example_plot(excerpt: Excerpt, id: str) -> dict[str, Any]:
    def draw(figure: Figure) -> None:
        draw_example(figure.subplots(), excerpt, ticks=5)

    alt = f"{excerpt.name}: forecast and observed values"
    return {"images": [("", Markup(_to_svg(draw, _NARROW, alt, id, excerpt.intervals)))]}


def _forecast_legend(intervals: Sequence[Interval]) -> list[tuple[str, str, str]]:
    """Return the kind, colour and label of each entry; a band has its strength in percent."""
    bands = zip(interval_strengths(intervals), intervals, strict=True)
    return [
        ("line", "ink", "history"),
        ("line", "accent", "forecast (median)"),
        *((f"band {round(100 * strength)}", "accent", interval.label) for strength, interval in bands),
        ("mark", "", "forecast origin"),
    ]


def _weight_rows(weights: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the methods with a weight of 1 % or more, the largest first: means over the series, and their range.

    The cells are the mean over all steps, those of the first and the last step, and the range of the series.
    """
    by_step = weights.groupby(["method", weights.columns[0]], sort=False)["weight"]
    ends = pd.DataFrame({"mean": by_step.mean(), "first": by_step.first(), "last": by_step.last()})
    methods = ends.groupby("method", sort=False)
    means, low, high = methods.mean(), methods["mean"].min(), methods["mean"].max()
    shown = means[means["mean"] >= _MIN_WEIGHT].sort_values("mean", ascending=False, kind="stable")
    return [
        (str(name), [*(f"{value:.0%}" for value in row), f"{low[name]:.0%} to {high[name]:.0%}"])
        for name, row in zip(shown.index, shown.to_numpy(), strict=True)
    ]


def _training(losses: pd.DataFrame, model: str) -> dict[str, Any]:
    chosen = losses.loc[losses["best"].astype(bool), "epoch"]
    validated = losses["val_loss"].notna().any()
    return {
        "legend": [
            ("line", "ink", "training"),
            *([("line", "accent", "validation")] if validated else []),
            ("mark", "", "selected epoch"),
        ],
        "plot": _plot(lambda axes: draw_losses(axes, losses), "Loss by epoch", "losses"),
        "chosen": int(chosen.iloc[0]) if len(chosen) else None,
        "epochs": len(losses),
        "unused": model == COMBINATION,
    }


@dataclass(frozen=True)
class _Metric:
    column: str
    name: str
    meaning: str
    best: float = 0.0

    @property
    def direction(self) -> str:
        if self.column == "skill":
            return "higher is better"
        return f"best at {100 * self.best:.0f} %" if self.best else "lower is better"


def _metrics(scores: pd.DataFrame, season: int, intervals: Sequence[Interval]) -> list[_Metric]:
    """Return the metrics that ``scores`` has."""
    step = "one season" if season > 1 else "one step"
    metrics = [
        _Metric(
            "mase",
            "MASE",
            f"mean absolute error, divided by that of the naive forecast {step} ahead on the training data",
        ),
        _Metric(
            "skill",
            "Skill",
            "reduction of the MASE against the seasonal naive forecast: 0 % if equal, negative if worse",
            best=1.0,
        ),
        _Metric("smape", "sMAPE", "absolute error in percent of the mean of forecast and actual value, 0 to 200 %"),
        _Metric("mae", "MAE", "mean absolute error, in the unit of the data"),
        _Metric("rmse", "RMSE", "root mean squared error: large errors weigh more than in the MAE"),
        _Metric("wql", "WQL", "weighted quantile loss: loss of all quantiles, relative to the actual values"),
    ]
    if intervals:
        widest = intervals[0]
        meaning = f"fraction of actual values within the {widest.label}"
        metrics.append(_Metric(f"coverage-{widest.level}", "Coverage", meaning, best=float(widest.level) / 100))
    return [metric for metric in metrics if metric.column in scores.columns]


def _score_rows(
    scores: pd.DataFrame, model: str, metrics: Sequence[_Metric]
) -> list[tuple[str, str, bool, list[tuple[str, bool]]]]:
    """Return name, note and figures of each model, and which rows and figures to mark."""
    columns = [
        zip(_score_texts(scores[metric.column], metric), _is_best(scores[metric.column], metric.best), strict=True)
        for metric in metrics
    ]
    cells = [list(row) for row in zip(*columns, strict=True)] or [[] for _ in range(len(scores))]
    return [
        (name, "this model" if name == model else _BASELINES.get(name, ""), name == model, row)
        for name, row in zip(scores["model"].astype(str), cells, strict=True)
    ]


def _score_texts(values: pd.Series, metric: _Metric) -> list[str]:
    """Return the figures of one metric, with as many digits as they need."""
    numbers = [float(value) for value in values]
    if metric.best:
        return [format_number(100 * number, 1) + (" %" if math.isfinite(number) else "") for number in numbers]
    if metric.column in ("mase", "wql", "smape"):
        return [format_number(number, 2 if metric.column == "smape" else 3) for number in numbers]
    # Digits of the best model, so that a baseline with a large error does not hide them.
    decimals = decimals_for(values[values > 0].nsmallest(1))
    return [format_number(number, decimals) for number in numbers]


def _is_best(values: pd.Series, target: float) -> list[bool]:
    """Return whether each value is closest to ``target``."""
    distance = (values.astype(float) - target).abs()
    return list(distance == distance.min())


def _forecast_values(forecast: pd.DataFrame) -> dict[str, Any]:
    """Return the first steps of the first series as rounded numbers."""
    columns = [str(name) for name in forecast.columns if name not in ("unique_id", "ds")]
    shown = forecast["unique_id"].unique()[:MAX_SERIES]
    steps = max(_MAX_ROWS // max(len(shown), 1), 1)
    values = []
    for id in shown:
        part = forecast[forecast["unique_id"] == id]
        name, decimals = shorten(str(id), 40), decimals_for(part[columns])
        part = part.head(steps)
        for time, numbers in zip(format_timestamps(part["ds"]), part[columns].itertuples(index=False), strict=True):
            values.append((name, time, [format_number(float(number), decimals) for number in numbers]))
    return {
        "values": values,
        "steps": steps,
        "horizon": int(forecast.groupby("unique_id", sort=False).size().max()),
        "series": forecast["unique_id"].nunique(),
        "rows": len(forecast),
    }
