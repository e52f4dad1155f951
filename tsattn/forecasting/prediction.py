"""The forecast of a fitted forecaster: of what follows the data, as of a stamp before, or further than was trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from tsattn.data.loader import Frame, load, read_any
from tsattn.data.locations import name_of
from tsattn.data.prediction_inputs import Stamp, as_of, know_ahead, know_calendar
from tsattn.errors import ConfigError, DataError, DataWarning
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models.sampling import has_paths, paths
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.frames import forecast_frame, sample_frame
from tsattn.timeseries.panel import Floats, Panel, missing_ahead, unknown_ahead
from tsattn.timeseries.window_spec import WindowSpec
from tsattn.timeseries.windows import Ints, gather

HERE = 3
"""Frames from a warning here to the caller of `Forecaster.predict`."""


@dataclass(frozen=True)
class Question:
    """What is asked of a fitted.

    Args:
        future: stamps, ids and the covariates that are known ahead.
        at: the last stamp that is seen; None for the end of the data.
        horizon: steps to forecast; None for those that were trained.
        roll: whether to forecast further than was trained, with the median forecast as history.
    """

    future: Frame | Path | str | None = None
    at: Stamp | None = None
    horizon: int | None = None
    roll: bool = False

    def steps(self, trained: int) -> int:
        """Return the steps to forecast.

        Raises:
            ConfigError: they are none, or more than were ``trained``, and nothing allows it.
        """
        steps = trained if self.horizon is None else self.horizon
        if steps < 1:
            raise ConfigError(f"horizon must be 1 or more. Received: horizon={steps}")
        if steps > trained and not self.roll:
            raise ConfigError(
                f"horizon={steps} is more than the {trained} steps that it was trained for: fit with that horizon, or "
                "allow --roll (roll=True), which takes the median forecast as history and forecasts on from there"
            )
        return steps


def asked(fitted: FittedForecaster, X: Frame | Path | str | None, question: Question) -> Panel:
    """Return the series that a question is about, with what is known ahead of them."""
    spec, schema = fitted.spec, fitted.schema
    steps = question.steps(spec.horizon)
    # A baseline that was kept has no use for covariates.
    needed = bool(spec.past_covariates or spec.static)
    panel = fitted.panel if X is None else load(X, schema=schema, covariates=needed)[0]
    if question.at is not None:
        source = "the run" if X is None else name_of(X)
        panel = as_of(panel, question.at, schema, spec.context, source)
        if X is None:
            _tell_short(panel, fitted)
    if question.at is not None or steps > spec.horizon:
        panel = know_calendar(panel, schema, max(steps, spec.horizon))
    if question.future is not None:
        frame, name = read_any(question.future)
        panel = know_ahead(panel, frame, schema, name)
    missing = "" if steps > spec.horizon else missing_ahead(panel, spec.future_covariates, spec.horizon)
    if missing:
        warnings.warn(missing, DataWarning, stacklevel=HERE + 1)
    return panel


def predict(fitted: FittedForecaster, X: Frame | Path | str | None, question: Question) -> pd.DataFrame:
    """Return the forecast; see `Forecaster.predict`."""
    spec = fitted.spec
    steps, panel = question.steps(spec.horizon), asked(fitted, X, question)
    if steps > spec.horizon:
        return forecast_frame(panel, _rolled(fitted, panel, steps), spec.levels)
    series = np.arange(len(panel), dtype=np.int64)
    quantiles = predict_windows(fitted.model, spec, panel, series, panel.lengths)
    return forecast_frame(panel, quantiles[:, :steps], spec.levels)


def _tell_short(panel: Panel, fitted: FittedForecaster) -> None:
    """Warn where a run has not kept as much history before a stamp as its model sees."""
    whole = int(fitted.training_data["steps"]) == int(fitted.panel.lengths.sum())
    if not whole and (panel.lengths < fitted.spec.context).any():
        warnings.warn(
            f"a run keeps the end of its data alone, and less than the {fitted.spec.context} steps that its model "
            "sees lie before that stamp: give the data for a better forecast",
            DataWarning,
            stacklevel=HERE + 2,
        )


def _rolled(fitted: FittedForecaster, panel: Panel, steps: int) -> Floats:
    """Return the quantiles of a forecast further than was trained, [series, steps, targets, levels].

    Raises:
        DataError: what should be known ahead is not, that far.
    """
    spec = fitted.spec
    unknown = unknown_ahead(panel, spec.future_covariates, steps)
    if unknown:
        raise DataError(
            f"{unknown}: a forecast that rolls on needs them for all of its {steps} steps: give them by --future, or "
            "a shorter horizon"
        )
    origin, rolling = _with_room(panel, spec.context, steps)
    series = np.arange(len(panel), dtype=np.int64)
    rows = rolling.offsets[:-1, None] + origin[:, None]
    parts: list[Floats] = []
    for done in range(0, steps, spec.horizon):
        quantiles = predict_windows(fitted.model, spec, rolling, series, origin + done)
        quantiles = quantiles[:, : steps - done]
        parts.append(quantiles)
        rolling.values[rows + np.arange(done, done + quantiles.shape[1])] = quantiles[..., spec.median]
    warnings.warn(
        f"{steps} steps are more than the {spec.horizon} that it was trained for: from step {spec.horizon + 1} on the "
        "median forecast counts as history, and the intervals, which take it for certain, are too narrow",
        DataWarning,
        stacklevel=HERE + 1,
    )
    return np.concatenate(parts, axis=1)


def _with_room(panel: Panel, context: int, steps: int) -> tuple[Ints, Panel]:
    """Return the history of each series in steps and a panel with room for so many behind it, which nothing fills.

    What is known of the series up to its end alone is unknown there, also where the data go on.
    """
    panel = panel.tail(context)
    origin = panel.lengths
    offsets = np.concatenate([[0], np.cumsum(origin + steps)]).astype(np.int64)
    values = np.full((int(offsets[-1]), len(panel.targets)), np.nan, dtype=np.float32)
    values[np.repeat(offsets[:-1] - panel.offsets[:-1], origin) + np.arange(len(panel.values))] = panel.values
    covariates = panel.covariates
    return origin, replace(
        panel,
        values=values,
        offsets=offsets,
        covariates=None if covariates is None else covariates.blank_behind(origin),
    )


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
