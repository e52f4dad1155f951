"""The state of a fitted forecaster: what training gives, and what prediction, export and the run directory take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import pandas as pd

from tsattn.config import RunConfig
from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph
from tsattn.models.options import NetworkOptions
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.model_choice import Chosen, verdict
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.window_spec import WindowSpec
from tsattn.training.trainer import History


@dataclass(frozen=True)
class FittedForecaster:
    """A trained model with everything needed to use it.

    Args:
        config: the fully resolved configuration.
        schema: how the data were read.
        spec: the window that the model takes.
        model: the Keras model from window to quantiles.
        panel: the end of every training series, from which `predict` continues.
        training_data: size, time range and hash of the training data.
        scores: the model and the naive baselines on the validation part.
        left_out: what the metrics leave out, as sentences.
        calibration: which quantile levels were calibrated.
        history: losses by epoch; None where nothing was trained.
        choice: which model was chosen and why; None where a model was named.
    """

    config: RunConfig
    schema: Schema
    spec: WindowSpec
    model: keras.Model
    panel: Panel
    training_data: dict[str, Any]
    scores: pd.DataFrame
    left_out: tuple[str, ...]
    calibration: Calibration
    history: History | None = None
    choice: Chosen | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.config.model["name"])

    @property
    def needs_covariates(self) -> bool:
        """Whether the model takes covariates; a baseline that was chosen instead of a network does not."""
        return bool(self.spec.past_covariates or self.spec.static)

    def verdict(self) -> str:
        """Return one sentence on the chosen model against the best naive baseline."""
        return self.choice.sentence() if self.choice is not None else verdict(self.scores, self.name)

    def chosen_as(self, choice: Chosen) -> FittedForecaster:
        """Return the same state with another reason for its choice."""
        return replace(self, choice=choice)

    def portable_model(self) -> keras.Model:
        """Return the inference model without device-specific operations."""
        entry, options = resolve_options(self.config.model)
        if not isinstance(options, NetworkOptions):
            return self.model
        twin = build_graph(entry, options, self.spec, portable=True).inference()
        twin.set_weights(self.model.get_weights())
        return twin
