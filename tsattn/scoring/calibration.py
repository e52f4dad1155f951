"""Conformalised quantile regression: how far the quantiles of a model are off where it was not trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from tsattn.models.forecast_model import CALIBRATED, DISTRIBUTION
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import TARGET, TARGET_OBSERVED, WindowSpec
from tsattn.timeseries.windows import Windows, gather

MOST_ROWS = 4_000
"""Most windows times targets that factors are taken from; more of them are thinned out evenly."""

DOUBT = 20
"""Windows that do not overlap whose word counts as much as that of the model."""

NEAR = 4
"""The steps whose residuals count for a step are those up to the horizon divided by this before and behind it."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What calibrated a model.

    Args:
        windows: number of windows that the factors were taken from, which may overlap.
        distinct: the most of them that do not overlap.
        levels: the levels that were calibrated.
        uncalibrated: those that were left as they are, because too few windows tell of them: the 0.1 quantile takes
            nine that do not overlap.
    """

    windows: int
    distinct: int
    levels: tuple[float, ...]
    uncalibrated: tuple[float, ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return what `to_dict` was made of, by way of JSON or not."""
        levels, uncalibrated = (tuple(values[name]) for name in ("levels", "uncalibrated"))
        return cls(values["windows"], values["distinct"], levels, uncalibrated)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it, and as ``told`` in words."""
        return {**asdict(self), "told": self.sentence()}

    def sentence(self) -> str:
        """Return in one sentence what the intervals are worth."""
        if not self.levels and not self.uncalibrated:
            return "There is the median alone, and no interval to calibrate."
        named = ", ".join(f"{level:g}" for level in self.uncalibrated)
        if not self.levels:
            few = f"{self.distinct} windows that do not overlap" if self.distinct != 1 else "one window"
            return f"The intervals are uncalibrated: behind the training part there is room for {few}, too few to tell."
        told = f"Intervals calibrated on {self.windows} windows behind the training part"
        return f"{told}." if not named else f"{told}; too few for the levels {named}, which are uncalibrated."


def calibrate(model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Calibration:
    """Set the factors of a model by the windows whose target lies in the last steps of each series.

    Where paths can be drawn from it, how their steps depend on each other as well, see `persistence`.

    The residual of a level is what was observed minus the median, in units of what the level lies from the median. The
    factor of a step is the conformal quantile of the residuals of that step and of those around it, a quarter of the
    horizon before and behind, of which one step alone has too few: of `n` the one of rank `ceil((n + 1) level)` above
    the median, and as much below it, so that for exchangeable windows the share of values under the moved quantile is
    the level, or up to `1 / n` more (less). Windows of one series are not exchangeable, and few of them say little: of
    `d` that do not overlap, the factor goes `d / (d + 20)` of the way from 1.

    Args:
        model: an inference model whose factors are 1; it was not trained on those steps.
        spec: its window.
        panel: the series.
        steps: length of the validation part.

    Returns:
        What was calibrated.
    """
    windows = Windows.over_last(panel, spec, steps, max(MOST_ROWS // len(spec.targets), 1))
    distinct = int((np.clip(panel.lengths - 1, 0, steps) // spec.horizon).sum())
    layer = model.get_layer(CALIBRATED)
    paths = next((layer for layer in model.layers if layer.name == DISTRIBUTION), None)
    factors, told = np.ones(layer.factors.shape), []
    # So many windows that do not overlap that one of them is expected beyond the level.
    enough = [x for x, level in enumerate(spec.levels) if (distinct + 1) * min(level, 1 - level) >= 1]
    if len(windows) and (enough or paths is not None):
        quantiles, actual = _validation(model, spec, windows)
        middle = quantiles[..., spec.median]
        if paths is not None:
            width = quantiles[..., -1] - quantiles[..., 0]
            paths.fit(persistence(actual - middle, width if len(spec.levels) > 1 else np.ones_like(width), distinct))
        for index in (x for x in enough if x != spec.median):
            for step in range(spec.horizon):
                near = slice(max(step - spec.horizon // NEAR, 0), step + spec.horizon // NEAR + 1)
                error, distance = (actual - middle)[:, near], (quantiles[..., index] - middle)[:, near]
                # Every window gives as many residuals as there are steps near.
                flat = error.reshape(-1, error.shape[-1]), distance.reshape(-1, error.shape[-1])
                factors[step, :, index] = conformal_factor(flat[0], flat[1], spec.levels[index])
            told.append(spec.levels[index])
    layer.fit(1 + (factors - 1) * distinct / (distinct + DOUBT))
    left = tuple(level for level in spec.levels if level != 0.5 and level not in told)
    return Calibration(len(windows), distinct, tuple(told), left)


def conformal_factor(error: Floats, distance: Floats, level: float) -> Floats:
    """Return the conformal quantile, over the first axis, of errors in units of a distance; 1 where too few are left.

    Args:
        error: observed minus median, [windows, ...]; NaN is left out.
        distance: quantile minus median, the same shape; windows where it is 0 are left out.
        level: of the quantile; above 0.5 its distance is 0 or more, else 0 or less.
    """
    residuals = np.where(distance != 0, error / np.where(distance != 0, distance, 1.0), np.nan)
    ordered = np.sort(residuals, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    # A rounding error must not cost a rank.
    rank = np.ceil((count + 1) * max(level, 1 - level) - 1e-9).astype(int)
    enough = (rank <= count) & (count > 0)
    chosen = np.take_along_axis(ordered, np.where(enough, rank - 1, 0)[None], axis=0)[0]
    return np.where(enough, np.maximum(chosen, 0.0), 1.0)


def _validation(model: keras.Model, spec: WindowSpec, windows: Windows) -> tuple[Floats, Floats]:
    """Return quantiles as they are before the calibration, and what was observed; NaN where nothing was."""
    series, origin = windows.locate(np.arange(len(windows)))
    made = predict_windows(model, spec, windows.panel, series, origin)
    truth = gather(windows.panel, spec, series, origin)
    actual = np.where(truth[TARGET_OBSERVED] > 0, truth[TARGET], np.nan)
    return made.astype(np.float64), actual.astype(np.float64)


NEAR = 4
"""The pairs of steps that count for one are those up to the horizon divided by this before and behind it."""

DOUBT = 20
"""Windows that do not overlap whose word on one step counts as much as that of all steps together."""


def persistence(errors: npt.ArrayLike, spread: npt.ArrayLike, distinct: int) -> Floats:
    """Return the correlation of the error of each step with that of the step before, `[horizon, targets]`, first 0.

    It is that of the normal scores of the errors, in units of what the model expects of them, so that neither their
    distribution nor a few large ones matter. All steps of a target have one correlation to begin with; of `d` windows
    that do not overlap, that of a step and those around it, a quarter of the horizon before and behind, counts for
    `d / (d + 20)` of what is used, for errors may go on otherwise after the first steps than far ahead.

    Args:
        errors: observed minus forecast, `[windows, horizon, targets]`; NaN where nothing was observed.
        spread: what is expected of them, such as the width of an interval, of the same shape and 0 or more.
        distinct: the most windows that do not overlap.

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
    of_all = _correlation(*(part.sum(axis=0) for part in sums))
    made = np.zeros((horizon, targets))
    for step in range(1, horizon):
        near = slice(max(step - 1 - horizon // NEAR, 0), step + horizon // NEAR)
        of_step = _correlation(*(part[near].sum(axis=0) for part in sums))
        made[step] = of_all + (of_step - of_all) * distinct / (distinct + DOUBT)
    return made


def _correlation(common: Floats, before: Floats, after: Floats) -> Floats:
    scale = np.sqrt(before * after)
    return np.where(scale > 0, common / np.where(scale > 0, scale, 1.0), 0.0)
