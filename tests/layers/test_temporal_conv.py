"""TemporalConvBlock compared with NumPy and PyTorch; causality, receptive field and padding."""

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
    """Return blocks with dilation rates 1, 2 and 4."""
    return [random_block(4 if i else FEATURES, dilation_rate=2**i, **options) for i in range(3)]


def run(blocks: list[TemporalConvBlock], inputs: Array, mask: Array | None = None) -> Array:
    result: Any = inputs
    for block in blocks:
        result = block(result, mask=mask)
    return outputs(result)[0]


def make_inputs() -> Array:
    return np.random.default_rng(1).normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def mask_with_gaps() -> Array:
    mask = np.random.default_rng(2).random((BATCH, TIME)) < 0.7
    mask[2, 12:] = False
    return mask


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize(("kernel_size", "dilation_rate"), [(1, 1), (2, 1), (3, 1), (3, 4), (2, 30)])
def test_a_block_matches_the_formula(kernel_size: int, dilation_rate: int, weight_norm: bool) -> None:
    block = random_block(kernel_size=kernel_size, dilation_rate=dilation_rate, weight_norm=weight_norm)
    weights = {weight.name: outputs(weight)[0].astype("float64") for weight in block.weights}
    for mask in (np.ones((BATCH, TIME), bool), mask_with_gaps()):
        known = temporal_conv_block(make_inputs().astype("float64"), mask, weights, dilation_rate)
        np.testing.assert_allclose(run([block], make_inputs(), mask), known, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("dilation_rate", [1, 2, 5])
def test_a_block_matches_pytorch(dilation_rate: int, weight_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
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
        x = torch.tensor(make_inputs())
        hidden = convolve(convolve(x.transpose(1, 2), 1), 2).transpose(1, 2)
        known = torch.relu(hidden + x @ weights["projection"]).numpy()
    np.testing.assert_allclose(run([block], make_inputs()), known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_do_not_depend_on_later_inputs(masked: bool, weight_norm: bool) -> None:
    # One call for all, side by side in a batch, because most of the time goes into calls.
    changes = [(step, content) for step in range(1, TIME, 3) for content in (np.nan, np.inf, -1e30, 0.1)]
    changed = np.stack([make_inputs()] * len(changes))
    for inputs, (step, content) in zip(changed, changes, strict=True):
        inputs[:, step:] = content
    blocks = stack(weight_norm=weight_norm)
    mask = np.concatenate([mask_with_gaps()] * len(changes)) if masked else None
    known = run(blocks, np.concatenate([make_inputs()] * len(changes)), mask)
    results = run(blocks, np.concatenate(changed), mask)
    shape = (len(changes), BATCH, *known.shape[1:])
    for result, expected, (step, _) in zip(results.reshape(shape), known.reshape(shape), changes, strict=True):
        np.testing.assert_array_equal(result[:, :step], expected[:, :step])


def test_outputs_do_not_depend_on_later_masks() -> None:
    blocks, mask = stack(), mask_with_gaps()
    known = run(blocks, make_inputs(), mask)
    for step in range(1, TIME, 3):
        changed = mask.copy()
        changed[:, step:] = ~mask[:, step:]
        np.testing.assert_array_equal(run(blocks, make_inputs(), changed)[:, :step], known[:, :step])


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_outputs_depend_on_the_receptive_field_only(kernel_size: int) -> None:
    # tanh passes every change on; ReLU may hide one.
    blocks = stack(kernel_size=kernel_size, activation="tanh")
    fields = [receptive_field(blocks[: i + 1]) for i in range(3)]
    assert fields == [1 + 2 * (kernel_size - 1) * dilations for dilations in (1, 3, 7)]
    assert [block.receptive_field for block in blocks] == [1 + 2 * (kernel_size - 1) * d for d in (1, 2, 4)]
    zeros = np.zeros((1, 40, FEATURES), "float32")
    for depth, field in enumerate(fields, 1):
        known = run(blocks[:depth], zeros)
        changed = zeros.copy()
        changed[:, 5] = 1
        difference = np.abs(run(blocks[:depth], changed) - known).max(axis=(0, 2))
        affected = np.flatnonzero(difference > 1e-6)
        assert (affected[0], affected[-1]) == (5, 5 + field - 1)


def test_left_padding_has_no_effect() -> None:
    blocks = stack()
    padded = np.concatenate([np.full((BATCH, 4, FEATURES), np.nan, "float32"), make_inputs()], axis=1)
    mask = np.broadcast_to(np.arange(TIME + 4) >= 4, (BATCH, TIME + 4))
    result = run(blocks, padded, mask)
    assert not result[:, :4].any()
    np.testing.assert_allclose(result[:, 4:], run(blocks, make_inputs()), rtol=1e-5, atol=1e-5)


def test_the_keras_mask_is_used_and_propagated() -> None:
    values, mask = make_inputs(), mask_with_gaps()
    values[~mask] = 0
    masked = keras.layers.Masking()(values)
    first, second = random_block(), random_block(4, dilation_rate=2)
    np.testing.assert_array_equal(outputs(second(first(masked)))[0], run([first, second], values, mask))


def test_weight_norm_keeps_the_initial_filters_and_ignores_the_norm_of_the_direction() -> None:
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
    np.testing.assert_allclose(run([normed], make_inputs()), run([plain], make_inputs()), rtol=1e-5, atol=1e-5)
    known = run([normed], make_inputs())
    for weight in normed.weights:
        if weight.name.startswith("kernel"):
            weight.assign(weight * 7)
    np.testing.assert_allclose(run([normed], make_inputs()), known, rtol=1e-5, atol=1e-5)


def test_zero_filters_train_under_weight_norm() -> None:
    model = keras.Sequential([TemporalConvBlock(4, weight_norm=True, kernel_initializer="zeros")])
    jit = keras.backend.backend() == "jax"
    model.compile("adam", "mse", jit_compile=jit, run_eagerly=not jit)
    loss = model.fit(make_inputs(), make_inputs()[:, :, :4], verbose=0).history["loss"]
    assert np.isfinite(loss).all() and all(np.isfinite(weight).all() for weight in model.get_weights())


def test_dropout_drops_whole_channels() -> None:
    keras.utils.set_random_seed(1)
    block = TemporalConvBlock(64, kernel_size=1, dropout=0.25, activation="linear")
    block.build((None, None, 64))
    for weight in block.weights:
        if weight.name.startswith("kernel"):
            weight.assign(np.eye(64)[None])
    added = outputs(block(np.ones((50, 3, 64), "float32"), training=True))[0] - 1
    np.testing.assert_array_equal(added, np.broadcast_to(added[:, :1], added.shape))
    remains = added[:, 0] > 0
    assert 0.5 < remains.mean() < 0.625, "three quarters of three quarters"
    np.testing.assert_allclose(added[:, 0][remains], 1 / 0.75**2, rtol=1e-5)


@pytest.mark.parametrize("name", ["filters", "kernel_size", "dilation_rate"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be 1 or more. Received: {name}=0"):
        TemporalConvBlock(**{"filters": 4, name: 0})


def test_an_input_that_is_not_a_sequence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must have the shape \(batch, time, features\)"):
        TemporalConvBlock(4)(np.zeros((2, 3), "float32"))
