"""The report of a run: one HTML file that needs no network and no scripts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tsattn.data.schema import Decision
from tsattn.models import BASELINES
from tsattn.report.draw import ACCENT, INK, draw_losses, draw_series, shades, write_png
from tsattn.report.excerpt import Excerpt, Interval, excerpts, intervals_of, series_count, time_zone
from tsattn.report.markup import Html, el, join, png_uri
from tsattn.report.tables import decisions_table, forecast_table, scores_table

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
