"""Batches of sequences of similar length."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_help import on_tensorflow

from tsattn.errors import ConfigError
from tsattn.layers import AttentionPooling, bucket_batches

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(5, 51, 103)
SEQUENCES = [RNG.normal(size=(length, 2)).astype("float32") for length in LENGTHS]
TARGETS = np.array([sequence.sum() for sequence in SEQUENCES], "float32")


def pooling_model() -> keras.Model:
    inputs, mask = keras.Input((None, 2)), keras.Input((None,), dtype="bool")
    return keras.Model([inputs, mask], keras.layers.Dense(1)(AttentionPooling(3)(inputs, mask=mask)))


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sequence_is_in_one_batch_padded_to_its_bucket(shuffle: bool) -> None:
    batches = bucket_batches(SEQUENCES, TARGETS, batch_size=8, buckets=4, shuffle=shuffle, seed=1)
    for _ in range(2):
        shapes, seen = set(), []
        for (inputs, mask), targets in (batches[number] for number in range(len(batches))):
            assert inputs.shape[:2] == mask.shape and (np.diff(mask.astype(int), axis=1) <= 0).all()
            assert not inputs[~mask].any()
            np.testing.assert_allclose(inputs.sum((1, 2)), targets, atol=1e-4)
            shapes.add(mask.shape)
            seen.extend(targets)
        assert sorted(seen) == sorted(TARGETS)
        np.testing.assert_array_equal(TARGETS[batches.order], seen)
        assert len({length for _, length in shapes}) == 4 and len(shapes) <= 5
        batches.on_epoch_end()


def test_shuffling_composes_other_batches_and_a_seed_repeats_them() -> None:
    first, second = (bucket_batches(SEQUENCES, TARGETS, 8, seed=2) for _ in range(2))
    order = first.order
    np.testing.assert_array_equal(order, second.order)
    first.on_epoch_end()
    assert not np.array_equal(order, first.order)
    assert {frozenset(batch) for batch in np.array_split(order, 13)} != {
        frozenset(batch) for batch in np.array_split(first.order, 13)
    }


def test_given_buckets_are_the_lengths() -> None:
    batches = bucket_batches(SEQUENCES, batch_size=8, buckets=[60, 20, 40])
    assert {batches[number][0][0].shape[1] for number in range(len(batches))} == {20, 40, 60}


def test_predictions_are_those_of_each_sequence_alone() -> None:
    model, batches = pooling_model(), bucket_batches(SEQUENCES[:20], batch_size=8, buckets=3, shuffle=False)
    predicted = np.empty((20, 1), "float32")
    predicted[batches.order] = model.predict(batches, verbose=0)
    for row in (0, 7, 19):
        alone = model([SEQUENCES[row][None], np.ones((1, len(SEQUENCES[row])), bool)])
        np.testing.assert_allclose(predicted[row], keras.ops.convert_to_numpy(alone)[0], atol=1e-5)


@on_tensorflow
def test_training_traces_no_more_graphs_than_buckets() -> None:
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs: object) -> object:
            traces.append(getattr(inputs, "shape", None))
            return inputs

    inputs, mask = keras.Input((None, 2)), keras.Input((None,), dtype="bool")
    counted = Counting()(inputs)
    model = keras.Model([inputs, mask], keras.layers.Dense(1)(AttentionPooling(3)(counted, mask=mask)))
    model.compile("sgd", "mse", jit_compile=False)
    traces.clear()
    history = model.fit(bucket_batches(SEQUENCES, TARGETS, 8, buckets=4), epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert 1 <= len(traces) <= 5


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("differ in length only", {"sequences": [np.ones((3, 2)), np.ones((3, 1))]}),
        ("differ in length only", {"sequences": []}),
        ("a target per sequence. Received: 2 for 103", {"targets": [1, 2]}),
        ("longest bucket must be 50 or more", {"buckets": [10, 20]}),
        ("buckets must be 1 or more", {"buckets": 0}),
        ("batch_size must be 1 or more", {"batch_size": 0}),
    ],
)
def test_wrong_arguments_are_refused(message: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=message):
        bucket_batches(**{"sequences": SEQUENCES, **arguments})  # type: ignore[arg-type]
