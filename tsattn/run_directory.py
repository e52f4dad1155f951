"""The run directory: everything of one fitted fitted, written whole or not at all.

=====================  ===================================================================================
``run.json``           format of the directory, the versions that wrote it and the fingerprint of the training data
``config.toml``        the configuration with nothing left open: ``tsattn fit DATA --config`` makes it again
``schema.json``        how the data were read
``model.keras``        the Keras model from window to quantiles
``context.npz``        the end of every series, so that it forecasts without the data
``metrics.json``       the model beside the naive baselines on the validation part; what the default kept and why,
                       and what calibrated its intervals
``history.csv``        losses of the training, a row an epoch
``forecast.csv``       the forecast that follows the data
``forecast.png``       its picture
``report.html``        all of this on one page
``saved_model/1``      the whole forecaster for TensorFlow Serving and others, see `tsattn.export`; beside it ``kit``
=====================  ===================================================================================
"""

from __future__ import annotations

from pathlib import Path

import keras

from tsattn.atomic_io import new_directory
from tsattn.export.exporter import export
from tsattn.forecasting.artifact import history_to_frame, write_fitted
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.prediction import Question, predict
from tsattn.report.html import write_report
from tsattn.report.plots import plot_forecast
from tsattn.timeseries.frames import history_frame

SAVED_MODEL = "saved_model"
"""Folder of a run with the versions of its SavedModel."""


def write_run(fitted: FittedForecaster, path: Path, *, overwrite: bool = False) -> None:
    """Write the run directory of a fitted forecaster, whole or not at all."""
    with new_directory(path, overwrite=overwrite) as folder:
        write_fitted(fitted, folder)
        if keras.backend.backend() == "tensorflow":
            export(fitted, folder / SAVED_MODEL, name=path.name)
        _write_forecast(fitted, folder, path.name)


def _write_forecast(fitted: FittedForecaster, folder: Path, name: str) -> None:
    losses = history_to_frame(fitted.history)
    forecast, history = predict(fitted, None, Question()), history_frame(fitted.panel)
    forecast.to_csv(folder / "forecast.csv", index=False)
    season = fitted.spec.season
    plot_forecast(history, forecast, folder / "forecast.png", title=name, season=season)
    write_report(
        folder / "report.html",
        title=name,
        decisions=fitted.schema.decisions,
        scores=fitted.scores,
        losses=losses,
        history=history,
        forecast=forecast,
        config=fitted.config.to_toml(),
        season=season,
        verdict=f"{fitted.verdict()} {fitted.calibration.sentence()}",
        left_out=fitted.left_out,
    )
