"""Write and read the files of a run directory that hold the fitted forecaster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from tsattn.atomic_io import READ_ERRORS
from tsattn.errors import RunError
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.run_metadata import FORMAT, RunMetadata, damaged_run_error
from tsattn.models import get_model, resolve_options
from tsattn.models.combination import combined_window
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import register_layers
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.model_choice import read_model_choice
from tsattn.timeseries.panel import Covariates, Panel, StaticCovariate
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WindowSpec
from tsattn.training.trainer import History


def read_model(path: Path, spec: WindowSpec) -> keras.Model:
    """Read the Keras model of a run.

    Raises:
        RunError: The file cannot be read, or the inputs of the model are not those of the window.
    """
    register_layers()
    try:
        model = keras.models.load_model(path)
    except READ_ERRORS as error:
        raise RunError(f"{path}: cannot be read as a Keras model: {str(error).splitlines()[0]}") from None
    broken = next((weight.path for weight in model.weights if not _is_finite(weight)), None)
    if broken is not None:
        raise RunError(f"{path}: expected finite weights, but those of {broken} are not, so that it cannot forecast")
    shapes = {name: tuple(part.shape[1:]) for name, part in model.input.items()}
    if shapes != spec.shapes():
        raise RunError(f"{path}: expected the model of this run with inputs {spec.shapes()}. Received: inputs {shapes}")
    return model


def _is_finite(weight: Any) -> bool:
    return bool(np.isfinite(keras.ops.convert_to_numpy(weight)).all())


def write_manifest(fitted: FittedForecaster, folder: Path, files: Mapping[str, str]) -> None:
    """Write ``run.json``, with the hashes of the other files."""
    versions = {name: version(name) for name in ("tsattn", "keras", "numpy")}
    manifest: dict[str, Any] = {"format": FORMAT, "versions": versions, "training_data": fitted.training_data}
    module = get_model(fitted.config.model["name"]).module
    if module is not None:
        manifest["model_module"] = module
    manifest["files"] = dict(files)
    (folder / "run.json").write_text(json.dumps(manifest, indent=2) + "\n")


def write_fitted(fitted: FittedForecaster, folder: Path) -> None:
    """Write the files that `read_run` reads, without ``run.json``, into an existing folder."""
    (folder / "config.toml").write_text(fitted.config.to_toml())
    (folder / "schema.json").write_text(fitted.schema.to_json())
    fitted.model.save(folder / "model.keras")
    _write_panel(fitted.panel, folder / "context.npz")
    scores = fitted.scores.astype(object).where(fitted.scores.notna(), None)
    metrics = {
        "validation_steps": fitted.config.data.validation,
        "scores": scores.to_dict("records"),
        "notes": list(fitted.notes),
        "forecast_notes": fitted.forecast_notes,
        "model_choice": fitted.choice and fitted.choice.to_dict(),
        "calibration": fitted.calibration.to_dict(),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    history_to_frame(fitted.history).to_csv(folder / "history.csv", index=False)


def read_run(path: Path, *, verify: bool = True) -> FittedForecaster:
    """Read a run directory.

    Args:
        path: The run directory.
        verify: Whether to check that no file was changed after it was written.

    Raises:
        RunError: It is missing, incomplete, changed, damaged or of another format.
    """
    metadata = RunMetadata.read(path, verify=verify)
    try:
        return _read_files(metadata)
    except RunError:
        raise
    except READ_ERRORS as error:
        raise damaged_run_error(path, error) from None


def _read_files(metadata: RunMetadata) -> FittedForecaster:
    path, config = metadata.path, metadata.config
    schema = Schema.read(path / "schema.json")
    spec = WindowSpec.from_schema(metadata.schema, config, config.data.context or 1)
    options = resolve_options(config.model)[1]
    if not isinstance(options, NetworkOptions):
        spec = spec.without_covariates()
    elif options.zero_shot:
        spec = combined_window(spec, options.seasons(spec.season))
    metrics = json.loads((path / "metrics.json").read_text())
    return FittedForecaster(
        config=config,
        schema=schema,
        spec=spec,
        model=read_model(path / "model.keras", spec),
        panel=_read_panel(path / "context.npz", schema),
        training_data=metadata.manifest["training_data"],
        scores=pd.DataFrame(metrics["scores"]),
        notes=tuple(metrics["notes"]),
        calibration=Calibration.from_dict(metrics["calibration"]),
        history=_read_history(path / "history.csv"),
        choice=metrics["model_choice"] and read_model_choice(metrics["model_choice"]),
    )


def _write_panel(panel: Panel, path: Path) -> None:
    arrays: dict[str, Any] = {"values": panel.values, "offsets": panel.series.offsets, "starts": panel.starts}
    arrays["ids"] = np.array(panel.ids, dtype=np.str_)
    if panel.levels is not None:
        arrays["levels"] = panel.levels
    if panel.covariates is not None:
        covariates = panel.covariates
        arrays |= {"covariates": covariates.series.values, "covariate_offsets": covariates.series.offsets}
        arrays["covariate_names"] = np.array(covariates.names, dtype=np.str_)
        arrays["num_future_covariates"] = np.array(covariates.num_future)
    for static in panel.static:
        arrays[f"static_{static.name}"] = static.values
        if static.labels is not None:
            arrays[f"labels_{static.name}"] = np.array(static.labels, dtype=np.str_)
    np.savez_compressed(path, **arrays)


def _read_panel(path: Path, schema: Schema) -> Panel:
    # np.load leaves a file open that is not in its format.
    with path.open("rb") as file, np.load(file) as stored:
        ids = tuple(str(name) for name in stored["ids"])
        series = RaggedArray(stored["values"], stored["offsets"])
        panel = Panel(series, ids, schema.targets, stored["starts"], schema.grid, levels=stored.get("levels"))
        if series.values.shape != (series.offsets[-1], len(schema.targets)) or len(ids) != len(series):
            raise RunError(f"{path}: expected the series of this run, with the targets {', '.join(schema.targets)}")
        panel = replace(panel, static=tuple(_read_static(stored, name) for name in schema.static_covariates))
        if "covariates" not in stored:
            return panel
        names = tuple(str(name) for name in stored["covariate_names"])
        features = RaggedArray(stored["covariates"], stored["covariate_offsets"])
        return replace(panel, covariates=Covariates(features, names, int(stored["num_future_covariates"])))


def _read_static(stored: Any, name: str) -> StaticCovariate:
    labels = stored.get(f"labels_{name}")
    texts = None if labels is None else tuple(str(label) for label in labels)
    return StaticCovariate(name, stored[f"static_{name}"], texts)


def history_to_frame(history: History | None) -> pd.DataFrame:
    """Return a training history with one row per epoch."""
    if history is None:
        return pd.DataFrame(columns=["epoch", "loss", "val_loss", "best", "out_of_time", "interrupted"])
    epochs = range(1, len(history.loss) + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "loss": history.loss,
            "val_loss": history.val_loss or None,
            "best": [epoch == history.best_epoch for epoch in epochs],
            "out_of_time": [history.out_of_time and epoch == len(history.loss) for epoch in epochs],
            "interrupted": [history.interrupted and epoch == len(history.loss) for epoch in epochs],
        }
    )


def _read_history(path: Path) -> History | None:
    frame = pd.read_csv(path, float_precision="round_trip")
    if frame.empty:
        return None
    # 0, the sum of no epochs, where fine-tuning improved nothing.
    best = int(frame.loc[frame["best"].astype(bool), "epoch"].sum())
    out_of_time, interrupted = (bool(frame[name].any()) for name in ("out_of_time", "interrupted"))
    return History(tuple(frame["loss"]), tuple(frame["val_loss"].dropna()), best, out_of_time, interrupted)
