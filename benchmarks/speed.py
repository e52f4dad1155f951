"""``python -m benchmarks.speed``: training, prediction and reading, each relative to something else in the same run.

* `decoder`: a training step (forward, backward, update) of the encoder-decoder with Bahdanau attention, GRU of 128
  units, batch 64. Compared with a hand-written Keras loop, whose attention layer projects the keys at every step as
  tutorials do, and with PyTorch's same model (keys projected once), if installed. More rows: context and horizon
  doubled twice, relative to the shortest.
* `predict`: a small fitted network on many series; a single series in a warm process; the command in a new process.
* `read`: `tsattn inspect` on a large file and the start of a fit, relative to pyarrow's reader and to the training.

Times are the least of several runs that alternate.

Writes `benchmarks/results/speed.json` and its table `speed.md`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results
from benchmarks.startup import training_seconds

RESULTS = Path(__file__).with_name("results") / "speed.json"
CONTEXT, HORIZON, UNITS, BATCH = 168, 24, 128, 64
SIZES = (1, 2, 4)
"""Factors of the shortest context and horizon."""
STEPS = 100
"""Steps of each series to predict."""
TSATTN = [sys.executable, "-m", "tsattn"]

Row = dict[str, Any]


def fastest(tasks: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the least seconds of each task; the repetitions of all tasks alternate, after a first one."""
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(found) for name, found in seconds.items()}


def row(what: str, seconds: float, reference: str, other: float, asked: str = "") -> Row:
    """Return a row of the table; its ratio is the time of the reference over that of tsattn."""
    found = {"what": what, "seconds": round(seconds, 4), "reference": reference, "other": round(other, 4)}
    click.echo(f"{what}: {seconds:.4g} s; {reference}: {other:.4g} s; {other / seconds:.2f}")
    return {**found, "ratio": round(other / seconds, 2), "asked": asked}


def keras_step(build: Callable[[int, int], Any], context: int, horizon: int) -> Callable[[], Any]:
    """Return a function that trains a Keras model for a step."""
    import keras

    keras.utils.set_random_seed(0)
    model = build(context, horizon)
    x, y = arrays(context, horizon)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    return lambda: model.train_on_batch(x, y)


def arrays(context: int, horizon: int) -> tuple[Any, Any]:
    """Return a batch of sequences and of what follows them."""
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(BATCH, length, 1)).astype("float32") for length in (context, horizon))  # type: ignore[return-value]


def tsattn_model(context: int, horizon: int) -> Any:
    """The model of this package's layers."""
    import keras

    from tsattn.layers import AttentionDecoder, BahdanauAttention

    inputs = keras.Input((context, 1))
    memory, state = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)(inputs)
    attention = BahdanauAttention(UNITS)
    decoder = AttentionDecoder(keras.layers.GRUCell(UNITS), horizon, 1, attention, teacher_forcing=0.0)
    return keras.Model(inputs, decoder(memory, initial_state=[state]))


def keras_loop(context: int, horizon: int) -> Any:
    """The model as it is written by hand in Keras."""
    import keras
    from keras import ops

    class Attention(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.score = (keras.layers.Dense(units) for units in (UNITS, UNITS, 1))

        def call(self, query: Any, values: Any) -> Any:
            score = self.score(ops.tanh(self.query(query[:, None]) + self.key(values)))
            return ops.sum(ops.softmax(score, axis=1) * values, axis=1)

    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)
            self.attention, self.cell, self.head = Attention(), keras.layers.GRUCell(UNITS), keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            memory, state = self.encoder(inputs)
            output, outputs = ops.zeros_like(inputs[:, 0]), []
            for _ in range(horizon):
                attended = self.attention(state, memory)
                state, _ = self.cell(ops.concatenate([output, attended], axis=-1), [state])
                output = self.head(state)
                outputs.append(output)
            return ops.stack(outputs, axis=1)

    return Model()


