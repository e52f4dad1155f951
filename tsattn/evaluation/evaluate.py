"""A fitted run held against data, without training it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsattn.errors import DataError
from tsattn.evaluation.origins import Stretch
from tsattn.scoring.classical import Classical, Rival, unfitted
from tsattn.scoring.comparison import forecast_origins
from tsattn.scoring.metrics import Scores, score
from tsattn.timeseries.frames import history_frame


@dataclass(frozen=True)
class Evaluation:
    """How good a fitted run was on data.

    Args:
        forecasts: ``unique_id``, ``cutoff`` (the last stamp of the history), ``ds``, ``y`` as it was observed (NaN
            where it was not), and for each model its forecast and bounds, such as ``naive``, ``naive-lo-80``,
            ``naive-hi-80``; series by series and origin by origin, horizon rows each.
        scored: how good they were, in total, by origin, series and step.
        model: which of the models is the run's.
        about: how many forecasts there were, and where their histories ended.
        notes: sentences on what the scores are to be read with: data that the run was trained on, what they leave out.
    """

    forecasts: pd.DataFrame
    scored: Scores
    model: str
    about: str
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """A row a model, best first: ``model``, ``mase``, ``skill`` and the other metrics, means over all forecasts."""
        return self.scored.total


def run_evaluation(stretch: Stretch, name: str, candidates: Mapping[str, Rival]) -> Evaluation:
    """Forecast a stretch with every model and score the forecasts.

    MASE is scaled by the error of the seasonal naive forecast in what lies before the first origin of each series.

    Args:
        stretch: the forecasts to make.
        name: which of the models is the run's.
        candidates: the models by name.
    """
    spec = stretch.windows.spec
    series, origin = stretch.windows.locate(np.arange(len(stretch.windows)))
    forecasts = forecast_origins(candidates, stretch.panel, series, origin)
    if not forecasts["y"].notna().any():
        raise DataError(
            f"{stretch.source}: expected values to hold the forecasts against, but all are empty: "
            "leave out rows that are still to come"
        )
    training = history_frame(stretch.history())
    scored = score(forecasts, list(candidates), spec.season, spec.levels, training)
    classical = (rival for rival in candidates.values() if isinstance(rival, Classical))
    failures = (unfitted(rival.name, rival.failed, rival.fitted) for rival in classical)
    notes = (*stretch.notes, *scored.left_out, *(told for told in failures if told))
    return Evaluation(forecasts, scored, name, stretch.sentence(), notes)
