"""Conformalised quantile regression: how far the quantiles of a model are off where it was not trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt

from tsattn.data.panel import Panel
from tsattn.data.windows import Windows, gather
from tsattn.evaluation.predict import predict_windows
from tsattn.layers import CalibratedQuantiles
from tsattn.window import QUANTILES, TARGET, TARGET_OBSERVED, WindowSpec

MOST_ROWS = 20_000
"""Most windows times targets that offsets are taken from; more of them are thinned out evenly."""

LAYER = "calibrated_quantiles"
"""Name of the layer that has the offsets, in every model."""

SCALE = "scale"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What calibrated a model.

    Args:
        windows: number of windows that the offsets were taken from, which may overlap.
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
        """Return what `dataclasses.asdict` made a dictionary of, and JSON of its tuples lists."""
        found: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in values.items()}
        return cls(**found)

    def sentence(self) -> str:
        """Return in one sentence what the intervals are worth."""
        named = ", ".join(f"{level:g}" for level in self.uncalibrated)
        if not self.levels:
            few = f"{self.distinct} windows that do not overlap" if self.distinct != 1 else "one window"
            return f"The intervals are uncalibrated: behind the training part there is room for {few}, too few to tell."
        told = f"Intervals calibrated on {self.windows} windows behind the training part"
        return f"{told}." if not named else f"{told}; too few for the levels {named}, which are uncalibrated."


def calibrate(model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Calibration:
    """Set the offsets of a model by the windows whose target lies in the last steps of each series.

    An offset is the conformal quantile of what was observed minus what was forecast, in units of the window's scale: of
    `n` residuals the one of rank `ceil((n + 1) level)` above the median, counted from the other end below it, so that
    for exchangeable windows the share of values under it is at least (at most) the level.

    Args:
        model: an inference model whose offsets are 0; it was not trained on those steps.
        spec: its window.
        panel: the series.
        steps: length of the validation part.

    Returns:
        What was calibrated.
    """
    windows = Windows.over_last(panel, spec, steps, max(MOST_ROWS // len(spec.targets), 1))
    series, origin = windows.locate(np.arange(len(windows)))
    distinct = int((np.clip(panel.lengths - 1, 0, steps) // spec.horizon).sum())
    residuals = _residuals(model, spec, panel, series, origin) if len(windows) else None
    layer = model.get_layer(LAYER)
    offsets, told = np.zeros(layer.offsets.shape), []
    for index, level in enumerate(spec.levels):
        # So many windows that do not overlap that one of them is expected beyond the level.
        if index != spec.median and residuals is not None and (distinct + 1) * min(level, 1 - level) >= 1:
            offsets[..., index] = conformal_quantile(residuals[..., index], level)
            told.append(level)
    layer.fit(offsets)
    left = tuple(level for level in spec.levels if level != 0.5 and level not in told)
    return Calibration(len(windows), distinct, tuple(told), left)


def conformal_quantile(residuals: Floats, level: float) -> Floats:
    """Return the conformal quantile over the first axis, NaN left out; 0 where too few are left.

    Args:
        residuals: [windows, ...].
        level: above 0.5 an upper bound, else a lower one.
    """
    upper = level > 0.5
    # A lower bound is an upper one of the negative.
    ordered = np.sort(residuals if upper else -residuals, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    rank = np.ceil((count + 1) * (level if upper else 1 - level) - 1e-9).astype(int)
    enough = (rank <= count) & (count > 0)
    chosen = np.take_along_axis(ordered, np.where(enough, rank - 1, 0)[None], axis=0)[0]
    return np.where(enough, chosen if upper else -chosen, 0.0)


def _residuals(
    model: keras.Model, spec: WindowSpec, panel: Panel, series: npt.NDArray[np.int64], origin: npt.NDArray[np.int64]
) -> Floats:
    """Return what was observed minus each quantile, in units of the window's scale, NaN where nothing was observed."""
    layer = model.get_layer(LAYER)
    assert isinstance(layer, CalibratedQuantiles)
    quantiles, scale = layer.input
    before = keras.Model(model.input, {QUANTILES: quantiles, SCALE: scale})
    made = predict_windows(before, spec, panel, series, origin).astype(np.float64)
    scales = predict_windows(before, spec, panel, series, origin, SCALE).astype(np.float64)
    truth = gather(panel, spec, series, origin)
    actual = np.where(truth[TARGET_OBSERVED] > 0, truth[TARGET], np.nan)
    residuals: Floats = (actual[..., None] - made) / scales[..., None]
    return residuals
