"""Multi-head attention, Transformer blocks and positional encoding compared with PyTorch, Keras and the paper."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights

from tsattn.errors import ConfigError
from tsattn.layers import MultiHeadAttention, PositionalEncoding, TransformerDecoderBlock, TransformerEncoderBlock

Array = np.ndarray[Any, Any]
UNITS, HEADS, HIDDEN = 8, 2, 12
LENGTHS = np.array([3, 6, 1])
MASK = np.arange(6) < LENGTHS[:, None]
SCORES = {"return_attention_scores": True}


def normal(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def by_path(layer: keras.layers.Layer) -> dict[str, Array]:
    return {weight.path.split("/", 1)[1]: outputs(weight)[0] for weight in layer.weights}


def copy_attention_weights(torch: Any, known: Any, weights: dict[str, Array], prefix: str = "") -> None:
    """Copy the weights of a multi-head attention to PyTorch's."""
    units = known.embed_dim

    def kernel(name: str) -> Array:
        return weights[f"{prefix}{name}/kernel"].reshape(-1, units).T if "out" in name else matrix(name)

    def matrix(name: str) -> Array:
        return weights[f"{prefix}{name}/kernel"].reshape(units, -1).T

    parts = ("query", "key", "value")
    with torch.no_grad():
        known.in_proj_weight.copy_(torch.tensor(np.concatenate([matrix(name) for name in parts])))
        known.in_proj_bias.copy_(torch.tensor(np.concatenate([weights[f"{prefix}{x}/bias"].ravel() for x in parts])))
        known.out_proj.weight.copy_(torch.tensor(kernel("attention_output")))
        known.out_proj.bias.copy_(torch.tensor(weights[f"{prefix}attention_output/bias"]))


