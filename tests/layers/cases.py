"""Every public layer with inputs to call it on, for `check_layer`. Runs on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras_help import outputs, with_random_weights

from tsattn.layers import (
    Attention,
    AttentionDecoder,
    AttentionPooling,
    CopyAttention,
    HistoryWindow,
    InstanceScaling,
    ParallelDecoder,
    Patching,
    SortedQuantiles,
)


@dataclass(frozen=True)
class Case:
    """A layer and a call of it.

    Args:
        name: what the test is called.
        make: makes the layer, with fresh weights.
        inputs: arrays by call argument, the first one first; a list of arrays for a state.
        mask_argument: call argument of the mask by the call argument that is padded with it, both in ``inputs``.
        options: further call arguments.
        half: dtypes of the outputs under mixed_float16.
        empty_gives_zero: outputs that are 0 for a row that is all padding, by position.
    """

    name: str
    make: Callable[[], keras.layers.Layer]
    inputs: dict[str, Any]
    mask_argument: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    half: tuple[str, ...] = ("float16",)
    empty_gives_zero: tuple[int, ...] = ()


BATCH, TIME = 3, 5


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def mask(lengths: list[int], steps: int = TIME) -> np.ndarray[Any, Any]:
    return np.arange(steps) < np.array(lengths)[:, None]


KEYS = mask([3, 5, 1])
SCORES = {"return_attention_scores": True}


def attention(score: str, units: int | None) -> Case:
    sizes = (6, 6) if units is None else (4, 6)
    return Case(
        f"Attention-{score}-{units}",
        lambda: Attention(score, units),
        {
            "query": normal(BATCH, 2, sizes[0]),
            "value": normal(BATCH, TIME, sizes[1]),
            "query_mask": mask([2, 1, 2], 2),
            "value_mask": KEYS,
        },
        {"query": "query_mask", "value": "value_mask"},
        SCORES,
        ("float16", "float16"),
        (0, 1),
    )


def decoder(name: str, cell: Callable[[], Any], state: list[Any], **options: Any) -> Case:
    return Case(
        f"AttentionDecoder-{name}",
        lambda: AttentionDecoder(cell(), steps=4, output_units=3, **{"units": 5, **options}),
        {"memory": normal(BATCH, TIME, 6), "initial_state": state, "memory_mask": KEYS},
        {"memory": "memory_mask"},
        SCORES,
        ("float16", "float16"),
        (1,),
    )


def parallel(name: str, cell: Callable[[], Any], state: list[Any], score: str | None = "additive") -> Case:
    return Case(
        f"ParallelDecoder-{name}",
        lambda: ParallelDecoder(cell(), steps=3, query_units=2, score=score, units=5),
        {
            "memory": normal(BATCH, TIME, 6),
            "initial_state": state,
            "features": normal(BATCH, 2),
            "memory_mask": KEYS,
        },
        {"memory": "memory_mask"},
        SCORES,
        ("float16", "float16"),
        (1,),
    )


def copying(score: str, lags: int, period: int = 1) -> Case:
    """Two heads over segments with gaps in them; fewer lags than keys let the oldest keys share one."""
    observed = np.random.default_rng(0).random((BATCH, TIME, 3)) < 0.7
    return Case(
        f"CopyAttention-{score}-{lags}",
        lambda: CopyAttention(lags, heads=2, score=score, units=4, period=period, dropout=0.2),
        {
            "query": normal(BATCH, 2, 4),
            "memory": normal(BATCH, TIME, 6),
            "values": normal(BATCH, TIME, 3),
            "observed": observed.astype("float32"),
            "memory_mask": KEYS,
        },
        {"memory": "memory_mask", "values": "memory_mask", "observed": "memory_mask"},
        SCORES,
        ("float16", "float16", "float16"),
        (0, 1, 2),
    )


def scaling(method: str) -> Case:
    observed = np.repeat(mask([3, 5, 1])[:, :, None], 2, 2)
    observed[1, 2, 0] = False  # a gap, and in the second row the channels differ
    return Case(
        f"InstanceScaling-{method}",
        lambda: InstanceScaling(method),
        {"inputs": 5 + normal(BATCH, TIME, 2), "observed": observed.astype("float32")},
        {"inputs": "observed"},
        half=("float16", "float32", "float32"),
        empty_gives_zero=(0,),
    )


def gru() -> Any:
    return keras.layers.GRUCell(4)


def lstm() -> Any:
    return keras.layers.LSTMCell(4)


def stacked() -> Any:
    return keras.layers.StackedRNNCells([keras.layers.GRUCell(5), keras.layers.LSTMCell(4)])


STATE = normal(BATCH, 4)
STACKED_STATE = [normal(BATCH, 5), [STATE, normal(BATCH, 4) / 2]]

CASES = [
    *(attention(score, units) for score in ("additive", "dot", "general", "scaled_dot") for units in (None, 3)),
    *(
        Case(
            f"AttentionPooling-{units}",
            lambda units=units: AttentionPooling(units),
            {"inputs": normal(BATCH, TIME, 4), "mask": KEYS},
            {"inputs": "mask"},
            SCORES,
            ("float16", "float16"),
            (0, 1),
        )
        for units in (None, 3)
    ),
    decoder("GRU", gru, [STATE]),
    decoder("LSTM", lstm, [STATE, STATE / 2], score="scaled_dot"),
    decoder("stacked", stacked, STACKED_STATE),
    decoder("no_score", gru, [STATE], score=None),
    decoder("feedback", gru, [STATE], feedback=[1]),
    parallel("GRU", gru, [STATE]),
    parallel("LSTM", lstm, [STATE, STATE / 2]),
    parallel("stacked", stacked, STACKED_STATE),
    parallel("no_score", gru, [STATE], score=None),
    *(copying(score, lags=8) for score in ("additive", "dot", "general", "scaled_dot")),
    copying("scaled_dot", lags=3, period=2),
    *(scaling(method) for method in ("last", "standard", "mean_abs")),
    *(
        Case(
            f"Patching-{patch}",
            lambda patch=patch: Patching(patch),
            {"inputs": normal(BATCH, TIME, 2), "mask": KEYS},
            {"inputs": "mask"},
            empty_gives_zero=(0,),
        )
        for patch in (1, 2)
    ),
    *(
        Case(f"SortedQuantiles-{median}", lambda median=median: SortedQuantiles(median), {"inputs": normal(2, 3, 4)})
        for median in (0, 2, 3)
    ),
    Case(
        "HistoryWindow",
        lambda: HistoryWindow(4),
        {"past": normal(BATCH, TIME, 2), "length": np.array([3, 5, 1], dtype="int32")},
        {"past": "length"},
        half=("float32", "float32", "int32", "int32"),
        empty_gives_zero=(0, 1, 2, 3),
    ),
]


def compute(case: Case) -> list[Any]:
    """Call the layer of a case with weights that are the same on every backend."""
    layer = case.make()
    layer(**keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=str(x.dtype)), case.inputs))
    with_random_weights(layer)

    def call(inputs: dict[str, Any]) -> Any:
        return layer(**inputs, **case.options)

    if keras.backend.backend() == "jax":
        import jax

        # Operation by operation JAX compiles each of them, and takes three times as long.
        call = jax.jit(call)
    return outputs(call(case.inputs))


def compute_all(arrays: dict[str, Any]) -> dict[str, Any]:
    """All outputs of all cases, by name and position, and what is no output of a layer with random weights."""
    figures = {f"{case.name}/{i}": part for case in CASES for i, part in enumerate(compute(case))}
    return {**figures, "dropout_loss": np.array(dropout_losses(4)), "start_of_copying": start_of_copying()}


def start_of_copying() -> np.ndarray[Any, Any]:
    """The biases by lag `(lags, heads, queries)` of a fresh layer, for a season of three segments."""
    layer = CopyAttention(lags=7, heads=2, period=3)
    layer(normal(1, 4, 2), normal(1, 5, 2), normal(1, 5, 1))
    return np.asarray(keras.ops.convert_to_numpy(layer.lag_bias))


def dropout_losses(*batch_sizes: int) -> list[float]:
    """Train a decoder with dropout in its cells and its attention, one step for each size of batch."""
    cells = [keras.layers.GRUCell(4, dropout=0.3), keras.layers.LSTMCell(4, recurrent_dropout=0.3)]
    decoder = AttentionDecoder(keras.layers.StackedRNNCells(cells), steps=3, output_units=1, units=4, dropout=0.3)
    memory = keras.Input((TIME, 4))
    model = keras.Model(memory, decoder(memory))
    model.compile("adam", "mse", jit_compile=keras.backend.backend() == "jax")
    return [
        model.fit(normal(size, TIME, 4), normal(size, 3, 1), batch_size=size, verbose=0).history["loss"][0]
        for size in batch_sizes
    ]
