"""The state of a fitted forecaster: the result of training, and the input of prediction, export and run directory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import pandas as pd

from tsattn.config import RunConfig
from tsattn.forecasting.covariate_notes import covariate_notes
from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph
from tsattn.models.network_combination import combine_with_zero_shot, get_network
from tsattn.models.options import NetworkOptions
from tsattn.models.training_range import TrainingRange, get_training_range
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.comparison import ValidationSummary
from tsattn.scoring.forecast_weights import ForecastWeights, name_with_zero_shot
from tsattn.scoring.model_choice import ModelChoice, comparison_summary
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.window_spec import WindowSpec
from tsattn.training.trainer import History


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
