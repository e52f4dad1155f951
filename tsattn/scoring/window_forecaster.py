"""The interface of everything that forecasts windows of a panel: networks, naive and classical baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.window_spec import WindowSpec


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
