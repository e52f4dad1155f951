"""Where a backtest cuts the series: the origins of a rolling forecast, and what is known before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.config import DataConfig
from tsattn.data.long import series_names
from tsattn.data.panel import Panel
from tsattn.data.schema import Schema
from tsattn.data.season import decide_horizon, decide_season
from tsattn.data.windows import shortest
from tsattn.errors import ConfigError, DataError

Ints = npt.NDArray[np.int64]

ENDLESS = 10**6
"""A season, in steps, that leads to the longest horizon there can be."""


@dataclass(frozen=True)
class BacktestPlan:
    """A backtest that has not run yet.

    Args:
        panel: the whole series.
        schema: how they were read; season and horizon are those that the first training part shows.
        step: steps between two origins.
        origins: steps of history, int64 [origins, series], oldest first; below 1 where a series is too short.
        source: what errors call the data.
    """

    panel: Panel
    schema: Schema
    step: int
    origins: Ints
    source: str = "the panel"

    def __len__(self) -> int:
        """Number of origins."""
        return len(self.origins)

    def series(self, number: int) -> Ints:
        """Return the indices of the series that are forecast at an origin, counted from 0."""
        return np.flatnonzero(self.origins[number] > 0)

    def training(self, number: int = 0) -> Panel:
        """Return what lies before an origin, without the series that have nothing there."""
        return _before(self.panel, self.origins[number])

    @property
    def cutoffs(self) -> pd.DataFrame:
        """A row an origin, oldest first.

        ``first`` and ``last`` are the last stamps of the history of the earliest and the latest series; ``series`` is
        the number of series that are forecast, ``left_out`` of those that are too short (by `series_names`).
        """
        names = len(series_names(self.panel)) // len(self.panel)
        rows = []
        for number in range(len(self)):
            chosen = self.series(number)
            last = self.panel.starts[chosen] + self.origins[number, chosen] - 1
            ends = self.panel.grid.at([last.min(), last.max()])
            left_out = len(self.panel) - len(chosen)
            rows.append((ends[0], ends[1], names * len(chosen), names * left_out))
        return pd.DataFrame(rows, columns=["first", "last", "series", "left_out"])


def plan_backtest(
    panel: Panel,
    schema: Schema,
    config: DataConfig,
    folds: int = 5,
    step: int | None = None,
    source: str = "the panel",
) -> BacktestPlan:
    """Return where a backtest cuts the series, with season and horizon as they show before the first origin.

    What is inferred from the values, the season and by it the horizon of series without dates, is inferred anew from
    what lies before the first origin. Columns, stamps, their frequency and the lengths are those of the whole data.

    Args:
        panel: the series.
        schema: how they were read.
        config: what the user said about the data.
        folds: how many times to forecast; the last time a horizon before the end of each series.
        step: steps between two origins; None for what `step_between` chooses.
        source: what errors call the data.

    Raises:
        ConfigError: ``folds`` or ``step`` is below 1.
        DataError: the series are too short, or have no values after the first origin.
    """
    for name, value in (("folds", folds), ("step", step)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be 1 or more. Received: {name}={value}")
    seen = _surely_before(panel, config, folds, step)
    horizon = decide_horizon(panel, config, int(decide_season(seen, config).value))
    ahead = int(horizon.value)
    between = step_between(panel.lengths, ahead, folds, step, source)
    history = origins_of(panel.lengths, ahead, folds, between)
    season = decide_season(_before(panel, history[0]), config)
    if decide_horizon(panel, config, int(season.value)).value != horizon.value:
        horizon = horizon.model_copy(update={"reason": f"{horizon.reason}, in an early part of the data"})
    if not np.isfinite(panel.tail(ahead + (folds - 1) * between).values).any():
        raise DataError(
            f"{source}: expected values after the first origin to hold the forecasts against, but all are empty: "
            "leave out rows that are still to come"
        )
    anew = {"season": season, "horizon": horizon}
    found = {
        "season": int(season.value),
        "horizon": ahead,
        "decisions": tuple(anew.get(decision.field, decision) for decision in schema.decisions),
    }
    return BacktestPlan(panel, schema.model_copy(update=found), between, history, source)


def origins_of(lengths: Ints, horizon: int, count: int, step: int) -> Ints:
    """Return the origins of each series, counted from its own end, the last a horizon before it.

    Args:
        lengths: steps of each series, int64 [series].
        horizon: steps of a forecast.
        count: number of origins.
        step: steps between two of them.

    Returns:
        Steps of history, int64 [count, series], oldest first; below 1 where a series is too short.
    """
    return lengths[None, :] - horizon - step * np.arange(count - 1, -1, -1, dtype=np.int64)[:, None]


def step_between(lengths: Ints, horizon: int, count: int, step: int | None = None, source: str = "the panel") -> int:
    """Return the steps between two origins.

    The horizon, so that every value is forecast once; or less, so that the targets overlap, as far as it takes for a
    series of the median length to keep half of its steps before the first origin, and for the longest to keep two
    horizons and a step, which a training needs. At least 1: then a typical series may keep less than half. A ``step``
    that was given is taken as it is.

    Raises:
        DataError: the longest series is too short for so many origins, or for so many so far apart.
    """
    longest, typical = int(lengths.max()), float(np.median(lengths))
    room = longest - horizon - shortest(horizon)
    if room < (count - 1) * (step or 1):
        raise DataError(_too_short(lengths, horizon, count, step, source))
    if step is not None or count == 1:
        return step or horizon
    half = int(typical / 2) - horizon
    return max(min(horizon, half // (count - 1), room // (count - 1)), 1)


def _too_short(lengths: Ints, horizon: int, count: int, step: int | None, source: str) -> str:
    """Return the message of a DataError: what is needed, what came, and the options that would fit."""
    longest, most = int(lengths.max()), _most(lengths, count, step)
    least, apart = shortest(horizon) + horizon, step or 1
    mends = []
    if step is not None and longest - least >= count - 1 > 0:
        mends.append(f"a step of at most {(longest - least) // (count - 1)}")
    if longest >= least and count > 1:
        fitting = (longest - least) // apart + 1
        mends.append(f"at most {fitting} folds" if fitting > 1 else "1 fold")
    if most >= 1:
        mends.append(f"a horizon of at most {most}")
    wanted = f"{count} folds" if count > 1 else "1 fold"
    wanted += f" {step} steps apart" if step is not None and count > 1 else ""
    return (
        f"{source}: a backtest of {wanted} with a horizon of {horizon} needs a series of at least "
        f"{least + (count - 1) * apart} rows, and the longest has {longest}: give {' or '.join(mends) or 'more data'}"
    )


def _surely_before(panel: Panel, config: DataConfig, count: int, step: int | None) -> Panel:
    """Return what lies before the first origin for whatever horizon a season may lead to.

    Where the horizon follows from the season, it moves the first origin, behind which no season may be looked for.
    """
    horizons = range(1, min(int(decide_horizon(panel, config, ENDLESS).value), _most(panel.lengths, count, step)) + 1)
    spans = (ahead + (count - 1) * step_between(panel.lengths, ahead, count, step) for ahead in horizons)
    return _before(panel, panel.lengths - max(spans, default=0))


def _most(lengths: Ints, count: int, step: int | None) -> int:
    """Return the longest horizon for which so many origins fit; below 1 where none does."""
    return int(lengths.max() - 1 - (count - 1) * (step or 1)) // 3


def _before(panel: Panel, origin: Ints) -> Panel:
    return panel.cut(np.zeros_like(panel.lengths), np.maximum(origin, 0)).without_empty()
