"""Where a fitted run is held against data: behind what it was trained on, as far as stamps tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.data.covariates import Covariates
from tsattn.data.fingerprint import fingerprint
from tsattn.data.panel import Panel
from tsattn.data.place import shown
from tsattn.data.schema import Schema
from tsattn.data.windows import Windows
from tsattn.errors import ConfigError, DataError
from tsattn.window import WindowSpec

Ints = npt.NDArray[np.int64]


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
        ends = list(dict.fromkeys(shown(stamp) for stamp in self.panel.grid.at([int(last.min()), int(last.max())])))
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
        raise DataError(_too_short(panel, spec, trained, training, last, source))
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


def _too_short(
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
