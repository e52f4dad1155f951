"""The whole forecast of the encoder-decoder, step by step in NumPy from the weights of the model."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs
from made import SPEC, histories, make_graph, window
from numpy_reference import (
    Array,
    gru_step,
    lstm_step,
    patches,
    scale_of,
    scores,
    softmax,
    sorted_quantiles,
)

from tsattn.window import ATTENTION, QUANTILES

PATCH = 4
UNITS = 6
LEVELS = len(SPEC.levels)
SEGMENTS = math.ceil(SPEC.horizon / PATCH)


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
        joined = np.stack([scaled, observed], -1)
        segments = patches(joined, len(joined), PATCH)
        state = [np.zeros(UNITS)] * (1 if self.kind == "gru" else 2)
        memory = []
        for segment in segments:
            token = np.maximum(self.dense(segment.reshape(-1), "segment_embedding"), 0)
            state = self.cell(token, state, "encoder")
            memory.append(state[0])
        return np.stack(memory), state

    def attend(self, hidden: Array, memory: Array) -> tuple[Array, Array]:
        parts = {
            "W": self.weights["decoder/attention/query_projection/kernel"],
            "U": self.weights["decoder/attention/key_projection/kernel"],
            "v": self.weights["decoder/attention/vector"],
            "b": self.weights["decoder/attention/bias"],
        }
        weights = softmax(scores("additive", hidden[None, None], memory[None], parts))[0, 0]
        return weights @ memory, weights

    def parallel(self, memory: Array, state: list[Array], channel: Array) -> tuple[Array, Array]:
        raw, attention = [], []
        for segment in range(SEGMENTS):
            query = np.concatenate([self.weights["decoder/queries"][segment], channel])
            hidden = self.cell(query, state, "decoder")[0]
            context, weights = self.attend(hidden, memory)
            raw.append(self.dense(np.concatenate([hidden, context]), "head"))
            attention.append(weights)
        return np.stack(raw), np.stack(attention)

    def autoregressive(self, memory: Array, state: list[Array], channel: Array) -> tuple[Array, Array]:
        fed, raw, attention = self.weights["decoder/start"], [], []
        for _ in range(SEGMENTS):
            context, weights = self.attend(state[0], memory)
            state = self.cell(np.concatenate([fed, context, channel]), state, "decoder")
            raw.append(self.dense(np.concatenate([state[0], context]), "decoder/dense"))
            attention.append(weights)
            fed = raw[-1].reshape(PATCH, LEVELS)[:, SPEC.median]
        return np.stack(raw), np.stack(attention)

    def forecast(self, history: Array, channel: int, decoder: str, method: str) -> tuple[Array, Array, float]:
        """Quantiles [horizon, levels], attention [queries, keys] and the scale, from one raw history [steps]."""
        kept = history[-SPEC.context :].astype(float)
        center, scale = scale_of(kept, method, self.weights["scaling/ratio"][channel])
        observed = np.isfinite(kept)
        memory, state = self.encode(np.where(observed, (kept - center) / scale, 0), observed)
        decode = self.parallel if decoder == "parallel" else self.autoregressive
        raw, attention = decode(memory, state, self.weights["channel_embedding/embedding"][channel])
        free = raw.reshape(-1, LEVELS)[: SPEC.horizon]
        return sorted_quantiles(free, SPEC.median) * scale + center, attention, scale


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("method", ["last", "standard", "mean_abs"])
@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_a_whole_forecast_in_numpy(decoder: str, method: str, kind: str) -> None:
    # Histories of one step, of a part of a segment, of whole segments, of the context, and longer; all with gaps.
    given = histories([1, 3, 8, 10, 15])
    options: dict[str, Any] = {"name": "seq2seq", "decoder": decoder, "rnn": kind, "scaling": method}
    model = make_graph({**options, "patch_length": PATCH}).inference()
    result = dict(zip(sorted(model.output), outputs(model(window(given))), strict=True))
    reference = Reference(model, kind)
    for row, history in enumerate(given.rows()):
        for channel in range(2):
            quantiles, attention, scale = reference.forecast(history[:, channel], channel, decoder, method)
            np.testing.assert_allclose(result[QUANTILES][row, :, channel], quantiles, rtol=0, atol=1e-5 * scale)
            weights = result[ATTENTION][row, channel, 0]
            np.testing.assert_allclose(weights[:, : attention.shape[1]], attention, atol=1e-5)
            assert not weights[:, attention.shape[1] :].any()
