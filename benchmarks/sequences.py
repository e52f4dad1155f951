"""``python -m benchmarks.sequences``: attention pooling over sequences of different lengths.

* Japanese Vowels: classify the speaker, one of nine, of an utterance of 7 to 29 steps, padded but neither truncated nor
  resampled. Accuracy on the 370 test utterances after training on the 270 others.
* The adding problem: predict the sum of the two marked numbers of a sequence of T/2 to T steps, on new sequences.
* Bucketing: the processor time of an epoch of an LSTM and attention pooling over 512 sequences, of lengths uniform in
  .1 to 1 of 336 steps, padded to the longest, divided by that with `bucket_batches`.

Writes `benchmarks/results/sequences.json` and its table `sequences.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, data_folder, read_results, write_results
from tsattn.layers import AttentionPooling, bucket_batches

Array = npt.NDArray[Any]
RESULTS = Path(__file__).with_name("results") / "sequences.json"
LENGTHS = (50, 200, 1000)
SEEDS = (0, 1, 2)
PUBLISHED = {
    "japanese-vowels": {
        "MLSTM-FCN": 1.0,
        "LSTM-FCN": 0.99,
        "dilated-CNN representation": 0.989,
        "GAK": 0.981,
        "ROCKET": 0.962,
        "DTW": 0.949,
        "zero-padded LSTM": 0.797,
    },
    "bucketing": {"padded to the longest": 1.0},
    "adding": {"constant answer": 0.1767, "LSTM, T = 600": 0.164, "TCN, T = 600": 6e-5, "GRU, T = 600": 5e-5},
}


def read_vowels(name: str) -> tuple[Array, Array]:
    """Return utterances `(270 or 370, 29, 12)`, right-padded with 0, and speakers 0 to 8."""
    text = (data_folder() / "japanese_vowels" / f"JapaneseVowels_{name}.ts").read_text()
    rows = [line.split(":") for line in text.splitlines() if line and line[0] not in "#@"]
    utterances = [np.array([channel.split(",") for channel in channels], dtype=float).T for *channels, _ in rows]
    padded = keras.utils.pad_sequences(utterances, padding="post", dtype="float32")
    return padded, np.array([int(row[-1]) - 1 for row in rows])


def speaker_model(standardize: keras.layers.Layer) -> keras.Model:
    """Return a classifier of speakers: a convolution, a bidirectional LSTM and attention pooling.

    Its parts were selected by cross-validation, see docs/design/sequences.md.
    """
    inputs = keras.Input((None, 12))
    mask = keras.ops.any(keras.ops.not_equal(inputs, 0.0), axis=-1)
    noisy = keras.layers.GaussianNoise(0.6)(standardize(inputs))
    # The same for all steps of an utterance, because a voice changes from day to day.
    noisy = noisy + keras.layers.GaussianNoise(0.3)(keras.ops.zeros_like(noisy[:, :1]))
    noisy = noisy * keras.ops.cast(mask, "float32")[..., None]
    features = keras.layers.Dropout(0.25)(keras.layers.Conv1D(64, 5, padding="same", activation="relu")(noisy))
    states = keras.layers.Bidirectional(keras.layers.LSTM(128, return_sequences=True))(features, mask=mask)
    pooled = AttentionPooling(128, num_heads=4)(keras.layers.Dropout(0.5)(states), mask=mask)
    speakers = keras.layers.Dense(9, activation="softmax")(keras.layers.Dropout(0.5)(pooled))
    return keras.Model(inputs, speakers)


def classify_speakers(seed: int, ensemble_size: int = 1) -> float:
    """Train an ensemble on the training utterances and return its accuracy on the test utterances."""
    keras.utils.set_random_seed(seed)
    utterances, speakers = read_vowels("TRAIN")
    standardize = keras.layers.Normalization()
    standardize.adapt(utterances[(utterances != 0).any(-1)])
    test_utterances, test_speakers = read_vowels("TEST")
    probabilities = 0.0
    for _ in range(ensemble_size):
        model = speaker_model(standardize)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 60 * 9), clipnorm=1.0)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(utterances, speakers, batch_size=32, epochs=60, verbose=0)
        probabilities += model.predict(test_utterances, verbose=0) / ensemble_size
    return float((np.argmax(probabilities, axis=-1) == test_speakers).mean())


def make_additions(rng: np.random.Generator, count: int, length: int) -> tuple[Array, Array, Array]:
    """Return sequences `(count, length, 2)` of numbers and marks, their masks, and the sums."""
    lengths = rng.integers(length // 2, length + 1, count)
    mask = np.arange(length) < lengths[:, None]
    numbers = rng.uniform(size=(count, length)) * mask
    marks = np.zeros((count, length))
    for row, size in enumerate(lengths):
        marks[row, rng.choice(size, 2, replace=False)] = 1
    sums = (numbers * marks).sum(-1, keepdims=True)
    return np.stack([numbers, marks], -1).astype("float32"), mask, sums.astype("float32")


def solve_additions(length: int, seed: int) -> float:
    """Train on the adding problem and return the mean squared error on new sequences."""
    keras.utils.set_random_seed(seed)
    inputs, mask = keras.Input((None, 2)), keras.Input((None,), dtype="bool")
    hidden = keras.layers.Dense(32, activation="tanh")(inputs)
    pooled = AttentionPooling(32)(hidden, mask=mask)
    model = keras.Model([inputs, mask], keras.layers.Dense(1)(pooled))
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 3000)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        x, valid, sums = make_additions(rng, 32 * 500, length)
        model.fit([x, valid], sums, batch_size=32, verbose=0)
    x, valid, sums = make_additions(rng, 2000, length)
    return float(model.evaluate([x, valid], sums, verbose=0))


def bucketing_ratio(seed: int) -> float:
    """Return the time of an epoch of sequences padded to the longest, divided by that of `bucket_batches`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(34, 337, 512)
    sequences = [rng.normal(size=(length, 4)).astype("float32") for length in lengths]
    targets = np.array([[sequence.mean()] for sequence in sequences])
    inputs, mask = keras.Input((None, 4)), keras.Input((None,), dtype="bool")
    states = keras.layers.LSTM(64, return_sequences=True)(inputs, mask=mask)
    model = keras.Model([inputs, mask], keras.layers.Dense(1)(AttentionPooling(64)(states, mask=mask)))
    model.compile("adam", "mse", jit_compile=False)
    padded = bucket_batches(sequences, targets, buckets=[lengths.max()], seed=seed)
    bucketed = bucket_batches(sequences, targets, seed=seed)
    seconds = {}
    model.fit(bucketed, verbose=0)  # traces the graph
    for name, batches in (("padded", padded), ("bucketed", bucketed)):
        start = time.process_time()
        model.fit(batches, verbose=0)
        seconds[name] = time.process_time() - start
    return seconds["padded"] / seconds["bucketed"]


