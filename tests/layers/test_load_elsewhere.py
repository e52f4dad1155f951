"""A model with the layers, loaded in new processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_help import on_tensorflow, outputs, with_random_weights

from tsattn.layers import (
    Attention,
    AttentionDecoder,
    AttentionPooling,
    BahdanauAttention,
    CoverageAlignment,
    LuongAttention,
    MonotonicAlignment,
    ParallelDecoder,
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    history, mask = keras.Input((None, 3), name="history"), keras.Input((None,), dtype="bool", name="mask")
    encoder = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True, return_state=True))
    encoded, *state = encoder(history, mask=mask)
    context = Attention("cosine", 8, "local")(encoded, encoded, value_mask=mask, query_mask=mask)
    context = Attention("concat", 8, MonotonicAlignment(hard=True))(context, encoded, value_mask=mask)
    pooled = AttentionPooling(8, 2, context_regularizer="l2")(context, mask=mask)
    cells = keras.layers.StackedRNNCells([keras.layers.GRUCell(8), keras.layers.LSTMCell(8)])
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 100, 0.0)
    decoded = AttentionDecoder(
        cells, 4, 2, LuongAttention(alignment=CoverageAlignment(3)), "after", bridge=True, teacher_forcing=schedule
    )(encoded, initial_state=state, memory_mask=mask)
    parallel = ParallelDecoder(keras.layers.LSTMCell(16), 4, 3, BahdanauAttention(8))
    wide = parallel(encoded, initial_state=state, memory_mask=mask)
    return with_random_weights(keras.Model([history, mask], {"pooled": pooled, "decoded": decoded, "wide": wide}))


@pytest.fixture(scope="module")
def data(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, its inputs and its outputs."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("model")
    inputs = {
        "history": rng.normal(size=(3, 7, 3)).astype("float32"),
        "mask": np.arange(7) < np.array([7, 3, 0])[:, None],
    }
    expected = dict(zip(sorted(model.output), outputs(model(inputs)), strict=True))
    np.savez(folder / "data.npz", **inputs, **expected)
    model.save(folder / "model.keras")
    return folder


def run(script: str, folder: Path) -> None:
    result = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


COMPARE = """
for name in ("pooled", "decoded", "wide"):
    np.testing.assert_allclose(array(result[name]), data[name], rtol=1e-5, atol=1e-5)
"""


@pytest.mark.slow
def test_a_keras_file_needs_only_the_layers(data: Path) -> None:
    script = f"""
import sys, numpy as np, keras
import tsattn.layers
folder = sys.argv[1]
data = np.load(folder + "/data.npz")
model = keras.saving.load_model(folder + "/model.keras")
result, array = model({{"history": data["history"], "mask": data["mask"]}}), keras.ops.convert_to_numpy
{COMPARE}
assert not {{"tsattn.models", "tsattn.data", "tsattn.forecaster"}} & set(sys.modules)
"""
    run(script, data)


@pytest.mark.slow
@on_tensorflow
def test_a_saved_model_needs_nothing_of_the_package(model: keras.Model, data: Path) -> None:
    model.export(str(data / "exported"), verbose=False)
    script = f"""
import sys, numpy as np, tensorflow as tf
folder = sys.argv[1]
data = np.load(folder + "/data.npz")
loaded = tf.saved_model.load(folder + "/exported")  # its functions die with it
result, array = loaded.serve([tf.constant(data["history"]), tf.constant(data["mask"])]), np.asarray
{COMPARE}
assert not [name for name in sys.modules if name.startswith("tsattn")]
"""
    run(script, data)
