"""Weights of a network and of the zero-shot forecast, learned from their forecasts of the validation part.

The weight of the network at a step is the mean of a distribution over the weights from 0 to 1. Its density falls with
the weight, and with the mean absolute error of the weighted forecast relative to the smallest one; the errors of
neighbouring steps count as well. Without evidence the network has about a third of the weight. Figures:
docs/design/model-choice.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt

from tsattn.models.registry import COMBINATION
from tsattn.scoring.comparison import observed_targets, predict_windows
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.windows import MAX_SERIES, Windows, WindowSpec

Floats = npt.NDArray[np.float64]

MIN_VALUES = 200
"""Observed values from which a network is trained; with fewer, its weight is 0."""

MAX_ROWS = 500
"""Maximum of windows times targets from which the weights are learned; more of them are thinned out evenly."""

GRID = np.linspace(0.0, 1.0, 21)
"""Weights of the network that are tried."""

TEMPERATURE = 8.0
"""Decrease of the logarithmic density by relative error and evidence."""

PRIOR = 2.0
"""Decrease of the logarithmic density from weight 0 to 1: the zero-shot forecast is better on most short series."""

NEIGHBOURHOOD = 4
"""The weight of a step uses the errors of the steps up to ``horizon // 4`` before and after it."""

NEGLIGIBLE = 0.05
"""Mean weight below which a forecaster is left out."""

MIN_GAIN = 0.01
"""Relative improvement over the network alone below which the zero-shot forecast is left out, because forecasts with it
take many times longer."""


def name_with_zero_shot(network: str) -> str:
    """Return the name of a network that is combined with the zero-shot forecast."""
    return f"{network} + {COMBINATION}"


@dataclass(frozen=True)
class ForecastWeights:
    """Weights of a network and the zero-shot forecast.

    Args:
        network: Name of the network.
        weights: Weight of the network at each step of the horizon; that of the zero-shot forecast is the rest.
        network_error: Mean absolute error of the network on the validation part, in units of the typical change of each
            series; NaN if unknown.
        zero_shot_error: The same of the zero-shot forecast.
        combined_error: The same of the weighted forecast.
        reason: Why there is no network, if it was not trained.
        initial_error: Mean absolute error of the zero-shot forecast before fine-tuning; NaN if it is not fine-tuned.
    """

    network: str
    weights: tuple[float, ...]
    network_error: float = np.nan
    zero_shot_error: float = np.nan
    combined_error: float = np.nan
    reason: str = ""
    initial_error: float = np.nan

    @property
    def fine_tuned(self) -> bool:
        """Whether the pretrained network of the zero-shot forecast was trained on the data."""
        return bool(np.isfinite(self.initial_error))

    @property
    def weight(self) -> float:
        """Mean weight of the network over the horizon."""
        return float(np.mean(self.weights))

    @property
    def uses_network(self) -> bool:
        """Whether the network is part of the model."""
        return self.weight > 0

    @property
    def uses_zero_shot(self) -> bool:
        """Whether the zero-shot forecast is part of the model."""
        return self.weight < 1

    @property
    def selected(self) -> str:
        """Name of the model."""
        if not self.uses_network:
            return COMBINATION
        return name_with_zero_shot(self.network) if self.uses_zero_shot else self.network

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the summary as JSON types."""
        values = {key: None if value != value else value for key, value in asdict(self).items()}
        return {"selected": self.selected, **values, "summary": self.summary()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the result of `to_dict`."""
        known: dict[str, Any] = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        errors = {name: np.nan for name, value in known.items() if value is None}
        return cls(**{**known, **errors, "weights": tuple(known["weights"])})

    def summary(self) -> str:
        """Return one sentence on the weights and errors."""
        zero_shot = "fine-tuned pretrained network" if self.fine_tuned else "pretrained network"
        if self.reason:
            return f"The forecast combines the {zero_shot} and exponential smoothings: {self.reason}."
        if not self.uses_network:
            return (
                f"The forecast combines the {zero_shot} and exponential smoothings: on the validation part "
                f"{self.network} does not improve it. {self._errors()}"
            )
        if not self.uses_zero_shot:
            return (
                f"The forecast is that of {self.network}: on the validation part the forecast of the {zero_shot} and "
                f"exponential smoothings improves it by less than {MIN_GAIN:.0%}. {self._errors()}"
            )
        ends = f" ({self.weights[0]:.0%} at the first step, {self.weights[-1]:.0%} at the last)"
        ends = ends if abs(self.weights[0] - self.weights[-1]) >= 0.1 else ""
        return (
            f"The forecast combines {self.network}, weight {self.weight:.0%}{ends}, with the {zero_shot} and "
            f"exponential smoothings, {1 - self.weight:.0%}. {self._errors()}"
        )

    def _errors(self) -> str:
        if not np.isfinite([self.network_error, self.zero_shot_error]).all():
            return "There is no error to compare them by."
        initial = f" ({self.initial_error:.3g} before fine-tuning)" if self.fine_tuned else ""
        errors = f"{self.network_error:.3g} for {self.network}, {self.zero_shot_error:.3g} for the others{initial}"
        both = f", {self.combined_error:.3g} for both" if 0 < self.weight < 1 else ""
        return f"Relative error there: {errors}{both}."


