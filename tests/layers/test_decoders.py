"""Decoders compared with a loop in NumPy: feedback, attention and teacher forcing."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights
from numpy_reference import Array, gru_step, lstm_step, scores, softmax

from tsattn.errors import ConfigError
from tsattn.layers import Attention, AttentionDecoder, ParallelDecoder

LENGTHS = np.array([3, 6])
MASK = np.arange(6) < LENGTHS[:, None]
STEPS, UNITS = 4, 5


def normal(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


MEMORY, STATE, CARRY = normal(2, 6, 3), normal(2, UNITS), normal(1, 2, UNITS)[0] / 2


def by_path(layer: keras.layers.Layer) -> dict[str, Array]:
    """Return the weights by path, without the numbers that Keras appends to layer names."""
    paths = [re.sub(r"^decoder/|_\d+(?=/)", "", weight.path) for weight in layer.weights]
    return {path: np.asarray(weight.numpy(), dtype=float) for path, weight in zip(paths, layer.weights, strict=True)}


def cell_step(kind: str, x: Array, state: list[Array], weights: dict[str, Array]) -> list[Array]:
    """Return the new states of a cell, the hidden state first."""
    kernel, recurrent, bias = (weights[f"{kind}_cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias"))
    if kind == "gru":
        return [gru_step(x, state[0], kernel, recurrent, bias)]
    return list(lstm_step(x, *state, kernel, recurrent, bias))


def attend(hidden: Array, memory: Array, weights: dict[str, Array]) -> tuple[Array, Array]:
    """Return context and weights of additive attention with states [batch, queries, units] over the memory."""
    parts = {
        "W": weights["attention/query_projection/kernel"],
        "U": weights["attention/key_projection/kernel"],
        "v": weights["attention/score_vector"],
        "b": weights["attention/score_bias"],
    }
    attention = softmax(scores("additive", hidden, memory, parts), MASK[:, None])
    return attention @ memory, attention


def make_cell(kind: str) -> Any:
    return {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}[kind](UNITS, name=f"{kind}_cell")


def additive() -> Attention:
    return Attention("additive", 4, name="attention")


def make_decoder(kind: str, **options: Any) -> AttentionDecoder:
    return AttentionDecoder(make_cell(kind), STEPS, 3, additive(), name="decoder", **options)


def decode(
    kind: str, weights: dict[str, Array], feedback: list[int], targets: Array | None, features: Array | None = None
) -> tuple[Array, Array]:
    """Run the decoder of Bahdanau et al. step by step."""
    state = [STATE, CARRY][: 1 if kind == "gru" else 2]
    fed = np.broadcast_to(weights["start"], (2, len(feedback)))
    results, attended = [], []
    for step in range(STEPS):
        context, attention = attend(state[0][:, None], MEMORY, weights)
        parts = [fed, context[:, 0], *([] if features is None else [features[:, step]])]
        state = cell_step(kind, np.concatenate(parts, -1), state, weights)
        output = np.concatenate([state[0], context[:, 0]], -1) @ weights["head/kernel"] + weights["head/bias"]
        results.append(output)
        attended.append(attention[:, 0])
        fed = output[:, feedback] if targets is None else targets[:, step]
    return np.stack(results, 1), np.stack(attended, 1)


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


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_scheduled_sampling_feeds_targets_at_a_fraction_of_the_steps(fraction: float) -> None:
    keras.utils.set_random_seed(3)
    rows, steps = 200, 2
    decoder = AttentionDecoder(make_cell("gru"), steps, 1, additive(), teacher_forcing=fraction, name="decoder")
    memory = np.broadcast_to(MEMORY[:1], (rows, *MEMORY.shape[1:]))
    targets = np.full((rows, steps, 1), 5.0, "float32")
    free = outputs(decoder(memory, targets=targets))[0]
    trained = outputs(decoder(memory, targets=targets, training=True))[0]
    np.testing.assert_allclose(trained[:, 0], free[:, 0], rtol=1e-5)
    forced = np.abs(trained[:, 1] - free[:, 1])[:, 0] > 1e-4
    assert abs(forced.mean() - fraction) < 0.1 and (fraction > 0 or not forced.any())
    alone = AttentionDecoder(make_cell("gru"), steps, 1, additive(), name="decoder")
    alone(memory, targets=targets)
    alone.set_weights(decoder.get_weights())
    always = outputs(alone(memory, targets=targets, training=True))[0]
    np.testing.assert_allclose(trained[forced], always[forced], rtol=1e-5)


def test_a_fraction_above_1_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher_forcing must be between 0 and 1. Received: teacher_forcing=1.5"):
        make_decoder("gru", teacher_forcing=1.5)


def test_the_last_target_is_never_used() -> None:
    decoder, targets = make_decoder("gru", feedback=[1]), normal(2, STEPS, 1)
    forced = outputs(decoder(MEMORY, targets=targets, training=True))[0]
    targets[:, -1] = 99
    np.testing.assert_array_equal(outputs(decoder(MEMORY, targets=targets, training=True))[0], forced)
    targets[:, 1] = 99
    changed = outputs(decoder(MEMORY, targets=targets, training=True))[0]
    np.testing.assert_array_equal(changed[:, :2], forced[:, :2])
    assert not np.allclose(changed[:, 2:], forced[:, 2:])


def test_a_start_argument_is_fed_first_and_all_weights_are_trained() -> None:
    # Keras warns about weights without a gradient, and tests turn warnings into errors.
    memory, start = keras.Input((6, 3)), keras.Input((3,))
    model = keras.Model([memory, start], AttentionDecoder(make_cell("gru"), STEPS, 3, additive())(memory, start=start))
    model.compile("sgd", "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    model.fit([MEMORY, normal(2, 3)], normal(2, STEPS, 3), verbose=0)
    one, other = (model([MEMORY, sign * normal(2, 3)]) for sign in (1, -1))
    assert not np.allclose(outputs(one)[0][:, 0], outputs(other)[0][:, 0])


def test_without_attention_the_memory_is_not_used() -> None:
    decoder = AttentionDecoder(make_cell("gru"), STEPS, 3, None)
    one, other = (outputs(decoder(x, initial_state=[STATE]))[0] for x in (MEMORY, -MEMORY))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("input_feeding", [True, False])
def test_attention_after_the_cell_matches_luong_et_al(kind: str, input_feeding: bool) -> None:
    decoder = make_decoder(kind, attend="after", input_feeding=input_feeding)
    call = {"initial_state": initial_state(kind), "memory_mask": MASK}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    weights = by_path(decoder)
    result, attention = outputs(decoder(MEMORY, **call, return_attention_scores=True))
    state, fed, joined = initial_state(kind), np.broadcast_to(weights["start"], (2, 3)), np.zeros((2, UNITS))
    for step in range(STEPS):
        parts = [fed, joined] if input_feeding else [fed]
        state = cell_step(kind, np.concatenate(parts, -1), state, weights)
        context, attended = attend(state[0][:, None], MEMORY, weights)
        joined = np.tanh(np.concatenate([context[:, 0], state[0]], -1) @ weights["attentional/kernel"])
        fed = joined @ weights["head/kernel"] + weights["head/bias"]
        np.testing.assert_allclose(result[:, step], fed, atol=1e-5)
        np.testing.assert_allclose(attention[:, step], attended[:, 0], atol=1e-5)


@pytest.mark.parametrize("alignment", ["monotonic", "coverage"])
def test_a_stateful_alignment_carries_its_state_over_steps(alignment: str) -> None:
    attention = Attention("additive", 4, alignment, name="attention")
    decoder = AttentionDecoder(make_cell("gru"), STEPS, 3, attention, name="decoder")
    call = {"initial_state": [STATE], "memory_mask": MASK}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    results, weights = outputs(decoder(MEMORY, **call, return_attention_scores=True))
    parts = by_path(decoder)
    memory = attention.setup_memory(MEMORY, mask=MASK)
    state, alignment_state, fed = [STATE], attention.initial_state(memory), np.broadcast_to(parts["start"], (2, 3))
    for step in range(STEPS):
        context, attended, alignment_state = attention.step(state[0].astype("float32"), memory, alignment_state)
        context = outputs(context)[0]
        state = cell_step("gru", np.concatenate([fed, context], -1), state, parts)
        fed = np.concatenate([state[0], context], -1) @ parts["head/kernel"] + parts["head/bias"]
        np.testing.assert_allclose(results[:, step], fed, atol=1e-5)
        np.testing.assert_allclose(weights[:, step], outputs(attended)[0], atol=1e-5)


def test_states_of_a_bidirectional_encoder_are_concatenated() -> None:
    one, two = (
        AttentionDecoder(keras.layers.LSTMCell(2 * UNITS), STEPS, 3, Attention("additive", 4)) for _ in range(2)
    )
    forward, backward = [STATE, CARRY], [-STATE, CARRY / 2]
    known = [np.concatenate(both, -1) for both in zip(forward, backward, strict=True)]
    one(MEMORY, initial_state=known)
    two(MEMORY, initial_state=[*forward, *backward])
    two.set_weights(one.get_weights())
    pair = outputs(one(MEMORY, initial_state=known)) + outputs(two(MEMORY, initial_state=[*forward, *backward]))
    np.testing.assert_allclose(*pair, atol=1e-6)


def test_a_bridge_maps_the_states_of_any_encoder() -> None:
    decoder = AttentionDecoder(make_cell("lstm"), STEPS, 3, additive(), bridge=True, name="decoder")
    given = [normal(2, 3), normal(2, 3) / 2, normal(2, 7)]
    decoder(MEMORY, initial_state=given)
    with_random_weights(decoder)
    weights = by_path(decoder)
    joined = np.concatenate(given, -1)
    hidden, carry = (joined @ weights[f"bridge{i}/kernel"] + weights[f"bridge{i}/bias"] for i in range(2))
    plain = make_decoder("lstm")
    state = [np.tanh(hidden).astype("float32"), carry.astype("float32")]
    plain(MEMORY, initial_state=state)
    values = by_path(decoder)
    for weight, path in zip(plain.weights, by_path(plain), strict=True):
        weight.assign(values[path])
    pair = outputs(decoder(MEMORY, initial_state=given)) + outputs(plain(MEMORY, initial_state=state))
    np.testing.assert_allclose(*pair, atol=1e-5)


def test_an_initial_state_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sizes \[5\] of the decoder's cell, unless bridge=True.*\[4\]"):
        make_decoder("gru")(MEMORY, initial_state=[normal(2, 4)])
    with pytest.raises(ConfigError, match="a decoder with a bridge requires an initial_state"):
        make_decoder("gru", bridge=True)(MEMORY)
    with pytest.raises(ConfigError, match=r"attend must be before or after. Received: attend='between'"):
        make_decoder("gru", attend="between")


@pytest.mark.parametrize("kind", [AttentionDecoder, ParallelDecoder])
def test_the_implicit_mask_of_a_memory_alone_is_used(kind: Any) -> None:
    memory = np.concatenate([MEMORY, np.zeros((2, 3, 3))], 1).astype("float32")
    decoder = kind(make_cell("gru"), STEPS, 3, additive())
    weights = outputs(decoder(keras.layers.Masking(0.0)(memory), return_attention_scores=True))[1]
    assert not weights[:, :, 6:].any()
    np.testing.assert_allclose(weights[:, :, :6], outputs(decoder(MEMORY, return_attention_scores=True))[1], atol=1e-6)


def test_half_precision_trains_from_a_zero_state_and_padding() -> None:
    memory, mask = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
    forecasts = []
    for score in ("additive", "cosine"):
        attention = Attention(score, 4, dtype="mixed_float16")
        cell = keras.layers.GRUCell(UNITS, dtype="mixed_float16")
        decoder = AttentionDecoder(cell, STEPS, 1, attention, dtype="mixed_float16", name=score)
        forecasts.append(decoder(memory, memory_mask=mask))
    model = keras.Model([memory, mask], forecasts)
    model.compile("adam", ["mse", "mse"], run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    before = {weight.path: outputs(weight.value)[0] for weight in model.trainable_weights}
    model.fit([MEMORY, MASK], [normal(2, STEPS, 1)] * 2, verbose=0)
    after = {weight.path: outputs(weight.value)[0] for weight in model.trainable_weights}
    assert all(np.isfinite(new).all() for new in after.values())
    for score in ("additive", "cosine"):
        assert any(not np.array_equal(before[path], after[path]) for path in after if path.startswith(score)), score


def test_invalid_arguments_are_refused() -> None:
    cell = make_cell("gru")
    wrong: list[tuple[str, dict[str, Any]]] = [
        (r"steps must be 1 or more. Received: steps=0", {"steps": 0}),
        (r"cell must be a recurrent cell, such as", {"cell": keras.layers.GRU(4)}),
        (r"attention must be an Attention or None. Received: attention='additive'", {"attention": "additive"}),
        (r"attention must have the compute dtype", {"attention": Attention("dot", dtype="float16")}),
        (r'attend="after" requires an attention', {"attend": "after", "attention": None}),
        (r'require attend="after"', {"attentional_units": 3}),
        (r"feedback must be indices of the 3 outputs. Received: feedback=\[3\]", {"feedback": [3]}),
        (r"feedback must be indices", {"feedback": []}),
    ]
    for message, changed in wrong:
        with pytest.raises(ConfigError, match=message):
            AttentionDecoder(**{"cell": cell, "steps": STEPS, "output_units": 3, "attention": additive(), **changed})


def test_invalid_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"targets must have the shape \(batch, 4, 3\). Received: \(2, 9, 3\)"):
        make_decoder("gru")(MEMORY, targets=normal(2, 9, 3))
    with pytest.raises(ConfigError, match=r"features must have the shape \(batch, 4, size\)"):
        make_decoder("gru")(MEMORY, features=normal(2, 9, 3))
    with pytest.raises(ConfigError, match=r"memory must have the shape \(batch, time, features\)"):
        make_decoder("gru")(MEMORY[:, 0])
    decoder = make_decoder("gru")
    decoder(MEMORY, features=normal(2, STEPS, 3), start=normal(2, 3))
    with pytest.raises(ConfigError, match="features must be passed in every call"):
        decoder(MEMORY, start=normal(2, 3))
    with pytest.raises(ConfigError, match="start must be passed in every call"):
        decoder(MEMORY, features=normal(2, STEPS, 3))


def test_a_schedule_decreases_teacher_forcing() -> None:
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    decoder = make_decoder("gru", teacher_forcing=schedule)
    memory, targets = (np.repeat(x, 150, 0) for x in (MEMORY, 5 + normal(2, STEPS, 3)))
    free = outputs(decoder(memory, targets=targets))[0]
    fractions = []
    for _ in range(6):
        trained = outputs(decoder(memory, targets=targets, training=True))[0]
        fractions.append((np.abs(trained[:, 1] - free[:, 1]).max(-1) > 1e-4).mean())
    np.testing.assert_allclose(fractions, [1, 0.75, 0.5, 0.25, 0, 0], atol=0.1)
    twin = AttentionDecoder.from_config(decoder.get_config())
    assert twin.teacher_forcing.get_config() == schedule.get_config()


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_parallel_steps_start_from_the_same_state_and_a_learned_query(kind: str) -> None:
    decoder = ParallelDecoder(make_cell(kind), STEPS, query_units=2, attention=additive(), name="decoder")
    features = normal(2, 3)
    call = {"initial_state": initial_state(kind), "memory_mask": MASK, "features": features}
    decoder(MEMORY, **call)
    with_random_weights(decoder)
    weights = by_path(decoder)
    result, attention = outputs(decoder(MEMORY, **call, return_attention_scores=True))
    for step in range(STEPS):
        query = np.broadcast_to(weights["queries"][step], (2, 2))
        hidden = cell_step(kind, np.concatenate([query, features], -1), initial_state(kind), weights)[0]
        context, attended = attend(hidden[:, None], MEMORY, weights)
        np.testing.assert_allclose(result[:, step], np.concatenate([hidden, context[:, 0]], -1), atol=1e-5)
        np.testing.assert_allclose(attention[:, step], attended[:, 0], atol=1e-5)
