"""Requests whose answers are known from the model in Python, to hold exported forms against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.export.metadata import Description
from tsattn.export.requests import request_of
from tsattn.export.signatures import SAMPLE, SERVING
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models.sampling import paths
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.window_spec import (
    ATTENTION,
    FORECAST,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    SAMPLES,
)
from tsattn.timeseries.windows import gather

Arrays = dict[str, npt.NDArray[Any]]
Ints = npt.NDArray[np.int64]

ROWS = 6
"""Series of a probe."""

JUNK = 7
"""Steps that a probe adds before and behind its histories."""


DRAW: Arrays = {"num_samples": np.array(5, np.int32), "seed": np.array(3, np.int32)}
"""Which paths a probe asks for."""


@dataclass(frozen=True)
class Probe:
    """One request, and what every signature has to answer.

    Args:
        inputs: the tensors of the request.
        answers: the tensors of the answer, by signature.
        scale: scale of each window, [batch, targets], see `window_scales`.
        step: the least that two values differ by: 1 for counts, else 0.
    """

    inputs: Arrays
    answers: dict[str, Arrays]
    scale: npt.NDArray[np.float32]
    step: float = 0.0

    def request(self, signature: str) -> Arrays:
        """Return the tensors that a signature takes."""
        return {**self.inputs, **DRAW} if signature == SAMPLE else self.inputs

    def rows(self, count: int) -> Probe:
        """Return the first rows, again and again where there are fewer; without paths, which depend on the others."""
        row = np.arange(count) % len(self.scale)
        answers = {
            name: {key: x[row] for key, x in parts.items()} for name, parts in self.answers.items() if name != SAMPLE
        }
        return replace(
            self, inputs={name: x[row] for name, x in self.inputs.items()}, answers=answers, scale=self.scale[row]
        )

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
        return replace(self, inputs=inputs, answers=answers, scale=self.scale[kept])


@dataclass(frozen=True)
class Prober:
    """Makes probes of the end of the training data of a fitted.

    Args:
        fitted: a fitted forecaster.
        model: its model, as it is exported. It is called on the CPU, for a GPU may calculate with fewer digits.
        most: steps of the longest history, where a graph takes no more.
    """

    fitted: FittedForecaster
    model: keras.Model
    most: int | None = None

    @property
    def _panel(self) -> Panel:
        panel = self.fitted.panel
        return panel if self.most is None else panel.tail(self.most)

    def probes(self, description: Description) -> list[Probe]:
        """Return requests of whole histories, then of ragged ones with gaps and junk around, and of one alone."""
        panel = self._panel
        kept = np.linspace(0, len(panel) - 1, min(ROWS, len(panel))).astype(np.int64)
        whole = self._probe(description, panel, kept, panel.lengths[kept])
        ragged = _with_junk(self._ragged(description, np.resize(kept, ROWS)), description.context)
        return [whole, ragged, ragged.rows(1)]

    def sample(self, description: Description) -> Probe:
        """Return a request to show people: two histories of different length with gaps."""
        return self._ragged(description, np.array([0, len(self._panel) - 1]))

    def windows(self) -> list[Probe]:
        """Return one request for the model without the graph around it: ragged windows with gaps."""
        series = np.resize(np.arange(len(self._panel)), ROWS)
        holes, cut = self._cut(series)
        window = gather(holes, self.fitted.spec, series, cut, target=False)
        quantiles = self._answers(window)[QUANTILES]
        return [Probe(window, {SERVING: {QUANTILES: quantiles}}, window_scales(window, quantiles), self._step)]

    @property
    def _step(self) -> float:
        return 1.0 if self.fitted.spec.support == "count" else 0.0

    def _ragged(self, description: Description, series: Ints) -> Probe:
        holes, cut = self._cut(series)
        return self._probe(description, holes, series, cut)

    def _cut(self, series: Ints) -> tuple[Panel, Ints]:
        """Return the panel with a fifth of its values missing, and steps of history that differ between the rows."""
        panel, rng = self._panel, np.random.default_rng(0)
        share = rng.uniform(0.02, 1, len(series))
        share[0], share[1:2] = 1, 0.05
        cut = np.maximum((panel.lengths[series] * share).astype(np.int64), 1)
        missing = rng.random(panel.values.shape) < 0.2
        return replace(panel, values=np.where(missing, np.float32(np.nan), panel.values)), cut

    def _probe(self, description: Description, panel: Panel, series: Ints, origin: Ints) -> Probe:
        window = gather(panel, self.fitted.spec, series, origin, target=False)
        made = self._answers(window)
        quantiles = made[QUANTILES]
        answers = {SERVING: {FORECAST: quantiles[..., self.fitted.spec.median], QUANTILES: quantiles}}
        if ATTENTION in description.outputs:
            answers[ATTENTION] = {name: made[name] for name in description.outputs[ATTENTION]}
        if SAMPLE in description.outputs:
            answers[SAMPLE] = {SAMPLES: self._paths(window)}
        request = request_of(panel, description, series, origin)
        return Probe(request, answers, window_scales(window, quantiles), self._step)

    def _paths(self, window: Arrays) -> npt.NDArray[Any]:
        spec = self.fitted.spec
        shape = (len(window[LENGTH]), int(DRAW["num_samples"]), spec.horizon, len(spec.targets))
        with keras.device("cpu:0"):
            noise = keras.random.normal(shape, seed=int(DRAW["seed"]))
            made: npt.NDArray[Any] = keras.ops.convert_to_numpy(paths(self.model, window, noise))
        return made

    def _answers(self, window: Arrays) -> Arrays:
        with keras.device("cpu:0"):
            return {name: keras.ops.convert_to_numpy(x) for name, x in self.model(window, training=False).items()}


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
    return replace(probe, inputs=inputs, answers=answers)


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
