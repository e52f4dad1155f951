"""The run directory of a fitted forecaster, written whole or not at all.

=====================  ===================================================================================
``run.json``           ``format``: number of this layout, `tsattn.forecasting.run_metadata.FORMAT`;
                       ``versions`` of tsattn, keras and numpy that wrote it; ``training_data``: number of
                       series, steps and observed values, first and last timestamp, and ``fingerprint``, a
                       hash; ``model_module``: module that registers the model, for a model of your own
``config.toml``        the configuration with every option filled in: ``tsattn fit DATA --config`` repeats the run
``schema.json``        how the data are read, `tsattn.timeseries.schema.Schema`
``model.keras``        the Keras model from window to quantiles
``context.npz``        the end of every series, so that predictions need no data: ``values``, ``offsets``,
                       ``ids``, ``starts``; ``covariates`` with ``covariate_offsets``, ``covariate_names`` and
                       ``num_future_covariates``; ``static_NAME`` and ``labels_NAME`` of static covariates
``metrics.json``       ``scores`` of the model and the naive baselines on the last ``validation_steps`` steps;
                       ``notes`` on what they leave out; ``forecast_notes`` on the data and on values that replace
                       missing future covariates in ``forecast.csv``; ``model_choice``: the selected model and why, null
                       for a named model; ``calibration`` of the intervals
``history.csv``        training history, one row per epoch: ``loss``, ``val_loss``, ``best``, ``out_of_time``
``forecast.csv``       the forecast that follows the data
``forecast.png``       plot of this forecast
``report.html``        all of this on one page
``saved_model/1``      the forecaster for TensorFlow Serving and others, with ``kit``; see `tsattn.export`
=====================  ===================================================================================
"""

from __future__ import annotations

from pathlib import Path

import keras

from tsattn.atomic_io import new_directory
from tsattn.export.exporter import export
from tsattn.forecasting.artifact import history_to_frame, write_fitted
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.prediction import PredictionRequest, explain, predict
from tsattn.report.html import write_report
from tsattn.report.plots import plot_forecast
from tsattn.timeseries.frames import history_frame
from tsattn.timeseries.window_spec import WEIGHTS

SAVED_MODEL = "saved_model"
"""Folder with the versions of the SavedModel."""


def write_run(fitted: FittedForecaster, path: Path, *, overwrite: bool = False) -> None:
    """Write the run directory of a fitted forecaster.

    Raises:
        RunError: The directory exists and ``overwrite`` is not set, or it cannot be written.
    """
    with new_directory(path, overwrite=overwrite) as folder:
        write_fitted(fitted, folder)
        if keras.backend.backend() == "tensorflow":
            export(fitted, folder / SAVED_MODEL, name=path.name)
        _write_forecast(fitted, folder, path.name)


def _write_forecast(fitted: FittedForecaster, folder: Path, name: str) -> None:
    forecast, history = predict(fitted, None, PredictionRequest()), history_frame(fitted.panel)
    forecast.to_csv(folder / "forecast.csv", index=False)
    plot_forecast(history, forecast, folder / "forecast.png", title=name, season=fitted.spec.season)
    write_report(
        folder / "report.html",
        title=name,
        inferred_settings=fitted.schema.inferred_settings,
        scores=fitted.scores,
        losses=history_to_frame(fitted.history),
        history=history,
        forecast=forecast,
        config=fitted.config.to_toml(),
        model=fitted.name,
        weights=explain(fitted, None, PredictionRequest()) if WEIGHTS in fitted.model.output else None,
        season=fitted.spec.season,
        summary=f"{fitted.summary()} {fitted.calibration.summary()}",
        notes=[*fitted.notes, *(f"{note}." for note in fitted.forecast_notes)],
    )
