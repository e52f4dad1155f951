"""Arguments and calls as users of Keras's own layers write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from case_builders import KEYS, normal
from keras_help import on_tensorflow, outputs, with_random_weights

from tsattn.errors import ConfigError
from tsattn.layers import (
    Attention,
    AttentionDecoder,
    AttentionPooling,
    BahdanauAttention,
    GraphAttention,
    MonotonicAlignment,
    PositionalEncoding,
    TransformerEncoderBlock,
)

QUERY, VALUE, KEY = normal(3, 2, 4), normal(3, 5, 4), normal(3, 5, 4) / 2
QUERY_MASK = np.array([[True, True], [True, False], [True, True]])


@pytest.mark.parametrize("inputs", [[QUERY, VALUE], [QUERY, VALUE, KEY]])
def test_attention_takes_lists_and_masks_as_keras_does(inputs: list[Any]) -> None:
    ours, known = Attention("dot"), keras.layers.Attention()
    options = {"mask": [QUERY_MASK, KEYS], "return_attention_scores": True}
    inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
    context, weights = outputs(known(inputs, **options))
    weights *= QUERY_MASK[..., None]  # Keras leaves the weights of masked queries
    for part, other in zip(outputs(ours(inputs, **options)), (context, weights), strict=True):
        np.testing.assert_allclose(part, other, atol=1e-6)
    symbolic = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(symbolic, ours(symbolic))
    np.testing.assert_allclose(outputs(model(inputs))[0], outputs(known(inputs))[0], atol=1e-6)


def test_attention_explains_arguments_of_keras() -> None:
    with pytest.raises(ConfigError, match="score_mode of keras"):
        Attention(score_mode="dot")
    with pytest.raises(ConfigError, match="pass query_mask and value_mask"):
        Attention("dot")(QUERY, VALUE, mask=[QUERY_MASK, KEYS])
    with pytest.raises(ConfigError, match="a list must be of query, value and optionally key"):
        Attention("dot")([QUERY])


def test_a_seed_makes_dropout_repeatable() -> None:
    for make in (
        lambda: Attention("dot", dropout=0.5, seed=3),
        lambda: TransformerEncoderBlock(4, num_heads=2, dropout=0.5, seed=3, kernel_initializer="ones"),
    ):
        arguments = (VALUE, VALUE) if isinstance(make(), Attention) else (VALUE,)
        one, other = (outputs(make()(*arguments, training=True))[0] for _ in range(2))
        np.testing.assert_array_equal(one, other)


def test_regularizers_and_constraints_reach_the_projections() -> None:
    layer = Attention("dot", 3, kernel_regularizer="l2", kernel_constraint="non_neg")
    layer(QUERY, VALUE)
    assert len(layer.losses) == 2
    assert all(isinstance(weight.constraint, keras.constraints.NonNeg) for weight in layer.weights)
    twin = Attention.from_config(layer.get_config())
    assert isinstance(twin.kernel_constraint, keras.constraints.NonNeg)


def test_epsilon_of_the_normalization() -> None:
    block = TransformerEncoderBlock(4, num_heads=2, epsilon=0.5)
    block(VALUE)
    assert {layer.epsilon for layer in block._flatten_layers() if hasattr(layer, "epsilon") and layer is not block} == {
        0.5
    }


def test_the_dtype_of_a_decoder_reaches_its_cell() -> None:
    cells = keras.layers.StackedRNNCells([keras.layers.GRUCell(4), keras.layers.LSTMCell(4)])
    decoder = AttentionDecoder(cells, 2, 3, BahdanauAttention(4), dtype="mixed_bfloat16")
    assert {layer.compute_dtype for layer in decoder._flatten_layers()} == {"bfloat16"}
    assert keras.backend.standardize_dtype(decoder(VALUE).dtype) == "bfloat16"


def test_start_index_continues_the_positions() -> None:
    for options in ({}, {"kind": "learned", "steps": 4}):
        encoding = PositionalEncoding(ahead=True, **options)
        whole = outputs(encoding(VALUE))[0]
        parts = [outputs(encoding(VALUE[:, i : i + 1], start_index=i))[0] for i in range(5)]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)
    with pytest.raises(ConfigError, match="start_index requires ahead=True"):
        PositionalEncoding()(VALUE, start_index=2)


def test_gated_pooling_matches_the_formula() -> None:
    layer = AttentionPooling(3, 2, gated=True, reduction="max")
    layer(VALUE)
    with_random_weights(layer)
    w, b, u, v, c = (np.asarray(keras.ops.convert_to_numpy(weight), float) for weight in layer.weights)
    hidden = np.tanh(VALUE @ w + b) / (1 + np.exp(-(VALUE @ v + c)))
    scores = np.where(KEYS[:, None], np.einsum("hu,btu->bht", u, hidden), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    pooled, found = outputs(layer(VALUE, mask=KEYS, return_attention_scores=True))
    np.testing.assert_allclose(found, weights, atol=1e-5)
    np.testing.assert_allclose(pooled, (weights @ VALUE).max(1), atol=1e-5)


@on_tensorflow
def test_pooling_takes_ragged_tensors() -> None:
    import tensorflow as tf

    layer = AttentionPooling(3)
    known = outputs(layer(VALUE, mask=KEYS))[0]
    ragged = tf.RaggedTensor.from_tensor(VALUE, lengths=KEYS.sum(1))
    np.testing.assert_allclose(outputs(layer(ragged))[0], known, atol=1e-6)
    inputs = keras.Input((None, 4), ragged=True)
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(outputs(model(ragged))[0], known, atol=1e-6)


def test_unrolled_loops_give_the_same_outputs() -> None:
    looped = AttentionDecoder(keras.layers.GRUCell(4), 3, 2, BahdanauAttention(4))
    unrolled = AttentionDecoder(keras.layers.GRUCell(4), 3, 2, BahdanauAttention(4), unroll=True)
    for decoder in (looped, unrolled):
        decoder(VALUE)
        with_random_weights(decoder)
    np.testing.assert_allclose(outputs(unrolled(VALUE))[0], outputs(looped(VALUE))[0], atol=1e-6)
    known = Attention("dot", alignment="monotonic")(QUERY, VALUE)
    result = Attention("dot", alignment="monotonic", unroll=True)(QUERY, VALUE)
    np.testing.assert_allclose(outputs(result)[0], outputs(known)[0], atol=1e-6)
    with pytest.raises(ConfigError, match="unroll=True requires a known number of queries"):
        Attention("dot", alignment="monotonic", unroll=True)(keras.Input((None, 4)), keras.Input((5, 4)))


@on_tensorflow
def test_monotonic_attention_at_an_unknown_length_beyond_65536_keys() -> None:
    import tensorflow as tf

    layer, keys = Attention("dot", alignment=MonotonicAlignment(initial_bias=0.0)), 2**16 + 10
    value = np.full((1, keys, 1), -30.0, "float32")
    value[0, -1] = 30  # the scan passes all keys but the last
    traced = tf.function(
        lambda value: layer(tf.ones((1, 1, 1)), value, return_attention_scores=True)[1],
        input_signature=[tf.TensorSpec((1, None, 1))],
    )
    assert outputs(traced(value))[0][0, 0, -1] > 0.99


@pytest.mark.slow
@on_tensorflow
@pytest.mark.filterwarnings("default")  # those of the converters
@pytest.mark.parametrize("name", ["decoder", "monotonic", "hardmax", "graph"])
def test_exported_files_give_the_same_outputs(name: str, tmp_path: Path) -> None:
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    inputs = keras.Input((None if name in ("hardmax", "graph") else 5, 4))
    layers: dict[str, Any] = {
        "decoder": lambda x: AttentionDecoder(keras.layers.GRUCell(4), 3, 2, BahdanauAttention(4), unroll=True)(x),
        "monotonic": lambda x: Attention("dot", alignment="monotonic", unroll=True)(x, x),
        "hardmax": lambda x: Attention("dot", alignment="hardmax")(x, x),
        "graph": lambda x: GraphAttention(3, 2)(x),
    }
    model = keras.Model(inputs, layers[name](inputs))
    known = outputs(model(VALUE))[0]
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (result,) = session.run(None, {session.get_inputs()[0].name: VALUE})
    np.testing.assert_allclose(result, known, atol=1e-5)
    model.export(str(tmp_path / "model.tflite"), format="litert", verbose=False)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    (first,), (last,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(first["index"], VALUE.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(first["index"], VALUE)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(last["index"]), known, atol=1e-5)
