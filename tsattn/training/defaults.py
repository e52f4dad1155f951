"""What is not configured is chosen here by rule, from the data and never from a file's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsattn.config import TrainingConfig
from tsattn.models.defaults import FEW_VALUES, SHORT_HISTORY, patch_length
from tsattn.timeseries.panel import Floats, Panel
from tsattn.timeseries.window_spec import WindowSpec
from tsattn.timeseries.windows import Windows

WINDOWS = 128
"""Windows of a batch of one channel. On M4 Hourly half the batch and twice the steps gave more for the same time."""

ROWS = 224
"""Most rows of a batch: windows times independent channels, which tell more than as many rows of one window."""

NODES = 16
"""Nodes of a graph that count as one row: they are seen together, and move together."""

STEPS = (50, 200)
"""Least and most batches of an epoch; few windows are gone through several times."""

MOST_ROWS = 320_000
"""Most rows of a training: a few minutes on two cores, whatever the number of channels."""

FEW_WINDOWS = 1000
"""Below so many windows with a whole context, shorter histories are trained on too."""

VALIDATION_ROWS = 4000
"""Most rows that an epoch is validated on; more of them are thinned out evenly."""

MOST_SERIES = 1000
"""Series that the statistics of the scaling are taken from; more of them are thinned out evenly."""

EPOCHS = 30
"""Most epochs."""

TUNING = 0.3
"""Steps of a training that starts from trained weights, as a share of those that start from random ones."""


@dataclass(frozen=True)
class Plan:
    """Sizes of one training, and what its batches are drawn from.

    Args:
        epochs: most epochs.
        batch_size: windows in a batch.
        steps: batches in an epoch.
        balanced: draw each series as often as the others, instead of each window.
        short: share of the windows whose history is cut to a random length.
        shortest: the shortest of these, in steps: a segment.
    """

    epochs: int
    batch_size: int
    steps: int
    balanced: bool = False
    short: float = 0.0
    shortest: int = 1


def plan(config: TrainingConfig, windows: Windows, rows_per_window: int, segments: int = SHORT_HISTORY) -> Plan:
    """Return the sizes of a training.

    Args:
        config: what is not left open.
        windows: what is trained on.
        rows_per_window: rows of the network that a window is.
        segments: segments of the history of a row.
    """
    count = max(len(windows), 1)
    most_windows = min(WINDOWS, max(ROWS // rows_per_window, 1))
    # A batch of a sixteenth of the windows at most, so that an epoch over few of them is still a few steps.
    batch = config.batch_size or min(most_windows, max(count // 16, 8))
    least, most = STEPS
    steps = min(max(-(-count // batch), least), config.steps_per_epoch or most)
    most_rows = MOST_ROWS * max(SHORT_HISTORY / segments, 1.0)
    affordable = max(int(most_rows // (steps * batch * rows_per_window)), 1)
    epochs = config.epochs or min(EPOCHS, affordable)
    shortest = min(patch_length(windows.spec.season), windows.spec.context)
    return Plan(epochs, batch, steps, config.sampling == "series", config.short_histories, shortest)


def learning_rate(values: int, *, tuning: bool = False) -> float:
    """Return the step size of Adam for data with so many observed values.

    Of few data a network is at its best after an epoch or two of large steps, and goes past it.

    Args:
        values: number of observed values.
        tuning: whether it starts from weights that were trained before.
    """
    rate = 3e-4 if values < FEW_VALUES else 1e-3
    return TUNING * rate if tuning else rate


def training_windows(panel: Panel, spec: WindowSpec, segment: int) -> Windows:
    """Return the windows to train on: those with a whole context of history, or where they are few, a segment of it.

    Measured as the MASE of four rolling forecasts of each of three short series (144 to 309 steps), relative to the
    seasonal naive forecast: .74 with the short histories and .91 without. On M4 Hourly, which has windows enough, the
    short ones harm: OWA .550 with and .532 without.
    """
    windows = Windows.before_end(panel, spec, spec.context)
    return windows if len(windows) >= FEW_WINDOWS else Windows.before_end(panel, spec, min(segment, spec.context))


def validation_steps(panel: Panel, horizon: int) -> int:
    """Return the last steps of each series that are kept for validation, no less than the horizon.

    15 % of one series; of many series less each, since together they still make many windows.
    """
    return max(horizon, int(0.15 * np.median(panel.lengths) / np.sqrt(len(panel))))


def scaling_statistics(panel: Panel) -> tuple[list[float], list[float], list[float]]:
    """Return median, spread and spread over mean absolute value of each channel, the typical ones over the series.

    Returns:
        Three lists of [channels], for `tsattn.layers.InstanceScaling.fit`: medians over the series of each series'
        own figure. Where nothing is known, or nothing moves, they are 0, 1 and 0.1.
    """
    chosen = range(0, len(panel), max(-(-len(panel) // MOST_SERIES), 1))
    columns = range(len(panel.targets))
    figures = [[_figures(panel.series(index)[:, column]) for index in chosen] for column in columns]
    typical = [[_typical(values) for values in zip(*rows, strict=True)] for rows in figures]
    median, spread, ratio = (list(values) for values in zip(*typical, strict=True))
    return (
        [value if np.isfinite(value) else 0.0 for value in median],
        [value if value > 0 else 1.0 for value in spread],
        [value if value > 0 else 0.1 for value in ratio],
    )


def error_scales(panel: Panel, *, common: bool = False) -> Floats:
    """Return what errors of each series are divided by, [series, targets] float32: its standard deviation.

    Where that says nothing (a constant or unknown series) it is the typical one of the target, or 1.

    Args:
        panel: the series.
        common: whether the targets measure one thing, as the nodes of a graph do, so that a unit missed counts the same
            in each: their root mean square for all of them.
    """
    spreads = np.array([[_figures(column)[1] for column in panel.series(index).T] for index in range(len(panel))])
    known = np.isfinite(spreads) & (spreads > 0)
    typical = [
        float(np.median(column[seen])) if seen.any() else 1.0 for column, seen in zip(spreads.T, known.T, strict=True)
    ]
    scales = np.where(known, spreads, typical)
    if common:
        scales = np.broadcast_to(np.sqrt(np.mean(scales**2, axis=1, keepdims=True)), scales.shape)
    return scales.astype(np.float32)


def _figures(values: Floats) -> tuple[float, float, float]:
    """Median, standard deviation and its ratio to the mean absolute value; NaN where nothing is known."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return (np.nan, np.nan, np.nan)
    spread, level = float(known.std()), float(np.abs(known).mean())
    return float(np.median(known)), spread, spread / level if level > 0 else np.nan


def _typical(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan
