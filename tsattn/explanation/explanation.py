"""Explanation of the forecasts of a fitted model, in tables, sentences and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tsattn.atomic_io import check_folder
from tsattn.data.loader import Frame
from tsattn.errors import ConfigError, RunError
from tsattn.explanation.attention import (
    attention_of,
    check_faithfulness,
    first_series,
    forecasters_of,
    pretrained_weights,
)
from tsattn.explanation.covariates import covariate_importance
from tsattn.explanation.drawing import draw_attention, draw_covariates, draw_graph, draw_weights
from tsattn.explanation.graph import learned_graph
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.prediction import PredictionRequest, method_weights, prediction_panel
from tsattn.report.plots import INK, format_timestamps, write_png
from tsattn.timeseries.frames import name_columns
from tsattn.timeseries.panel import Panel

PNG = "explanation.png"
_DPI = 150
_WIDTH = 9.6
_PARTS: dict[str, tuple[str, Callable[[pd.DataFrame, Figure], None]]] = {
    "weights": ("Weights of the methods in the forecast", draw_weights),
    "forecasters": ("Candidate forecasts of the pretrained network", draw_weights),
    "attention": ("Past steps that the forecast attends to", draw_attention),
    "covariates": ("Worth of the covariates", draw_covariates),
    "graph": ("Learned graph", draw_graph),
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
            `tsattn.explanation.attention.attention_of`.
        faithfulness: Change of the forecast if the most attended or random past steps are masked; see
            `tsattn.explanation.attention.check_faithfulness`.
        covariates: Increase of the error if a covariate is permuted; see
            `tsattn.explanation.covariates.covariate_importance`.
        graph: Learned edges between the targets; see `tsattn.explanation.graph.learned_graph`.
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
        graph=learned_graph(fitted),
    )
    return explanation if explanation.tables else None
