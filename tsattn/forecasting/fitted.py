"""The state of a fitted forecaster: the result of training, and the input of prediction, export and run directory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp, quote_list
from tsattn.config import RunConfig
from tsattn.errors import DataWarning
from tsattn.models import resolve_options
from tsattn.models.combination import combine_with_zero_shot, get_network
from tsattn.models.forecast_model import build_graph
from tsattn.models.options import NetworkOptions
from tsattn.models.training_range import TrainingRange, get_training_range
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.comparison import ValidationSummary
from tsattn.scoring.forecast_weights import ForecastWeights, name_with_zero_shot
from tsattn.scoring.model_choice import ModelChoice, comparison_summary
from tsattn.timeseries.panel import Panel, missing_future_covariates
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WindowSpec
from tsattn.training.trainer import History

MARGIN = 0.1
"""Part of the training range by which values may lie outside of it."""

MAX_OUTSIDE = 0.5
"""Fraction of the values outside of the training range from which on they are noted."""


def covariate_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on the future covariates of the forecast that follows the series of a panel.

    Args:
        panel: The series with their covariates.
        spec: The window of the model.
        schema: How the training data were read, with the ranges of their covariates.
    """
    if panel.covariates is None:
        return []
    missing = missing_future_covariates(panel, schema, spec.future_covariates, spec.horizon)
    notes = []
    if missing:
        notes.append(DataWarning(f"{missing}; means of the training data replace them", "give all of them by {future}"))
    return [*notes, *_category_notes(panel, spec, schema), *_range_notes(panel, spec, schema)]


def _future_values(panel: Panel, names: tuple[str, ...], horizon: int) -> Floats:
    """Return the values of covariates over the horizon, [series, steps, names]; NaN where unknown."""
    assert panel.covariates is not None
    series, steps = np.arange(len(panel), dtype=np.int64), np.full(len(panel), horizon)
    return panel.covariates.gather(names, series, panel.lengths, steps, horizon)


def _first_step(panel: Panel, mask: npt.NDArray[np.bool_]) -> tuple[int, int, str]:
    """Return series, step and timestamp of the first step of a mask over the horizon, [series, steps]."""
    first, step = (int(index[0]) for index in np.nonzero(mask))
    return first, step, format_timestamp(panel.future_times(first, step + 1)[-1])


def _category_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on categories that the training data do not have, such as a word that is spelled differently."""
    notes = []
    for column in schema.future_covariates:
        names = schema.feature_names(column)
        if not names or column not in schema.categories or not set(names) <= set(spec.future_covariates):
            continue
        values = _future_values(panel, names, spec.horizon)
        known, unseen = np.isfinite(values[:, :, 0]), (values == 0).all(axis=-1)
        if unseen.any():
            _, _, at = _first_step(panel, unseen)
            notes.append(
                DataWarning(
                    f"{int(unseen.sum())} of {int(known.sum())} values of '{column}' are none of those in the training "
                    f"data, {quote_list(schema.categories[column], 6)}, the first one at {at}"
                )
            )
    return notes


def _range_notes(panel: Panel, spec: WindowSpec, schema: Schema) -> list[DataWarning]:
    """Return notes on numbers that are outside of their range in the training data."""
    notes: list[DataWarning] = []
    for name, (low, high) in schema.covariate_ranges.items():
        if panel.covariates is None or name not in spec.future_covariates or name not in panel.covariates.names:
            continue
        values = _future_values(panel, (name,), spec.horizon)[:, :, 0]
        known = np.isfinite(values)
        distance = np.maximum(low - values, values - high)
        outside = known & (distance > MARGIN * (high - low))
        far = known & (distance > high - low)
        if not known.any() or (outside.sum() <= MAX_OUTSIDE * known.sum() and not far.any()):
            continue
        first, step, at = _first_step(panel, far if far.any() else outside)
        notes.append(
            DataWarning(
                f"{int(outside.sum())} of {int(known.sum())} values of '{name}' are outside of its range in the "
                f"training data, {low:g} to {high:g}, such as {values[first, step]:g} at {at}"
            )
        )
    return notes


@dataclass(frozen=True)
class FittedForecaster:
    """A trained model with everything that is needed to use it.

    Args:
        config: The configuration with every option filled in.
        schema: How the data were read.
        spec: The window that the model takes.
        model: The Keras model from window to quantiles.
        panel: The end of every training series, which `predict` continues.
        training_data: Size, time range and hash of the training data; see `tsattn.timeseries.panel.summarize_panel`.
        scores: Metrics of the model and the naive baselines on the validation part, best first.
        notes: Sentences on what these metrics leave out.
        calibration: Which quantile levels are calibrated.
        history: Losses by epoch; None if nothing was trained.
        choice: Which model was selected and why; None if a model was named.
        validation: Forecasts of the validation part, for the report; None for a run that was read.
    """

    config: RunConfig
    schema: Schema
    spec: WindowSpec
    model: keras.Model
    panel: Panel
    training_data: dict[str, Any]
    scores: pd.DataFrame
    notes: tuple[str, ...]
    calibration: Calibration
    history: History | None = None
    choice: ModelChoice | None = None
    validation: ValidationSummary | None = None

    @property
    def name(self) -> str:
        """Name of the model; "seq2seq + combination" for a network that is combined with the zero-shot forecast."""
        name = str(self.config.model["name"])
        return name_with_zero_shot(name) if self.config.model.get("zero_shot") else name

    @property
    def needs_covariates(self) -> bool:
        """Whether the model takes covariates. A baseline that replaces a network does not."""
        return bool(self.spec.past_covariates or self.spec.static)

    @property
    def forecast_notes(self) -> list[str]:
        """Notes on the data and on the covariates of the forecast that follows them."""
        reading = [note.to_warning().format(None) for note in self.schema.notes]
        covariates = covariate_notes(self.panel, self.spec, self.schema)
        return [*reading, *(note.format(None) for note in covariates)]

    def summary(self) -> str:
        """Return one sentence on the model compared with the best naive baseline, and how it was selected."""
        if self.choice is None:
            return comparison_summary(self.scores, self.name)
        unused = "" if self.needs_covariates or not self.schema.covariates else " The covariates are not used."
        if isinstance(self.choice, ForecastWeights):
            return f"{comparison_summary(self.scores, self.name)} {self.choice.summary()}{unused}"
        return self.choice.summary() + unused

    @property
    def training_range(self) -> TrainingRange | None:
        """The range of the training data of a network, outside of which a series is unlike them; None without one."""
        return get_training_range(get_network(self.model))

    def portable_model(self) -> keras.Model:
        """Return the inference model without device-specific operations."""
        entry, options = resolve_options(self.config.model)
        if not isinstance(options, NetworkOptions):
            return self.model
        spec = replace(self.spec, context=self.config.data.context or self.spec.context)
        graph = build_graph(entry, options, spec, portable=True)
        graph.training_range = self.training_range
        twin = graph.inference()
        if options.zero_shot:
            twin = combine_with_zero_shot(twin, spec, options.seasons(spec.season), [0.5] * spec.horizon)
        twin.set_weights(self.model.get_weights())
        return twin
