"""The run directory of a fitted forecaster, written whole or not at all.

=====================  ===================================================================================
``run.json``           ``format``: number of this layout, `tsattn.forecasting.run_metadata.FORMAT`;
                       ``versions`` of tsattn, keras and numpy that wrote it; ``training_data``: number of
                       series, steps and observed values, first and last timestamp, and ``fingerprint``, a
                       hash; ``model_module``: module that registers the model, for a model of your own;
                       ``files``: SHA-256 of every other file, checked at load, without those of ``kit``,
                       which an export replaces
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
``history.csv``        training history, one row per epoch: ``loss``, ``val_loss``, ``best``, ``out_of_time``,
                       ``interrupted``
``forecast.csv``       the forecast that follows the data
``forecast.png``       plot of this forecast
``report.html``        all of this on one page
``saved_model/1``      the forecaster for TensorFlow Serving and others, with ``kit``; see `tsattn.export`. A run
                       that replaces another one has the next number, so that a server notices it
=====================  ===================================================================================
"""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras

from tsattn.atomic_io import companion, hash_files, list_versions, new_directory
from tsattn.errors import RunError
from tsattn.explanation.explanation import Explanation, explain_panel
from tsattn.export.client_files import KIT
from tsattn.export.exporter import export
from tsattn.forecasting.fitted import FittedForecaster, history_to_frame, write_fitted, write_manifest
from tsattn.forecasting.prediction import PredictionRequest, predict
from tsattn.report.html import Picture, write_report
from tsattn.report.plots import write_forecast_plot
from tsattn.training.checkpoints import Checkpoints

_logger = logging.getLogger(__name__)

SAVED_MODEL = "saved_model"
"""Folder with the versions of the SavedModel."""


TRAINING = "training"
"""Suffix of the companion of a run directory with the states of its trainings."""


@contextmanager
def open_checkpoints(path: Path, *, resume: bool) -> Iterator[Checkpoints]:
    """Yield the states of the trainings of a run directory, which remain until it is written.

    Args:
        path: The run directory.
        resume: Whether the states that are there are continued.

    Raises:
        RunError: There is no state to continue, or the folder cannot be written.
    """
    folder = companion(path, TRAINING)
    if resume and not Checkpoints(folder).stored():
        raise RunError(f"{path}: expected an interrupted training, found none", "leave out {resume}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        yield Checkpoints(folder, resume=resume)
    finally:
        with suppress(OSError):
            folder.rmdir()  # if it is empty


def write_run(fitted: FittedForecaster, path: Path, *, overwrite: bool = False) -> None:
    """Write the run directory of a fitted forecaster.

    Raises:
        RunError: The directory exists and ``overwrite`` is not set, or it cannot be written.
    """
    training = companion(path, TRAINING)  # before the working directory is replaced, which has no path then
    with new_directory(path, overwrite=overwrite) as folder:
        name = path.resolve().name
        write_fitted(fitted, folder)
        if keras.backend.backend() == "tensorflow":
            after = _last_version(path / SAVED_MODEL)
            _export(fitted, folder / SAVED_MODEL, name, after, lambda: _write_forecast(fitted, folder, path))
        else:
            _write_forecast(fitted, folder, path)
        write_manifest(fitted, folder, hash_files(folder, exclude=(f"{SAVED_MODEL}/{KIT}",)))
    shutil.rmtree(training, ignore_errors=True)


def _last_version(folder: Path) -> int:
    """Return the number of the last version of a run that is replaced, which a server may be serving."""
    return max(list_versions(folder), default=0) if folder.is_dir() else 0


def _export(fitted: FittedForecaster, folder: Path, name: str, after: int, meanwhile: Callable[[], None]) -> None:
    """Write the SavedModel; a full disk is an OSError, whoever finds it."""
    from tensorflow.errors import OpError

    try:
        export(fitted, folder, name=name, after=after, meanwhile=meanwhile)
    except OpError as error:
        raise OSError(error.message) from None


def _pictures(explanation: Explanation | None) -> list[Picture]:
    """Return the pictures of an explanation but for the weights, which are a table of the report."""
    drawings = () if explanation is None else explanation.drawings
    heights = {"graph": 1.5}
    return [Picture(title, draw, heights.get(name, 1.0)) for name, title, draw in drawings if name != "weights"]


def _next_commands(path: Path, *, covariates: bool) -> list[tuple[str, str]]:
    """Return commands that use a run directory, with or without future covariates, and their purposes."""
    run, future = shlex.quote(str(path)), " --future FUTURE" if covariates else ""
    return [
        (f"tsattn predict {run} NEW_DATA{future} -o forecast.csv", "Forecast from newer data"),
        (f"tsattn evaluate {run} NEW_DATA", "Compare past forecasts with newer data"),
        (f"tsattn explain {run}", "See what the forecast rests on"),
        (f"tsattn serve {run}", "Serve forecasts by HTTP, with a page"),
        (f"tsattn.Forecaster.load({str(path)!r}).predict()", "The same in Python"),
    ]


def _write_forecast(fitted: FittedForecaster, folder: Path, path: Path) -> None:
    _logger.info("Writing the forecast and the report")
    name = path.resolve().name
    prediction, explanation = predict(fitted, None, PredictionRequest()), explain_panel(fitted, fitted.panel)
    forecast, history = prediction.frame, prediction.history
    forecast.to_csv(folder / "forecast.csv", index=False)
    write_forecast_plot(history, forecast, folder / "forecast.png", title=name, season=fitted.spec.season)
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
        validation=fitted.validation,
        weights=None if explanation is None else explanation.weights,
        pictures=_pictures(explanation),
        findings=() if explanation is None else explanation.summary(),
        commands=_next_commands(path, covariates=fitted.needs_covariates and bool(fitted.schema.future_covariates)),
        season=fitted.spec.season,
        summary=f"{fitted.summary()} {fitted.calibration.summary()}",
        notes=[*fitted.notes, *(f"{note}." for note in fitted.forecast_notes)],
    )
