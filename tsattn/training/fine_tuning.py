"""Training of the pretrained network: inputs, targets and loss, and fine-tuning on the series of a panel.

Fine-tuning trains on each target of a series by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers import PretrainedForecast
from tsattn.layers.pretrained_network import PretrainedNetwork
from tsattn.pretrained.features import (
    CANDIDATES,
    LEVELS,
    MAX_CANDIDATE,
    PATCH_FEATURES,
    QUERY_FEATURES,
    Array,
    Layout,
    compute_features,
)
from tsattn.timeseries.panel import Panel
from tsattn.training.batches import own_rows
from tsattn.training.callbacks import StopAtInterrupt

MIN_VALUES = 3
"""Observed values before an origin from which its targets count."""
TYPICAL_DISTANCE = 6.0
"""Mean distance of the targets of an origin from the centre, in units of the scale, at which their weight is half."""

BATCH_ROWS = 32
"""Windows of a batch."""
ORIGINS, STEPS = 8, 6
"""Forecast origins in a window, at most, and steps ahead at each."""
RATE = 1e-3
"""Learning rate of the first steps; it falls to a tenth."""
EPOCHS = 10
"""Parts into which a training is divided, each with its own learning rate."""
STEPS_BY_ROOT = 2.0
"""Steps of a training by the square root of the number of observed values."""
MIN_TRAINING_STEPS, MAX_TRAINING_STEPS = 100, 400


def training_network(network: PretrainedNetwork) -> keras.Model:
    """Return a model of the inputs of a network, by which it is trained."""
    sizes = {"patches": PATCH_FEATURES, "queries": QUERY_FEATURES, "candidates": len(CANDIDATES)}
    inputs = {"patches": keras.Input((None, sizes["patches"]), name="patches")}
    for name in ("queries", "candidates", "available"):
        inputs[name] = keras.Input((None, None, sizes.get(name, len(CANDIDATES))), name=name)
    for name in ("attends", "last_patch"):
        inputs[name] = keras.Input((None, None), name=name)
    return keras.Model(inputs, network(**inputs), name="pretraining")


def training_example(series: Array, observed: Array, layout: Layout) -> tuple[dict[str, Array], Array]:
    """Return the inputs of the network and its targets, `(N, origins, steps, 2)`: value and weight.

    Targets are relative to centre and scale of their origin. The weight is 0 where a target is not observed, and falls
    with the mean distance of the targets of an origin from the centre.

    Args:
        series: `(N, time)`, the window of the layout and the targets after it.
        observed: The same shape, bool.
        layout: Season lengths, origins and steps.
    """
    parts = compute_features(np, series[:, : layout.length], observed[:, : layout.length], layout)
    targets = np.take(series, layout.targets, axis=1)
    seen = np.take(observed, layout.targets, axis=1)
    known = np.take(np.cumsum(observed, axis=1), layout.origin_ends, axis=1) >= MIN_VALUES
    scale = parts.scale[:, :, None]
    relative = np.where(scale > 0, (targets - parts.centre[:, :, None]) / np.where(scale > 0, scale, 1.0), 0.0)
    weight = np.where(seen & known[:, :, None] & (scale > 0), 1.0, 0.0)
    total = (np.abs(relative) * weight).sum(axis=2, keepdims=True)
    weight = weight / (1 + total / np.maximum(weight.sum(axis=2, keepdims=True), 1) / TYPICAL_DISTANCE)
    size = len(series)
    inputs = {
        "patches": parts.patches,
        "queries": parts.queries,
        "candidates": parts.candidates,
        "available": parts.available,
        "attends": np.broadcast_to(layout.attends, (size, *layout.attends.shape)),
        "last_patch": np.broadcast_to(layout.last_patch, (size, *layout.last_patch.shape)),
    }
    values = np.stack([np.clip(relative, -MAX_CANDIDATE, MAX_CANDIDATE), weight], axis=-1)
    return {name: part.astype("float32") for name, part in inputs.items()}, values.astype("float32")


@keras.saving.register_keras_serializable(package="tsattn")
def weighted_pinball(targets: Any, quantiles: Any) -> Any:
    """Return the mean pinball loss over all levels; the last axis of the targets is (value, weight)."""
    levels = ops.convert_to_tensor(LEVELS, "float32")
    deviation = targets[..., :1] - quantiles
    loss = ops.mean(ops.maximum(levels * deviation, (levels - 1) * deviation), axis=-1)
    return ops.sum(loss * targets[..., 1]) / ops.maximum(ops.sum(targets[..., 1]), 1.0)


def default_steps(values: int) -> int:
    """Return the number of steps of a training for a number of observed values, a multiple of the epochs."""
    steps = min(max(STEPS_BY_ROOT * math.sqrt(values), MIN_TRAINING_STEPS), MAX_TRAINING_STEPS)
    return round(steps / EPOCHS) * EPOCHS


class FineTuner:
    """Trains the network of a layer in place.

    Args:
        layer: The layer, built.
        seed: Seed of the batches.
    """

    def __init__(self, layer: PretrainedForecast, seed: int) -> None:
        self._layer = layer
        self._seed = seed
        self._model = training_network(layer.network)
        optimizer = keras.optimizers.AdamW(
            RATE, weight_decay=1e-3, global_clipnorm=1.0, use_ema=True, ema_momentum=0.98
        )
        self._model.compile(
            optimizer, weighted_pinball, jit_compile=False if keras.backend.backend() == "tensorflow" else "auto"
        )
        optimizer.build(self._model.trainable_variables)

    def train(
        self, panel: Panel, steps: int, rate: float = RATE, callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        """Train the network on random windows of a panel, and set the averages of the weights.

        Args:
            panel: The series.
            steps: Number of batches.
            rate: Learning rate of the first steps.
            callbacks: Additional Keras callbacks.
        """
        series = [
            values
            for index in range(len(panel))
            for values in np.asarray(panel.series[index], dtype=np.float64).T
            if np.isfinite(values).sum() > 1
        ]
        batches = RandomWindows(series, self._layer.layout, -(-steps // EPOCHS), self._seed)
        # Half of the rate in the first epoch, in which the averages of the optimizer are still of few gradients.
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch: rate * (0.5 if epoch == 0 else 1 - 0.9 * epoch / EPOCHS)
        )
        set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=batches.set_epoch)
        self._model.fit(
            batches,
            epochs=EPOCHS,
            callbacks=[set_epoch, schedule, StopAtInterrupt(), *callbacks],
            shuffle=False,
            verbose=0,
        )


class RandomWindows(keras.utils.PyDataset):
    """Batches of random windows; batch k is a pure function of (seed, epoch, k), as those of `ShuffledWindows`.

    Args:
        series: Values of each series, NaN where missing.
        layout: Seasons and length of the windows, and the steps that are forecast.
        steps: Batches per epoch.
        seed: Seed of the draws.
    """

    def __init__(self, series: Sequence[Array], layout: Layout, steps: int, seed: int) -> None:
        super().__init__()
        self._series = series
        longest = max(map(len, series))
        self._layout = replace(layout, patches=min(-(-longest // layout.patch), layout.patches))
        self._horizon = int(layout.steps.max())
        self._steps = steps
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, batch: int) -> tuple[dict[str, Array], Array]:
        rng = np.random.default_rng((self._seed, self.epoch, batch))
        layout = self._draw_layout(rng)
        horizon, length = self._horizon, layout.length
        window = np.full((BATCH_ROWS, length + horizon), np.nan)
        for row, index in enumerate(rng.integers(len(self._series), size=BATCH_ROWS)):
            values = self._series[index]
            end = int(rng.integers(min(max(layout.season, 4), len(values) - 1), len(values)))
            history, future = values[max(end - length, 0) : end], values[end : end + horizon]
            window[row, length - len(history) : length] = history
            window[row, length : length + len(future)] = future
        observed = np.isfinite(window)
        inputs, targets = training_example(np.where(observed, window, 0.0), observed, layout)
        rows, counted = own_rows(BATCH_ROWS)
        inputs, targets = {name: part[rows] for name, part in inputs.items()}, targets[rows]
        targets[~counted, ..., 1] = 0
        return inputs, targets

    def _draw_layout(self, rng: np.random.Generator) -> Layout:
        """Return a layout with random origins, the end of the window among them, random steps and phase."""
        patches, horizon = self._layout.patches, self._horizon
        origins = rng.permutation(patches - 1)[: ORIGINS - 1].tolist()
        shape = (len(origins) + 1, STEPS)
        if rng.random() < 0.5:
            steps = rng.integers(1, horizon + 1, shape)
        else:
            steps = np.exp(rng.uniform(0, np.log(horizon + 1), shape)).astype(int).clip(1, horizon)
        return replace(
            self._layout,
            origins=(*sorted(origins), patches - 1),
            steps=steps,
            phase=int(rng.integers(max(self._layout.season, self._layout.second))),
        )

    def set_epoch(self, epoch: int, logs: object = None) -> None:
        """Set the epoch; usable as a Keras callback."""
        self.epoch = epoch
