"""The default of tsattn, with a training time for which `fit` ends within the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.configuration import make_run_config, resolve
from benchmarks.accuracy.protocols import m4_quantiles
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted
from tsattn.data.loader import load
from tsattn.forecaster import Forecaster
from tsattn.scoring.comparison import predict_windows


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Fit the default."""
    # The comparison with the baselines and the calibration after training take a multiple of the time before it.
    seconds = max(clock.remaining() - options["rest"] * clock.seconds(), 1.0)
    configuration = resolve(data.task, [f"training.max_seconds={seconds:.1f}"])
    forecaster = Forecaster.from_config(make_run_config(configuration, seed)).fit(data.frame)

    def forecast(history: Data, windows: int) -> npt.NDArray[Any]:
        spec = forecaster.spec_
        if windows == 1:
            return m4_quantiles(forecaster, history.frame.iloc[:, 0])[..., spec.median].T[None]
        panel, _ = load(history.frame, schema=forecaster.schema_)
        origins = len(history.frame) + np.arange(1 - windows, 1)
        return predict_windows(forecaster.model_, spec, panel, np.zeros_like(origins), origins)[..., spec.median]

    details: dict[str, Any] = {"training_seconds": round(seconds, 1)}
    if losses := forecaster.history_:
        details |= {"epochs": len(losses.loss), "best_epoch": losses.best_epoch}
    return Fitted(forecast, details)