@dataclass(frozen=True)
class ValidationWindows:
    """The windows by which forecasts are compared: those whose target lies in the last steps of each series.

    Args:
        panel: The series.
        series: Index of the series, `(windows,)`.
        origin: Steps of history, `(windows,)`.
        actual: Observed values, `(windows, horizon, targets)`; NaN where missing.
        scale: By which the errors are divided, `(windows, targets)`.
    """

    panel: Panel
    series: Ints
    origin: Ints
    actual: Floats
    scale: Floats

    @classmethod
    def of(cls, panel: Panel, spec: WindowSpec, steps: int, max_rows: int = MAX_ROWS) -> Self:
        """Return the windows.

        Args:
            panel: The series.
            spec: A window with the horizon.
            steps: Length of the validation part.
            max_rows: Maximum of windows times targets; more of them are thinned out evenly.
        """
        windows = Windows.in_last_steps(panel, spec, steps, max(max_rows // len(spec.targets), 1))
        series, origin = windows.locate(np.arange(len(windows)))
        actual = observed_targets(panel, spec, series, origin).astype(np.float64)
        return cls(panel, series, origin, actual, typical_changes(panel)[series])

    def forecast(self, model: keras.Model, spec: WindowSpec) -> Floats:
        """Return the point forecasts of an inference model, `(windows, horizon, targets)`."""
        quantiles = predict_windows(model, spec, self.panel, self.series, self.origin)
        return quantiles[..., spec.median].astype(np.float64)

    def error(self, forecast: Floats) -> float:
        """Return the mean absolute error, in units of the typical change of each series."""
        return float(np.nanmean(np.abs(forecast - self.actual) / self.scale[:, None]))


def evidence(panel: Panel, spec: WindowSpec, steps: int) -> float:
    """Return the number of forecasts one after the other in the last steps, times the cube root of that of the series.

    The errors of series at the same time have common causes, so their number counts less than that of the forecasts.
    """
    return float(steps / spec.horizon * np.cbrt(min(len(panel), MAX_SERIES)))


def learn_weights(
    name: str,
    network: tuple[keras.Model, WindowSpec],
    zero_shot: tuple[keras.Model, WindowSpec],
    panel: Panel,
    steps: int,
) -> ForecastWeights:
    """Learn the weights on the windows whose target lies in the last steps of each series.

    Args:
        name: Name of the network.
        network: Inference model that was not trained on these steps, and its window.
        zero_shot: The zero-shot forecast and its window.
        panel: The series.
        steps: Length of the validation part.
    """
    spec = network[1]
    windows = ValidationWindows.of(panel, spec, steps)
    errors = weighted_errors(windows.forecast(*network), windows.forecast(*zero_shot), windows.actual, windows.scale)
    weights = mean_weights(errors, evidence(panel, spec, steps))
    found = errors.mean(axis=1)
    together = float(np.mean([np.interp(weight, GRID, errors[:, step]) for step, weight in enumerate(weights)]))
    if together > (1.0 - MIN_GAIN) * found[-1]:
        weights = np.ones(spec.horizon)
    return ForecastWeights(name, tuple(weights.tolist()), float(found[-1]), float(found[0]), together)


def typical_changes(panel: Panel) -> Floats:
    """Return the mean absolute change between neighbouring values of each series and target, [series, targets].

    The value is 1 without any.
    """
    change = np.abs(np.diff(panel.values.astype(np.float64), axis=0))
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    known = np.isfinite(change) & (owner[1:] == owner[:-1])[:, None]
    change, owner = np.where(known, change, 0.0), owner[1:]
    mean = np.stack(
        [
            np.bincount(owner, change[:, target], len(panel))
            / np.maximum(np.bincount(owner, known[:, target], len(panel)), 1)
            for target in range(change.shape[1])
        ],
        axis=1,
    )
    return np.where(mean > 0, mean, 1.0)


def weighted_errors(network: Floats, zero_shot: Floats, actual: Floats, scale: Floats) -> Floats:
    """Return the mean absolute error of the weighted forecast for each weight of `GRID`, [weights, horizon].

    Args:
        network: Forecasts [windows, horizon, targets].
        zero_shot: Forecasts of the same shape.
        actual: Observed values of the same shape, NaN where missing.
        scale: By which the errors are divided, [windows, targets].
    """
    observed = np.isfinite(actual)
    count = np.maximum(observed.sum(axis=(0, 2)), 1)
    target = np.where(observed, actual, 0.0)
    rows = []
    for weight in GRID:
        error = np.abs(weight * network + (1.0 - weight) * zero_shot - target) / scale[:, None]
        rows.append(np.where(observed, error, 0.0).sum(axis=(0, 2)) / count)
    return np.stack(rows)


def mean_weights(errors: Floats, evidence: float) -> Floats:
    """Return the weight of the network at each step; see the module.

    A weight that would be negligible over the horizon is 0, or 1 for that of the network.

    Args:
        errors: Result of `weighted_errors`.
        evidence: Number of forecasts one after the other, times the cube root of the number of series.
    """
    horizon = errors.shape[1]
    reach = horizon // NEIGHBOURHOOD
    smooth = np.stack([errors[:, max(h - reach, 0) : h + reach + 1].mean(axis=1) for h in range(horizon)], axis=1)
    smallest = smooth.min(axis=0)
    relative = np.where(smallest > 0, smooth / np.where(smallest > 0, smallest, 1.0) - 1.0, np.sign(smooth))
    score = -TEMPERATURE * evidence * relative - PRIOR * GRID[:, None]
    density = np.exp(score - score.max(axis=0))
    weights = np.asarray((density * GRID[:, None]).sum(axis=0) / density.sum(axis=0))
    if weights.mean() < NEGLIGIBLE:
        return np.zeros(horizon)
    return np.ones(horizon) if weights.mean() > 1 - NEGLIGIBLE else weights
