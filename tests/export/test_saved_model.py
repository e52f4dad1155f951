"""The outputs of exported SavedModels, in a process without tsattn, compared with those of the Python models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_help import with_random_weights
from numpy_reference import Array
from shared_runtime import launch

from tsattn.export.formats import write_saved_model
from tsattn.export.metadata import SERVING
from tsattn.export.signatures import ServingPreprocessor
from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph, build_untrained
from tsattn.timeseries.windows import (
    ATTENTION,
    FORECAST,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    QUANTILES,
    QUERY_STEPS,
    WindowSpec,
)

PATCH = 4
SPEC = WindowSpec(context=12, horizon=7, targets=("a", "b"), season=4)
MODELS = ("context_scales", "autoregressive", "seasonal_naive")
"""Two dissimilar networks and a baseline."""

OTHER_MODELS = tuple(pytest.param(name, marks=pytest.mark.slow) for name in ("parallel", "attention_pooling", "tcn"))

NETWORKS = ("context_scales", "autoregressive", *OTHER_MODELS)


@cache
def make_model(name: str) -> keras.Model:
    if name == "seasonal_naive":
        return build_untrained(resolve_options({"name": name})[0], SPEC)
    options: dict[str, object] = {"name": "seq2seq", "decoder": name}
    if name in ("attention_pooling", "tcn"):
        options = {"name": name}
    if name == "context_scales":
        options = {"name": "seq2seq", "context_scales": 2}
    entry, validated = resolve_options({"units": 6, "patch_length": PATCH, **options})
    return with_random_weights(build_graph(entry, validated, SPEC, portable=True).inference())


def raw(lengths: list[int], time: int) -> dict[str, Array]:
    """Histories with gaps, followed by garbage."""
    rng = np.random.default_rng(time)
    past = (20 + 5 * rng.normal(size=(len(lengths), time, 2))).astype("float32")
    past[rng.random(past.shape) < 0.2] = np.nan
    for row, length in enumerate(lengths):
        past[row, 0] = 20, 30
        past[row, max(length - 2, 0)] = 25, 35
        past[row, length:] = rng.choice([np.nan, np.inf, 1e9], size=(time - length, 2))
    return {PAST: past, LENGTH: np.array(lengths, dtype="int32")}


# Under and over the context, dynamic in batch and time; longer than the array counts as its whole.
BATCHES = {
    "ragged": raw([1, 3, 5, 12, 13, 30, 29], 30),
    "short": raw([2, 4], 5),
    "one": raw([40], 40),
}


def windows(given: dict[str, Array]) -> dict[str, Array]:
    """The windows, computed in a loop."""
    past, batch = given[PAST], len(given[PAST])
    values = np.zeros((batch, SPEC.context, 2), dtype="float32")
    observed, lengths = values.copy(), np.zeros(batch, dtype="int32")
    for row, length in enumerate(given[LENGTH]):
        history = past[row, max(length - SPEC.context, 0) : length]
        lengths[row] = len(history)
        values[row, : len(history)] = np.where(np.isfinite(history), history, 0)
        observed[row, : len(history)] = np.isfinite(history)
    return {PAST: values, OBSERVED: observed, LENGTH: lengths}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


def exported(folder: Path, name: str) -> Path:
    """Return the SavedModel of a model, which is written by the first call."""
    if not (folder / name).exists():
        write_saved_model(make_model(name), ServingPreprocessor(SPEC), folder / name)
    return folder / name


@cache
def served(folder: Path, name: str) -> dict[str, Array]:
    """Return the outputs of a model in a process without tsattn."""
    signatures = (SERVING, ATTENTION)[: 1 if name == "seasonal_naive" else 2]
    given = {
        f"{batch}/{signature}/{key}": x
        for batch, inputs in BATCHES.items()
        for signature in signatures
        for key, x in inputs.items()
    }
    with launch("saved_model", None) as runtime:
        runtime.load(exported(folder, name))
        runtime.start(given)
        return runtime.finish()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", [*MODELS, *OTHER_MODELS])
def test_raw_history_gives_what_python_gives(folder: Path, name: str, batch: str) -> None:
    given = windows(BATCHES[batch])
    known = keras.ops.convert_to_numpy(make_model(name)(given)[QUANTILES])
    seen = np.where(given[OBSERVED] > 0, given[PAST], np.nan)
    scale = np.maximum(np.nanstd(seen, axis=1), 1.0)[:, None, :, None]
    made = served(folder, name)
    quantiles = made[f"{batch}/{SERVING}/{QUANTILES}"]
    assert quantiles.shape == (len(given[PAST]), SPEC.horizon, 2, len(SPEC.levels))
    assert (np.abs(quantiles - known) / scale).max() <= 1e-5
    np.testing.assert_array_equal(made[f"{batch}/{SERVING}/{FORECAST}"], quantiles[..., SPEC.median])


def test_a_baseline_has_no_attention_signature(folder: Path) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported(folder, "seasonal_naive")))
    assert set(loaded.signatures) == {SERVING}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_attention_is_over_the_steps_of_the_raw_history(folder: Path, name: str, batch: str) -> None:
    made = served(folder, name)
    weights, steps, queries = (made[f"{batch}/{ATTENTION}/{output}"] for output in (ATTENTION, KEY_STEPS, QUERY_STEPS))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    for row, length in enumerate(BATCHES[batch][LENGTH]):
        # Segments are counted back from the forecast origin; only the first of the context can be partial.
        begin, last = max(length - SPEC.context, 0), length - 1
        known = []
        while last >= begin:
            known.insert(0, [max(last - PATCH + 1, begin), last])
            last -= PATCH
        padding = SPEC.context // PATCH - len(known)
        assert steps[row].tolist() == known + [[-1, -1]] * padding
        assert not weights[row, ..., len(known) :].any()
        whole = [[0, SPEC.horizon - 1]]
        assert queries[row].tolist() == (whole if name == "attention_pooling" else [[0, 3], [4, 6]])


def test_a_length_over_the_array_counts_as_its_whole(folder: Path) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported(folder, "context_scales")))
    serve, past = loaded.signatures["serving_default"], tf.constant(BATCHES["one"][PAST])
    one, other = (serve(past=past, length=tf.constant([n], tf.int32))[FORECAST].numpy() for n in (40, 99))
    np.testing.assert_array_equal(one, other)


def test_the_order_of_variables_is_that_of_their_names(folder: Path) -> None:
    """Otherwise two exports of a model have different files."""
    import tensorflow as tf

    names = [variable.name for variable in tf.saved_model.load(str(exported(folder, "context_scales"))).used_variables]
    assert len(names) > 5 and names == sorted(names)
