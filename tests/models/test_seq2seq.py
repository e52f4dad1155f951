"""The whole forecast of the encoder-decoder, step by step in NumPy from the weights of the model."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import (
    Array,
    calibrated,
    copy_attention,
    gru_step,
    lstm_step,
    patches,
    scale_of,
    scores,
    softmax,
    sorted_quantiles,
)
from small_models import SPEC, Histories, histories, make_graph, window

from tsattn.timeseries.windows import ATTENTION, QUANTILES, WindowSpec

PATCH = 4
UNITS = 6
LEVELS = len(SPEC.levels)
SEGMENTS = math.ceil(SPEC.horizon / PATCH)


Outputs = tuple[Array, Array, Array]
"""Unconstrained outputs [segments, patch * levels], attention [heads, queries, keys], copied base [segments, patch]."""

DECODERS: dict[str, dict[str, Any]] = {
    "copying": {},
    "no_copy": {"copy_heads": 0, "attention": "additive"},
    "autoregressive": {"decoder": "autoregressive"},
}


class Reference:
    """The model of one channel of one history."""

    def __init__(self, model: keras.Model, kind: str) -> None:
        paths = [re.sub(r"_\d+(?=/)", "", weight.path) for weight in model.weights]
        self.weights: dict[str, Array] = {
            path: np.asarray(weight.numpy(), dtype=float) for path, weight in zip(paths, model.weights, strict=True)
        }
        self.kind = kind

    def dense(self, x: Array, name: str) -> Array:
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def cell(self, x: Array, state: list[Array], where: str) -> list[Array]:
        names = ("kernel", "recurrent_kernel", "bias")
        kernel, recurrent, bias = (self.weights[f"{where}/{self.kind}_cell/{name}"] for name in names)
        if self.kind == "gru":
            return [gru_step(x, state[0], kernel, recurrent, bias)]
        return list(lstm_step(x, *state, kernel, recurrent, bias))

    def encode(self, scaled: Array, observed: Array) -> tuple[Array, list[Array]]:
        """Memory [segments, units] of one history [steps], and the last state."""
        state = [np.zeros(UNITS)] * (1 if self.kind == "gru" else 2)
        memory = []
        for values, seen in zip(cut(scaled), cut(observed), strict=True):
            token = np.maximum(self.dense(np.concatenate([values, seen]), "segment_embedding"), 0)
            state = self.cell(token, state, "encoder")
            memory.append(state[0])
        return np.stack(memory), state

    def parts(self, where: str) -> dict[str, Array]:
        """Weights of an attention by the names of the formulas."""
        names = {"W": "query_projection/kernel", "U": "key_projection/kernel", "v": "score_vector", "b": "score_bias"}
        names |= {name: name for name in ("lag_bias", "gain")}
        paths = {name: f"{where}/{end}" for name, end in names.items()}
        return {name: self.weights[path] for name, path in paths.items() if path in self.weights}

    def attend(self, hidden: Array, memory: Array) -> tuple[Array, Array]:
        weights = softmax(scores("additive", hidden[None, None], memory[None], self.parts("decoder/attention")))[0, 0]
        return weights @ memory, weights

    def states(self, state: list[Array], channel: Array) -> Array:
        """Decoder states [segments, units], each from the same state and a separate query."""
        queries = self.weights["decoder/queries"]
        return np.stack([self.cell(np.concatenate([query, channel]), state, "decoder")[0] for query in queries])

    def copying(self, memory: Array, state: list[Array], channel: Array, values: Array, observed: Array) -> Outputs:
        hidden = self.states(state, channel)
        arrays = [x[None] for x in (hidden, memory, values, observed, np.ones(len(memory)))]
        context, copied, attention = copy_attention("scaled_dot", *arrays, self.parts("copy_attention"))
        raw = [self.dense(np.concatenate(parts), "head") for parts in zip(hidden, context[0], strict=True)]
        return np.stack(raw), attention[0], copied[0]

    def parallel(self, memory: Array, state: list[Array], channel: Array, *_: Array) -> Outputs:
        raw, attention = [], []
        for hidden in self.states(state, channel):
            context, weights = self.attend(hidden, memory)
            raw.append(self.dense(np.concatenate([hidden, context]), "head"))
            attention.append(weights)
        return np.stack(raw), np.stack(attention)[None], np.zeros((SEGMENTS, PATCH))

    def autoregressive(self, memory: Array, state: list[Array], channel: Array, *_: Array) -> Outputs:
        fed, raw, attention = self.weights["decoder/start"], [], []
        for _ in range(SEGMENTS):
            context, weights = self.attend(state[0], memory)
            state = self.cell(np.concatenate([fed, context, channel]), state, "decoder")
            raw.append(self.dense(np.concatenate([state[0], context]), "decoder/head"))
            attention.append(weights)
            fed = raw[-1].reshape(PATCH, LEVELS)[:, SPEC.median]
        return np.stack(raw), np.stack(attention)[None], np.zeros((SEGMENTS, PATCH))

    def forecast(self, history: Array, channel: int, decoder: str, method: str) -> tuple[Array, Array, float]:
        """Quantiles [horizon, levels], attention [heads, queries, keys] and the scale, from a raw history [steps]."""
        recent = history[-SPEC.context :].astype(float)
        center, scale = scale_of(recent, method, self.weights["scaling/ratio"][channel])
        observed = np.isfinite(recent)
        scaled = np.where(observed, (recent - center) / scale, 0)
        memory, state = self.encode(scaled, observed)
        decode = {"copying": self.copying, "no_copy": self.parallel, "autoregressive": self.autoregressive}[decoder]
        vector = self.weights["channel_embedding/embedding"][channel]
        raw, attention, base = decode(memory, state, vector, cut(scaled), cut(observed))
        free, base = raw.reshape(-1, LEVELS)[: SPEC.horizon], base.reshape(-1, 1)[: SPEC.horizon]
        quantiles = (sorted_quantiles(free, SPEC.median) + base) * scale + center
        factors = self.weights["calibrated_quantiles/factors"][:, channel]
        return calibrated(quantiles, factors, SPEC.median), attention, scale


def cut(steps: Array) -> Array:
    """Segments [segments, patch] of one channel [steps]."""
    return patches(steps[:, None], len(steps), PATCH)[:, :, 0]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("method", ["last", "standard", "mean_abs"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_whole_forecast_in_numpy(decoder: str, method: str, kind: str) -> None:
    # Histories of one step, of a part of a segment, of whole segments, of the context, and longer; all with gaps.
    given = histories([1, 3, 8, 10, 15])
    options = {"name": "seq2seq", "rnn": kind, "scaling": method, "patch_length": PATCH, **DECODERS[decoder]}
    model = make_graph(options).inference()
    result = dict(zip(sorted(model.output), outputs(model(window(given))), strict=True))
    reference = Reference(model, kind)
    for row, history in enumerate(given.rows()):
        for channel in range(2):
            quantiles, attention, scale = reference.forecast(history[:, channel], channel, decoder, method)
            np.testing.assert_allclose(result[QUANTILES][row, :, channel], quantiles, rtol=0, atol=1e-5 * scale)
            weights, keys = result[ATTENTION][row, channel], attention.shape[2]
            np.testing.assert_allclose(weights[:, :, :keys], attention, atol=1e-5)
            assert not weights[:, :, keys:].any()


def test_the_copied_history_is_scaled_back_with_the_forecast() -> None:
    # With a head of zeros and all weight on the last season, the forecast is the seasonal naive one.
    graph = make_graph({"name": "seq2seq", "patch_length": PATCH})
    model = graph.inference()
    copy = model.get_layer("copy_attention")
    bias = np.full(copy.lag_bias.shape, -1e4)
    bias[0] = 0
    copy.lag_bias.assign(bias)
    copy.gain.assign(np.full(copy.gain.shape, 1 / copy.num_heads))
    for weight in model.get_layer("head").weights:
        weight.assign(np.zeros(weight.shape))
    given = histories([10, 15])
    past = given.past.copy()
    past[np.isnan(past)] = 3
    given = Histories(past, given.length)
    medians = dict(zip(sorted(model.output), outputs(model(window(given))), strict=True))[QUANTILES][..., SPEC.median]
    for row, history in enumerate(given.rows()):
        known = [history[len(history) - PATCH + step % PATCH] for step in range(SPEC.horizon)]
        np.testing.assert_allclose(medians[row], known, rtol=1e-5)


@pytest.mark.parametrize(("season", "patch", "period"), [(24, 24, 1), (24, 6, 4), (168, 24, 7), (52, 26, 2), (1, 4, 1)])
def test_copying_knows_the_segments_of_a_season(season: int, patch: int, period: int) -> None:
    spec = WindowSpec(context=7 * patch, horizon=2 * patch, targets=("y",), season=season)
    copy = make_graph({"name": "seq2seq", "patch_length": patch}, spec).inference().get_layer("copy_attention")
    assert (copy.period, copy.lags, copy.num_heads, copy.score) == (period, 7, 4, "scaled_dot")
