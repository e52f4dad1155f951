"""The state of a fitted forecaster: the result of training, and the input of prediction, export and run directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import pandas as pd

from tsattn.config import RunConfig
from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph
from tsattn.models.options import NetworkOptions
from tsattn.scoring.calibration import Calibration
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

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.config.model["name"])

    @property
    def needs_covariates(self) -> bool:
        """Whether the model takes covariates. A baseline that replaces a network does not."""
        return bool(self.spec.past_covariates or self.spec.static)

    def summary(self) -> str:
        """Return one sentence on the selected model compared with the best naive baseline."""
        return comparison_summary(self.scores, self.name) if self.choice is None else self.choice.summary()

    def portable_model(self) -> keras.Model:
        """Return the inference model without device-specific operations."""
        entry, options = resolve_options(self.config.model)
        if not isinstance(options, NetworkOptions):
            return self.model
        twin = build_graph(entry, options, self.spec, portable=True).inference()
        twin.set_weights(self.model.get_weights())
        return twin
