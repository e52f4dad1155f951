"""The decoders step by step in NumPy: what is fed, where it is read, when targets are used."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights
from numpy_reference import Array, gru_step, lstm_step, scores, softmax

from tsattn.layers import AttentionDecoder, ParallelDecoder

LENGTHS = np.array([3, 6])
MASK = np.arange(6) < LENGTHS[:, None]
STEPS, UNITS = 4, 5


def normal(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


MEMORY, STATE, CARRY = normal(2, 6, 3), normal(2, UNITS), normal(1, 2, UNITS)[0] / 2


def by_path(layer: keras.layers.Layer) -> dict[str, Array]:
    """Weights by path, without the numbers that Keras gives to the layers of a kind."""
    paths = [re.sub(r"^decoder/|_\d+(?=/)", "", weight.path) for weight in layer.weights]
    return {path: np.asarray(weight.numpy(), dtype=float) for path, weight in zip(paths, layer.weights, strict=True)}


def cell_step(kind: str, x: Array, state: list[Array], weights: dict[str, Array]) -> list[Array]:
    """One step of the cell: the new state, the hidden one first."""
    kernel, recurrent, bias = (weights[f"{kind}_cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias"))
    if kind == "gru":
        return [gru_step(x, state[0], kernel, recurrent, bias)]
    return list(lstm_step(x, *state, kernel, recurrent, bias))


def read(hidden: Array, memory: Array, weights: dict[str, Array]) -> tuple[Array, Array]:
    """Additive attention of states [batch, queries, units] over the memory."""
    parts = {
        "W": weights["attention/query_projection/kernel"],
        "U": weights["attention/key_projection/kernel"],
        "v": weights["attention/vector"],
        "b": weights["attention/bias"],
    }
    attention = softmax(scores("additive", hidden, memory, parts), MASK[:, None])
    return attention @ memory, attention


def make_cell(kind: str) -> Any:
    return {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}[kind](UNITS, name=f"{kind}_cell")


def make_decoder(kind: str, **options: Any) -> AttentionDecoder:
    return AttentionDecoder(make_cell(kind), STEPS, output_units=3, units=4, name="decoder", **options)


def decode(
    kind: str, weights: dict[str, Array], feedback: list[int], targets: Array | None, features: Array | None = None
) -> tuple[Array, Array]:
    """The decoder of Bahdanau et al., one step after the other."""
    state = [STATE, CARRY][: 1 if kind == "gru" else 2]
    fed = np.broadcast_to(weights["start"], (2, len(feedback)))
    made, attended = [], []
    for step in range(STEPS):
        context, attention = read(state[0][:, None], MEMORY, weights)
        parts = [fed, context[:, 0], *([] if features is None else [features[:, step]])]
        state = cell_step(kind, np.concatenate(parts, -1), state, weights)
        output = np.concatenate([state[0], context[:, 0]], -1) @ weights["dense/kernel"] + weights["dense/bias"]
        made.append(output)
        attended.append(attention[:, 0])
        fed = output[:, feedback] if targets is None else targets[:, step]
    return np.stack(made, 1), np.stack(attended, 1)


def initial_state(kind: str) -> list[Array]:
    return [STATE] if kind == "gru" else [STATE, CARRY]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("feedback", [None, [2, 0]])
def test_free_running_feeds_its_own_output(kind: str, feedback: list[int] | None) -> None:
    decoder, features = make_decoder(kind, feedback=feedback), normal(2, STEPS, 2)
    call = {"initial_state": initial_state(kind), "memory_mask": MASK, "features": features}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    result, attention = outputs(decoder(MEMORY, **call, return_attention_scores=True))
    known, attended = decode(kind, by_path(decoder), feedback or [0, 1, 2], None, features)
    np.testing.assert_allclose(result, known, atol=1e-5)
    np.testing.assert_allclose(attention, attended, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_targets_are_fed_in_training_only(kind: str) -> None:
    decoder, targets = make_decoder(kind, feedback=[1]), normal(2, STEPS, 1)
    call = {"initial_state": initial_state(kind), "memory_mask": MASK, "targets": targets}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    forced, _ = decode(kind, by_path(decoder), [1], targets)
    free, _ = decode(kind, by_path(decoder), [1], None)
    assert not np.allclose(forced, free, atol=1e-2)
    np.testing.assert_allclose(outputs(decoder(MEMORY, **call, training=True))[0], forced, atol=1e-5)
    np.testing.assert_allclose(outputs(decoder(MEMORY, **call, training=False))[0], free, atol=1e-5)
    np.testing.assert_allclose(outputs(decoder(MEMORY, **call))[0], free, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_share_of_the_steps_is_fed_the_targets(share: float) -> None:
    keras.utils.set_random_seed(3)
    rows, steps = 200, 2
    decoder = AttentionDecoder(make_cell("gru"), steps, 1, units=4, teacher_forcing=share, name="decoder")
    memory = np.broadcast_to(MEMORY[:1], (rows, *MEMORY.shape[1:]))
    targets = np.full((rows, steps, 1), 5.0, "float32")
    free = outputs(decoder(memory, targets=targets))[0]
    trained = outputs(decoder(memory, targets=targets, training=True))[0]
    np.testing.assert_allclose(trained[:, 0], free[:, 0], rtol=1e-5)
    forced = np.abs(trained[:, 1] - free[:, 1])[:, 0] > 1e-4
    assert abs(forced.mean() - share) < 0.1 and (share > 0 or not forced.any())
    alone = AttentionDecoder(make_cell("gru"), steps, 1, units=4, name="decoder")
    alone(memory, targets=targets)
    alone.set_weights(decoder.get_weights())
    always = outputs(alone(memory, targets=targets, training=True))[0]
    np.testing.assert_allclose(trained[forced], always[forced], rtol=1e-5)


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"teacher_forcing must lie between 0 and 1. Received: teacher_forcing=1.5"):
        make_decoder("gru", teacher_forcing=1.5)


def test_the_last_target_is_never_seen() -> None:
    decoder, targets = make_decoder("gru", feedback=[1]), normal(2, STEPS, 1)
    forced = outputs(decoder(MEMORY, targets=targets, training=True))[0]
    targets[:, -1] = 99
    np.testing.assert_array_equal(outputs(decoder(MEMORY, targets=targets, training=True))[0], forced)
    targets[:, 1] = 99
    changed = outputs(decoder(MEMORY, targets=targets, training=True))[0]
    np.testing.assert_array_equal(changed[:, :2], forced[:, :2])
    assert not np.allclose(changed[:, 2:], forced[:, 2:])


def test_a_given_start_is_fed_first_and_nothing_is_left_untrained() -> None:
    # A weight that no path uses makes Keras warn at every fit, which is an error here.
    memory, start = keras.Input((6, 3)), keras.Input((3,))
    model = keras.Model([memory, start], AttentionDecoder(make_cell("gru"), STEPS, 3, units=4)(memory, start=start))
    model.compile("sgd", "mse", jit_compile=False)
    model.fit([MEMORY, normal(2, 3)], normal(2, STEPS, 3), verbose=0)
    one, other = (model([MEMORY, sign * normal(2, 3)]) for sign in (1, -1))
    assert not np.allclose(outputs(one)[0][:, 0], outputs(other)[0][:, 0])


def test_without_a_score_the_memory_is_not_read() -> None:
    decoder = AttentionDecoder(make_cell("gru"), STEPS, 3, score=None)
    one, other = (outputs(decoder(x, initial_state=[STATE]))[0] for x in (MEMORY, -MEMORY))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_parallel_steps_start_from_one_state_and_their_own_query(kind: str) -> None:
    decoder = ParallelDecoder(make_cell(kind), STEPS, query_units=2, units=4, name="decoder")
    features = normal(2, 3)
    call = {"initial_state": initial_state(kind), "memory_mask": MASK, "features": features}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    weights = by_path(decoder)
    result, attention = outputs(decoder(MEMORY, **call, return_attention_scores=True))
    for step in range(STEPS):
        query = np.broadcast_to(weights["queries"][step], (2, 2))
        hidden = cell_step(kind, np.concatenate([query, features], -1), initial_state(kind), weights)[0]
        context, attended = read(hidden[:, None], MEMORY, weights)
        np.testing.assert_allclose(result[:, step], np.concatenate([hidden, context[:, 0]], -1), atol=1e-5)
        np.testing.assert_allclose(attention[:, step], attended[:, 0], atol=1e-5)
