"""The report of a run: one HTML file that needs no network and no scripts."""

from __future__ import annotations

import math
import tomllib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tsattn.models import BASELINES
from tsattn.report.plots import (
    ACCENT,
    INK,
    MOST_SERIES,
    Excerpt,
    Interval,
    decimals_for,
    draw_losses,
    draw_series,
    excerpts,
    fixed,
    intervals_of,
    series_count,
    shades,
    shorten,
    stamps_text,
    time_zone,
    write_png,
)
from tsattn.timeseries.schema import Decision

_DPI = 200
_WIDE = (9.6, 3.5)
_NARROW = (4.7, 2.6)


def write_report(
    path: Path,
    *,
    title: str,
    decisions: Sequence[Decision],
    scores: pd.DataFrame,
    losses: pd.DataFrame,
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    config: str,
    season: int,
    verdict: str,
    left_out: Sequence[str] = (),
) -> None:
    """Write the report of a run as one HTML file.

    Args:
        path: the file to write.
        title: the headline.
        decisions: how the data were read.
        scores: the model beside the baselines, best first: `model`, `mase`, `skill`, `smape`, `mae`, `rmse`, `wql`,
            and such as `coverage-80` if there are intervals; what is missing is not shown.
        losses: the training: `epoch`, `loss`, `validation`, `chosen`; empty where nothing was trained.
        history: `unique_id`, `ds`, `y`, gaps as NaN.
        forecast: `unique_id`, `ds`, `y` and any intervals such as `y-lo-80`, `y-hi-80`.
        config: the whole configuration in TOML; `model.name` is the row of ``scores`` that is highlighted.
        season: season length in steps; 1 where there is none.
        verdict: a sentence or two on the model against the baselines.
        left_out: sentences on what the scores leave out.
    """
    trained = str(tomllib.loads(config).get("model", {}).get("name", ""))
    sections = [
        _pictures(history, forecast, season),
        _scores(scores, trained, season, forecast, left_out, fitted=len(losses) > 0),
        _training(losses, trained) if len(losses) else Html(),
        _section("How the data were read", decisions_table(decisions)),
        _numbers(forecast),
        _section("Configuration", el("details", el("summary", "config.toml"), el("pre", config))),
    ]
    header = el("header", el("h1", title), el("p", verdict, class_="verdict"))
    path.write_text(_page(title, join(header, *sections)), encoding="utf-8")


def _page(title: str, body: Html) -> str:
    style = files("tsattn.report").joinpath("style.css").read_text(encoding="utf-8")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", Html(style)),
    )
    footer = el("footer", "Made by tsattn. Everything is in this file.")
    return "<!DOCTYPE html>\n" + el("html", head, el("body", el("main", body), footer), lang="en") + "\n"


def _section(heading: str, *content: str) -> Html:
    return el("section", el("h2", heading), *content)


def _note(*sentences: str) -> Html:
    return el("p", " ".join(sentence for sentence in sentences if sentence), class_="note")


def _pictures(history: pd.DataFrame, forecast: pd.DataFrame, season: int) -> Html:
    shown = excerpts(history, forecast, season)
    counted, zone = series_count(forecast), time_zone(forecast["ds"])
    note = _note(f"{counted} are shown." if counted else "", f"Times are in {zone}." if zone else "")
    cards = [_card(excerpt, alone=len(shown) == 1) for excerpt in shown]
    grid = el("div", *cards, class_="grid")
    return _section("Forecast", _legend(intervals_of(forecast)), grid, note)


def _card(excerpt: Excerpt, *, alone: bool) -> Html:
    """Return the picture of a series; one that stands alone is wide, and has a narrow twin for a phone."""
    image = el("img", src=png_uri(_series_png(excerpt, wide=alone)), alt=_alt(excerpt))
    if alone:
        narrow = png_uri(_series_png(excerpt, wide=False))
        image = el("picture", el("source", media="(max-width: 40rem)", srcset=narrow), image)
    return el("figure", image, el("figcaption", excerpt.name))


def _alt(excerpt: Excerpt) -> str:
    return f"{excerpt.name}: {len(excerpt.history)} steps of history and {len(excerpt.forecast)} of forecast"


def _series_png(excerpt: Excerpt, *, wide: bool) -> bytes:
    figure = Figure(figsize=_WIDE if wide else _NARROW, layout="constrained")
    draw_series(figure.subplots(), excerpt, ticks=9 if wide else 6)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    picture = BytesIO()
    write_png(figure, picture, _DPI)
    return picture.getvalue()


