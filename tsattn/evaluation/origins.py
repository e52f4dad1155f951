"""Where a backtest cuts the series: the origins of a rolling forecast, and what is known before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.config import DataConfig
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.frames import series_names
from tsattn.timeseries.panel import Covariates, Panel, fingerprint
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.seasonality import decide_horizon, decide_season
from tsattn.timeseries.window_spec import WindowSpec
from tsattn.timeseries.windows import Windows, shortest

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


@dataclass(frozen=True)
class Stretch:
    """The forecasts that an evaluation asks for.

    Args:
        panel: the series, with the end of the training data before them where the data begin behind it.
        windows: which origins of which series.
        notes: sentences on what they are to be read with: rows that were trained on, series without a forecast.
        source: what errors call the data.
    """

    panel: Panel
    windows: Windows
    notes: tuple[str, ...]
    source: str = "the panel"

    def history(self) -> Panel:
        """Return what lies before the first origin of each series that is forecast."""
        first = np.where(self.windows.counts > 0, self.windows.first, 0)
        return self.panel.cut(np.zeros_like(first), first).without_empty()

    def sentence(self) -> str:
        """Return how many forecasts there are, and where their histories end."""
        series, origin = self.windows.locate(np.arange(len(self.windows)))
        last = self.panel.starts[series] + origin - 1
        ends = list(
            dict.fromkeys(format_timestamp(stamp) for stamp in self.panel.grid.at([int(last.min()), int(last.max())]))
        )
        width = len(self.panel.targets)
        count, names = width * len(series), width * len(np.unique(series))
        where = f"histories end from {ends[0]} to {ends[1]}" if len(ends) > 1 else f"the history ends at {ends[0]}"
        forecasts = "1 forecast" if count == 1 else f"{count} forecasts"
        steps = "1 step" if self.windows.spec.horizon == 1 else f"{self.windows.spec.horizon} steps"
        return f"{forecasts} of {names} series, {steps} each: {where}."


def find_stretch(
    panel: Panel,
    schema: Schema,
    spec: WindowSpec,
    known: Panel,
    training: Mapping[str, Any],
    *,
    origins: int | None = None,
    step: int | None = None,
    last: int | None = None,
    source: str = "the panel",
) -> Stretch:
    """Return the forecasts to hold against a panel.

    By default they cover what lies behind the data that the run was trained on, a horizon after another and counted
    from the end. Series that it was not trained on, and series without stamps, are covered from a look-back on.

    Args:
        panel: the series, read by the schema of the run.
        schema: that schema.
        spec: the window of the model.
        known: the end of every series of the training data.
        training: what `tsattn.data.fingerprint.summary` says of the training data.
        origins: how many forecasts of each series, the newest ones; None for all.
        step: steps between two of them; None for the horizon.
        last: forecasts only the last steps of each series, trained on or not.
        source: what errors call the data.

    Raises:
        ConfigError: a number is below 1.
        DataError: no series is long enough behind the training data.
    """
    for name, value in (("origins", origins), ("step", step), ("last", last)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be 1 or more. Received: {name}={value}")
    # The fingerprint is that of the data as they came.
    same = fingerprint(panel) == training.get("fingerprint")
    if schema.time:
        panel = _with_history(panel, known, spec.context)
    trained = _trained(panel, known) if schema.time else np.full(len(panel), -1, dtype=np.int64)
    if same:
        trained = panel.lengths
    newest, between = panel.lengths - spec.horizon, step or spec.horizon
    if last is not None:
        first = np.maximum(panel.lengths - last, 1)
    else:
        first = np.maximum(np.where(trained >= 0, trained, np.minimum(spec.context, newest)), 1)
    count = np.maximum((newest - first) // between + 1, 0)
    if origins is not None:
        count = np.minimum(count, origins)
    windows = Windows(panel, spec, newest - (count - 1) * between, newest, between)
    if not len(windows):
        raise DataError(_too_short_stretch(panel, spec, trained, training, last, source))
    return Stretch(panel, windows, _notes(windows, trained, training, told=bool(schema.time) or same), source)


def _trained(panel: Panel, known: Panel) -> Ints:
    """Return the steps of each series that do not lie behind its training data; -1 where it was not trained on."""
    ends = dict(zip(known.ids, (known.starts + known.lengths).tolist(), strict=True))
    found = [ends.get(id, start - 1) - start for id, start in zip(panel.ids, panel.starts.tolist(), strict=True)]
    unknown = np.array([id not in ends for id in panel.ids])
    return np.where(unknown, -1, np.maximum(np.array(found, dtype=np.int64), 0))


def _with_history(panel: Panel, known: Panel, context: int) -> Panel:
    """Return the panel with what is known of the steps before each series, where there is no more than a context."""
    index = {id: number for number, id in enumerate(known.ids)}
    partner = np.array([index.get(id, -1) for id in panel.ids])
    before = np.where(partner >= 0, panel.starts - known.starts[partner], 0)
    beyond = before - np.where(partner >= 0, known.lengths[partner], 0)
    before = np.where((before > 0) & (beyond < context), before, 0)
    if not before.any():
        return panel
    values = [
        _led(panel.series(number), known.series(int(partner[number])), int(steps))
        for number, steps in enumerate(before)
    ]
    covariates, own = panel.covariates, known.covariates
    if covariates is not None and own is not None:
        columns = [own.names.index(name) for name in covariates.names]
        parts = []
        for number, steps in enumerate(before):
            mine = covariates.values[covariates.offsets[number] : covariates.offsets[number + 1]]
            other = int(partner[number])
            theirs = own.values[own.offsets[other] : own.offsets[other + 1]][:, columns]
            parts.append(_led(mine, theirs, int(steps)))
        lengths = covariates.lengths + before
        offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
        covariates = Covariates(np.concatenate(parts), offsets, covariates.names, covariates.ahead)
    return replace(
        panel,
        values=np.concatenate(values),
        offsets=np.append(0, np.cumsum(panel.lengths + before)).astype(np.int64),
        starts=panel.starts - before,
        covariates=covariates,
    )


def _led(values: npt.NDArray[np.float32], known: npt.NDArray[np.float32], steps: int) -> npt.NDArray[np.float32]:
    """Return values with ``steps`` rows before them: those that are known, then gaps."""
    led = np.full((steps, values.shape[1]), np.nan, dtype=np.float32)
    led[: len(known)] = known[:steps]
    return np.concatenate([led, values])


def _notes(windows: Windows, trained: Ints, training: Mapping[str, Any], *, told: bool) -> tuple[str, ...]:
    """Return what the scores are to be read with."""
    notes = []
    series, origin = windows.locate(np.arange(len(windows)))
    seen = int((origin < trained[series]).sum())
    if seen:
        which = f"{seen} of {len(series)} forecasts"
        notes.append(
            f"{which} do not lie behind the data that the run was trained on, which end at {training['last']}: those "
            "that it was trained on look better than new ones will be."
        )
    if not told:
        notes.append(
            "Without time stamps nothing tells which rows the run was trained on: forecasts of those look better than "
            "new ones will be."
        )
    empty = int((windows.counts == 0).sum())
    if empty:
        notes.append(f"Left out, with too few rows to forecast: {empty} of {len(windows.panel)} series.")
    return tuple(notes)


def _too_short_stretch(
    panel: Panel, spec: WindowSpec, trained: Ints, training: Mapping[str, Any], last: int | None, source: str
) -> str:
    """Return the message of a DataError: what is needed, what came, and what to do."""
    horizon, longest = spec.horizon, int(panel.lengths.max())
    if last is not None and last < horizon:
        return f"{source}: a forecast has {horizon} steps, and is to fit into the last {last}: give a last of {horizon}"
    if longest <= horizon:
        return (
            f"{source}: a forecast of {horizon} steps needs a series of at least {horizon + 1} rows, "
            f"and the longest has {longest}: give more data"
        )
    behind = int((panel.lengths - np.maximum(trained, 0))[trained >= 0].max(initial=0))
    return (
        f"{source}: expected at least {horizon} rows behind the data that the run was trained on, which end at "
        f"{training['last']}, but there are {behind}: give newer data, or a last of {horizon} or more (--last) to "
        "score rows that it was trained on"
    )
