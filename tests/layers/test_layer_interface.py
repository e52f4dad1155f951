"""What Keras expects of every layer: names of weights, shapes, masks, empty inputs, errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from case_builders import BATCH, KEYS, TIME, Case, normal
from keras_help import built, outputs, with_random_weights
from layer_cases import CASES, SCORE_NAMES
from layer_checks import traced

from tsattn.errors import ConfigError
from tsattn.layers import (
    Attention,
    AttentionDecoder,
    AttentionPooling,
    CalibratedQuantiles,
    CopyAttention,
    CoverageAlignment,
    DiffusionConvolution,
    DistributionHead,
    ForecastDistribution,
    GraphAttention,
    HistoryWindow,
    InstanceScaling,
    MultiHeadAttention,
    ParallelDecoder,
    SmoothingCombination,
    SortedQuantiles,
    TemporalConvBlock,
    TransformerEncoderBlock,
)

SEQUENCE = normal(BATCH, TIME, 4)


def pooling(score: str) -> keras.layers.Layer:
    return built(AttentionPooling(score=score), {"inputs": SEQUENCE}, {})


def copying(score: str) -> keras.layers.Layer:
    inputs = {"query": normal(BATCH, 2, 4), "memory": SEQUENCE, "values": SEQUENCE}
    return built(CopyAttention(3, num_heads=2, score=score), inputs, {})


def test_weights_have_unique_paths() -> None:
    layers = [case.build() for case in CASES]
    layers += [make(score) for score in SCORE_NAMES for make in (pooling, copying)]
    for layer in layers:
        paths = [variable.path for variable in layer.variables]
        assert len(set(paths)) == len(paths), sorted(paths)


def test_the_state_tree_of_a_model_has_all_weights() -> None:
    model = keras.Sequential([keras.Input((TIME, 4)), AttentionPooling(score="normalized_additive")])
    model.compile("sgd", "mse")
    assert len(keras.tree.flatten(model.get_state_tree()["trainable_variables"])) == len(model.trainable_variables)
    if keras.backend.backend() == "torch":
        assert len(list(model.parameters())) == len(model.trainable_variables)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_output_shape_is_that_of_a_call(case: Case) -> None:
    inputs = {name: x for name, x in case.inputs.items() if not name.endswith("mask")}
    layer = case.make()
    called = layer(**keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=str(x.dtype)), inputs))
    shapes = {f"{name}_shape": keras.tree.map_structure(lambda x: x.shape, x) for name, x in inputs.items()}
    assert type(layer).compute_output_shape is not keras.layers.Layer.compute_output_shape
    computed = layer.compute_output_shape(**shapes)
    known = keras.tree.map_structure(lambda x: x.shape, called)
    assert computed == known


@pytest.mark.parametrize(
    "make",
    [
        lambda: TransformerEncoderBlock(4, num_heads=2),
        lambda: AttentionPooling(3),
        lambda: ParallelDecoder(keras.layers.GRUCell(4), 2, 3, Attention("dot", 3)),
        lambda: AttentionDecoder(keras.layers.GRUCell(4), 2, 3, Attention("dot", 3)),
        lambda: InstanceScaling(),
        lambda: TemporalConvBlock(3),
    ],
)
def test_layers_can_be_wrapped_in_time_distributed(make: Callable[[], keras.layers.Layer]) -> None:
    layer, inputs = make(), normal(BATCH, 2, TIME, 4)
    if isinstance(layer, InstanceScaling):
        assert layer.compute_output_shape((None, TIME, 4)) == ((None, TIME, 4), (None, 1, 4), (None, 1, 4))
        return
    wrapped = keras.layers.TimeDistributed(layer)
    shape = wrapped(keras.Input((2, TIME, 4))).shape
    result = outputs(wrapped(inputs))[0]
    assert result.shape[1:] == shape[1:]
    np.testing.assert_allclose(result[:, 1], outputs(layer(inputs[:, 1]))[0], atol=1e-6)


def test_instance_scaling_takes_keras_masks() -> None:
    values = np.array([[[3.0], [4.0], [7.0], [0.0], [0.0]]], "float32")
    scaling = InstanceScaling("last")
    known = outputs(scaling(values, observed=(values > 0).astype("float32")))
    assert known[1].item() == 7
    masked = keras.layers.Masking()(values)
    for result in (
        scaling(masked),
        scaling(values, mask=values[..., 0] > 0),
        scaling(masked, observed=np.ones_like(values)),
        scaling(np.where(values > 0, values, np.nan), mask=values[..., 0] > 0),
    ):
        for part, other in zip(outputs(result), known, strict=True):
            np.testing.assert_array_equal(part, other)
    inputs = keras.Input((5, 1))
    scaled, _, _ = scaling(keras.layers.Masking()(inputs))
    pooled = keras.Model(
        inputs, keras.layers.GlobalAveragePooling1D()(scaled)
    )  # uses the mask that the layer passes on
    np.testing.assert_allclose(outputs(pooled(values))[0], known[0][:, :3].mean(1), rtol=1e-6)


@pytest.mark.parametrize("name", ["DistributionHead", "CalibratedQuantiles", "SortedQuantiles", "ForecastDistribution"])
def test_layers_that_compute_each_step_alone_pass_masks_on(name: str) -> None:
    layer: Any = {
        "DistributionHead": lambda: DistributionHead("normal"),
        "CalibratedQuantiles": lambda: CalibratedQuantiles(1),
        "SortedQuantiles": lambda: SortedQuantiles(1),
        "ForecastDistribution": lambda: ForecastDistribution("normal", (0.1, 0.5)),
    }[name]()
    inputs = keras.ops.convert_to_tensor(np.abs(normal(BATCH, TIME, 1, 2)))
    inputs._keras_mask = KEYS  # as Keras attaches it
    np.testing.assert_array_equal(keras.src.backend.get_keras_mask(layer(inputs)), KEYS)


@pytest.mark.parametrize("case", [case for case in CASES if case.batched], ids=lambda case: case.name)
def test_an_empty_batch_gives_an_empty_output(case: Case) -> None:
    layer = case.build()
    calls = []
    if any(part in case.name for part in ("LSTM", "stacked", "bridge", "TemporalConv")):
        calls.append(traced(case, layer))
    if not any(part in case.name for part in ("LSTM", "stacked", "bridge")):
        # Keras's LSTM cell fails on an empty batch on TensorFlow unless it is traced.
        calls.append(lambda inputs: outputs(layer(**inputs, **case.options)))
    emptied = keras.tree.map_structure(lambda x: x[:0], dict(case.inputs))
    for call in calls:
        for part, known in zip(call(emptied), call(case.inputs), strict=True):
            assert part.shape == (0, *known.shape[1:])


@pytest.mark.parametrize(
    "make",
    [
        *(lambda score=score: Attention(score, 3) for score in SCORE_NAMES),
        *(lambda name=name: Attention("dot", 3, name) for name in ("local", "monotonic", "coverage", "hardmax")),
        lambda: MultiHeadAttention(2, 3, use_bias=False),
    ],
)
@pytest.mark.parametrize("scores", [False, True])
def test_no_keys_give_zeros(make: Callable[[], keras.layers.Layer], scores: bool) -> None:
    layer = make()
    layer(SEQUENCE, SEQUENCE)
    with_random_weights(layer)
    context, *_ = outputs(layer(SEQUENCE, SEQUENCE[:, :0], return_attention_scores=scores))
    assert context.shape == (BATCH, TIME, 4) and not context.any()


def test_empty_sequences_give_zeros() -> None:
    for layer in (AttentionPooling(3), AttentionPooling(3, 2, "additive")):
        layer(SEQUENCE)
        result = outputs(layer(SEQUENCE[:, :0]))[0]
        assert result.shape == outputs(layer(SEQUENCE))[0].shape and not result.any()
    for decoder in (
        AttentionDecoder(keras.layers.GRUCell(4), 2, 3, Attention("additive", 3)),
        ParallelDecoder(keras.layers.GRUCell(4), 2, 3, Attention("additive", 3)),
    ):
        decoder(SEQUENCE)
        masked = outputs(decoder(SEQUENCE, memory_mask=np.zeros((BATCH, TIME), bool)))[0]
        np.testing.assert_allclose(outputs(decoder(SEQUENCE[:, :0]))[0], masked, atol=1e-6)
    for block in (TransformerEncoderBlock(4, num_heads=2), TemporalConvBlock(4)):
        block(SEQUENCE)
        assert outputs(block(SEQUENCE[:, :0]))[0].shape == (BATCH, 0, 4)


WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("units must be 1 or more. Received: units=0", lambda: Attention("dot", 0)),
    ("value_units must be 1 or more", lambda: Attention("dot", value_units=0)),
    ("units must be an integer. Received: units=2.5", lambda: AttentionPooling(2.5)),  # type: ignore[arg-type]
    ("units must be 1 or more", lambda: AttentionPooling(0)),
    ("dropout must be at least 0 and below 1. Received: dropout=1.5", lambda: Attention(dropout=1.5)),
    ("lags must be 1 or more", lambda: CopyAttention(0)),
    ("period must be 1 or more", lambda: CopyAttention(1, period=0)),
    ("output_units must be 1 or more", lambda: AttentionDecoder(keras.layers.GRUCell(4), 2, 0, None)),
    ("query_units must be 1 or more", lambda: ParallelDecoder(keras.layers.GRUCell(4), 2, 0, None)),
    ("context must be 1 or more", lambda: HistoryWindow(0)),
    ("kernel_size must be 1 or more", lambda: CoverageAlignment(0)),
    ("levels must be ascending", lambda: ForecastDistribution("normal", (0.9, 0.5))),
    ("levels must be ascending", lambda: ForecastDistribution("normal", (0.5, 1.5))),
    (r"(?s)location, scale: .*\(batch, horizon, channels, 2\)", lambda: DistributionHead("normal")(normal(2, 3, 1, 5))),
    ("median must be the index of one of the 3 levels", lambda: SortedQuantiles(3)(normal(2, 3))),
    ("median must be the index", lambda: CalibratedQuantiles(4)(normal(2, 3, 1, 3))),
    (
        "value and key must have the same number of steps. Received: 5 in value, 6 in key",
        lambda: Attention("dot")(SEQUENCE, SEQUENCE, normal(BATCH, 6, 4)),
    ),
    (
        "memory and values must have the same number of keys",
        lambda: CopyAttention(2)(SEQUENCE, SEQUENCE, normal(BATCH, 6, 4)),
    ),
    ("must have the same number of nodes", lambda: GraphAttention(2)(SEQUENCE, adjacency=np.ones((4, 4)))),
    ("must have the same number of nodes", lambda: DiffusionConvolution(2)(SEQUENCE, adjacency=np.ones((5, 4)))),
    (r"adjacency must have the shape \(nodes, nodes\)", lambda: GraphAttention(2)(SEQUENCE, adjacency=np.ones(5))),
    ("must have the same number of channels", lambda: InstanceScaling()(SEQUENCE, observed=np.ones((BATCH, TIME, 3)))),
    (r"past must have the shape \(batch, time", lambda: HistoryWindow(2)(SEQUENCE[0], np.ones(TIME))),
    (r"inputs must have the shape \(batch, time", lambda: SmoothingCombination(2)(SEQUENCE[0])),
    ("same number of axes", lambda: MultiHeadAttention(2, 3)(SEQUENCE, normal(BATCH, 2, TIME, 4))),
    (
        "weights for the 2 queries that it was built with",
        lambda: copying("dot")(normal(BATCH, 3, 4), SEQUENCE, SEQUENCE),
    ),
]


@pytest.mark.parametrize(("message", "call"), WRONG)
def test_wrong_arguments_are_refused_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_every_layer_takes_a_mask_or_says_so() -> None:
    for case in CASES:
        cls = type(case.make())
        parameters = inspect.signature(cls.call).parameters
        takes = any(name == "mask" or name.endswith("_mask") for name in parameters)
        assert takes or "mask" in (cls.__doc__ or ""), cls.__name__