def _legend(intervals: Sequence[Interval]) -> Html:
    bands = zip(shades(intervals), intervals, strict=True)
    return _keys(
        ("line", INK, "history"),
        ("line", ACCENT, "forecast (median)"),
        *(("band", shade, interval.label) for shade, interval in bands),
        ("mark", "", "forecast origin"),
    )


def _keys(*entries: tuple[str, str, str]) -> Html:
    """Return a legend of (kind, colour, label)."""
    items = [
        el("li", el("i", class_=kind, style=f"background-color: {colour}" if colour else ""), label)
        for kind, colour, label in entries
    ]
    return el("ul", *items, class_="legend")


def _scores(
    scores: pd.DataFrame, trained: str, season: int, forecast: pd.DataFrame, left_out: Sequence[str], *, fitted: bool
) -> Html:
    note = _note(
        "Measured on the validation part, the last steps of each series.",
        "Training saw only what comes before it, but the number of epochs was chosen on it." if fitted else "",
        "The best figure of a column is bold.",
        *left_out,
    )
    table = scores_table(scores, trained, season, intervals_of(forecast))
    return _section("Against naive baselines", note, table)


def _numbers(forecast: pd.DataFrame) -> Html:
    table, steps = forecast_table(forecast)
    longest = int(forecast.groupby("unique_id", sort=False).size().max())
    which = f"The first {steps} steps" if steps < longest else "Every step"
    each = "of each series shown above, rounded." if forecast["unique_id"].nunique() > 1 else "ahead, rounded."
    rest = f"All {len(forecast):,} rows are in forecast.csv."
    return _section("Forecast in numbers", _note(f"{which} {each}", rest), table)


def _training(losses: pd.DataFrame, kept: str) -> Html:
    figure = Figure(figsize=_NARROW, layout="constrained")
    draw_losses(figure.subplots(), losses)
    epoch = losses.loc[losses["chosen"].astype(bool), "epoch"]
    chosen = f"Epoch {int(epoch.iloc[0])} of {len(losses)} was chosen." if len(epoch) else ""
    unused = "The network was not kept: a naive baseline forecasts in its place." if kept in BASELINES else ""
    entries = [("line", INK, "training")]
    if losses["validation"].notna().any():
        entries.append(("line", ACCENT, "validation"))
    legend = _keys(*entries, ("mark", "", "the chosen epoch"))
    image = el("img", src=png_uri(_png(figure)), alt="loss of training and validation by epoch")
    grid = el("div", el("figure", image), class_="grid small")
    return _section("Training", legend, grid, _note("The loss by epoch, in scaled units.", chosen, unused))


_MOST_ROWS = 40

