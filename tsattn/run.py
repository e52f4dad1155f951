"""The run directory: everything of one fitted forecaster, written whole or not at all.

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

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np
import pandas as pd

from tsattn.data import Panel, Schema, history_frame
from tsattn.data.covariates import Covariates, Static
from tsattn.decided import DAMAGE, FORMAT, Decided, damaged
from tsattn.directory import new_directory
from tsattn.errors import RunError
from tsattn.evaluation.calibration import Calibration
from tsattn.evaluation.chosen import read_chosen
from tsattn.fitting import window_spec
from tsattn.models import get_model
from tsattn.models.registry import register_layers
from tsattn.report.html import write_report
from tsattn.report.plot import plot_forecast
from tsattn.training.fit import History
from tsattn.window import WindowSpec

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster

SAVED_MODEL = "saved_model"
"""Folder of a run with the versions of its SavedModel."""

F = TypeVar("F", bound="Forecaster")


def write_run(forecaster: Forecaster, path: Path, *, overwrite: bool = False) -> None:
    """Write the run directory of a fitted forecaster."""
    with new_directory(path, overwrite=overwrite) as folder:
        _write_model(forecaster, folder, path.name)
        _write_results(forecaster, folder, path.name)


def _write_model(forecaster: Forecaster, folder: Path, name: str) -> None:
    versions = {name: version(name) for name in ("tsattn", "keras", "numpy")}
    written = {"format": FORMAT, "versions": versions, "training_data": forecaster.training_data_}
    module = get_model(forecaster.config_.model["name"]).module
    if module is not None:
        written["model_module"] = module
    (folder / "run.json").write_text(json.dumps(written, indent=2) + "\n")
    (folder / "config.toml").write_text(forecaster.config_.to_toml())
    (folder / "schema.json").write_text(forecaster.schema_.to_json())
    forecaster.model_.save(folder / "model.keras")
    _write_panel(forecaster.panel_, folder / "context.npz")
    if keras.backend.backend() == "tensorflow":
        forecaster.export(folder / SAVED_MODEL, name=name)


def _write_results(forecaster: Forecaster, folder: Path, name: str) -> None:
    scores = forecaster.scores_.astype(object).where(forecaster.scores_.notna(), None)
    choice = forecaster.choice_
    metrics = {
        "validation_steps": forecaster.config_.data.validation,
        "validation": scores.to_dict("records"),
        "left_out": list(forecaster.left_out_),
        "choice": None if choice is None else choice.to_dict(),
        "calibration": forecaster.calibration_.to_dict(),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    losses = _history_frame(forecaster.history_)
    losses.to_csv(folder / "history.csv", index=False)
    forecast, history = forecaster.predict(), history_frame(forecaster.panel_)
    forecast.to_csv(folder / "forecast.csv", index=False)
    season = forecaster.spec_.season
    plot_forecast(history, forecast, folder / "forecast.png", title=name, season=season)
    write_report(
        folder / "report.html",
        title=name,
        decisions=forecaster.schema_.decisions,
        scores=forecaster.scores_,
        losses=losses,
        history=history,
        forecast=forecast,
        config=forecaster.config_.to_toml(),
        season=season,
        verdict=f"{forecaster.verdict()} {forecaster.calibration_.sentence()}",
        left_out=forecaster.left_out_,
    )


def read_run(kind: type[F], path: Path) -> F:
    """Read what `write_run` wrote."""
    decided = Decided.read(path)
    try:
        return _read_files(kind, decided)
    except RunError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from None


def _read_files(kind: type[F], decided: Decided) -> F:
    path = decided.path
    forecaster = kind.from_config(decided.config)
    forecaster.training_data_ = decided.written["training_data"]
    forecaster.config_ = forecaster.to_config()
    forecaster.schema_ = Schema.read(path / "schema.json")
    spec = window_spec(decided.schema, forecaster.config_, forecaster.config_.data.context or 1)
    if not get_model(forecaster.config_.model["name"]).trained:
        spec = spec.without_covariates()
    forecaster.spec_ = spec
    forecaster.model_ = read_model(path / "model.keras", spec)
    forecaster.panel_ = _read_panel(path / "context.npz", forecaster.schema_)
    metrics = json.loads((path / "metrics.json").read_text())
    forecaster.scores_ = pd.DataFrame(metrics["validation"])
    forecaster.calibration_ = Calibration.from_dict(metrics["calibration"])
    forecaster.left_out_ = tuple(metrics.get("left_out", ()))
    choice = metrics.get("choice")
    forecaster.choice_ = None if choice is None else read_chosen(choice)
    forecaster.history_ = _read_history(path / "history.csv")
    return forecaster


def read_model(path: Path, spec: WindowSpec) -> keras.Model:
    """Read the model of a run, whose window is known.

    Raises:
        RunError: it cannot be read, or takes another window.
    """
    register_layers()
    try:
        model = keras.models.load_model(path)
    except DAMAGE as error:
        raise RunError(f"{path}: cannot be read as a Keras model: {str(error).splitlines()[0]}") from None
    shapes = {name: tuple(part.shape[1:]) for name, part in model.input.items()}
    if shapes != spec.shapes():
        raise RunError(f"{path}: expected the model of this run, which takes {spec.shapes()}, but it takes {shapes}")
    return model


def _write_panel(panel: Panel, path: Path) -> None:
    arrays: dict[str, Any] = {"values": panel.values, "offsets": panel.offsets, "starts": panel.starts}
    arrays["ids"] = np.array(panel.ids, dtype=np.str_)
    if panel.covariates is not None:
        known = panel.covariates
        arrays |= {"covariates": known.values, "covariate_offsets": known.offsets}
        arrays |= {"covariate_names": np.array(known.names, dtype=np.str_), "covariates_ahead": np.array(known.ahead)}
    for static in panel.static:
        arrays[f"static_{static.name}"] = static.values
        if static.labels is not None:
            arrays[f"labels_{static.name}"] = np.array(static.labels, dtype=np.str_)
    np.savez_compressed(path, **arrays)


def _read_panel(path: Path, schema: Schema) -> Panel:
    # NumPy leaves a file open that turns out to be none of its own.
    with path.open("rb") as file, np.load(file) as stored:
        ids = tuple(str(name) for name in stored["ids"])
        panel = Panel(stored["values"], stored["offsets"], ids, schema.targets, stored["starts"], schema.grid)
        if panel.values.shape != (panel.offsets[-1], len(schema.targets)) or len(ids) + 1 != len(panel.offsets):
            raise RunError(f"{path}: expected the series of this run, with the targets {', '.join(schema.targets)}")
        panel = replace(panel, static=tuple(_read_static(stored, name) for name in schema.static_covariates))
        if "covariates" not in stored:
            return panel
        names = tuple(str(name) for name in stored["covariate_names"])
        known = Covariates(stored["covariates"], stored["covariate_offsets"], names, int(stored["covariates_ahead"]))
        return replace(panel, covariates=known)


def _read_static(stored: Any, name: str) -> Static:
    labels = stored.get(f"labels_{name}")
    texts = None if labels is None else tuple(str(label) for label in labels)
    return Static(name, stored[f"static_{name}"], texts)


def _history_frame(history: History | None) -> pd.DataFrame:
    if history is None:
        return pd.DataFrame(columns=["epoch", "loss", "validation", "chosen", "cut"])
    epochs = range(1, len(history.loss) + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "loss": history.loss,
            "validation": history.validation or None,
            "chosen": [epoch == history.chosen for epoch in epochs],
            "cut": [history.cut and epoch == len(history.loss) for epoch in epochs],
        }
    )


def _read_history(path: Path) -> History | None:
    frame = pd.read_csv(path)
    if frame.empty:
        return None
    # None is chosen where a training that started from another run's weights made none of them better.
    chosen = int(frame.loc[frame["chosen"].astype(bool), "epoch"].sum())
    return History(tuple(frame["loss"]), tuple(frame["validation"].dropna()), chosen, bool(frame["cut"].any()))