def copy_other_weights(torch: Any, known: Any, weights: dict[str, Array], norms: tuple[str, ...]) -> None:
    """Copy the weights of feed-forward network and layer normalization to PyTorch's."""
    with torch.no_grad():
        for ours, theirs in (("hidden", known.linear1), ("out", known.linear2)):
            theirs.weight.copy_(torch.tensor(weights[f"{ours}/kernel"].T))
            theirs.bias.copy_(torch.tensor(weights[f"{ours}/bias"]))
        for number, name in enumerate(norms, 1):
            norm = getattr(known, f"norm{number}")
            norm.weight.copy_(torch.tensor(weights[f"{name}_norm/gamma"]))
            norm.bias.copy_(torch.tensor(weights[f"{name}_norm/beta"]))


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_matches_pytorch(torch: Any, causal: bool) -> None:
    layer, query, value = MultiHeadAttention(HEADS, UNITS // HEADS, name="a"), normal(3, 6, UNITS), normal(3, 6, UNITS)
    layer(query, value)
    with_random_weights(layer)
    known = torch.nn.MultiheadAttention(UNITS, HEADS, batch_first=True).eval()
    copy_attention_weights(torch, known, by_path(layer))
    # PyTorch's masks are True where a key is excluded.
    hidden = torch.tensor(~np.tril(np.ones((6, 6), bool))) if causal else None
    context, weights = known(
        *(torch.tensor(x) for x in (query, value, value)),
        key_padding_mask=torch.tensor(~MASK),
        attn_mask=hidden,
        average_attn_weights=False,
    )
    result = outputs(layer(query, value, value_mask=MASK, use_causal_mask=causal, **SCORES))
    np.testing.assert_allclose(result[0], context.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(result[1], weights.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_matches_keras_where_every_query_has_a_key(causal: bool) -> None:
    layer, known = MultiHeadAttention(HEADS, 5, value_dim=3), keras.layers.MultiHeadAttention(HEADS, 5, value_dim=3)
    query, value, key = normal(3, 6, UNITS), normal(3, 6, 4), normal(3, 6, 7)
    layer(query, value, key)
    known(query, value, key, **SCORES)  # Keras's fused kernel on JAX requires values of the size of the keys
    with_random_weights(layer)
    known.set_weights(layer.get_weights())
    options = {"attention_mask": np.repeat(MASK[:, None], 6, 1), "use_causal_mask": causal, **SCORES}
    result, theirs = outputs(layer(query, value, key, **options)), outputs(known(query, value, key, **options))
    for part, other in zip(result, theirs, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-5)
    by_name = outputs(layer(query, value, key, value_mask=MASK, use_causal_mask=causal, **SCORES))
    np.testing.assert_allclose(by_name[0], result[0], atol=1e-6)


def test_a_query_without_a_key_gives_zeros() -> None:
    layer, query, value = MultiHeadAttention(HEADS, 3), normal(2, 2, UNITS), normal(2, 4, UNITS)
    layer(query, value)
    with_random_weights(layer)
    mask = np.array([[False] * 4, [False, True, True, False]])
    value[~mask] = np.nan
    context, weights = outputs(layer(query, value, value_mask=mask, **SCORES))
    assert not context[0].any() and not weights[0].any()
    assert (weights[1][..., [0, 3]] == 0).all()
    np.testing.assert_allclose(weights[1].sum(-1), 1, atol=1e-6)
    # The first causal query has no key if the first step of the memory is masked.
    context, weights = outputs(layer(query, value, value_mask=mask, use_causal_mask=True, **SCORES))
    assert not context[1, 0].any() and not weights[1, :, 0].any() and context[1, 1].any()


def test_large_negative_scores_do_not_move_weight_to_padding() -> None:
    layer = MultiHeadAttention(1, 5, use_bias=False)
    value = np.full((3, 6, 5), 1e5, dtype="float32")
    layer(value, value)
    layer.set_weights([np.eye(5).reshape(weight.shape) for weight in layer.get_weights()])
    _, weights = outputs(layer(-value, value, value_mask=MASK, **SCORES))
    np.testing.assert_allclose(weights[:, 0, 0], MASK / LENGTHS[:, None], atol=1e-6)


def test_a_single_key_raises_no_warning() -> None:
    layer = MultiHeadAttention(2, 4)
    _, weights = outputs(layer(normal(2, 3, 4), normal(2, 1, 4), **SCORES))
    assert (weights == 1).all()


def test_keras_masks_are_used_and_propagated() -> None:
    values = np.concatenate([normal(3, 4, UNITS), np.zeros((3, 2, UNITS), "float32")], 1)
    masked = keras.layers.Masking(0.0)(values)
    block = TransformerEncoderBlock(UNITS, HEADS)
    result, weights = block(masked, **SCORES)
    known = block(values[:, :4])
    np.testing.assert_allclose(outputs(result)[0][:, :4], outputs(known)[0], atol=1e-6)
    assert not outputs(result)[0][:, 4:].any() and not outputs(weights)[0][..., 4:].any()
    assert outputs(result._keras_mask)[0].sum() == 12
    decoder = TransformerDecoderBlock(UNITS, HEADS)
    read = decoder(normal(3, 2, UNITS), masked)
    np.testing.assert_allclose(outputs(read)[0], outputs(decoder(normal(3, 2, UNITS), values[:, :4]))[0], atol=1e-6)


@pytest.mark.parametrize("normalize_first", [True, False])
def test_encoder_block_matches_pytorch(torch: Any, normalize_first: bool) -> None:
    block, x = (
        TransformerEncoderBlock(UNITS, HEADS, HIDDEN, normalize_first=normalize_first, name="block"),
        normal(3, 6, UNITS),
    )
    block(x)
    with_random_weights(block)
    known = torch.nn.TransformerEncoderLayer(UNITS, HEADS, HIDDEN, batch_first=True, norm_first=normalize_first).eval()
    weights = by_path(block)
    copy_attention_weights(torch, known.self_attn, weights, "attention/")
    copy_other_weights(torch, known, weights, ("attention", "feedforward"))
    theirs = known(torch.tensor(x), src_key_padding_mask=torch.tensor(~MASK)).detach().numpy()
    result = outputs(block(x, mask=MASK))[0]
    np.testing.assert_allclose(result[MASK], theirs[MASK], atol=2e-5)
    assert not result[~MASK].any()


@pytest.mark.parametrize("normalize_first", [True, False])
def test_decoder_block_matches_pytorch(torch: Any, normalize_first: bool) -> None:
    block = TransformerDecoderBlock(UNITS, HEADS, HIDDEN, normalize_first=normalize_first, name="block")
    x, memory = normal(3, 4, UNITS), normal(3, 6, UNITS, seed=4)
    block(x, memory)
    with_random_weights(block)
    known = torch.nn.TransformerDecoderLayer(UNITS, HEADS, HIDDEN, batch_first=True, norm_first=normalize_first).eval()
    weights = by_path(block)
    copy_attention_weights(torch, known.self_attn, weights, "self_attention/")
    copy_attention_weights(torch, known.multihead_attn, weights, "cross_attention/")
    copy_other_weights(torch, known, weights, ("self_attention", "cross_attention", "feedforward"))
    theirs = known(
        torch.tensor(x),
        torch.tensor(memory),
        tgt_mask=torch.nn.Transformer.generate_square_subsequent_mask(4),
        memory_key_padding_mask=torch.tensor(~MASK),
    )
    result = outputs(block(x, memory, memory_mask=MASK))[0]
    np.testing.assert_allclose(result, theirs.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("normalize_first", [True, False])
def test_decoder_blocks_are_causal(normalize_first: bool) -> None:
    blocks = [TransformerDecoderBlock(UNITS, HEADS, normalize_first=normalize_first) for _ in range(2)]
    memory, x = normal(3, 6, 5), normal(3, 4, UNITS)

    def decode(x: Array) -> list[Array]:
        maps: list[Array] = []
        for block in blocks:
            x, weights, _ = block(x, memory, memory_mask=MASK, **SCORES)
            maps.append(outputs(weights)[0])
        return [outputs(x)[0], *maps]

    known, *maps = decode(x)
    for step in range(4):
        later = x.copy()
        later[:, step:] = 100 * normal(3, 4 - step, UNITS, seed=5)
        changed = decode(later)[0]
        np.testing.assert_array_equal(changed[:, :step], known[:, :step])
        assert (changed[:, step:] != known[:, step:]).any(axis=-1).all()
    for weights in maps:
        assert (np.triu(weights, 1) == 0).all()


@pytest.mark.parametrize("normalize_first", [True, False])
def test_steps_match_a_single_call(normalize_first: bool) -> None:
    block, x, memory = (
        TransformerDecoderBlock(UNITS, HEADS, normalize_first=normalize_first),
        normal(3, 5, UNITS),
        normal(3, 6, 4),
    )
    with pytest.raises(ConfigError, match="step requires a built layer"):
        block.step(x[:, 0], block.initial_cache(3, 5), 0, memory)
    known, _, weights = outputs(block(x, memory, memory_mask=MASK, **SCORES))
    cache = block.initial_cache(3, 5)
    for number in range(5):
        result, cache, step_weights = block.step(x[:, number], cache, number, memory, MASK)
        np.testing.assert_allclose(outputs(result)[0], known[:, number], atol=1e-5)
        np.testing.assert_allclose(outputs(step_weights)[0], weights[:, :, number], atol=1e-6)


def test_attention_weights_of_every_head_and_layer() -> None:
    # "i went home tonight": four tokens, and a padded one.
    tokens = keras.Input((None,), dtype="int32")
    mask = keras.ops.not_equal(tokens, 0)
    x = PositionalEncoding()(keras.layers.Embedding(5, UNITS)(tokens), mask=mask)
    maps = []
    for _ in range(3):
        x, weights = TransformerEncoderBlock(UNITS, num_heads=4)(x, mask=mask, return_attention_scores=True)
        maps.append(weights)
    result = outputs(keras.Model(tokens, maps)(np.array([[1, 2, 3, 4], [1, 2, 0, 0]], "int32")))
    assert [weights.shape for weights in result] == [(2, 4, 4, 4)] * 3
    for weights in result:
        np.testing.assert_allclose(weights[0].sum(-1), np.ones((4, 4)), atol=1e-6)
        np.testing.assert_allclose(weights[1].sum(-1), [[1, 1, 0, 0]] * 4, atol=1e-6)
        assert (weights[0] > 0).all() and (weights[1, :, :, 2:] == 0).all()


def test_dropout_acts_in_training_only() -> None:
    block, x = TransformerEncoderBlock(UNITS, dropout=0.5), normal(3, 6, UNITS)
    plain = TransformerEncoderBlock(UNITS)
    known = outputs(block(x))[0]
    plain(x)
    plain.set_weights(block.get_weights())
    np.testing.assert_allclose(outputs(plain(x))[0], known, atol=1e-6)
    assert not np.allclose(outputs(block(x, training=True))[0], known)


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("ahead", [False, True])
def test_sinusoids_match_the_paper_and_count_back_from_the_origin(size: int, ahead: bool) -> None:
    x = normal(3, 6, size)
    result = outputs(PositionalEncoding(ahead=ahead)(x, mask=MASK))[0]
    for row, length in enumerate(LENGTHS):
        for step in range(length):
            position = -1 - step if ahead else length - 1 - step
            angles = [position / 10000 ** (2 * (i // 2) / size) for i in range(size)]
            sinusoids = [math.cos(angle) if i % 2 else math.sin(angle) for i, angle in enumerate(angles)]
            np.testing.assert_allclose(result[row, step], x[row, step] + sinusoids, atol=1e-5)
    assert not result[~MASK].any()


def test_learned_vectors_are_indexed_by_the_distance_to_the_origin() -> None:
    zeros = np.zeros((3, 6, 4), "float32")
    layer = PositionalEncoding("learned", steps=4)
    result = outputs(layer(zeros, mask=MASK))[0]
    table = outputs(layer.table)[0]
    for row, length in enumerate(LENGTHS):
        expected = [table[min(length - 1 - step, 3)] for step in range(length)]
        np.testing.assert_array_equal(result[row, :length], expected)
    ahead = PositionalEncoding("learned", steps=4, ahead=True)
    np.testing.assert_array_equal(outputs(ahead(zeros))[0][0], outputs(ahead.table)[0][[0, 1, 2, 3, 3, 3]])


def test_a_gap_counts_as_a_step() -> None:
    mask = np.array([[True, False, True, False]])
    result = outputs(PositionalEncoding()(np.zeros((1, 4, 2), "float32"), mask=mask))[0]
    np.testing.assert_allclose(result[0], [[math.sin(2), math.cos(2)], [0, 0], [0, 1], [0, 0]], atol=1e-6)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"query must have the shape \(batch, time, features\)"):
        MultiHeadAttention(2, 3)(normal(3, 5), normal(3, 6, 5))
    with pytest.raises(ConfigError, match=r"size of the block's units.*size 5, units=8"):
        TransformerEncoderBlock(8)(normal(3, 6, 5))
    with pytest.raises(ConfigError, match="heads must be 1 or more"):
        TransformerEncoderBlock(8, num_heads=0)
    with pytest.raises(ConfigError, match="kind must be sinusoidal or learned"):
        PositionalEncoding("rotary")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"steps is required by kind=learned.*steps=None"):
        PositionalEncoding("learned")
    with pytest.raises(ConfigError, match=r"steps is required by kind=learned.*steps=3"):
        PositionalEncoding(steps=3)
    with pytest.raises(ConfigError, match="steps must be 1 or more"):
        PositionalEncoding("learned", steps=0)


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("axes", ["", "1", "b", "b1", "bh"])
def test_attention_mask_broadcasts_as_in_keras(heads: int, axes: str) -> None:
    layer, known = MultiHeadAttention(heads, 5), keras.layers.MultiHeadAttention(heads, 5)
    query = normal(3, 4, UNITS)
    for each in (layer, known):
        each(query, query)
    known.set_weights(layer.get_weights())
    causal = np.tril(np.ones((4, 4), bool))
    mask = np.broadcast_to(causal, (*({"1": 1, "b": 3, "h": heads}[axis] for axis in axes), 4, 4))
    for keep in (None, np.arange(4) < np.array([[4], [3], [2]])):
        # Keras does not accept a value mask together with an attention mask of four axes.
        whole = np.broadcast_to(mask if mask.ndim != 3 else mask[:, None], (3, heads, 4, 4))
        both = whole if keep is None else whole & keep[:, None, None]
        got = layer(query, query, attention_mask=mask, value_mask=keep, **SCORES)
        expected = known(query, query, attention_mask=both, **SCORES)
        for a, b in zip(outputs(got), outputs(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_step_computes_in_the_dtype_of_the_layer() -> None:
    block = TransformerDecoderBlock(UNITS, HEADS, HIDDEN, dtype="mixed_float16")
    query, memory = normal(3, 4, UNITS), normal(3, 6, UNITS)
    whole, cache = outputs(block(query, memory))[0], block.initial_cache(3, 4)
    for number in range(4):
        output, cache, _ = block.step(query[:, number], cache, number, memory)
        np.testing.assert_allclose(outputs(output)[0], whole[:, number], atol=5e-3)
