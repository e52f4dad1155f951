"""``python -m benchmarks.sequences``: attention pooling over sequences of different lengths.

* Japanese Vowels: which of nine speakers says an utterance of 7 to 29 steps, as given and padded, never cut nor
  resampled; accuracy on the 370 test utterances after training on the 270 others.
* The adding problem: the sum of the two marked numbers of a sequence of T/2 to T steps, on sequences never seen.

Writes `benchmarks/results/sequences.json` and the table of it, `sequences.md`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.options import data_folder
from tsattn.layers import AttentionPooling

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
    "adding": {"constant answer": 0.1767, "LSTM, T = 600": 0.164, "TCN, T = 600": 6e-5, "GRU, T = 600": 5e-5},
}


def read_vowels(name: str) -> tuple[Array, Array]:
    """Return utterances `(270 or 370, 29, 12)`, padded with 0 behind their end, and speakers 0 to 8."""
    text = (data_folder() / "japanese_vowels" / f"JapaneseVowels_{name}.ts").read_text()
    rows = [line.split(":") for line in text.splitlines() if line and line[0] not in "#@"]
    utterances = [np.array([channel.split(",") for channel in channels], dtype=float).T for *channels, _ in rows]
    padded = keras.utils.pad_sequences(utterances, padding="post", dtype="float32")
    return padded, np.array([int(row[-1]) - 1 for row in rows])


def speaker_model(standardize: keras.layers.Layer) -> keras.Model:
    """Return a model from an utterance to the speaker: a convolution, LSTMs in both directions, pooled by attention.

    All of it was chosen by five folds of the training utterances, shuffled, and in the order in which they were spoken
    where that is told. A voice is another one each day: noise that is the same for all steps of an utterance lowers the
    cross entropy from .072 to .054 (in order .152 to .112), 128 units instead of 64 to .053 (.102), the convolution to
    .051 (.078); accuracy .976, .980, .983 and .987 (in order .965, .965, .976 and .974).
    """
    inputs = keras.Input((None, 12))
    mask = keras.ops.any(keras.ops.not_equal(inputs, 0.0), axis=-1)
    noisy = keras.layers.GaussianNoise(0.6)(standardize(inputs))
    noisy = noisy + keras.layers.GaussianNoise(0.3)(keras.ops.zeros_like(noisy[:, :1]))
    noisy = noisy * keras.ops.cast(mask, "float32")[..., None]
    heard = keras.layers.Dropout(0.25)(keras.layers.Conv1D(64, 5, padding="same", activation="relu")(noisy))
    states = keras.layers.Bidirectional(keras.layers.LSTM(128, return_sequences=True))(heard, mask=mask)
    pooled = AttentionPooling(128, heads=4)(keras.layers.Dropout(0.5)(states), mask=mask)
    speakers = keras.layers.Dense(9, activation="softmax")(keras.layers.Dropout(0.5)(pooled))
    return keras.Model(inputs, speakers)


def vowels(seed: int, members: int = 1) -> float:
    """Train on the training utterances and return the accuracy on the others, of the mean of so many networks."""
    keras.utils.set_random_seed(seed)
    x, speaker = read_vowels("TRAIN")
    standardize = keras.layers.Normalization()
    standardize.adapt(x[(x != 0).any(-1)])
    others, true = read_vowels("TEST")
    probabilities = 0.0
    for _ in range(members):
        model = speaker_model(standardize)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 60 * 9), clipnorm=1.0)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(x, speaker, batch_size=32, epochs=60, verbose=0)
        probabilities += model.predict(others, verbose=0) / members
    return float((np.argmax(probabilities, axis=-1) == true).mean())


def additions(rng: np.random.Generator, count: int, length: int) -> tuple[Array, Array, Array]:
    """Return sequences `(count, length, 2)` of numbers and marks, their masks, and the sums."""
    lengths = rng.integers(length // 2, length + 1, count)
    mask = np.arange(length) < lengths[:, None]
    numbers = rng.uniform(size=(count, length)) * mask
    marks = np.zeros((count, length))
    for row, size in enumerate(lengths):
        marks[row, rng.choice(size, 2, replace=False)] = 1
    sums = (numbers * marks).sum(-1, keepdims=True)
    return np.stack([numbers, marks], -1).astype("float32"), mask, sums.astype("float32")


def adding(length: int, seed: int) -> float:
    """Train on additions and return the mean squared error on new ones."""
    keras.utils.set_random_seed(seed)
    inputs, mask = keras.Input((None, 2)), keras.Input((None,), dtype="bool")
    hidden = keras.layers.Dense(32, activation="tanh")(inputs)
    pooled = AttentionPooling(32)(hidden, mask=mask)
    model = keras.Model([inputs, mask], keras.layers.Dense(1)(pooled))
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 3000)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        x, valid, sums = additions(rng, 32 * 500, length)
        model.fit([x, valid], sums, batch_size=32, verbose=0)
    x, valid, sums = additions(rng, 2000, length)
    return float(model.evaluate([x, valid], sums, verbose=0))


TASKS: dict[str, Callable[[int], float]] = {
    "japanese-vowels": vowels,
    "japanese-vowels, three networks": partial(vowels, members=3),
    **{f"adding-{length}": partial(adding, length) for length in LENGTHS},
}


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Return the Markdown of all results."""
    lines = ["# Sequences of different lengths", "", *(__doc__ or "").split("\n\n")[1].splitlines(), ""]
    lines += ["Mean and range over the seeds; time is that of one training.", ""]
    lines += ["| task | figure | here | seeds | time | published |", "|---|---|---|---|---|---|"]
    for name, found in results.items():
        kind = name.partition("-")[0] if name.startswith("adding") else name.partition(",")[0]
        known = ", ".join(f"{who} {figure:g}" for who, figure in PUBLISHED[kind].items())
        values = found["figure"]
        shown = f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"
        title = "accuracy" if kind == "japanese-vowels" else "MSE"
        seconds = f"{np.mean(found['seconds']):.0f} s"
        lines.append(f"| {name} | {title} | {shown} | {len(values)} | {seconds} | {known} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("tasks", nargs=-1, type=click.Choice(list(TASKS)))
def main(tasks: tuple[str, ...]) -> None:
    """Run the tasks, all of them if none is named."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in tasks or TASKS:
        figures, seconds = [], []
        for seed in SEEDS:
            start = time.perf_counter()
            figures.append(TASKS[name](seed))
            seconds.append(round(time.perf_counter() - start, 1))
            click.echo(f"{name}  seed {seed}  {figures[-1]:.5g}  {seconds[-1]:.0f} s")
        results[name] = {"figure": figures, "seconds": seconds}
        results = {task: results[task] for task in TASKS if task in results}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(results))


if __name__ == "__main__":
    main()