TASKS: dict[str, Callable[[int], float]] = {
    "japanese-vowels": classify_speakers,
    "japanese-vowels, three networks": partial(classify_speakers, ensemble_size=3),
    "bucketing": bucketing_ratio,
    **{f"adding-{length}": partial(solve_additions, length) for length in LENGTHS},
}


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").split("\n\n")[1]
    lines = []
    for name, found in results.items():
        kind = next(kind for kind in PUBLISHED if name.startswith(kind))
        published = ", ".join(f"{method} {figure:g}" for method, figure in PUBLISHED[kind].items())
        values = found["figure"]
        figure = f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"
        metric = {"adding": "MSE", "bucketing": "ratio"}.get(kind, "accuracy")
        lines.append((name, metric, figure, len(values), f"{np.mean(found['seconds']):.0f} s", published))
    rows = text_table(("task", "metric", "here", "seeds", "time", "published"), lines)
    return (
        f"# Sequences of different lengths\n\n{about}\n\n"
        f"Mean and range over the seeds; time is that of one training.\n\n{rows}"
    )


@click.command()
@click.argument("tasks", nargs=-1, type=click.Choice(list(TASKS)))
@TABLE_ONLY
def main(tasks: tuple[str, ...], table_only: bool) -> None:
    """Run the given tasks, all by default."""
    results = read_results(RESULTS)
    for name in () if table_only else tasks or TASKS:
        figures, seconds = [], []
        for seed in SEEDS:
            start = time.perf_counter()
            figures.append(TASKS[name](seed))
            seconds.append(round(time.perf_counter() - start, 1))
            click.echo(f"{name}  seed {seed}  {figures[-1]:.5g}  {seconds[-1]:.0f} s")
        results[name] = {"figure": figures, "seconds": seconds}
        results = {task: results[task] for task in TASKS if task in results}
        write_results(RESULTS, results, render(results))
    if table_only:
        write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
