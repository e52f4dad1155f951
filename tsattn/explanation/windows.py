"""Outputs of a model for a batch of windows of any size."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tsattn.scoring.comparison import batch_rows
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.window_spec import OBSERVED, PAST, WindowSpec
from tsattn.timeseries.windows import Batch


def outputs_of(model: keras.Model, spec: WindowSpec, batch: Batch, names: Sequence[str]) -> Batch:
    """Return some outputs of an inference model, computed in parts of bounded memory."""
    rows, size = len(next(iter(batch.values()))), batch_rows(model, spec)
    parts = []
    for begin in range(0, rows, size):
        outputs = model({name: values[begin : begin + size] for name, values in batch.items()}, training=False)
        parts.append({name: keras.ops.convert_to_numpy(outputs[name]) for name in names})
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def history_spread(batch: Batch) -> Floats:
    """Return the standard deviation of the observed history, [windows, targets]; 1 where it is 0."""
    seen = batch[OBSERVED] > 0
    count = np.maximum(seen.sum(axis=1), 1)
    mean = batch[PAST].sum(axis=1, where=seen) / count
    spread = np.sqrt(((batch[PAST] - mean[:, None]) ** 2).sum(axis=1, where=seen) / count)
    return np.asarray(np.where(spread > 0, spread, 1.0))
