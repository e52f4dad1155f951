"""Sizes of a training, its windows and statistics by rule, from the data.

The experiments that the rules rest on are in ``docs/design/training.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsattn.config import TrainingConfig
from tsattn.models.defaults import SHORT_CONTEXT_PATCHES, SMALL_DATA_VALUES, default_patch_length
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.windows import Windows, WindowSpec

MAX_BATCH_WINDOWS = 128
"""Maximum number of windows per batch."""

MAX_BATCH_ROWS = 224
"""Maximum number of rows per batch: windows times independent channels, whose rows are correlated within a window."""

NODES_PER_ROW = 16
"""Nodes of a graph that count as one row, because they are strongly correlated."""

MIN_STEPS_PER_EPOCH, MAX_STEPS_PER_EPOCH = 50, 200
"""Minimum and maximum number of batches per epoch; an epoch over few windows repeats them."""

MAX_TRAINING_ROWS = 320_000
"""Maximum number of rows of a training: a few minutes on two cores, whatever the number of channels."""

MIN_FULL_WINDOWS = 1000
"""With fewer windows of a whole context, windows with a shorter history are used as well."""

MAX_VALIDATION_ROWS = 4000
"""Maximum number of rows per validation; more windows are subsampled evenly."""

MAX_STATISTICS_SERIES = 1000
"""Maximum number of series for the statistics of the scaling; more are subsampled evenly."""

MAX_EPOCHS = 30

FINE_TUNING_RATE = 0.3
"""Factor of the default learning rate when training starts from trained weights."""


@dataclass(frozen=True)
class TrainingPlan:
    """Sizes of a training and how its batches are drawn.

    Args:
        epochs: Maximum number of epochs.
        batch_size: Windows per batch.
        steps_per_epoch: Batches per epoch.
        balanced: Whether to draw every series equally often, instead of every window.
        truncation_rate: Fraction of the windows whose history is truncated to a random length.
        min_history: Minimum length of a truncated history in steps: a patch.
    """

    epochs: int
    batch_size: int
    steps_per_epoch: int
    balanced: bool = False
    truncation_rate: float = 0.0
    min_history: int = 1


def plan_training(
    config: TrainingConfig, windows: Windows, rows_per_window: int, patches: int = SHORT_CONTEXT_PATCHES
) -> TrainingPlan:
    """Return the sizes of a training, with defaults for what the configuration leaves out.

    Args:
        config: The configuration.
        windows: The training windows.
        rows_per_window: Rows of the network per window.
        patches: Patches of the history of a row.
    """
    count = max(len(windows), 1)
    max_windows = min(MAX_BATCH_WINDOWS, max(MAX_BATCH_ROWS // rows_per_window, 1))
    # At most a sixteenth of the windows, so that an epoch over few windows still has a few steps.
    batch_size = config.batch_size or min(max_windows, max(count // 16, 8))
    steps = min(max(-(-count // batch_size), MIN_STEPS_PER_EPOCH), config.steps_per_epoch or MAX_STEPS_PER_EPOCH)
    max_rows = MAX_TRAINING_ROWS * max(SHORT_CONTEXT_PATCHES / patches, 1.0)
    max_epochs = max(int(max_rows // (steps * batch_size * rows_per_window)), 1)
    epochs = config.epochs or min(MAX_EPOCHS, max_epochs)
    min_history = min(default_patch_length(windows.spec.season), windows.spec.context)
    return TrainingPlan(epochs, batch_size, steps, config.sampling == "series", config.history_truncation, min_history)


def default_learning_rate(values: int, *, fine_tuning: bool = False) -> float:
    """Return the learning rate of Adam for data with this many observed values.

    On small data large steps reach the optimum after an epoch or two and overfit from then on.

    Args:
        values: Number of observed values.
        fine_tuning: Whether the training starts from trained weights.
    """
    rate = 3e-4 if values < SMALL_DATA_VALUES else 1e-3
    return FINE_TUNING_RATE * rate if fine_tuning else rate


def training_windows(panel: Panel, spec: WindowSpec, segment: int) -> Windows:
    """Return the training windows: those with a whole context of history, or at least a patch if they are few."""
    windows = Windows.for_training(panel, spec, spec.context)
    return (
        windows if len(windows) >= MIN_FULL_WINDOWS else Windows.for_training(panel, spec, min(segment, spec.context))
    )


def default_validation_steps(panel: Panel, horizon: int) -> int:
    """Return the number of steps at the end of each series that are held out for validation, at least the horizon.

    15 % of a single series, and less per series of several, because together they still have many windows.
    """
    return max(horizon, int(0.15 * np.median(panel.lengths) / np.sqrt(len(panel))))


def scaling_statistics(panel: Panel) -> tuple[list[float], list[float], list[float]]:
    """Return median, standard deviation and its ratio to the mean absolute value of each channel.

    Returns:
        Three lists of [channels] for `tsattn.layers.InstanceScaling.fit`, each the median over the series. A channel
        without a finite value, or a constant one, has 0, 1 and 0.1.
    """
    subset = range(0, len(panel), max(-(-len(panel) // MAX_STATISTICS_SERIES), 1))
    columns = range(len(panel.targets))
    statistics = [[_statistics(panel.series[index][:, column]) for index in subset] for column in columns]
    medians = [[_finite_median(values) for values in zip(*rows, strict=True)] for rows in statistics]
    median, spread, ratio = (list(values) for values in zip(*medians, strict=True))
    return (
        [value if np.isfinite(value) else 0.0 for value in median],
        [value if value > 0 else 1.0 for value in spread],
        [value if value > 0 else 0.1 for value in ratio],
    )


def error_scales(panel: Panel, *, common: bool = False) -> Floats:
    """Return the scales by which the errors of each series are divided, [series, targets] float32.

    The scale is the standard deviation of the series. For a constant or empty series it is the median over the other
    series of the target, or 1.

    Args:
        panel: The series.
        common: Whether all targets measure the same quantity, as the nodes of a graph do, and have one scale: the root
            mean square of their scales.
    """
    spreads = np.array([[_statistics(column)[1] for column in panel.series[index].T] for index in range(len(panel))])
    valid = np.isfinite(spreads) & (spreads > 0)
    typical = [
        float(np.median(column[keep])) if keep.any() else 1.0 for column, keep in zip(spreads.T, valid.T, strict=True)
    ]
    scales = np.where(valid, spreads, typical)
    if common:
        scales = np.broadcast_to(np.sqrt(np.mean(scales**2, axis=1, keepdims=True)), scales.shape)
    return scales.astype(np.float32)


def _statistics(values: Floats) -> tuple[float, float, float]:
    """Return median, standard deviation and its ratio to the mean absolute value; NaN without a finite value."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return (np.nan, np.nan, np.nan)
    spread, level = float(finite.std()), float(np.abs(finite).mean())
    return float(np.median(finite)), spread, spread / level if level > 0 else np.nan


def _finite_median(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else np.nan
