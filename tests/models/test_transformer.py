"""The decoders of the Transformer, and the attention maps of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_help import on_tensorflow, outputs, with_random_weights
from numpy_reference import Array
from small_models import SPEC, histories, make_graph, window

from tsattn.explanation.attribution import attention_maps
from tsattn.layers.ops import unroll_loops
from tsattn.models.transformer import TransformerDecoder
from tsattn.timeseries.windows import ATTENTION

STEPS, LEVELS, FED = 4, 3, 2
LENGTHS = np.array([5, 2])
MASK = np.arange(5) < LENGTHS[:, None]


def normal(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def made_decoder(**options: Any) -> TransformerDecoder:
    sizes = {"units": 8, "num_heads": 2, "layers": 2, "intermediate_dim": 12}
    layer = TransformerDecoder(STEPS, FED * LEVELS, LEVELS, median=1, **{**sizes, **options})
    layer(normal(2, 5, 6), features=normal(2, STEPS, 3), memory_mask=MASK)
    return with_random_weights(layer)


def decode(layer: TransformerDecoder, **given: Any) -> list[Array]:
    return outputs(layer(normal(2, 5, 6), features=normal(2, STEPS, 3), memory_mask=MASK, **given))


def medians(raw: Array) -> Array:
    return raw.reshape(2, STEPS, FED, LEVELS)[..., 1]


@pytest.mark.parametrize("options", [{}, {"normalize_first": False, "positions": "learned"}])
def test_feeding_its_own_forecast_at_once_is_making_it_step_by_step(options: dict[str, Any]) -> None:
    layer = made_decoder(**options)
    raw, weights = decode(layer)
    forced = decode(layer, targets=medians(raw), training=True)
    np.testing.assert_allclose(forced[0], raw, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(forced[1], weights, atol=1e-5)
    assert weights.shape == (2, 2, STEPS, 5) and not weights[1, :, :, 2:].any()
    other = decode(layer, targets=medians(raw) + 10 * normal(2, STEPS, FED), training=True)
    assert np.abs(other[0] - raw)[:, 1:].max() > 1e-3
    np.testing.assert_array_equal(decode(layer, targets=medians(raw) + 1)[0], raw)  # never fed but in training


def test_in_training_it_cannot_see_what_it_is_to_forecast() -> None:
    layer, targets = made_decoder(), normal(2, STEPS, FED)
    known = decode(layer, targets=targets, training=True)[0]
    for step in range(STEPS):
        later = targets.copy()
        later[:, step:] += 100
        changed = decode(layer, targets=later, training=True)[0]
        np.testing.assert_array_equal(changed[:, : step + 1], known[:, : step + 1])
        assert step == STEPS - 1 or (changed[:, step + 1 :] != known[:, step + 1 :]).any()


@on_tensorflow
def test_written_out_the_loop_gives_the_same() -> None:
    import tensorflow as tf

    layer = made_decoder(layers=1)
    memory, features = tf.constant(normal(2, 5, 6)), tf.constant(normal(2, STEPS, 3))
    looped = tf.function(lambda: layer(memory, features=features)).get_concrete_function()
    with unroll_loops():
        written = tf.function(lambda: layer(memory, features=features)).get_concrete_function()
    for part, other in zip(outputs(looped()), outputs(written()), strict=True):
        np.testing.assert_allclose(part, other, atol=1e-5)
    kinds = [{operation.type for operation in graph.graph.get_operations()} for graph in (looped, written)]
    assert [any("While" in kind for kind in found) for found in kinds] == [True, False]


@pytest.mark.parametrize(("members", "decoder"), [(1, "autoregressive"), (2, "parallel")])
def test_attention_maps_of_every_head_of_every_layer(members: int, decoder: str) -> None:
    options = {"name": "transformer", "heads": 3, "ensemble_size": members, "decoder": decoder, "copy_heads": 0}
    model = make_graph(options).inference()
    given = window(histories([1, 4, 10]))
    made = {name: outputs(maps) for name, maps in attention_maps(model)(given).items()}
    last_block = "decoder_1" if decoder == "parallel" else "decoder/block_1"
    ends = [f"{part}{number}" for part in ("encoder_", last_block[:-1]) for number in range(2)]
    starts = [""] if members == 1 else [f"member_{number}/" for number in range(members)]
    assert set(made) == {start + end for start in starts for end in ends}
    count = -(-given["length"] // SPEC.season)
    for name, maps in made.items():
        keys = [3] if "encoder" in name else [2, 3]
        assert [x.shape for x in maps] == [(6, 3, 3 if "encoder" in name else 2, size) for size in keys]
        for row in range(6):
            queries = count[row // 2] if "encoder" in name else 2
            np.testing.assert_allclose(maps[-1][row, :, :queries].sum(-1), 1, atol=1e-5)
            assert not maps[-1][row, :, :, count[row // 2] :].any()
        if decoder == "autoregressive" and "decoder" in name:
            assert not maps[0][:, :, 0, 1:].any() and maps[0][:, :, 1].all()
    last = np.mean([made[f"{start}{last_block}"][1] for start in starts], axis=0)
    np.testing.assert_allclose(outputs(model(given)[ATTENTION])[0].reshape(last.shape), last, atol=1e-6)
