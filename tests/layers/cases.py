"""Every public layer with inputs to call it on, for `check_layer`. Runs on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras_help import built, compiled, with_random_weights

from tsattn.layers import (
    AdaptiveAdjacency,
    Attention,
    AttentionDecoder,
    AttentionPooling,
    BahdanauAttention,
    CalibratedQuantiles,
    CopyAttention,
    CoverageAlignment,
    DiffusionConvolution,
    DistributionHead,
    ForecastDistribution,
    GraphAttention,
    HardmaxAlignment,
    HistoryWindow,
    InstanceScaling,
    LocalAlignment,
    LuongAttention,
    MonotonicAlignment,
    MultiHeadAttention,
    ParallelDecoder,
    Patching,
    PositionalEncoding,
    SortedQuantiles,
    TemporalConvBlock,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
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
        batched: whether the first axis of the outputs is that of the batch; else a model of it alone is not trained.
    """

    name: str
    make: Callable[[], keras.layers.Layer]
    inputs: dict[str, Any]
    mask_argument: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    half: tuple[str, ...] = ("float16",)
    empty_gives_zero: tuple[int, ...] = ()
    batched: bool = True

    @property
    def slow(self) -> bool:
        """Whether another case is much like it, so that the slow tests will do."""
        return self.name in MUCH_LIKE_OTHERS


MUCH_LIKE_OTHERS = {
    *(f"Attention-{x}-3" for x in ("concat", "dot", "normalized_additive", "scaled_dot", "scaled_general")),
    *(f"Attention-{x}" for x in ("fading", "monotonic_hard", "location", "value")),
    *(f"AttentionDecoder-{x}" for x in ("GRU", "feedback", "both_directions", "local", "after-LSTM")),
    *(f"ParallelDecoder-{x}" for x in ("GRU", "LSTM")),
    *("AttentionPooling-None-1-dot", "AttentionPooling-3-2-dot", "CopyAttention-concat-8", "LuongAttention-concat"),
    *("TransformerEncoderBlock-causal", "TransformerDecoderBlock-not_causal", "PositionalEncoding-ahead"),
    *(
        "GraphAttention-edges",
        "DiffusionConvolution-edges",
        "TemporalConvBlock-dilated",
        "MultiHeadAttention-value_dim",
    ),
}

BATCH, TIME = 3, 5


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def mask(lengths: list[int], steps: int = TIME) -> np.ndarray[Any, Any]:
    return np.arange(steps) < np.array(lengths)[:, None]


KEYS = mask([3, 5, 1])
WITH_A_GAP = KEYS & (np.arange(BATCH * TIME).reshape(BATCH, TIME) != TIME + 2)
SCORES = {"return_attention_scores": True}
EDGES, CHANGING_EDGES = (np.maximum(normal(BATCH, *shape, TIME, TIME), 0) for shape in ((), (2,)))


SCORE_NAMES = (
    "additive",
    "concat",
    "cosine",
    "dot",
    "general",
    "normalized_additive",
    "scaled_dot",
    "scaled_general",
)


def attention(name: str, make: Callable[[], Attention], query_size: int = 4, size: int = 6) -> Case:
    return Case(
        name,
        make,
        {
            "query": normal(BATCH, 2, query_size),
            "value": normal(BATCH, TIME, size),
            "query_mask": mask([2, 1, 2], 2),
            "value_mask": KEYS,
        },
        {"query": "query_mask", "value": "value_mask"},
        SCORES,
        ("float16", "float16"),
        (0, 1),
    )


def alignments() -> dict[str, Any]:
    return {
        "hardmax": HardmaxAlignment(),
        "local": LocalAlignment(1.5),
        "monotonic": MonotonicAlignment(noise_stddev=0.5),
        "monotonic_hard": MonotonicAlignment(hard=True),
        "coverage": CoverageAlignment(),
        "location": CoverageAlignment(kernel_size=3, cumulative=False),
    }


