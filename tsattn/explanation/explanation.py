"""Explanation of the forecasts of a fitted model, in tables, sentences and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tsattn.atomic_io import check_folder
from tsattn.data.loader import Frame
from tsattn.errors import ConfigError, RunError
from tsattn.explanation.attribution import (
    attention_of,
    check_faithfulness,
    covariate_importance,
    first_series,
    forecasters_of,
    pretrained_weights,
)
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.prediction import PredictionRequest, method_weights, prediction_panel
from tsattn.layers import AdaptiveAdjacency
from tsattn.report.excerpts import format_timestamps, shorten
from tsattn.report.plots import ACCENT, HEAT, INK, MUTED, label_axes, style_axes, write_png
from tsattn.timeseries.frames import name_columns
from tsattn.timeseries.panel import Panel

MAX_HEADS = 4
MAX_NODES = 40
"""Nodes of a graph that is drawn as a matrix."""
_MAX_BARS = 15
_MAX_METHODS = 6
_COLORS = (ACCENT, INK, "#0072b2", "#009e73", "#cc79a7", "#e69f00", MUTED)


def draw_attention(attention: pd.DataFrame, figure: Figure) -> None:
    """Draw the attention of the first series, a map per head: steps ahead over steps of the past."""
    id, time = attention.columns[:2]
    own = attention[attention[id] == attention[id].iloc[0]]
    heads = list(own["head"].unique()[:MAX_HEADS])
    top = float(own["weight"].max())
    grid = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    for axes, head in zip(grid, heads, strict=True):
        part = own[own["head"] == head].pivot_table("weight", time, "steps_back", sort=True)
        back = part.columns.to_numpy()
        # The oldest key may cover fewer steps than the others.
        edges = np.append(back - 1, 2 * back[-1] - back[-2] - 1 if len(back) > 1 else back[-1])
        rows = np.arange(len(part) + 1) + 0.5
        axes.pcolormesh(-edges, rows, part.to_numpy(), cmap=HEAT, vmin=0, vmax=top, rasterized=True)
        axes.set_title(f"head {head}" if len(heads) > 1 else "", loc="left", fontsize=9, color=INK)
        label_axes(axes, "steps before the forecast", "")
        axes.tick_params(colors=INK, labelsize=8, length=2, color=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.spines[:].set_visible(False)
    grid[0].set_ylabel("step ahead", color=INK, fontsize=9)


def draw_covariates(covariates: pd.DataFrame, figure: Figure) -> None:
    """Draw the increase of the error for each permuted covariate, with its spread."""
    axes, shown = figure.subplots(), covariates.head(_MAX_BARS)[::-1]
    names = [shorten(str(name), 24) for name in shown["covariate"]]
    places = np.arange(len(shown))
    axes.barh(places, shown["increase"], xerr=shown["spread"], color=ACCENT, ecolor=INK, height=0.6, capsize=3)
    style_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(places, names, parse_math=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.axvline(0, color=MUTED, linewidth=1)
    label_axes(axes, "increase of the error without it", "")


def _draw_graph(graph: pd.DataFrame, figure: Figure) -> None:
    """Draw the learned graph as a matrix of its strongest nodes."""
    axes = figure.subplots()
    received = graph.groupby("target", sort=False)["weight"].sum().nlargest(MAX_NODES).index
    matrix = graph.pivot(index="source", columns="target", values="weight")
    nodes = [name for name in graph["source"].unique() if name in set(received)]
    nodes = sorted(nodes, key=str)
    drawn = axes.imshow(matrix.loc[nodes, nodes].to_numpy(), cmap=HEAT, vmin=0)
    labels = [shorten(str(name), 12) for name in nodes]
    size = 8 if len(nodes) <= 20 else 5
    axes.set_xticks(range(len(nodes)), labels, rotation=90, fontsize=size, color=INK, parse_math=False)
    axes.set_yticks(range(len(nodes)), labels, fontsize=size, color=INK, parse_math=False)
    axes.spines[:].set_visible(False)
    label_axes(axes, "to", "from")
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label("weight", color=INK, fontsize=9)
    bar.ax.tick_params(colors=INK, labelsize=8)


def draw_weights(weights: pd.DataFrame, figure: Figure) -> None:
    """Draw the weights of methods or candidate forecasts by step ahead, means over the series."""
    axes, id, name = figure.subplots(), weights.columns[0], weights.columns[2]
    step = weights.groupby([id, name], sort=False).cumcount() + 1
    table = weights.assign(step=step).pivot_table("weight", "step", name, sort=False)
    table = table[table.mean().sort_values(ascending=False, kind="stable").index]
    shown = table.iloc[:, :_MAX_METHODS]
    rest = 1 - shown.sum(axis=1)
    shown = shown.assign(**{"all others": rest}) if rest.max() > 1e-3 else shown
    labels = [shorten(str(method), 34) for method in shown.columns]
    steps = np.concatenate([[table.index[0] - 0.5], np.repeat(table.index[:-1] + 0.5, 2), [table.index[-1] + 0.5]])
    axes.stackplot(steps, np.repeat(shown.to_numpy().T, 2, axis=1), labels=labels, colors=_COLORS, linewidth=0)
    style_axes(axes)
    axes.set_ylim(0, 1)
    axes.margins(x=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    label_axes(axes, "step ahead", "weight")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=INK)


def _learned_graph(fitted: FittedForecaster) -> pd.DataFrame | None:
    """Return the learned edges between the targets, averaged over the members of an ensemble.

    Returns:
        ``source``, ``target``, ``weight``, largest first; the weights from a source have the sum 1. None for a model
        without a learned graph.
    """
    names = fitted.spec.targets
    nodes = np.zeros((1, len(names), 1), dtype="float32")
    found = [keras.ops.convert_to_numpy(layer(nodes)) for layer in _adjacency_layers(fitted.model)]
    if not found:
        return None
    weights = np.mean(found, axis=0)
    source, target = np.divmod(np.arange(weights.size), len(names))
    labels = np.asarray(names, dtype=object)
    frame = pd.DataFrame({"source": labels[source], "target": labels[target], "weight": weights.ravel()})
    return frame.sort_values("weight", ascending=False, kind="stable", ignore_index=True)


def _adjacency_layers(model: keras.Model) -> Iterator[AdaptiveAdjacency]:
    for layer in model.layers:
        if isinstance(layer, AdaptiveAdjacency):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _adjacency_layers(layer)


PNG = "explanation.png"
_DPI = 150
_WIDTH = 9.6
_PARTS: dict[str, tuple[str, Callable[[pd.DataFrame, Figure], None]]] = {
    "weights": ("Weights of the methods in the forecast", draw_weights),
    "forecasters": ("Candidate forecasts of the pretrained network", draw_weights),
    "attention": ("Past steps that the forecast attends to", draw_attention),
    "covariates": ("Worth of the covariates", draw_covariates),
    "graph": ("Learned graph", _draw_graph),
}
"""Titles and functions of the tables that are drawn."""


@dataclass(frozen=True)
class Explanation:
    """What forecasts rest on. A table is None where the model has no such part.

    The first columns of ``weights``, ``forecasters`` and ``attention`` are the id and the forecast time, with the names
    of the data.

    Args:
        weights: ``method``, ``weight``: the forecast is the sum of the forecasts of the methods with these weights.
        forecasters: ``forecaster``, ``weight``: candidate forecasts, such as the same phase a season before, in the
            median of the pretrained network, of the first series, if the forecast combines it.
        attention: ``head``, ``first``, ``last``, ``steps_back``, ``weight`` of past steps, of the first series; see
            `tsattn.explanation.attribution.attention_of`.
        faithfulness: Change of the forecast if the most attended or random past steps are masked; see
            `tsattn.explanation.attribution.check_faithfulness`.
        covariates: Increase of the error if a covariate is permuted; see
            `tsattn.explanation.attribution.covariate_importance`.
        graph: Learned edges between the targets; see `_learned_graph`.
    """

    weights: pd.DataFrame | None = None
    forecasters: pd.DataFrame | None = None
    attention: pd.DataFrame | None = None
    faithfulness: pd.DataFrame | None = None
    covariates: pd.DataFrame | None = None
    graph: pd.DataFrame | None = None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name, without those that are None."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in found.items() if table is not None}

    @property
    def drawings(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Name, title and function to a figure of each part that is drawn."""
        for name, table in self.tables.items():
            if name in _PARTS:
                title, function = _PARTS[name]
                yield name, title, partial(function, table)

    def summary(self) -> list[str]:
        """Return a sentence on each part."""
        return [
            sentence
            for sentence in (
                _largest("Largest weights", self.weights),
                _largest("Largest candidates of the pretrained network", self.forecasters),
                self._looks(),
                self._faith(),
                self._worth(),
            )
            if sentence
        ]

    def _looks(self) -> str:
        if self.attention is None:
            return ""
        id = self.attention.columns[0]
        own = self.attention[self.attention[id] == self.attention[id].iloc[0]]
        heads, steps = own["head"].nunique(), own.iloc[:, 1].nunique()
        means = own.groupby(["first", "last"], sort=True)["weight"].sum() / (heads * steps)
        (first, last), weight = means.idxmax(), float(means.max())
        span = " to ".join(dict.fromkeys(format_timestamps(pd.Series([first, last]))))
        return f"{own[id].iloc[0]}: the forecast attends most to {span}, with {weight:.0%} of the attention."

    def _faith(self) -> str:
        if self.faithfulness is None:
            return ""
        most, random = self.faithfulness["change"]
        ratio = most / random if random > 0 else float("nan")
        if not np.isfinite(ratio):
            return "Masking past steps does not move the forecast."
        return (
            f"Masking the most attended fifth of the past moves the forecast by {most:.2f} standard deviations of the "
            f"history, a random fifth by {random:.2f}: {ratio:.1f} times as much."
        )

    def _worth(self) -> str:
        if self.covariates is None:
            return ""
        best = self.covariates.iloc[0]
        return (
            f"Without {best['covariate']}, the covariate that is worth most, the error changes by "
            f"{best['increase']:+.0%} (standard deviation {best['spread']:.0%})."
        )

    def write(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write every table as CSV and the pictures as explanation.png.

        Raises:
            RunError: The folder exists and ``overwrite`` is not set, or it cannot be written.
        """
        folder, picture = Path(folder), BytesIO()
        check_folder(folder, overwrite=overwrite)
        write_png(self.figure(), picture, _DPI)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, table in self.tables.items():
                table.to_csv(folder / f"{name}.csv", index=False)
            (folder / PNG).write_bytes(picture.getvalue())
        except OSError as error:
            raise RunError(f"{folder}: cannot be written: {error.strerror}") from None

    def figure(self) -> Figure:
        """Return all pictures, one below the other."""
        drawings = list(self.drawings)
        heights = [4.5 if name == "graph" else 2.8 for name, _, _ in drawings]
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained", facecolor="white")
        parts = figure.subfigures(len(drawings), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (_, title, draw) in zip(parts, drawings, strict=True):
            draw(part)
            part.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        return figure


def _largest(title: str, table: pd.DataFrame | None) -> str:
    """Return a sentence on the largest mean weights of a table."""
    if table is None:
        return ""
    means = table.groupby(table.columns[2], sort=False)["weight"].mean().nlargest(3)
    return f"{title}: {'; '.join(f'{name} {weight:.0%}' for name, weight in means.items())}."


def explain(fitted: FittedForecaster, X: Frame | Path | str | None, request: PredictionRequest) -> Explanation:
    """Return what forecasts rest on; see `tsattn.Forecaster.explain`."""
    explanation = explain_panel(fitted, prediction_panel(fitted, X, request))
    if explanation is None:
        raise ConfigError(
            f"{fitted.name} has no weights, attention, covariates or graph to explain",
            "fit another {model}, such as seq2seq or combination",
        )
    return explanation


def explain_panel(fitted: FittedForecaster, panel: Panel) -> Explanation | None:
    """Return what the forecasts that follow a panel rest on; None for a model that has no such part."""
    first, weights = first_series(panel), method_weights(fitted, panel)
    pretrained = pretrained_weights(fitted, first)
    attention = attention_of(fitted, first, pretrained)
    forecasters = None if pretrained is None else forecasters_of(first, pretrained)
    explanation = Explanation(
        weights=None if weights is None else name_columns(weights, fitted.schema),
        forecasters=None if forecasters is None else name_columns(forecasters, fitted.schema),
        attention=None if attention is None else name_columns(attention, fitted.schema),
        faithfulness=check_faithfulness(fitted, panel),
        covariates=covariate_importance(fitted, panel),
        graph=_learned_graph(fitted),
    )
    return explanation if explanation.tables else None
