"""The state of a fitted forecaster, and the files of a run directory that hold it.

It is the result of training, and the input of prediction, export and run directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp, quote_list
from tsattn.atomic_io import READ_ERRORS
from tsattn.config import RunConfig
from tsattn.errors import DataWarning, RunError
from tsattn.forecasting.run_metadata import FORMAT, RunMetadata, damaged_run_error
from tsattn.models import get_model, resolve_options
from tsattn.models.combination import combine_with_zero_shot, combined_window, get_network
from tsattn.models.forecast_model import build_graph
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import register_layers
from tsattn.models.training_range import TrainingRange, get_training_range
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.comparison import ValidationSummary
from tsattn.scoring.forecast_weights import ForecastWeights, name_with_zero_shot
from tsattn.scoring.model_choice import ModelChoice, comparison_summary, read_model_choice
from tsattn.timeseries.panel import Covariates, Panel, StaticCovariate, missing_future_covariates
from tsattn.timeseries.ragged import Floats, RaggedArray
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
