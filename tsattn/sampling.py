"""Sample paths of a fitted forecaster: what may follow the data, a hundred times."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from tsattn.data import Frame
from tsattn.data.long import sample_frame
from tsattn.data.panel import Floats, Panel
from tsattn.data.windows import gather
from tsattn.errors import ConfigError
from tsattn.fitted import FittedForecaster
from tsattn.models.paths import has_paths, paths
from tsattn.prediction import Question, asked
from tsattn.window import WindowSpec

MOST = 2_000_000
"""Most values that are drawn at once, so that many series do not fill the memory."""


def sample(
    fitted: FittedForecaster, X: Frame | Path | str | None, question: Question, samples: int, seed: int
) -> pd.DataFrame:
    """Return paths; see `Forecaster.sample`."""
    if not has_paths(fitted.model):
        name = fitted.config.model["name"]
        raise ConfigError(
            f"paths are drawn from a distribution, and {name} forecasts quantiles here: fit a network with "
            "model.head=normal, student_t or, for counts, negative_binomial"
        )
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise ConfigError(f"samples must be a whole number, 1 or more. Received: samples={samples}")
    trained = fitted.spec.horizon
    steps = trained if question.horizon is None else question.horizon
    if not 1 <= steps <= trained:
        raise ConfigError(f"horizon must be 1 to the {trained} steps that were fitted. Received: horizon={steps}")
    panel = asked(fitted, X, question)
    drawn = sample_windows(fitted.model, fitted.spec, panel, samples, seed)
    return sample_frame(panel, drawn[:, :, :steps])


def sample_windows(model: keras.Model, spec: WindowSpec, panel: Panel, samples: int, seed: int) -> Floats:
    """Return paths that follow each series of a panel, [series, samples, horizon, targets]."""
    shape = (samples, spec.horizon, len(spec.targets))
    generator = keras.random.SeedGenerator(seed)
    size, parts = max(MOST // int(np.prod(shape)), 1), []
    for begin in range(0, len(panel), size):
        series = np.arange(begin, min(begin + size, len(panel)), dtype=np.int64)
        batch = gather(panel, spec, series, panel.lengths[series], target=False)
        noise = keras.random.normal((len(series), *shape), seed=generator)
        parts.append(keras.ops.convert_to_numpy(paths(model, batch, noise)))
    return np.concatenate(parts)
