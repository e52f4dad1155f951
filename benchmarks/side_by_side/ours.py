"""The default of tsattn, its training bounded so that all that `fit` does ends by the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.configuration import resolve, run_config
from benchmarks.accuracy.protocols import m4_quantiles
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.tasks import Data, Fitted
from tsattn.data.loader import load
from tsattn.forecaster import Forecaster
from tsattn.scoring.comparison import predict_windows


def fit(data: Data, options: dict[str, Any], seed: int, clock: Clock) -> Fitted:
    """Fit the default."""
    # What follows the first training, the comparison with the baselines and the calibration, is as much slower on a
    # slower machine as the start was.
    seconds = max(clock.left() - options["rest"] * clock.seconds(), 1.0)
    configuration = resolve(data.task, [f"training.seconds={seconds:.1f}"])
    forecaster = Forecaster.from_config(run_config(configuration, seed)).fit(data.frame)

    def forecast(asked: Data, windows: int) -> npt.NDArray[Any]:
        spec = forecaster.spec_
        if windows == 1:
            return m4_quantiles(forecaster, asked.frame.iloc[:, 0])[..., spec.median].T[None]
        panel, _ = load(asked.frame, schema=forecaster.schema_)
        origins = len(asked.frame) + np.arange(1 - windows, 1)
        return predict_windows(forecaster.model_, spec, panel, np.zeros_like(origins), origins)[..., spec.median]

    told: dict[str, Any] = {"training_seconds": round(seconds, 1)}
    if history := forecaster.history_:
        told |= {"epochs": len(history.loss), "best_epoch": history.chosen}
    return Fitted(forecast, told)
