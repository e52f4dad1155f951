"""Forecasts of a model and the naive baselines on the same windows, their scores, and a summary for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from weakref import WeakKeyDictionary

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.layers.ops import captured_constants
from tsattn.models import BASELINES, get_model
from tsattn.models.forecast_model import build_untrained
from tsattn.scoring.metrics import REFERENCE, Scores, score
from tsattn.scoring.window_forecaster import (
    CLASSICAL,
    ClassicalForecaster,
    FitFailures,
    WindowForecaster,
    WindowForecasts,
)
from tsattn.timeseries.frames import history_frame, quantile_columns, series_names
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.windows import (
    MAX_SERIES,
    QUANTILES,
    TARGET,
    TARGET_OBSERVED,
    WEIGHTS,
    Windows,
    WindowSpec,
    gather,
)

_EXAMPLES = {"good": 0.1, "median": 0.5, "bad": 0.9}
"""Fraction of the series with a smaller error."""

MAX_ROWS, MIN_WINDOWS = 4_000, 20
"""Maximum of windows times targets of the validation part, unless that is less than a number of windows; more of them
are thinned out evenly."""

BATCH_ROWS = 2048
"""Rows of a batch, windows times targets, so that many targets do not exceed the memory."""


EAGER_CALLS = 8
"""Calls of a model without a graph; to trace one takes as long as about eight of them."""

_calls: WeakKeyDictionary[keras.Model, int] = WeakKeyDictionary()
"""Calls of each model so far."""

SMOOTHED_STEPS = 10_000
"""Rows of a batch times horizon of a model with exponential smoothings, which makes two thousand forecasts of each."""


@dataclass(frozen=True)
class ValidationExample:
    """A forecast of the validation part.

    Args:
        kind: "good", "median" or "bad".
        error: Mean absolute error of its series, in units of ``ValidationSummary.unit``.
        history: ``unique_id``, ``ds``, ``y`` of the series, up to the end of the forecast.
        forecast: ``unique_id``, ``ds``, ``y`` and the bounds of intervals.
    """

    kind: str
    error: float
    history: pd.DataFrame
    forecast: pd.DataFrame


@dataclass(frozen=True)
class ValidationSummary:
    """How a model forecast the validation part, before its intervals were calibrated on it.

    Args:
        unit: Unit of the errors: "MASE", or "MAE" if a season is as long as the data.
        by_step: ``step`` of the horizon, from 1, and mean error of the model and of the seasonal naive forecast.
        coverage: ``level`` and ``fraction``, that of the values below this quantile.
        examples: Forecasts of a series with a small, a median and a large error; of a forecast origin where there are
            fewer than three series.
    """

    unit: str
    by_step: pd.DataFrame
    coverage: pd.DataFrame
    examples: tuple[ValidationExample, ...]


def _summarize_validation(
    frame: pd.DataFrame, name: str, levels: tuple[float, ...], panel: Panel, scales: pd.DataFrame
) -> ValidationSummary | None:
    """Return the summary of the forecasts of a model; None if no value is known.

    Args:
        frame: ``unique_id``, ``cutoff``, ``ds``, ``y`` and the columns of the models; see
            `tsattn.scoring.comparison.forecast_origins`.
        name: Name of the model.
        levels: Its quantile levels.
        panel: The series, with the validation part.
        scales: Errors of the seasonal naive forecast before the validation part, see
            `tsattn.scoring.metrics.naive_scales`.
    """
    known = frame.dropna(subset="y")
    if known.empty:
        return None
    columns = {f"{name}{key.removeprefix('y')}": index for key, index in quantile_columns(levels).items()}
    factor = known["unique_id"].map(scales["mae"].replace(0.0, np.nan)).astype(float)
    unit = "MASE" if factor.notna().any() else "MAE"
    factor = factor if unit == "MASE" else pd.Series(1.0, index=known.index)
    step = frame.groupby(["unique_id", "cutoff"], sort=False).cumcount().loc[known.index] + 1
    shown = list(dict.fromkeys([name, REFERENCE]))
    errors = pd.DataFrame({model: (known[model].astype(float) - known["y"]).abs() / factor for model in shown})
    coverage = pd.DataFrame(
        {
            "level": [levels[index] for index in columns.values()],
            "fraction": [float((known["y"] <= known[column]).mean()) for column in columns],
        }
    )
    return ValidationSummary(
        unit,
        errors.groupby(step.rename("step")).mean().reset_index(),
        coverage.sort_values("level", ignore_index=True),
        _examples(frame, known.assign(error=errors[name]), list(columns), name, panel),
    )


def _examples(
    frame: pd.DataFrame, known: pd.DataFrame, columns: list[str], name: str, panel: Panel
) -> tuple[ValidationExample, ...]:
    """Return the last forecast of the series whose errors have given ranks, or those of origins."""
    keys = ["unique_id"] if known["unique_id"].nunique() >= len(_EXAMPLES) else ["unique_id", "cutoff"]
    ranked = known.dropna(subset="error").groupby(keys, sort=False)["error"].mean().sort_values(kind="stable")
    chosen = {round(rank * (len(ranked) - 1)): kind for kind, rank in _EXAMPLES.items()} if len(ranked) else {}
    places, found = {id: number // len(panel.targets) for number, id in enumerate(series_names(panel))}, []
    for place, kind in chosen.items():
        key = ranked.index[place]
        id, cutoff = key if isinstance(key, tuple) else (key, known.loc[known["unique_id"] == key, "cutoff"].max())
        own = frame[(frame["unique_id"] == id) & (frame["cutoff"] == cutoff)]
        forecast = own[["unique_id", "ds", *columns]].rename(columns=lambda text: text.replace(name, "y", 1))
        history = history_frame(panel.take(np.array([places[id]])))
        past = history[(history["unique_id"] == id) & (history["ds"] <= own["ds"].max())]
        found.append(ValidationExample(kind, float(ranked.iloc[place]), past, forecast))
    return tuple(found)


@dataclass(frozen=True)
class KerasForecaster:
    """A Keras inference model, trained or a naive baseline, with the window it takes."""

    model: keras.Model
    spec: WindowSpec

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> WindowForecasts:
        """Forecast at pairs of series and origin; see `WindowForecaster`."""
        return WindowForecasts(predict_windows(self.model, self.spec, panel, series, origin))


def batch_rows(model: keras.Model, spec: WindowSpec) -> int:
    """Return the windows that an inference model takes at once."""
    rows = min(BATCH_ROWS, SMOOTHED_STEPS // spec.horizon) if WEIGHTS in model.output else BATCH_ROWS
    return max(rows // len(spec.targets), 1)


def predict_windows(
    model: keras.Model,
    spec: WindowSpec,
    panel: Panel,
    series: Ints,
    origin: Ints,
    output: str = QUANTILES,
    max_length: Ints | None = None,
) -> Floats:
    """Run an inference model on windows.

    Args:
        model: The inference model.
        spec: Its window.
        panel: The series.
        series: Index of the series, int64 [windows].
        origin: Steps of history, int64 [windows].
        output: Name of the output of the model.
        max_length: Maximum steps of history of each window, int64 [windows]; defaults to the context.

    Returns:
        That output, by default the quantiles [windows, horizon, targets, levels] in original units.
    """
    parts = []
    size = batch_rows(model, spec)
    for begin in range(0, len(series), size):
        chosen = slice(begin, begin + size)
        limit = None if max_length is None else max_length[chosen]
        batch = gather(panel, spec, series[chosen], origin[chosen], target=False, max_length=limit)
        parts.append(_run(model, batch, output))
    if not parts:
        return np.zeros((0, spec.horizon, len(spec.targets), len(spec.levels)), "float32")
    return np.concatenate(parts)


def _run(model: keras.Model, batch: dict[str, Any], output: str) -> Floats:
    """Return an output of a model, which is traced once it is used often.

    JAX would compile it for every size of a batch.
    """
    calls = _calls[model] = _calls.get(model, 0) + 1
    if calls <= EAGER_CALLS or keras.backend.backend() != "tensorflow":
        found: Floats = keras.ops.convert_to_numpy(model(batch, training=False)[output])
        return found
    model.jit_compile = False  # by default Keras compiles with XLA, which takes much longer
    with captured_constants():
        found = model.predict_on_batch(batch)[output]
    return found


def baseline_spec(panel: Panel, spec: WindowSpec) -> WindowSpec:
    """Return the window of a baseline: without covariates, and at least two seasons long if the data allow it."""
    context = max(min(2 * spec.season + 1, int(panel.lengths.max())), spec.context)
    return replace(spec.without_covariates(), context=context)


def naive_forecasters(panel: Panel, spec: WindowSpec) -> dict[str, KerasForecaster]:
    """Return the naive baselines by name.

    Args:
        panel: The training data.
        spec: The window of the model that they are compared with.
    """
    own = baseline_spec(panel, spec)
    return {name: KerasForecaster(build_untrained(get_model(name), own), own) for name in BASELINES}


def with_naive_baselines(name: str, forecaster: WindowForecaster, panel: Panel) -> dict[str, WindowForecaster]:
    """Return a model and the naive baselines by name; ``panel`` is the training data of the model."""
    return {name: forecaster} | {
        other: baseline for other, baseline in naive_forecasters(panel, forecaster.spec).items() if other != name
    }


def classical_forecasters(names: Sequence[str], panel: Panel, spec: WindowSpec) -> dict[str, ClassicalForecaster]:
    """Return classical baselines by name, in the order of `CLASSICAL`; arguments as of `naive_forecasters`."""
    if not names:
        return {}
    fallback = naive_forecasters(panel, spec)["seasonal_naive"]
    return {name: ClassicalForecaster(name, fallback.spec, fallback) for name in CLASSICAL if name in names}


def observed_targets(panel: Panel, spec: WindowSpec, series: Ints, origin: Ints) -> Floats:
    """Return the observed values of windows, float32 `(windows, horizon, targets)`; NaN where missing."""
    truth = gather(panel, spec, series, origin)
    return np.where(truth[TARGET_OBSERVED] > 0, truth[TARGET], np.float32(np.nan))


@dataclass(frozen=True)
class ValidationForecasts:
    """What a model forecasts for the windows whose target lies in the last steps of each series.

    It is a `WindowForecaster` of these windows.

    Args:
        panel: The series.
        spec: Window of the model.
        steps: Length of the validation part.
        series: Index of the series, `(windows,)`.
        origin: Steps of history, `(windows,)`.
        quantiles: `(windows, horizon, targets, levels)`, in original units.
    """

    panel: Panel
    spec: WindowSpec
    steps: int
    series: Ints
    origin: Ints
    quantiles: Floats

    @classmethod
    def of(cls, model: keras.Model, spec: WindowSpec, panel: Panel, steps: int) -> Self:
        """Forecast the windows.

        Args:
            model: Inference model that was not trained on these steps.
            spec: Its window.
            panel: The series.
            steps: Length of the validation part.
        """
        windows = Windows.in_last_steps(panel, spec, steps, max(MAX_ROWS // len(spec.targets), MIN_WINDOWS))
        series, origin = windows.locate(np.arange(len(windows)))
        return cls(panel, spec, steps, series, origin, predict_windows(model, spec, panel, series, origin))

    @property
    def actual(self) -> Floats:
        """Observed values, `(windows, horizon, targets)`; NaN where missing."""
        return observed_targets(self.panel, self.spec, self.series, self.origin)

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> WindowForecasts:
        """Return the forecasts; the arguments must be those of the windows."""
        return WindowForecasts(self.quantiles)


def compare(name: str, forecasts: ValidationForecasts) -> tuple[Scores, ValidationSummary | None]:
    """Score a model and the naive baselines on the validation part, and summarize how the model forecast it.

    MASE is scaled by the data before it.

    Args:
        name: Name of the model.
        forecasts: Its forecasts.
    """
    panel, spec = forecasts.panel, forecasts.spec
    forecasters = with_naive_baselines(name, forecasts, panel)
    frame, _ = forecast_origins(forecasters, panel, forecasts.series, forecasts.origin)
    training = history_frame(panel.drop_last(forecasts.steps))
    # All windows of a series are scored together.
    scores = score(frame.drop(columns=["cutoff", "ds"]), list(forecasters), spec.season, spec.levels, training)
    number = len(np.unique(forecasts.series))
    if number == MAX_SERIES < len(panel):
        scores = replace(scores, notes=(*scores.notes, f"The scores are those of {number:,} of {len(panel):,} series."))
    return scores, _summarize_validation(frame, name, spec.levels, panel, scores.scales)


def forecast_windows(
    forecasters: Mapping[str, WindowForecaster], panel: Panel, series: Ints, origin: Ints
) -> tuple[pd.DataFrame, dict[str, FitFailures]]:
    """Forecast at pairs of series and origin with every model.

    Args:
        forecasters: Models by name, all with the same horizon and levels.
        panel: The series.
        series: Index of the series, int64 [windows].
        origin: Steps of history, int64 [windows].

    Returns:
        Forecasts and fit failures by model. The frame has the columns ``unique_id``, ``y`` (observed, NaN where
        missing), and for each model its forecast and bounds (``naive``, ``naive-lo-80``, ``naive-hi-80``); windows x
        targets x horizon rows, in this order.
    """
    spec = next(iter(forecasters.values())).spec
    actual = panel.restore(observed_targets(panel, spec, series, origin), series)
    names = np.array(series_names(panel), dtype=object).reshape(len(panel), -1)
    ids = np.repeat(names[series].ravel(), spec.horizon)
    columns: dict[str, npt.NDArray[Any]] = {"unique_id": ids, "y": actual.transpose(0, 2, 1).ravel()}
    failures = {}
    for name, forecaster in forecasters.items():
        forecasts = forecaster.forecast(panel, series, origin)
        rows = panel.restore(forecasts.quantiles, series, axis=2).transpose(3, 0, 2, 1).reshape(len(spec.levels), -1)
        columns |= {
            f"{name}{key.removeprefix('y')}": rows[level] for key, level in quantile_columns(spec.levels).items()
        }
        failures[name] = forecasts.failures
    return pd.DataFrame(columns), failures


def forecast_origins(
    forecasters: Mapping[str, WindowForecaster], panel: Panel, series: Ints, origin: Ints
) -> tuple[pd.DataFrame, dict[str, FitFailures]]:
    """Forecast as `forecast_windows`, with the columns ``cutoff`` (last timestamp of the history) and ``ds``."""
    frame, failures = forecast_windows(forecasters, panel, series, origin)
    width = len(panel.targets)
    horizon = len(frame) // (len(series) * width)
    cutoff = panel.starts[series] + origin - 1
    future = cutoff[:, None, None] + np.arange(1, horizon + 1)
    frame.insert(1, "cutoff", panel.grid.times(np.repeat(cutoff, width * horizon)))
    frame.insert(2, "ds", panel.grid.times(np.broadcast_to(future, (len(series), width, horizon)).ravel()))
    return frame, failures
