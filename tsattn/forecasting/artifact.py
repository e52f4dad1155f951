"""The files of a run directory that hold the fitted forecaster."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsattn.errors import RunError
from tsattn.forecasting.fit import window_spec
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.run_metadata import DAMAGE, FORMAT, Decided, damaged
from tsattn.models import get_model
from tsattn.models.loading import read_model
from tsattn.scoring.calibration import Calibration
from tsattn.scoring.model_choice import read_chosen
from tsattn.timeseries.panel import Covariates, Panel, Static
from tsattn.timeseries.schema import Schema
from tsattn.training.trainer import History


def write_fitted(fitted: FittedForecaster, folder: Path) -> None:
    """Write what `read_run` needs into an existing folder."""
    versions = {name: version(name) for name in ("tsattn", "keras", "numpy")}
    written = {"format": FORMAT, "versions": versions, "training_data": fitted.training_data}
    module = get_model(fitted.config.model["name"]).module
    if module is not None:
        written["model_module"] = module
    (folder / "run.json").write_text(json.dumps(written, indent=2) + "\n")
    (folder / "config.toml").write_text(fitted.config.to_toml())
    (folder / "schema.json").write_text(fitted.schema.to_json())
    fitted.model.save(folder / "model.keras")
    _write_panel(fitted.panel, folder / "context.npz")
    scores = fitted.scores.astype(object).where(fitted.scores.notna(), None)
    choice = fitted.choice
    metrics = {
        "validation_steps": fitted.config.data.validation,
        "validation": scores.to_dict("records"),
        "left_out": list(fitted.left_out),
        "choice": None if choice is None else choice.to_dict(),
        "calibration": fitted.calibration.to_dict(),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    losses = history_to_frame(fitted.history)
    losses.to_csv(folder / "history.csv", index=False)


def read_run(path: Path) -> FittedForecaster:
    """Read a run directory."""
    decided = Decided.read(path)
    try:
        return _read_files(decided)
    except RunError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from None


def _read_files(decided: Decided) -> FittedForecaster:
    path, config = decided.path, decided.config
    schema = Schema.read(path / "schema.json")
    spec = window_spec(decided.schema, config, config.data.context or 1)
    if not get_model(config.model["name"]).trained:
        spec = spec.without_covariates()
    metrics = json.loads((path / "metrics.json").read_text())
    choice = metrics.get("choice")
    return FittedForecaster(
        config=config,
        schema=schema,
        spec=spec,
        model=read_model(path / "model.keras", spec),
        panel=_read_panel(path / "context.npz", schema),
        training_data=decided.written["training_data"],
        scores=pd.DataFrame(metrics["validation"]),
        left_out=tuple(metrics.get("left_out", ())),
        calibration=Calibration.from_dict(metrics["calibration"]),
        history=_read_history(path / "history.csv"),
        choice=None if choice is None else read_chosen(choice),
    )


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


def history_to_frame(history: History | None) -> pd.DataFrame:
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
