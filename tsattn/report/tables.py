"""The tables of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from tsattn.data.schema import Decision
from tsattn.report.excerpt import MOST_SERIES, Interval
from tsattn.report.markup import Html, el, join, table
from tsattn.report.text import decimals_for, fixed, shorten, stamps_text

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