def torch_step(context: int, horizon: int) -> Callable[[], Any]:
    """Return a function that trains PyTorch's same model for a step."""
    torch: Any = importlib.import_module("torch")

    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.GRU(1, UNITS, batch_first=True)
            self.cell, self.head = torch.nn.GRUCell(1 + UNITS, UNITS), torch.nn.Linear(UNITS, 1)
            self.query, self.key = torch.nn.Linear(UNITS, UNITS, bias=False), torch.nn.Linear(UNITS, UNITS)
            self.score = torch.nn.Linear(UNITS, 1, bias=False)

        def forward(self, inputs: Any) -> Any:
            memory, state = self.encoder(inputs)
            keys, state, output, outputs = self.key(memory), state[0], inputs[:, 0] * 0, []
            for _ in range(horizon):
                weights = torch.softmax(self.score(torch.tanh(self.query(state)[:, None] + keys)), dim=1)
                attended = (weights * memory).sum(1)
                state = self.cell(torch.cat([output, attended], -1), state)
                output = self.head(state)
                outputs.append(output)
            return torch.stack(outputs, 1)

    torch.manual_seed(0)
    model = Model()
    x, y = (torch.tensor(array) for array in arrays(context, horizon))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss: Any = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def measure_decoder(repeats: int) -> list[Row]:
    """Return the rows of the encoder-decoder."""
    tasks = {
        "tsattn": keras_step(tsattn_model, CONTEXT, HORIZON),
        "Keras loop": keras_step(keras_loop, CONTEXT, HORIZON),
    }
    if importlib.util.find_spec("torch"):
        tasks["PyTorch"] = torch_step(CONTEXT, HORIZON)
    seconds = fastest(tasks, repeats)
    what = f"training step, context {CONTEXT}, horizon {HORIZON}"
    asked = {"Keras loop": ">= 3", "PyTorch": ">= 1.3"}
    rows = [row(what, seconds["tsattn"], name, other, asked[name]) for name, other in list(seconds.items())[1:]]
    shortest = CONTEXT // 2, HORIZON // 2
    for name, sizes in (
        ("context", [(shortest[0] * factor, shortest[1]) for factor in SIZES]),
        ("horizon", [(shortest[0], shortest[1] * factor) for factor in SIZES]),
    ):
        found = fastest({str(size): keras_step(tsattn_model, *size) for size in sizes}, repeats)
        first = found[str(sizes[0])]
        for factor, size in zip(SIZES[1:], sizes[1:], strict=True):
            value = size[name == "horizon"]
            linear = f"{factor} x the time of {sizes[0][name == 'horizon']}"
            rows.append(row(f"training step, {name} {value}", found[str(size)], linear, factor * first, ">= 1"))
    return rows


def make_frame(series: int) -> pd.DataFrame:
    """Return weekly patterns with noise."""
    rng, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=STEPS)
    season = rng.normal(0, 2, (series, 7))[:, np.arange(STEPS) % 7]
    values = 20 + season + rng.normal(0, 1, (series, STEPS))
    ids = np.arange(series).repeat(STEPS).astype(str)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(days, series), "y": values.ravel()})


