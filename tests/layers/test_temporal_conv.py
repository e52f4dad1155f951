"""TemporalConvBlock against NumPy and PyTorch; causality, receptive field, padding on either side."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights
from numpy_reference import Array, temporal_conv_block

from tsattn.errors import ConfigError
from tsattn.layers import TemporalConvBlock, receptive_field

BATCH, TIME, FEATURES = 3, 23, 5


def random_block(features: int = FEATURES, **options: Any) -> TemporalConvBlock:
    block = TemporalConvBlock(4, **options)
    block.build((None, None, features))
    return with_random_weights(block)


def stack(**options: Any) -> list[TemporalConvBlock]:
    """Blocks of dilation 1, 2 and 4."""
    return [random_block(4 if i else FEATURES, dilation_rate=2**i, **options) for i in range(3)]


def run(blocks: list[TemporalConvBlock], inputs: Array, mask: Array | None = None) -> Array:
    result: Any = inputs
    for block in blocks:
        result = block(result, mask=mask)
    return outputs(result)[0]


def given() -> Array:
    return np.random.default_rng(1).normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def with_holes() -> Array:
    mask = np.random.default_rng(2).random((BATCH, TIME)) < 0.7
    mask[2, 12:] = False
    return mask


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize(("kernel_size", "dilation_rate"), [(1, 1), (2, 1), (3, 1), (3, 4), (2, 30)])
def test_a_block_is_the_formula(kernel_size: int, dilation_rate: int, weight_norm: bool) -> None:
    block = random_block(kernel_size=kernel_size, dilation_rate=dilation_rate, weight_norm=weight_norm)
    weights = {weight.name: outputs(weight)[0].astype("float64") for weight in block.weights}
    for mask in (np.ones((BATCH, TIME), bool), with_holes()):
        known = temporal_conv_block(given().astype("float64"), mask, weights, dilation_rate)
        np.testing.assert_allclose(run([block], given(), mask), known, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("dilation_rate", [1, 2, 5])
def test_a_block_is_that_of_pytorch(dilation_rate: int, weight_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, which it is held against, is not installed")
    block = random_block(dilation_rate=dilation_rate, weight_norm=weight_norm)
    weights = {weight.name: torch.tensor(outputs(weight)[0]) for weight in block.weights}

    def convolve(x: Any, number: int) -> Any:
        kernel = weights[f"kernel_{number}"].permute(2, 1, 0)
        layer = torch.nn.Conv1d(kernel.shape[1], kernel.shape[0], 3, dilation=dilation_rate)
        if weight_norm:
            layer = torch.nn.utils.parametrizations.weight_norm(layer)
            layer.parametrizations.weight.original0.data = weights[f"gain_{number}"][:, None, None]
            layer.parametrizations.weight.original1.data = kernel
        else:
            layer.weight.data = kernel
        layer.bias.data = weights[f"bias_{number}"]
        return torch.relu(layer(torch.nn.functional.pad(x, (2 * dilation_rate, 0))))

    with torch.no_grad():
        x = torch.tensor(given())
        hidden = convolve(convolve(x.transpose(1, 2), 1), 2).transpose(1, 2)
        known = torch.relu(hidden + x @ weights["projection"]).numpy()
    np.testing.assert_allclose(run([block], given()), known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_no_bit_of_an_output_depends_on_what_comes_later(masked: bool, weight_norm: bool) -> None:
    blocks, mask = stack(weight_norm=weight_norm), with_holes() if masked else None
    known = run(blocks, given(), mask)
    for step in range(1, TIME, 3):
        for content in (np.nan, np.inf, -1e30, 0.1):
            changed = given()
            changed[:, step:] = content
            np.testing.assert_array_equal(run(blocks, changed, mask)[:, :step], known[:, :step])


def test_the_mask_of_a_later_step_changes_nothing_before_it() -> None:
    blocks, mask = stack(), with_holes()
    known = run(blocks, given(), mask)
    for step in range(1, TIME, 3):
        changed = mask.copy()
        changed[:, step:] = ~mask[:, step:]
        np.testing.assert_array_equal(run(blocks, given(), changed)[:, :step], known[:, :step])


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_an_output_sees_as_far_as_is_told_and_no_farther(kernel_size: int) -> None:
    # A tanh lets everything through, where a relu may hide what it sees.
    blocks = stack(kernel_size=kernel_size, activation="tanh")
    fields = [receptive_field(blocks[: i + 1]) for i in range(3)]
    assert fields == [1 + 2 * (kernel_size - 1) * dilations for dilations in (1, 3, 7)]
    assert [block.receptive_field for block in blocks] == [1 + 2 * (kernel_size - 1) * d for d in (1, 2, 4)]
    calm = np.zeros((1, 40, FEATURES), "float32")
    for depth, field in enumerate(fields, 1):
        known = run(blocks[:depth], calm)
        pushed = calm.copy()
        pushed[:, 5] = 1
        moved = np.abs(run(blocks[:depth], pushed) - known).max(axis=(0, 2))
        seen = np.flatnonzero(moved > 1e-6)
        assert (seen[0], seen[-1]) == (5, 5 + field - 1)


def test_nothing_at_all_lies_before_the_first_valid_step() -> None:
    blocks = stack()
    padded = np.concatenate([np.full((BATCH, 4, FEATURES), np.nan, "float32"), given()], axis=1)
    mask = np.broadcast_to(np.arange(TIME + 4) >= 4, (BATCH, TIME + 4))
    result = run(blocks, padded, mask)
    assert not result[:, :4].any()
    np.testing.assert_allclose(result[:, 4:], run(blocks, given()), rtol=1e-5, atol=1e-5)


def test_a_mask_is_found_and_carried_on() -> None:
    values, mask = given(), with_holes()
    values[~mask] = 0
    found = keras.layers.Masking()(values)
    first, second = random_block(), random_block(4, dilation_rate=2)
    np.testing.assert_array_equal(outputs(second(first(found)))[0], run([first, second], values, mask))


def test_weight_normalisation_changes_nothing_at_the_start_and_frees_the_lengths() -> None:
    blocks = [
        TemporalConvBlock(4, weight_norm=normal, kernel_initializer=keras.initializers.HeNormal(seed=1))
        for normal in (False, True)
    ]
    plain, normed = blocks
    plain.build((None, None, FEATURES))
    normed.build((None, None, FEATURES))
    for weight in normed.weights:
        if not weight.name.startswith("gain"):
            next(other for other in plain.weights if other.name == weight.name).assign(weight)
    np.testing.assert_allclose(run([normed], given()), run([plain], given()), rtol=1e-5, atol=1e-5)
    known = run([normed], given())
    for weight in normed.weights:
        if weight.name.startswith("kernel"):
            weight.assign(weight * 7)
    np.testing.assert_allclose(run([normed], given()), known, rtol=1e-5, atol=1e-5)


def test_filters_of_nothing_but_zeros_train_under_weight_normalisation() -> None:
    model = keras.Sequential([TemporalConvBlock(4, weight_norm=True, kernel_initializer="zeros")])
    model.compile("adam", "mse", jit_compile=keras.backend.backend() == "jax")
    loss = model.fit(given(), given()[:, :, :4], verbose=0).history["loss"]
    assert np.isfinite(loss).all() and all(np.isfinite(weight).all() for weight in model.get_weights())


def test_dropout_takes_whole_channels_away() -> None:
    keras.utils.set_random_seed(1)
    block = TemporalConvBlock(64, kernel_size=1, dropout=0.25, activation="linear")
    block.build((None, None, 64))
    for weight in block.weights:
        if weight.name.startswith("kernel"):
            weight.assign(np.eye(64)[None])
    added = outputs(block(np.ones((50, 3, 64), "float32"), training=True))[0] - 1
    np.testing.assert_array_equal(added, np.broadcast_to(added[:, :1], added.shape))
    kept = added[:, 0] > 0
    assert 0.5 < kept.mean() < 0.625, "three quarters of three quarters"
    np.testing.assert_allclose(added[:, 0][kept], 1 / 0.75**2, rtol=1e-5)


@pytest.mark.parametrize("name", ["filters", "kernel_size", "dilation_rate"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be 1 or more. Received: {name}=0"):
        TemporalConvBlock(**{"filters": 4, name: 0})


def test_what_is_no_sequence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must have the shape \(batch, time, features\)"):
        TemporalConvBlock(4)(np.zeros((2, 3), "float32"))
