"""The protocols: how data are split, which part is trained on, and how forecasts are scored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.cold_start import cold_start_errors
from benchmarks.accuracy.ett import read_ett
from benchmarks.accuracy.intervals import IntervalErrors, without_calibration
from benchmarks.accuracy.scores import m4_scale, m4_scores
from benchmarks.accuracy.tasks import (
    INTERVAL_METRICS,
    M1_SINGLES,
    M4_HORIZON,
    M4_SEASON,
    ROADS_HORIZONS,
    ROADS_STEPS,
    ROADS_TRAIN,
    TEST,
    UNCALIBRATED,
    VALIDATION,
    Stage,
    Task,
)
from tsattn.config import RunConfig
from tsattn.data.loader import load, source_name
from tsattn.errors import TsattnError
from tsattn.evaluation.backtest import backtest_windows
from tsattn.evaluation.model_selection import fit
from tsattn.evaluation.origins import plan_backtest
from tsattn.forecaster import Forecaster
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.forecasting.warm_start import read_series
from tsattn.models import BASELINES
from tsattn.scoring.comparison import BATCH_ROWS, predict_windows
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.windows import Windows, WindowSpec

Figures = dict[str, Any]
Values = npt.NDArray[np.float64]

CLASSIC_ORIGINS = 5
"""Forecast origins of a classic file."""

COLD_WINDOWS = 500
"""Evenly spaced windows of the ETT protocol that are forecast from short histories."""


@dataclass
class Outcome:
    """The result of a protocol.

    Args:
        figures: Scores by stage.
        model: Options and epochs that were selected.
        fit_seconds: Time in ``fit``.
    """

    figures: dict[str, Figures]
    model: Figures = field(default_factory=dict)
    fit_seconds: float = 0.0


def run(task: Task, config: RunConfig, stage: Stage, data: Path, callback: CallbackFactory | None = None) -> Outcome:
    """Train and score by the protocol of a task.

    Args:
        task: The task.
        config: The complete configuration.
        stage: ``validation`` never reads the test part.
        data: The data folder.
        callback: Makes the callback of each training.
    """
    if task.protocol == "ett":
        return ett(data / "ETT" / f"{task.data}.csv", task.parts, config, stage, callback)
    if task.protocol == "m4":
        return m4(data / "M4", config, stage, callback)
    if task.protocol == "roads":
        return roads(data / "los_loop", config, stage, callback)
    if task.protocol == "m1":
        return m1(data / "M1" / "M1.csv", task, config, stage, callback)
    return classic(data / "classic" / f"{task.data}.csv", config, stage, callback)


def ett(
    file: Path, parts: tuple[int, int, int], config: RunConfig, stage: Stage, callback: CallbackFactory | None = None
) -> Outcome:
    """Return MSE and MAE of standardized values over all windows of a part, one step apart.

    Histories may begin before the part. Mean, standard deviation and weights come from the training part alone; the
    validation part selects the number of epochs.

    Args:
        file: CSV file with the column ``date`` and one column per channel.
        parts: Length of the training, validation and test part.
        config: Has the horizon, the validation part and no refit; its targets are the channels.
        stage: The test stage returns the figures of both parts.
        callback: Makes the callback of each training.
    """
    train, validation, test = parts
    rows = sum(parts) if stage == TEST else train + validation
    frame = read_ett(file, rows, train, config.data.target)
    forecaster, seconds = _fit(config, frame.iloc[: train + validation], callback)
    figures: dict[str, Figures] = {}
    for part, end, steps in ((VALIDATION, train + validation, validation), (TEST, rows, test)):
        if part in (VALIDATION, stage):
            panel, _ = load(frame.iloc[:end], schema=forecaster.schema_)
            model, spec = forecaster.model_, forecaster.spec_
            figures[part] = window_errors(model, spec, panel, steps)
            with without_calibration(model):
                errors = window_errors(model, spec, panel, steps)
            figures[part] |= {f"{UNCALIBRATED}{name}": errors[name] for name in INTERVAL_METRICS}
            windows = Windows.in_last_steps(panel, spec, steps, COLD_WINDOWS)
            series, origin = windows.locate(np.arange(len(windows)))
            actual = actual_values(panel, origin, spec.horizon)
            figures[part] |= cold_start_errors(model, spec, panel, series, origin, actual)
    return Outcome(figures, _model(forecaster), seconds)


def window_errors(model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Figures:
    """Return errors of the median and of the intervals over the windows of the last ``steps`` of a single series.

    Forecasts are made and scored batch by batch to limit memory.
    """
    windows = Windows.in_last_steps(panel, spec, steps)
    squared = absolute = count = 0.0
    intervals = IntervalErrors(spec.levels)
    size = max(BATCH_ROWS // len(spec.targets), 1)
    for begin in range(0, len(windows), size):
        series, origin = windows.locate(np.arange(begin, min(begin + size, len(windows))))
        quantiles = predict_windows(model, spec, panel, series, origin)
        actual = actual_values(panel, origin, spec.horizon)
        intervals.add(quantiles, actual.astype(np.float64))
        error = quantiles[..., spec.median].astype(np.float64) - actual
        squared, absolute = squared + float(np.sum(error**2)), absolute + float(np.sum(np.abs(error)))
        count += error.size
    return {"mse": squared / count, "mae": absolute / count, "windows": len(windows), **intervals.figures()}


def actual_values(panel: Panel, origin: npt.NDArray[np.int64], steps: int) -> npt.NDArray[np.float32]:
    """Return the values after each origin of a single series, [windows, steps, channels]."""
    return np.stack([panel.values[first : first + steps] for first in origin])


def m4(folder: Path, config: RunConfig, stage: Stage, callback: CallbackFactory | None = None) -> Outcome:
    """Return sMAPE, MASE and OWA, as the competition defines them, of one forecast per series.

    The model is trained on the training file. The validation stage forecasts the last 48 steps of each training series
    from the steps before them.

    Args:
        folder: Folder of Hourly-train.csv and Hourly-test.csv.
        config: Horizon and season are inferred and must equal those of the competition.
        stage: Which 48 steps are forecast.
        callback: Makes the callback of each training.
    """
    file = folder / "Hourly-train.csv"
    train = pd.read_csv(file)
    values = train.iloc[:, 1:].to_numpy(float)
    lengths = np.isfinite(values).sum(axis=1)
    if stage == VALIDATION:
        lengths -= M4_HORIZON
        actual = np.stack([row[length:][:M4_HORIZON] for row, length in zip(values, lengths, strict=True)])
        history_frame = train.iloc[:, 1:].where(np.arange(values.shape[1]) < lengths[:, None]).iloc[:, : lengths.max()]
        forecaster, seconds = _fit(config, pd.concat([train.iloc[:, :1], history_frame], axis=1), callback)
    else:
        actual = pd.read_csv(folder / "Hourly-test.csv").iloc[:, 1:].to_numpy(float)
        forecaster, seconds = _fit(config, file, callback)
    got = (forecaster.spec_.horizon, forecaster.spec_.season)
    if got != (M4_HORIZON, M4_SEASON):
        raise TsattnError(
            f"{file}: expected an inferred horizon of {M4_HORIZON} and a season of {M4_SEASON}, got {got}"
        )
    history = [row[:length] for row, length in zip(values, lengths, strict=True)]
    names = train.iloc[:, 0]
    levels, quantiles = forecaster.spec_.levels, m4_quantiles(forecaster, names)
    figures = m4_scores(history, actual, quantiles[..., forecaster.spec_.median])
    figures |= m4_intervals(history, actual, quantiles, levels)
    with without_calibration(forecaster.model_):
        figures |= m4_intervals(history, actual, m4_quantiles(forecaster, names), levels, UNCALIBRATED)
    panel = forecaster.panel_
    row = {name: number for number, name in enumerate(names)}
    order = np.array([row[name] for name in panel.ids])
    scale = m4_scale(history)[order][:, None, None]
    figures |= cold_start_errors(
        forecaster.model_,
        forecaster.spec_,
        panel,
        np.arange(len(panel)),
        panel.lengths,
        actual[order][..., None],
        scale,
    )
    return Outcome({stage: figures}, _model(forecaster), seconds)


def m4_quantiles(forecaster: Forecaster, names: pd.Series) -> Values:
    """Return the forecast after the training data, [series, horizon, levels] in the order of ``names``."""
    panel, spec = forecaster.panel_, forecaster.spec_
    series = np.array([panel.ids.index(name) for name in names], dtype=np.int64)
    return predict_windows(forecaster.model_, spec, panel, series, panel.lengths[series])[:, :, 0].astype(float)


def m4_intervals(
    history: list[Values], actual: Values, quantiles: Values, levels: Sequence[float], prefix: str = ""
) -> Figures:
    """Return the errors of the intervals; the interval score is divided by the seasonal naive error of each series."""
    errors = IntervalErrors(levels)
    errors.add(quantiles, actual, m4_scale(history)[:, None])
    return errors.figures(prefix)


def roads(folder: Path, config: RunConfig, stage: Stage, callback: CallbackFactory | None = None) -> Outcome:
    """Return RMSE and MAE in miles per hour over all sensors, for each number of first steps in `ROADS_HORIZONS`.

    The test stage trains on the first 80 % and scores the rest. As in the published figures, and in those of the naive
    baseline, histories begin within the scored part and its last window is left out. The validation stage scores the
    last eighth of the training part, which is then not trained on.

    Args:
        folder: Folder of los_speed.csv and los_adj.csv.
        config: Has horizon and context; a model that needs a graph gets the graph of the roads.
        stage: Which part is scored.
        callback: Makes the callback of each training.
    """
    speeds = pd.read_csv(folder / "los_speed.csv")
    begin, end = (ROADS_TRAIN, len(speeds)) if stage == TEST else (ROADS_TRAIN * 7 // 8, ROADS_TRAIN)
    if config.model.get("adjacency") in ("given", "both"):
        config = config.model_copy(update={"data": config.data.model_copy(update={"graph": f"{folder}/los_adj.csv"})})
    forecaster, seconds = _fit(config, speeds.iloc[:begin], callback)
    panel, _ = load(speeds.iloc[:end], schema=forecaster.schema_)
    origins = np.arange(begin + ROADS_STEPS, end - min(ROADS_HORIZONS))
    model, spec = forecaster.model_, forecaster.spec_
    medians = predict_windows(model, spec, panel, np.zeros_like(origins), origins)[..., spec.median]
    figures: Figures = {"windows": len(origins)}
    for steps in ROADS_HORIZONS:
        scored = origins < end - steps
        actual = actual_values(panel, origins[scored], steps)
        error = medians[scored, :steps].astype(np.float64) - actual
        figures[f"rmse_{steps}"] = float(np.sqrt(np.mean(error**2)))
        figures[f"mae_{steps}"] = float(np.mean(np.abs(error)))
    return Outcome({stage: figures}, _model(forecaster), seconds)


def m1(file: Path, task: Task, config: RunConfig, stage: Stage, callback: CallbackFactory | None = None) -> Outcome:
    """Return the MASE and the coverage of the widest interval over one forecast per series.

    All series of a frequency are fitted together, or some of them each by itself: `M1_SINGLES`, drawn by a fixed seed
    from those that are long enough for a validation part. The scale is the seasonal naive error within the history. The
    validation stage forecasts the last horizon of the training part.

    Args:
        file: CSV file with the columns ``unique_id``, ``group``, ``part``, ``ds`` and ``y``.
        task: Has frequency, horizon and season.
        config: Has the horizon.
        stage: Which part is forecast.
        callback: Makes the callback of each training.
    """
    assert task.horizon is not None and task.season is not None
    frame = pd.read_csv(file, parse_dates=["ds"])
    frame = frame[frame["group"] == task.data]
    if stage == VALIDATION:
        frame = frame[frame["part"] == "train"]
        is_history = frame.groupby("unique_id").cumcount(ascending=False) >= task.horizon
    else:
        is_history = frame["part"] == "train"
    history, future = (frame.loc[rows, ["unique_id", "ds", "y"]] for rows in (is_history, ~is_history))
    parts = [history]
    if task.name.endswith("single"):
        lengths = history.groupby("unique_id").size()
        names = lengths.index[lengths > 2 * task.horizon]
        drawn = np.random.default_rng(0).choice(names, min(M1_SINGLES, len(names)), replace=False)
        parts = [history[history["unique_id"] == name] for name in drawn]
    seconds, forecasts = 0.0, []
    for part in parts:
        forecaster, taken = _fit(config, part, callback)
        seconds += taken
        forecasts.append(forecaster.predict())
    merged = pd.concat(forecasts).merge(future, on=["unique_id", "ds"], suffixes=("", "_actual"))
    scale = history.groupby("unique_id")["y"].agg(partial(_seasonal_error, season=task.season))
    error = (merged["y"] - merged["y_actual"]).abs().groupby(merged["unique_id"]).mean()
    low, high = (next(name for name in merged.columns[::-1] if name.startswith(side)) for side in ("y-lo-", "y-hi-"))
    figures = {
        "mase": float((error / scale[error.index]).mean()),
        "coverage": float(merged["y_actual"].between(merged[low], merged[high]).mean()),
        "series": len(error),
    }
    return Outcome({stage: figures}, _model(forecaster) if len(parts) == 1 else {}, seconds)


def _seasonal_error(values: pd.Series, season: int) -> float:
    """Return the mean absolute error of the seasonal naive forecast within a series."""
    return float(np.abs(values.to_numpy()[season:] - values.to_numpy()[:-season]).mean())


def classic(file: Path, config: RunConfig, stage: Stage, callback: CallbackFactory | None = None) -> Outcome:
    """Return the MASE over five forecast origins, after a single training, relative to the best naive baseline.

    The best baseline is selected on the test windows themselves, so that 1 is hard to beat. The validation stage
    backtests the part before the first origin of the test stage.

    Args:
        file: Any file that `tsattn` reads.
        config: Options that are not set are inferred.
        stage: Which part of the file is forecast.
        callback: Makes the callback of each training.
    """
    panel, schema = load(file, config.data)
    windows = plan_backtest(panel, schema, config.data, CLASSIC_ORIGINS, source=file.name)
    if stage == VALIDATION:
        windows = plan_backtest(windows.training(), schema, config.data, CLASSIC_ORIGINS, source=file.name)
    begin = time.monotonic()
    result = backtest_windows(config, windows, callback=callback)
    seconds = round(time.monotonic() - begin, 1)
    scores = result.scores.set_index("model")
    errors, name = scores["mase"].astype(float), result.best
    best = str(errors[list(BASELINES)].idxmin())
    figures = {
        "relative_mase": float(errors[name] / errors[best]) if errors[best] > 0 else float("nan"),
        "mase": float(errors[name]),
        "best_naive": best,
        "best_naive_mase": float(errors[best]),
        "horizon": windows.schema.horizon,
        "season": windows.schema.season,
        "step": windows.step,
        "selected_model": result.choices[name][0].selected if name in result.choices else name,
    }
    return Outcome({stage: figures}, {}, seconds)


def _fit(config: RunConfig, data: pd.DataFrame | Path, callback: CallbackFactory | None) -> tuple[Forecaster, float]:
    begin = time.monotonic()
    forecaster = Forecaster.from_config(config)
    forecaster.fitted_ = fit(config, *read_series(data, config), source_name(data), callback)
    return forecaster, round(time.monotonic() - begin, 1)


def _model(forecaster: Forecaster) -> Figures:
    """Return the resolved options, the number of parameters and the epochs."""
    resolved = forecaster.config_.model_dump(mode="json", exclude_none=True)
    if graph := resolved["data"].get("graph"):
        # Results do not depend on the folder.
        resolved["data"]["graph"] = Path(graph).name
    history = forecaster.history_
    return {
        "parameters": forecaster.model_.count_params(),
        "configuration": {group: resolved[group] for group in ("model", "data")},
        "epochs": None if history is None else len(history.loss),
        "best_epoch": None if history is None else history.best_epoch,
    }
