"""Conformalised quantile regression: quantiles of a model corrected by its errors on the validation part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from tsattn.models.forecast_model import CALIBRATION_LAYER, DISTRIBUTION_LAYER
from tsattn.scoring.comparison import ValidationForecasts

SHRINKAGE_WINDOWS = 20
"""Number of non-overlapping windows at which a factor or correlation is shrunk by half: with ``d`` windows it moves
``d / (d + 20)`` of the way from its prior value to the estimate."""

NEIGHBOURHOOD = 4
"""An estimate for a step uses the steps up to ``horizon // 4`` before and after it."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Summary of a calibration.

    Args:
        windows: Number of windows, which may overlap.
        distinct: Maximum number of them that do not overlap.
        levels: Calibrated levels.
        uncalibrated: Levels with too few windows: the 0.1 quantile requires nine that do not overlap.
        from_history: Whether the model itself takes its intervals from past errors of each series, so that nothing is
            calibrated.
    """

    windows: int
    distinct: int
    levels: tuple[float, ...]
    uncalibrated: tuple[float, ...]
    from_history: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read the result of `to_dict`."""
        levels, uncalibrated = (tuple(values[name]) for name in ("levels", "uncalibrated"))
        return cls(values["windows"], values["distinct"], levels, uncalibrated, values["from_history"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the summary as JSON types."""
        return {**asdict(self), "summary": self.summary()}

    def summary(self) -> str:
        """Return one sentence on the calibration of the intervals."""
        if self.from_history:
            return "The intervals come from the errors of earlier forecasts in the history of each series."
        if not self.levels and not self.uncalibrated:
            return "Only the median is forecast, so there is no interval to calibrate."
        if not self.levels:
            few = f"only {self.distinct} forecasts that do not overlap" if self.distinct != 1 else "only one forecast"
            return (
                f"The intervals are those of the network, uncalibrated: the validation part has room for {few}, too "
                "few to check them by."
            )
        text = f"Intervals calibrated on {self.windows} windows of the validation part"
        names = ", ".join(f"{level:g}" for level in self.uncalibrated)
        return f"{text}, but for the quantiles {names}: too few windows." if names else f"{text}."


HISTORY_CALIBRATION = Calibration(0, 0, (), (), from_history=True)
"""Of a model whose intervals come from the history of each series."""


def calibrate(model: keras.Model, forecasts: ValidationForecasts) -> Calibration:
    """Fit the calibration factors of a model on its forecasts of the validation part.

    For models that can draw sample paths, the autocorrelation of the errors is fitted as well; see
    `error_autocorrelation`.

    The residual of a quantile is the observed value minus the median, divided by the quantile minus the median. The
    factor of a step is the conformal quantile of the residuals of that step and its neighbours: of ``n`` residuals, the
    one of rank ``ceil((n + 1) level)`` above the median, correspondingly below it. For exchangeable windows, the
    fraction of values below the scaled quantile is then the level, within ``1 / n``. Windows of one series are not
    exchangeable and their number is small, so the factor is shrunk towards 1; see `SHRINKAGE_WINDOWS`.

    Args:
        model: Inference model whose factors are 1.
        forecasts: Its forecasts.
    """
    spec, windows = forecasts.spec, len(forecasts.series)
    distinct = int((np.clip(forecasts.panel.lengths - 1, 0, forecasts.steps) // spec.horizon).sum())
    layer = model.get_layer(CALIBRATION_LAYER)
    distribution = next((layer for layer in model.layers if layer.name == DISTRIBUTION_LAYER), None)
    factors, calibrated = np.ones(layer.factors.shape), []
    # At least one of the non-overlapping windows is expected beyond the level. 1 - 0.9 is less than 0.1 by rounding.
    enough = [x for x, level in enumerate(spec.levels) if (distinct + 1) * min(level, 1 - level) >= 1 - 1e-9]
    if windows and (enough or distribution is not None):
        quantiles, actual = (part.astype(np.float64) for part in (forecasts.quantiles, forecasts.actual))
        median = quantiles[..., spec.median]
        if distribution is not None:
            width = quantiles[..., -1] - quantiles[..., 0]
            scale = width if len(spec.levels) > 1 else np.ones_like(width)
            distribution.fit(error_autocorrelation(actual - median, scale, distinct))
        for index in (x for x in enough if x != spec.median):
            for step in range(spec.horizon):
                near = slice(max(step - spec.horizon // NEIGHBOURHOOD, 0), step + spec.horizon // NEIGHBOURHOOD + 1)
                error, distance = (actual - median)[:, near], (quantiles[..., index] - median)[:, near]
                # Every window gives one residual per step of the neighbourhood.
                flat = error.reshape(-1, error.shape[-1]), distance.reshape(-1, error.shape[-1])
                factors[step, :, index] = conformal_factor(flat[0], flat[1], spec.levels[index])
            calibrated.append(spec.levels[index])
    layer.fit(1 + (factors - 1) * distinct / (distinct + SHRINKAGE_WINDOWS))
    uncalibrated = tuple(level for level in spec.levels if level != 0.5 and level not in calibrated)
    return Calibration(windows, distinct, tuple(calibrated), uncalibrated)


def conformal_factor(error: Floats, distance: Floats, level: float) -> Floats:
    """Return the conformal quantile of errors in units of a distance over the first axis; 1 if there are too few.

    Args:
        error: Observed value minus median, [windows, ...]; NaN is ignored.
        distance: Quantile minus median, the same shape; windows where it is 0 are ignored.
        level: Level of the quantile. The distance is not negative above 0.5 and not positive below it.
    """
    residuals = np.where(distance != 0, error / np.where(distance != 0, distance, 1.0), np.nan)
    ordered = np.sort(residuals, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    # The tolerance prevents a rounding error from raising the rank by one.
    rank = np.ceil((count + 1) * max(level, 1 - level) - 1e-9).astype(int)
    enough = (rank <= count) & (count > 0)
    chosen = np.take_along_axis(ordered, np.where(enough, rank - 1, 0)[None], axis=0)[0]
    return np.where(enough, np.maximum(chosen, 0.0), 1.0)


def error_autocorrelation(errors: npt.ArrayLike, spread: npt.ArrayLike, distinct: int) -> Floats:
    """Return the correlation of the error of each step with that of the previous step, [horizon, targets], first 0.

    The correlation is computed from the normal scores of the standardised errors, so that their distribution and
    outliers do not matter. The correlation over all steps of a target is the prior; the estimate of a step and its
    neighbours is shrunk towards it, see `SHRINKAGE_WINDOWS`.

    Args:
        errors: Observed value minus forecast, [windows, horizon, targets]; NaN where missing.
        spread: Expected size of the errors, such as the width of an interval; the same shape, not negative.
        distinct: Maximum number of windows that do not overlap.

    References:
        Liu, Lafferty and Wasserman 2009, The Nonparanormal (correlations of normal scores).
    """
    errors, spread = np.asarray(errors, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    windows, horizon, targets = errors.shape
    by_target = np.where(spread > 0, errors / np.where(spread > 0, spread, 1.0), np.nan).reshape(-1, targets)
    ranks = pd.DataFrame(by_target).rank().to_numpy()
    scores = ndtri((ranks - 0.5) / np.maximum(np.isfinite(ranks).sum(axis=0), 1)).reshape(windows, horizon, targets)
    before, after = scores[:, :-1], scores[:, 1:]
    both = np.isfinite(before) & np.isfinite(after)
    before, after = np.where(both, before, 0.0), np.where(both, after, 0.0)
    sums = [part.sum(axis=0) for part in (before * after, before**2, after**2)]
    prior = _correlation(*(part.sum(axis=0) for part in sums))
    result = np.zeros((horizon, targets))
    for step in range(1, horizon):
        near = slice(max(step - 1 - horizon // NEIGHBOURHOOD, 0), step + horizon // NEIGHBOURHOOD)
        estimate = _correlation(*(part[near].sum(axis=0) for part in sums))
        result[step] = prior + (estimate - prior) * distinct / (distinct + SHRINKAGE_WINDOWS)
    return result


def _correlation(common: Floats, before: Floats, after: Floats) -> Floats:
    scale = np.sqrt(before * after)
    return np.where(scale > 0, common / np.where(scale > 0, scale, 1.0), 0.0)
