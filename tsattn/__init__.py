"""Attention-based time-series forecasting for Keras 3 and TensorFlow."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tsattn._logging import silence_native_code

if TYPE_CHECKING:
    from tsattn.errors import TsattnError
    from tsattn.forecaster import Forecaster
    from tsattn.forecasting.combination import forecast
    from tsattn.forecasting.fitted import FittedForecaster
    from tsattn.report.plots import plot_forecast
    from tsattn.tuning import tune

    __version__: str

__all__ = ["FittedForecaster", "Forecaster", "TsattnError", "__version__", "forecast", "plot_forecast", "tune"]

_MODULES = {
    "FittedForecaster": "tsattn.forecasting.fitted",
    "Forecaster": "tsattn.forecaster",
    "TsattnError": "tsattn.errors",
    "forecast": "tsattn.forecasting.combination",
    "plot_forecast": "tsattn.report.plots",
    "tune": "tsattn.tuning",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import tsattn` does not import TensorFlow.
    if name in _MODULES:
        with silence_native_code():
            return getattr(importlib.import_module(_MODULES[name]), name)
    if name == "__version__":
        return metadata.version("tsattn")
    raise AttributeError(f"module 'tsattn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
