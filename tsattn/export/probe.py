"""Requests whose answers are known from the model in Python, to hold exported forms against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.data.panel import Panel
from tsattn.data.windows import gather
from tsattn.export.description import Description
from tsattn.export.reader import SERVING
from tsattn.export.request import request_of
from tsattn.window import ATTENTION, FORECAST, KEY_STEPS, LENGTH, OBSERVED, PAST, PAST_COVARIATES, QUANTILES

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster

Arrays = dict[str, npt.NDArray[Any]]

ROWS = 6
"""Series of a probe."""

JUNK = 7
"""Steps that a probe adds before and behind its histories."""


@dataclass(frozen=True)
class Probe:
    """One request, and what every signature has to answer.

    Args:
        inputs: the tensors of the request.
        answers: the tensors of the answer, by signature.
        scale: scale of each window, [batch, targets], see `window_scales`.
    """

    inputs: Arrays
    answers: dict[str, Arrays]
    scale: npt.NDArray[np.float32]

    def rows(self, count: int) -> Probe:
        """Return the first rows, again and again where there are fewer."""
        row = np.arange(count) % len(self.scale)
        answers = {name: {key: x[row] for key, x in parts.items()} for name, parts in self.answers.items()}
        return Probe({name: x[row] for name, x in self.inputs.items()}, answers, self.scale[row])

    def fitted(self, time: int) -> Probe:
        """Return the rows whose history fits into so many steps, in arrays of that many."""
        kept = np.flatnonzero(self.inputs[LENGTH] <= time)
        inputs = {name: x[kept] for name, x in self.inputs.items()}
        for name in (PAST, PAST_COVARIATES):
            if name in inputs:
                padded = np.full((len(kept), time, inputs[name].shape[2]), np.nan, np.float32)
                common = min(time, inputs[name].shape[1])
                padded[:, :common] = inputs[name][:, :common]
                inputs[name] = padded
        answers = {name: {key: x[kept] for key, x in parts.items()} for name, parts in self.answers.items()}
        return Probe(inputs, answers, self.scale[kept])


def probes_of(forecaster: Forecaster, description: Description, most: int | None = None) -> list[Probe]:
    """Return requests made of the end of the training data: whole, then ragged with gaps, junk around and one row.

    Args:
        forecaster: a fitted one.
        description: of the exported model.
        most: steps of the longest history, where a graph takes no more.
    """
    panel = forecaster.panel_ if most is None else forecaster.panel_.tail(most)
    kept = np.linspace(0, len(panel) - 1, min(ROWS, len(panel))).astype(np.int64)
    whole = _probe(forecaster, description, panel, kept, panel.lengths[kept])
    ragged = _with_junk(_ragged(forecaster, description, panel, np.resize(kept, ROWS)), description.context)
    return [whole, ragged, ragged.rows(1)]


def sample_of(forecaster: Forecaster, description: Description) -> Probe:
    """Return a request to show people: two histories of different length with gaps."""
    return _ragged(forecaster, description, forecaster.panel_, np.array([0, len(forecaster.panel_) - 1]))


def _ragged(forecaster: Forecaster, description: Description, panel: Panel, series: npt.NDArray[np.int64]) -> Probe:
    """Return a probe of histories of different length, a fifth of whose values is missing."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.02, 1, len(series))
    share[0], share[1:2] = 1, 0.05
    cut = np.maximum((panel.lengths[series] * share).astype(np.int64), 1)
    missing = rng.random(panel.values.shape) < 0.2
    holes = replace(panel, values=np.where(missing, np.float32(np.nan), panel.values))
    return _probe(forecaster, description, holes, series, cut)


def window_probes_of(forecaster: Forecaster) -> list[Probe]:
    """Return one request for the model without the graph around it: the windows at the end of the training data."""
    panel = forecaster.panel_
    series = np.arange(min(ROWS, len(panel)), dtype=np.int64)
    window = gather(panel, forecaster.spec_, series, panel.lengths[series], target=False)
    quantiles = keras.ops.convert_to_numpy(forecaster.model_(window, training=False)[QUANTILES])
    return [Probe(window, {SERVING: {QUANTILES: quantiles}}, window_scales(window, quantiles))]


def _probe(
    forecaster: Forecaster,
    description: Description,
    panel: Panel,
    series: npt.NDArray[np.int64],
    origin: npt.NDArray[np.int64],
) -> Probe:
    inputs = request_of(panel, description, series, origin)
    window = gather(panel, forecaster.spec_, series, origin, target=False)
    made = {name: keras.ops.convert_to_numpy(x) for name, x in forecaster.model_(window, training=False).items()}
    quantiles = made[QUANTILES]
    answers = {SERVING: {FORECAST: quantiles[..., forecaster.spec_.median], QUANTILES: quantiles}}
    if ATTENTION in description.outputs:
        answers[ATTENTION] = {name: made[name] for name in description.outputs[ATTENTION]}
    return Probe(inputs, answers, window_scales(window, quantiles))


def _with_junk(probe: Probe, context: int) -> Probe:
    """Return a probe whose arrays are longer: with junk that is cropped before whole histories, and behind all."""
    inputs, length = dict(probe.inputs), probe.inputs[LENGTH]
    before = np.where(length == context, JUNK, 0).astype(np.int32)
    for name in (PAST, PAST_COVARIATES):
        if name in inputs:
            batch, time, width = inputs[name].shape
            padded = np.full((batch, time + 2 * JUNK, width), 1e6, np.float32)
            for row in range(batch):
                padded[row, before[row] : before[row] + length[row]] = inputs[name][row, : length[row]]
            inputs[name] = padded
    inputs[LENGTH] = length + before
    answers = {name: dict(parts) for name, parts in probe.answers.items()}
    if ATTENTION in answers:
        steps = answers[ATTENTION][KEY_STEPS]
        answers[ATTENTION][KEY_STEPS] = np.where(steps >= 0, steps + before[:, None, None], steps)
    return Probe(inputs, answers, probe.scale)


def window_scales(window: Arrays, quantiles: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the scale of windows, [batch, targets], in whose units differences are told.

    It is the standard deviation of what was observed, and at least a twentieth of its mean absolute value, for
    `float32` cannot tell apart what differs by less than some millionth of that; of a history of nothing, or of zeros,
    a twentieth of what is forecast.

    Args:
        window: tensors of the window contract.
        quantiles: the forecast, [batch, horizon, targets, levels].
    """
    observed = window[OBSERVED]
    values = np.where(observed > 0, window[PAST], 0).astype(np.float64)
    count = np.maximum(observed.sum(axis=1), 1)
    mean, level = values.sum(axis=1) / count, np.abs(values).sum(axis=1) / count
    spread = np.sqrt((np.where(observed > 0, values - mean[:, None], 0) ** 2).sum(axis=1) / count)
    level = np.where(level > 0, level, np.abs(quantiles).mean(axis=(1, 3)))
    scale = np.maximum(spread, level / 20)
    return np.where(scale > 0, scale, 1).astype(np.float32)
