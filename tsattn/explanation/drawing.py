"""Pictures of an explanation: attention maps, worth of covariates, learned graph, weights of methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tsattn.report.plots import ACCENT, HEAT, INK, MUTED, label_axes, shorten, style_axes

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


def draw_graph(graph: pd.DataFrame, figure: Figure) -> None:
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