def run(*command: str) -> None:
    """Run a command without showing its output."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_predict(repeats: int, series: int) -> list[Row]:
    """Return the rows of the prediction."""
    import tensorflow as tf

    from tsattn import Forecaster

    many = make_frame(series)
    training = {"epochs": 1, "steps_per_epoch": 20, "refit": False}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        forecaster = Forecaster("seq2seq", horizon=14, training=training).fit(many[: 500 * STEPS])
        forecaster.save(folder)
        served = tf.saved_model.load(str(folder / "saved_model" / "1")).signatures["serving_default"]
        past = many["y"].to_numpy("float32").reshape(series, STEPS, 1)
        batches = np.array_split(past, max(series // 1024, 1))
        lengths = [tf.fill([len(batch)], STEPS) for batch in batches]

        def serve() -> None:
            for batch, length in zip(batches, lengths, strict=True):
                served(past=tf.constant(batch), length=length)

        one, row_of_one = many[:STEPS], tf.constant(past[:1])
        seconds = fastest(
            {
                "predict": lambda: forecaster.predict(many),
                "serve": serve,
                "predict one": lambda: forecaster.predict(one),
                "serve one": lambda: served(past=row_of_one, length=lengths[0][:1]),
                "command": lambda: run(*TSATTN, "predict", str(folder)),
                "import": lambda: run(sys.executable, "-c", "import tensorflow"),
            },
            repeats,
        )
    about = f"{series:,} series of {STEPS} steps"
    return [
        row(
            f"`Forecaster.predict`, {about}", seconds["predict"], "its SavedModel in batches of 1,024", seconds["serve"]
        ),
        row("`Forecaster.predict`, one series", seconds["predict one"], "5 ms", 0.005, ">= 1"),
        row("SavedModel, one series", seconds["serve one"], "5 ms", 0.005, ">= 1"),
        row("`tsattn predict RUN`", seconds["command"], "`import tensorflow`", seconds["import"], ">= .77"),
    ]


def measure_read(repeats: int, megabytes: int) -> list[Row]:
    """Return the rows of reading."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "large.csv"
        frame = make_frame(1000)
        frame.to_csv(file, index=False)
        copies = max(round(megabytes * 1e6 / file.stat().st_size), 1)
        make_frame(1000 * copies).to_csv(file, index=False)
        small = folder / "small.csv"
        frame.to_csv(small, index=False)
        seconds = fastest(
            {
                "inspect": lambda: run(*TSATTN, "inspect", str(file)),
                "pyarrow": lambda: run(
                    sys.executable, "-c", "import pyarrow.csv, sys; pyarrow.csv.read_csv(sys.argv[1])", str(file)
                ),
            },
            repeats,
        )
        options = ("--model", "seq2seq", "-o", str(folder / "run"), "--verbose")
        result = subprocess.run([*TSATTN, "fit", str(small), *options], capture_output=True, text=True, check=True)
        log = [
            (float(number), text) for number, text in re.findall(r"^ *([\d.]+) s  (.*)$", result.stderr, re.MULTILINE)
        ]
        first = next(number for number, text in log if text.startswith("Training"))
        trained = training_seconds(result.stderr)
        size = file.stat().st_size / 1e6
    return [
        row(f"`tsattn inspect`, {size:.0f} MB", seconds["inspect"], "pyarrow's reader", seconds["pyarrow"]),
        row("`tsattn fit`, 1,000 series, before the training", first, "a tenth of the training", trained / 10, ">= 1"),
    ]


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    head = ("what", "seconds", "relative to", "its seconds", "ratio", "asked")
    keys = ("what", "seconds", "reference", "other", "ratio", "asked")
    lines = [[str(found[key]) for key in keys] for rows in results.values() for found in rows]
    return f"# Speed\n\n{about}\n\nA ratio above 1: tsattn takes less time.\n\n{text_table(head, lines)}"


@click.command()
@click.option("--only", type=click.Choice(["decoder", "predict", "read"]), multiple=True, help="Parts to measure.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each task.")
@click.option("--series", default=20_000, show_default=True, help="Series to predict.")
@click.option("--megabytes", default=100, show_default=True, help="Size of the file to read.")
@TABLE_ONLY
def main(only: tuple[str, ...], repeats: int, series: int, megabytes: int, table_only: bool) -> None:
    """Measure the speed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parts: dict[str, Callable[[], list[Row]]] = {
        "decoder": lambda: measure_decoder(4 * repeats),
        "predict": lambda: measure_predict(repeats, series),
        "read": lambda: measure_read(repeats, megabytes),
    }
    results = read_results(RESULTS)
    for name in () if table_only else only or parts:
        results[name] = parts[name]()
        write_results(RESULTS, results, render(results))
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
