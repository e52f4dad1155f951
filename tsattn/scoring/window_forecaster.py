"""Everything that forecasts windows of a panel: the interface, and the classical baselines of `statsforecast`.

The classical baselines are an optional extra, fitted to the whole history before each origin: exponential smoothing
(Hyndman et al. 2002), the Theta family (Fiorucci et al. 2016) and seasonal ARIMA (Hyndman and Khandakar 2008), each
with automatic model selection. They are not limited to the context and take no covariates.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError, import_extra
from tsattn.timeseries.windows import WindowSpec

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.ragged import Ints


Floats = npt.NDArray[np.float64]

CLASSICAL = {"autoets": "AutoETS", "autotheta": "AutoTheta", "autoarima": "AutoARIMA"}
"""Names of the classical baselines, and of their classes in `statsforecast.models`."""


@dataclass(frozen=True)
class FitFailures:
    """Number of histories that a classical model could not be fitted to.

    Args:
        failed: Histories that the seasonal naive baseline forecasts instead.
        total: All histories.
    """

    failed: int = 0
    total: int = 0

    def __add__(self, other: FitFailures) -> FitFailures:
        return FitFailures(self.failed + other.failed, self.total + other.total)

    def summary(self, name: str) -> str | None:
        """Return a sentence on the failures of the model ``name``; None if there are none."""
        if not self.failed:
            return None
        return (
            f"{name} could not be fitted to {self.failed} of {self.total} histories; the seasonal naive forecast is "
            "used instead."
        )


@dataclass(frozen=True)
class WindowForecasts:
    """Forecasts of several windows.

    Args:
        quantiles: [windows, horizon, targets, levels], in original units.
        failures: Histories without a fit; only classical models have any.
    """

    quantiles: npt.NDArray[Any]
    failures: FitFailures = FitFailures()


class WindowForecaster(Protocol):
    """Forecasts windows of a panel."""

    @property
    def spec(self) -> WindowSpec:
        """The window. Forecasters that are compared have the same horizon, season and levels."""
        ...

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> WindowForecasts:
        """Forecast at pairs of series index and origin (steps of history), each int64 [windows]."""
        ...


@dataclass(frozen=True)
class ClassicalForecaster:
    """A classical baseline, fitted to the history of each window.

    Gaps within a history are filled by linear interpolation, as `statsforecast` requires. Missing values at its end
    are forecast as well.

    Args:
        name: Key of `CLASSICAL`.
        spec: The window; season, horizon and levels are used.
        fallback: Forecasts the histories that no model can be fitted to, such as very short ones.
    """

    name: str
    spec: WindowSpec
    fallback: WindowForecaster

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> WindowForecasts:
        """Fit and forecast at pairs of series and origin; see `WindowForecaster`."""
        model = getattr(load_statsforecast(), CLASSICAL[self.name])(season_length=self.spec.season)
        targets = len(panel.targets)
        quantiles = np.full((len(series), self.spec.horizon, targets, len(self.spec.levels)), np.nan)
        for window, (index, steps) in enumerate(zip(series, origin, strict=True)):
            history = panel.series[int(index)][: int(steps)].astype("float64")
            for target in range(targets):
                quantiles[window, :, target] = self._forecast_series(model, history[:, target])
        failed = ~np.isfinite(quantiles).all(axis=(1, 3))
        if failed.any():
            fallback = self.fallback.forecast(panel, series, origin).quantiles
            quantiles = np.where(failed[:, None, :, None], fallback, quantiles)
        return WindowForecasts(quantiles, FitFailures(int(failed.sum()), failed.size))

    def _forecast_series(self, model: Any, history: Floats) -> Floats:
        """Return the quantiles of one series [horizon, levels], NaN if the model cannot be fitted."""
        failed = np.full((self.spec.horizon, len(self.spec.levels)), np.nan)
        observed = np.flatnonzero(np.isfinite(history))
        if not len(observed):
            return failed
        missing = len(history) - 1 - int(observed[-1])
        filled = np.interp(np.arange(observed[0], observed[-1] + 1), observed, history[observed])
        percents = sorted({_interval_percent(level) for level in self.spec.levels} - {0})
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                forecast = model.forecast(y=filled, h=self.spec.horizon + missing, level=percents or None)
        # statsforecast raises a bare Exception for most of the histories that no model fits.
        except Exception:
            return failed
        columns = [np.asarray(forecast[_column(level)], dtype="float64")[missing:] for level in self.spec.levels]
        return np.stack(columns, axis=1)


def _interval_percent(level: float) -> float:
    """Return the coverage, in percent, of the interval that a quantile level bounds; 0 for the median."""
    percent = round(100 * abs(1 - 2 * level), 6)
    return int(percent) if percent == int(percent) else percent


def _column(level: float) -> str:
    """Return the name of a quantile in `statsforecast`."""
    percent = _interval_percent(level)
    return "mean" if percent == 0 else f"{'lo' if level < 0.5 else 'hi'}-{percent}"


def check_classical(names: Sequence[str]) -> None:
    """Check the names of classical baselines and that their package is installed.

    Raises:
        ConfigError: A name is unknown.
        RunError: `statsforecast` is not installed.
    """
    for name in names:
        if name not in CLASSICAL:
            raise ConfigError(f"expected classical baselines out of {', '.join(CLASSICAL)}. Received: {name}")
    if names:
        load_statsforecast()


def load_statsforecast() -> Any:
    """Import `statsforecast.models`, which takes seconds.

    Raises:
        RunError: It is not installed.
    """
    return import_extra("statsforecast.models", "baselines", "a classical baseline")