_BASELINES = {
    "naive": "the last value goes on",
    "seasonal_naive": "the last season comes again",
    "drift": "the line from first to last value goes on",
    "seasonal_mean": "the mean of past seasons comes again",
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
        return f"best at {self.best:.0%}".replace("%", " %") if self.best else "lower is better"


def _metrics(scores: pd.DataFrame, season: int, intervals: Sequence[Interval]) -> list[_Metric]:
    """Return the metrics that ``scores`` has."""
    step = "one season" if season > 1 else "one step"
    metrics = [
        _Metric(
            "mase",
            "MASE",
            f"the absolute error, divided by that of the naive forecast {step} ahead on the training data",
        ),
        _Metric(
            "skill",
            "Skill",
            "the share of the seasonal naive forecast's MASE that is saved: 0 where both are equal, below 0 if worse",
            best=1.0,
        ),
        _Metric("smape", "sMAPE", "the absolute error in percent of the mean of forecast and actual value, 0 to 200 %"),
        _Metric("mae", "MAE", "the mean absolute error, in the unit of the data"),
        _Metric("rmse", "RMSE", "the root of the mean squared error: as MAE, but large misses weigh more"),
        _Metric("wql", "WQL", "the loss of all quantiles, not of the median alone, as a share of the actual values"),
    ]
    if intervals:
        widest = intervals[0]
        meaning = f"the share of actual values inside the {widest.label}"
        metrics.append(_Metric(f"coverage-{widest.share}", "Coverage", meaning, best=float(widest.share) / 100))
    return [metric for metric in metrics if metric.column in scores.columns]


def scores_table(scores: pd.DataFrame, trained: str, season: int, intervals: Sequence[Interval]) -> Html:
    """Return the model beside the baselines, its row and the best figures marked, and what the figures mean."""
    metrics = _metrics(scores, season, intervals)
    columns = [_score_texts(scores[metric.column], metric) for metric in metrics]
    best = [_best(scores[metric.column], metric.best) for metric in metrics]
    rows = []
    for row, model in enumerate(scores["model"].astype(str)):
        cells = [
            el("td", el("b", texts[row]) if row in top else texts[row], class_="number")
            for texts, top in zip(columns, best, strict=True)
        ]
        note = "this model" if model == trained else _BASELINES.get(model, "")
        name = el("th", el("span", model, class_="short"), " ", el("small", note), scope="row")
        rows.append(el("tr", name, *cells, class_="ours" if model == trained else "other"))
    head = [el("th", "Model", scope="col")]
    head += [el("th", metric.name, el("small", metric.direction), scope="col", class_="number") for metric in metrics]
    terms = [join(el("dt", metric.name), el("dd", metric.meaning)) for metric in metrics]
    return join(table(head, rows), el("dl", *terms))


def _score_texts(values: pd.Series, metric: _Metric) -> list[str]:
    """Return the figures of one metric, as many digits each as they need."""
    numbers = [float(value) for value in values]
    if metric.best:
        return [fixed(100 * number, 1) + (" %" if math.isfinite(number) else "") for number in numbers]
    if metric.column in ("mase", "wql", "smape"):
        return [fixed(number, 2 if metric.column == "smape" else 3) for number in numbers]
    # The best model's digits, so that a baseline that is far off does not hide them.
    decimals = decimals_for(values[values > 0].nsmallest(1))
    return [fixed(number, decimals) for number in numbers]


def _best(values: pd.Series, target: float) -> set[int]:
    """Return the rows that come closest to ``target``."""
    distance = (values.astype(float) - target).abs().reset_index(drop=True)
    return set(distance.index[distance == distance.min()])


def decisions_table(decisions: Iterable[Decision]) -> Html:
    """Return how the data were read: what was decided, by whom and why."""
    head = [el("th", text, scope="col") for text in ("What", "Read as", "Said by", "Why")]
    rows = [
        el(
            "tr",
            el("th", decision.field, scope="row"),
            el("td", el("div", decision.value, class_="long"), class_="value"),
            el("td", "you" if decision.given else "the data", class_="short"),
            el("td", el("div", decision.reason, class_="long"), class_="why"),
        )
        for decision in decisions
    ]
    return table(head, rows)


def forecast_table(forecast: pd.DataFrame) -> tuple[Html, int]:
    """Return the first steps of the first series in rounded numbers, and how many steps of each they are."""
    columns = [name for name in forecast.columns if name not in ("unique_id", "ds")]
    shown = forecast["unique_id"].unique()[:MOST_SERIES]
    steps = max(_MOST_ROWS // max(len(shown), 1), 1)
    rows = []
    for id in shown:
        part = forecast[forecast["unique_id"] == id]
        name, decimals = shorten(str(id), 40), decimals_for(part[columns])
        part = part.head(steps)
        for stamp, values in zip(stamps_text(part["ds"]), part[columns].itertuples(index=False), strict=True):
            numbers = [el("td", fixed(float(value), decimals), class_="number") for value in values]
            rows.append(el("tr", el("td", name, class_="short"), el("td", stamp, class_="short"), *numbers))
    head = [el("th", name, scope="col") for name in ("unique_id", "ds")]
    head += [el("th", str(name), scope="col", class_="number") for name in columns]
    return table(head, rows, class_="scroll dense"), steps


_VOID = frozenset(["img", "meta", "source"])


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def el(tag: str, *children: str, **attributes: str) -> Html:
    """Return an element; children that are not `Html` are escaped, a trailing `_` of an attribute is dropped.

    Example:
        >>> el("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: str) -> Html:
    """Return pieces one after the other, escaped where they are not `Html`."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def png_uri(picture: bytes) -> str:
    """Return a PNG as the address of itself."""
    return f"data:image/png;base64,{b64encode(picture).decode('ascii')}"


def table(head: list[Html], rows: list[Html], class_: str = "scroll") -> Html:
    """Return a table, `th` and `tr` elements given, that scrolls by itself where the page is narrow."""
    body = el("table", el("thead", el("tr", *head)), el("tbody", *rows))
    # Focusable, so that the keyboard can scroll it too.
    return el("div", body, class_=class_, tabindex="0")
