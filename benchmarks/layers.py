"""``python -m benchmarks.layers``: time and memory of the attention layers, as ratios to Keras's.

One training step (outputs and all gradients, in one TensorFlow graph, float32) of each layer and of the Keras layers
named next to it, in turn, on the same arrays. The time is that of the processor over all threads, the least of several;
the memory is the peak above the start.
Ratios below 1: this package needs less. Memory below 32 MiB is not compared. Additive scores store a vector per pair of
query and key, so that they have fewer features the longer the sequences are. Coverage and monotonic alignment take
their queries one by one, and `CopyAttention` has a weight for each of as many lags as steps.

Writes `benchmarks/results/layers.json` and its table `layers.md`.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "layers.json"
BATCHES = {96: 32, 336: 8, 1_000: 2, 6_000: 1}
"""Batch size by length."""
MAX_ROUNDS = 50
SIZE, HEADS, STEPS = 32, 2, 24
LEAST_MEMORY = 32 * 2**20

Step = Callable[[Any, Any], Any]
"""Maps a sequence `(batch, length, size)` and its mask to an output."""


def pairs(length: int) -> dict[str, tuple[str, Step, Step]]:
    """Return by name: the name of the reference, this package's layer, the reference."""
    from keras import layers

    from tsattn.layers import (
        Attention,
        AttentionDecoder,
        AttentionPooling,
        BahdanauAttention,
        CopyAttention,
        GraphAttention,
        LinearAttention,
        LuongAttention,
        MultiHeadAttention,
        ParallelDecoder,
        TransformerDecoderBlock,
        TransformerEncoderBlock,
    )

    dot, keras_dot = Attention("dot"), layers.Attention()
    additive, keras_additive = Attention("additive"), layers.AdditiveAttention()
    bahdanau, luong = BahdanauAttention(2), LuongAttention()
    query_dense, key_dense, luong_dense = (layers.Dense(units, use_bias=False) for units in (2, 2, SIZE))
    local, coverage, monotonic = (Attention("dot", alignment=name) for name in ("local", "coverage", "monotonic"))
    heads, keras_heads = (cls(HEADS, SIZE // HEADS) for cls in (MultiHeadAttention, layers.MultiHeadAttention))
    grouped = MultiHeadAttention(2 * HEADS, SIZE // HEADS, num_key_value_heads=HEADS)
    keras_grouped = layers.GroupQueryAttention(SIZE // HEADS, 2 * HEADS, HEADS)
    linear = LinearAttention(HEADS, SIZE // HEADS)
    pooling, hidden, score = AttentionPooling(SIZE), layers.Dense(SIZE, "tanh"), layers.Dense(1, use_bias=False)
    softmax, dot_product = layers.Softmax(axis=1), layers.Dot(axes=1)
    encoder, decoder = TransformerEncoderBlock(SIZE, HEADS), TransformerDecoderBlock(SIZE, HEADS)
    copying = CopyAttention(lags=length, num_heads=HEADS, units=SIZE // HEADS)
    graph = GraphAttention(8)
    recurrent = AttentionDecoder(layers.GRUCell(SIZE), STEPS, SIZE, Attention("scaled_dot", SIZE))
    parallel = ParallelDecoder(layers.GRUCell(SIZE), STEPS, SIZE, Attention("scaled_dot", SIZE))
    gru, keras_encoder, keras_decoder = layers.GRU(SIZE, return_sequences=True), KerasBlock(0), KerasBlock(1)

    def causal(layer: Any, **options: Any) -> Step:
        return lambda x, mask: layer(x, x, use_causal_mask=True, **options)

    def keras_pooling(x: Any, mask: Any) -> Any:
        return dot_product([softmax(score(hidden(x)), mask=mask[..., None]), x])

    def keras_steps(x: Any, mask: Any) -> Any:
        return keras_dot([x[:, :STEPS], x], mask=[None, mask])

    def keras_recurrent(x: Any, mask: Any) -> Any:
        return keras_dot([gru(x[:, :STEPS]), x], mask=[None, mask])

    return {
        "Attention, dot": ("Attention", lambda x, _: dot(x, x), lambda x, _: keras_dot([x, x])),
        "Attention, dot, mask": (
            "Attention",
            lambda x, mask: dot(x, x, value_mask=mask),
            lambda x, mask: keras_dot([x, x], mask=[None, mask]),
        ),
        "Attention, additive, mask": (
            "AdditiveAttention",
            lambda x, mask: additive(x, x, value_mask=mask),
            lambda x, mask: keras_additive([x, x], mask=[None, mask]),
        ),
        "BahdanauAttention, additive, mask": (
            "Dense, AdditiveAttention",
            lambda x, mask: bahdanau(x, x, value_mask=mask),
            lambda x, mask: keras_additive([query_dense(x), x, key_dense(x)], mask=[None, mask]),
        ),
        "LuongAttention, mask": (
            "Dense, Attention",
            lambda x, mask: luong(x, x, value_mask=mask),
            lambda x, mask: keras_dot([luong_dense(x), x], mask=[None, mask]),
        ),
        "Attention, local, mask": (
            "Attention",
            lambda x, mask: local(x, x, value_mask=mask),
            lambda x, mask: keras_dot([x, x], mask=[None, mask]),
        ),
        f"Attention, coverage, {STEPS} queries, mask": (
            f"Attention, {STEPS} queries",
            lambda x, mask: coverage(x[:, :STEPS], x, value_mask=mask),
            keras_steps,
        ),
        f"Attention, monotonic, {STEPS} queries, mask": (
            f"Attention, {STEPS} queries",
            lambda x, mask: monotonic(x[:, :STEPS], x, value_mask=mask),
            keras_steps,
        ),
        "MultiHeadAttention": ("MultiHeadAttention", lambda x, _: heads(x, x), lambda x, _: keras_heads(x, x)),
        "MultiHeadAttention, mask": (
            "MultiHeadAttention",
            lambda x, mask: heads(x, x, value_mask=mask),
            lambda x, mask: keras_heads(x, x, value_mask=mask),
        ),
        "MultiHeadAttention, causal": ("MultiHeadAttention", causal(heads), causal(keras_heads)),
        "MultiHeadAttention, causal, weights": (
            "MultiHeadAttention",
            causal(heads, return_attention_scores=True),
            causal(keras_heads, return_attention_scores=True),
        ),
        "MultiHeadAttention, grouped, mask": (
            "GroupQueryAttention",
            lambda x, mask: grouped(x, x, value_mask=mask),
            lambda x, mask: keras_grouped(x, x, value_mask=mask),
        ),
        "LinearAttention": ("MultiHeadAttention, causal", lambda x, _: linear(x), causal(keras_heads)),
        "TransformerEncoderBlock, mask": (
            "MultiHeadAttention, Dense, LayerNormalization",
            lambda x, mask: encoder(x, mask=mask),
            lambda x, mask: keras_encoder(x, mask),
        ),
        "TransformerDecoderBlock, mask": (
            "MultiHeadAttention, Dense, LayerNormalization",
            lambda x, mask: decoder(x, x, memory_mask=mask),
            lambda x, mask: keras_decoder(x, mask),
        ),
        "AttentionPooling, mask": (
            "Dense, Softmax, Dot",
            lambda x, mask: pooling(x, mask=mask),
            keras_pooling,
        ),
        "CopyAttention, mask": (
            f"MultiHeadAttention, {STEPS} queries",
            lambda x, mask: copying(x[:, :STEPS], x, x, memory_mask=mask),
            lambda x, mask: keras_heads(x[:, :STEPS], x, value_mask=mask),
        ),
        "GraphAttention": ("AdditiveAttention", lambda x, _: graph(x), lambda x, _: keras_additive([x, x])),
        "AttentionDecoder, mask": (
            f"GRU, Attention, {STEPS} steps",
            lambda x, mask: recurrent(x, memory_mask=mask),
            keras_recurrent,
        ),
        "ParallelDecoder, mask": (
            f"GRU, Attention, {STEPS} steps",
            lambda x, mask: parallel(x, memory_mask=mask),
            keras_recurrent,
        ),
    }


class KerasBlock:
    """A Transformer block of Keras's layers, normalized before each sublayer, with or without cross-attention."""

    def __init__(self, cross: int) -> None:
        from keras import layers

        self.attentions = [layers.MultiHeadAttention(HEADS, SIZE // HEADS) for _ in range(1 + cross)]
        self.norms = [layers.LayerNormalization() for _ in range(2 + cross)]
        self.dense = [layers.Dense(4 * SIZE, "relu"), layers.Dense(SIZE)]

    def __call__(self, x: Any, mask: Any) -> Any:
        """Return the output `(batch, length, size)`."""
        memory, normed = x, self.norms[0](x)
        if len(self.attentions) == 1:
            x = x + self.attentions[0](normed, normed, value_mask=mask)
        else:
            x = x + self.attentions[0](normed, normed, use_causal_mask=True)
            x = x + self.attentions[1](self.norms[1](x), memory, value_mask=mask)
        return x + self.dense[1](self.dense[0](self.norms[-1](x)))


def training_step(layer: Step, x: Any, mask: Any) -> Callable[[], Any]:
    """Return a function that computes the output and its gradients."""
    import tensorflow as tf

    layer(x, mask)  # builds the weights

    def differentiate(x: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.nest.flatten(layer(x, mask))
            loss = tf.reduce_sum(outputs[0] ** 2)
        return tape.gradient(loss, [x, *tape.watched_variables()])

    step = tf.function(differentiate, autograph=False)

    def run() -> None:
        for part in step(x, mask):
            if part is not None:
                part.numpy()

    return run


def measure(length: int, name: str, budget: float) -> dict[str, Any]:
    """Return seconds and bytes of a layer and of its reference."""
    import tensorflow as tf

    batch = BATCHES[length]
    reference, *layers = pairs(length)[name]
    pairwise = "additive" in name or name.startswith("Graph")
    size = max(2, min(8, 2**26 // (batch * length**2))) if pairwise else SIZE
    x = tf.constant(np.random.default_rng(0).normal(size=(batch, length, size)).astype("float32"))
    mask = tf.sequence_mask(np.linspace(length // 2, length, batch).astype(int), length)
    steps = [training_step(layer, x, mask) for layer in layers]
    memory = [peak_memory(step) for step in steps]  # the first calls, which trace the graphs
    seconds: list[list[float]] = [[], []]
    while not seconds[0] or (sum(seconds[0]) < budget and len(seconds[0]) < MAX_ROUNDS):
        for position, step in enumerate(steps):
            start = time.process_time()
            step()
            seconds[position].append(time.process_time() - start)
    return {"reference": reference, "seconds": [min(times) for times in seconds], "bytes": memory}


def peak_memory(step: Callable[[], Any]) -> int:
    """Return the peak of the resident memory during a call, above that before it (Linux)."""
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    status, before = Path("/proc/self/status"), 0
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    before = _kibibytes(status, "VmRSS")
    step()
    return (_kibibytes(status, "VmHWM") - before) * 1024


def _kibibytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1])


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").split("\n\n")[1]
    head = ("layer", "Keras", *(f"{length:,}: time, memory" for length in BATCHES))
    lines = []
    for name, found in results.items():
        cells = []
        for length in map(str, BATCHES):
            (one, other), (peak, least) = found[length]["seconds"], found[length]["bytes"]
            memory = f"{peak / least:.2f}" if least >= LEAST_MEMORY else "-"
            cells.append(f"{one / other:.2f}, {memory}")
        lines.append((name, found[str(next(iter(BATCHES)))]["reference"], *cells))
    return f"# Layers\n\n{about}\n\n{text_table(head, lines)}"


@click.command()
@click.option("--seconds", default=1.0, show_default=True, help="Time per layer and length.")
@click.option("--only", default="", help="Part of the name of the layers to measure.")
@TABLE_ONLY
def main(seconds: float, only: str, table_only: bool) -> None:
    """Measure the attention layers."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = read_results(RESULTS)
    if not table_only:
        ctypes.CDLL(None).mallopt(-3, 2**20)  # M_MMAP_THRESHOLD: large arrays are given back at once
        for name in pairs(1):
            if only not in name:
                continue
            results[name] = {str(length): measure(length, name, seconds) for length in BATCHES}
            ratios = [one / other for one, other in (found["seconds"] for found in results[name].values())]
            write_results(RESULTS, results, render(results))
            click.echo(f"{name}: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()