def decoder(name: str, cell: Callable[[], Any], state: list[Any], attention: Any = "additive", **options: Any) -> Case:
    return Case(
        f"AttentionDecoder-{name}",
        lambda: AttentionDecoder(cell(), 4, 3, attention and Attention(attention, 5), **options),
        {"memory": normal(BATCH, TIME, 6), "initial_state": state, "memory_mask": KEYS},
        {"memory": "memory_mask"},
        SCORES,
        ("float16", "float16"),
        (1,),
    )


def parallel(name: str, cell: Callable[[], Any], state: list[Any], attention: Any = "additive", **options: Any) -> Case:
    return Case(
        f"ParallelDecoder-{name}",
        lambda: ParallelDecoder(cell(), 3, query_units=2, attention=attention and Attention(attention, 5), **options),
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


def multi_head(name: str, **options: Any) -> Case:
    """Two heads over two steps and a memory."""
    return Case(
        f"MultiHeadAttention-{name}",
        lambda: MultiHeadAttention(2, 3, **options),
        {
            "query": normal(BATCH, 2, 4),
            "value": normal(BATCH, TIME, 6),
            "query_mask": mask([2, 1, 2], 2),
            "value_mask": KEYS,
        },
        {"query": "query_mask", "value": "value_mask"},
        SCORES,
        ("float16", "float16"),
        (0, 1),
    )


def encoder_block(name: str, call: dict[str, Any] | None = None, **options: Any) -> Case:
    return Case(
        f"TransformerEncoderBlock-{name}",
        lambda: TransformerEncoderBlock(4, heads=2, feedforward_units=6, **options),
        {"inputs": normal(BATCH, TIME, 4), "mask": KEYS},
        {"inputs": "mask"},
        {**SCORES, **(call or {})},
        ("float16", "float16"),
        (0, 1),
    )


def decoder_block(name: str, call: dict[str, Any] | None = None, **options: Any) -> Case:
    return Case(
        f"TransformerDecoderBlock-{name}",
        lambda: TransformerDecoderBlock(4, heads=2, **options),
        {
            "query": normal(BATCH, 3, 4),
            "memory": normal(BATCH, TIME, 6),
            "query_mask": mask([3, 1, 2], 3),
            "memory_mask": KEYS,
        },
        {"query": "query_mask", "memory": "memory_mask"},
        {**SCORES, **(call or {})},
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


def convolving(name: str, features: int, **options: Any) -> Case:
    return Case(
        f"TemporalConvBlock-{name}",
        lambda: TemporalConvBlock(4, **options),
        {"inputs": normal(BATCH, TIME, features), "mask": WITH_A_GAP},
        {"inputs": "mask"},
        empty_gives_zero=(0,),
    )


def on_graph(name: str, make: Callable[[], Any], scores: dict[str, Any], *before: int, **inputs: Any) -> Case:
    """A layer over the nodes of a graph, with a mask or with edges."""
    masks = {"inputs": "mask"} if "mask" in inputs else {}
    count = 1 + len(scores)
    given = {"inputs": normal(BATCH, *before, TIME, 3), **inputs}
    return Case(name, make, given, masks, scores, ("float16",) * count, tuple(range(count)) if masks else ())


def gru() -> Any:
    return keras.layers.GRUCell(4)


def lstm() -> Any:
    return keras.layers.LSTMCell(4)


def stacked() -> Any:
    return keras.layers.StackedRNNCells([keras.layers.GRUCell(5), keras.layers.LSTMCell(4)])


STATE = normal(BATCH, 4)
STACKED_STATE = [normal(BATCH, 5), [STATE, normal(BATCH, 4) / 2]]

BOTH_DIRECTIONS = [STATE, STATE / 3]

CASES = [
    *(
        attention(f"Attention-{score}-{units}", lambda score=score, units=units: Attention(score, units), size, 6)
        for score, units, size in (
            *((score, 3, 4) for score in SCORE_NAMES),
            ("additive", None, 6),
            ("general", None, 4),
        )
    ),
    *(
        attention(f"Attention-{name}", lambda name=name: Attention("additive", 3, alignments()[name]))
        for name in alignments()
    ),
    attention("Attention-value", lambda: Attention("dot", 3, value_units=5, dropout=0.2)),
    attention("Attention-fading", lambda: Attention("dot", 3, MonotonicAlignment(noise_stddev=1.0), dropout=0.2)),
    attention("BahdanauAttention", lambda: BahdanauAttention(3)),
    attention("BahdanauAttention-normalize", lambda: BahdanauAttention(3, normalize=True, alignment="coverage")),
    attention("LuongAttention", lambda: LuongAttention()),
    attention("LuongAttention-scale", lambda: LuongAttention(scale=True, alignment="local", value_units=2)),
    attention("LuongAttention-concat", lambda: LuongAttention("concat")),
    *(
        Case(
            f"AttentionPooling-{units}-{heads}-{score}",
            lambda units=units, heads=heads, score=score: AttentionPooling(
                units, heads, score, context_regularizer="l2"
            ),
            {"inputs": normal(BATCH, TIME, 4), "mask": KEYS},
            {"inputs": "mask"},
            SCORES,
            ("float16", "float16"),
            (0, 1),
        )
        for units, heads, score in (
            (None, 1, "dot"),
            (3, 1, "dot"),
            (3, 2, "dot"),
            (3, 2, "additive"),
            (3, 1, "cosine"),
        )
    ),
    decoder("GRU", gru, [STATE]),
    decoder("LSTM", lstm, [STATE, STATE / 2], "scaled_dot"),
    decoder("stacked", stacked, STACKED_STATE),
    decoder("no_attention", gru, [STATE], None),
    decoder("feedback", gru, [STATE], feedback=[1]),
    decoder("after", gru, [STATE], "general", attend="after"),
    decoder("after-LSTM", lstm, [STATE, STATE / 2], "concat", attend="after", attentional_units=7, input_feeding=False),
    decoder("both_directions", lambda: keras.layers.GRUCell(8), BOTH_DIRECTIONS),
    decoder("bridge", stacked, BOTH_DIRECTIONS, bridge=True),
    *(
        Case(
            f"AttentionDecoder-{name}",
            lambda name=name: AttentionDecoder(gru(), 4, 3, Attention("additive", 5, alignments()[name])),
            {"memory": normal(BATCH, TIME, 6), "initial_state": [STATE], "memory_mask": KEYS},
            {"memory": "memory_mask"},
            SCORES,
            ("float16", "float16"),
            (1,),
        )
        for name in ("local", "monotonic", "location")
    ),
    parallel("GRU", gru, [STATE]),
    parallel("LSTM", lstm, [STATE, STATE / 2]),
    parallel("stacked", stacked, STACKED_STATE),
    parallel("no_attention", gru, [STATE], None),
    parallel("bridge", gru, BOTH_DIRECTIONS, bridge=True),
    *(copying(score, lags=8) for score in ("additive", "concat", "scaled_dot")),
    copying("scaled_dot", lags=3, period=2),
    multi_head("plain"),
    multi_head("value_dim", value_dim=2, output_shape=5, dropout=0.2, use_bias=False),
    encoder_block("pre"),
    encoder_block("post", norm="post", activation="gelu", dropout=0.2),
    encoder_block("causal", {"use_causal_mask": True}),
    decoder_block("pre"),
    decoder_block("post", norm="post", dropout=0.2),
    decoder_block("not_causal", {"use_causal_mask": False}),
    *(
        Case(
            f"PositionalEncoding-{name}",
            lambda options=options: PositionalEncoding(**options),
            {"inputs": normal(BATCH, TIME, 3), "mask": KEYS},
            {"inputs": "mask"},
            empty_gives_zero=(0,),
        )
        for name, options in (
            ("sinusoidal", {}),
            ("ahead", {"ahead": True}),
            ("learned", {"kind": "learned", "steps": 4}),
        )
    ),
    *(scaling(method) for method in ("last", "standard", "mean_abs", "training")),
    on_graph("GraphAttention-masked", lambda: GraphAttention(4, heads=2), SCORES, mask=WITH_A_GAP),
    on_graph("GraphAttention-edges", lambda: GraphAttention(4, 2, concat=False), SCORES, adjacency=EDGES),
    on_graph("GraphAttention-changing", lambda: GraphAttention(4, dropout=0.2), {}, 2, adjacency=CHANGING_EDGES),
    on_graph("DiffusionConvolution-edges", lambda: DiffusionConvolution(4), {}, adjacency=EDGES),
    on_graph("DiffusionConvolution-changing", lambda: DiffusionConvolution(4, 1), {}, 2, adjacency=CHANGING_EDGES),
    Case("AdaptiveAdjacency", lambda: AdaptiveAdjacency(3), {"inputs": normal(BATCH, TIME, 3)}, batched=False),
    convolving("plain", 4),
    convolving("dilated", 3, dilation_rate=2, dropout=0.2),
    convolving("weight_norm", 3, kernel_size=2, weight_norm=True, activation="tanh"),
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
    *(
        Case(
            f"CalibratedQuantiles-{support}",
            lambda support=support: CalibratedQuantiles(1, support),
            {"inputs": np.sort(normal(BATCH, 4, 2, 3), axis=-1)},
            half=("float32",),
        )
        for support in ("real", "positive")
    ),
    *(
        Case(
            f"DistributionHead-{name}",
            lambda name=name: DistributionHead(name),
            {
                "inputs": normal(BATCH, TIME, 2, size),
                "center": normal(BATCH, 1, 2),
                "scale": 1 + normal(BATCH, 1, 2) ** 2,
            },
            half=("float32",),
        )
        for name, size in (("normal", 2), ("student_t", 3), ("negative_binomial", 2))
    ),
    *(
        Case(
            f"ForecastDistribution-{name}",
            lambda name=name: ForecastDistribution(name, (0.05, 0.5, 0.9)),
            {"inputs": np.abs(normal(BATCH, TIME, 2, size)) / 4 + 0.1},
            half=("float32",),
        )
        for name, size in (("normal", 2), ("student_t", 3))
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
    layer = with_random_weights(built(case.make(), case.inputs, case.options))
    return compiled(layer, case.options)(case.inputs)


def compute_all(arrays: dict[str, Any]) -> dict[str, Any]:
    """All outputs of all cases, by name and position, and what is no output of a layer with random weights."""
    figures = {f"{case.name}/{i}": part for case in CASES for i, part in enumerate(compute(case))}
    return {
        **figures,
        "dropout_loss": np.array(dropout_losses(4)),
        "start_of_copying": start_of_copying(),
        "counts": quantiles_of_counts(),
    }


def quantiles_of_counts() -> np.ndarray[Any, Any]:
    """Quantiles of negative binomial distributions, which have no gradient: `(1, 4, 1, 3)`."""
    layer = ForecastDistribution("negative_binomial", (0.1, 0.5, 0.9))
    parameters = np.array([[0.3, 0.5], [7.0, 2.0], [60.0, 0.05], [3e4, 0.01]], "float32")[None, :, None]
    return np.asarray(keras.ops.convert_to_numpy(layer(parameters)))


def start_of_copying() -> np.ndarray[Any, Any]:
    """The biases by lag `(lags, heads, queries)` of a fresh layer, for a season of three segments."""
    layer = CopyAttention(lags=7, heads=2, period=3)
    layer(normal(1, 4, 2), normal(1, 5, 2), normal(1, 5, 1))
    return np.asarray(keras.ops.convert_to_numpy(layer.lag_bias))


def dropout_losses(*batch_sizes: int) -> list[float]:
    """Train a decoder with dropout in its cells and its attention, one step for each size of batch."""
    cells = [keras.layers.GRUCell(4, dropout=0.3), keras.layers.LSTMCell(4, recurrent_dropout=0.3)]
    decoder = AttentionDecoder(keras.layers.StackedRNNCells(cells), 3, 1, Attention("additive", 4, dropout=0.3))
    memory = keras.Input((TIME, 4))
    model = keras.Model(memory, decoder(memory))
    model.compile("adam", "mse", jit_compile=keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)
    return [
        model.fit(normal(size, TIME, 4), normal(size, 3, 1), batch_size=size, verbose=0).history["loss"][0]
        for size in batch_sizes
    ]
