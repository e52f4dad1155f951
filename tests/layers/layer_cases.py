"""Test cases of every public layer, for any Keras backend."""

from __future__ import annotations

import keras
import numpy as np
from case_builders import (
    BATCH,
    CHANGING_EDGES,
    EDGES,
    KEYS,
    LONG,
    MASK_WITH_GAP,
    SCORES,
    TIME,
    Case,
    alignments,
    attention,
    copy_attention,
    decoder,
    decoder_block,
    encoder_block,
    graph_layer,
    gru,
    lstm,
    multi_head,
    normal,
    parallel_decoder,
    scaling,
    stacked,
    stacked_with_dropout,
    temporal_conv,
)

from tsattn.layers import (
    AdaptiveAdjacency,
    Attention,
    AttentionDecoder,
    AttentionPooling,
    BahdanauAttention,
    CalibratedQuantiles,
    DiffusionConvolution,
    DistributionHead,
    ForecastCombination,
    ForecastDistribution,
    GraphAttention,
    HistoryWindow,
    LinearAttention,
    LuongAttention,
    MonotonicAlignment,
    Patching,
    PositionalEncoding,
    PretrainedForecast,
    SmoothingCombination,
    SortedQuantiles,
    ZeroShotForecast,
)

# One case of each layer, the one with most parts; the others are checked by the slow tests only.
FAST = {
    *("Attention-additive-3", "BahdanauAttention-normalize", "LuongAttention-scale", "AttentionPooling-3-2-additive"),
    *("AttentionDecoder-bridge", "ParallelDecoder-bridge", "CopyAttention-scaled_dot-3"),
    *(
        "LinearAttention-delta",
        "MultiHeadAttention-value_dim",
        "TransformerEncoderBlock-post",
        "TransformerDecoderBlock-post",
    ),
    *(
        "PositionalEncoding-learned",
        "InstanceScaling-last",
        "Patching-2",
        "HistoryWindow",
        "SmoothingCombination",
        "PretrainedForecast",
        "ZeroShotForecast",
        "ForecastCombination",
    ),
    *("GraphAttention-masked", "DiffusionConvolution-changing", "AdaptiveAdjacency", "TemporalConvBlock-weight_norm"),
    *("SortedQuantiles-2", "CalibratedQuantiles-positive", "DistributionHead-student_t"),
    "ForecastDistribution-student_t",
}
# Checked in graph mode by the fast tests as well: a scan, random numbers, nested weights.
FAST_GRAPH_MODE = "AttentionDecoder-monotonic"
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
    decoder("bridge", stacked_with_dropout, BOTH_DIRECTIONS, dropout=0.3, bridge=True),
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
    parallel_decoder("GRU", gru, [STATE]),
    parallel_decoder("LSTM", lstm, [STATE, STATE / 2]),
    parallel_decoder("stacked", stacked, STACKED_STATE),
    parallel_decoder("no_attention", gru, [STATE], None),
    parallel_decoder("bridge", gru, BOTH_DIRECTIONS, bridge=True),
    *(copy_attention(score, lags=8) for score in ("additive", "concat", "scaled_dot")),
    copy_attention("scaled_dot", lags=3, period=2),
    *(
        Case(
            f"LinearAttention-{name}",
            lambda options=options: LinearAttention(2, 3, chunk_size=2, **options),
            {"inputs": normal(BATCH, TIME, 4), "mask": MASK_WITH_GAP},
            {"inputs": "mask"},
            empty_gives_zero=(0,),
        )
        for name, options in (
            ("delta", {"value_units": 2, "output_units": 5}),
            ("added", {"delta_rule": False, "gated": False}),
        )
    ),
    multi_head("plain"),
    multi_head("value_dim", value_dim=2, output_shape=5, dropout=0.2, use_bias=False),
    encoder_block("pre"),
    encoder_block("post", normalize_first=False, activation="gelu", dropout=0.2),
    encoder_block("causal", {"use_causal_mask": True}),
    decoder_block("pre"),
    decoder_block("post", normalize_first=False, dropout=0.2),
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
    graph_layer("GraphAttention-masked", lambda: GraphAttention(4, num_heads=2), SCORES, mask=MASK_WITH_GAP),
    graph_layer("GraphAttention-edges", lambda: GraphAttention(4, 2, concat=False), SCORES, adjacency=EDGES),
    graph_layer("GraphAttention-changing", lambda: GraphAttention(4, dropout=0.2), {}, 2, adjacency=CHANGING_EDGES),
    graph_layer("DiffusionConvolution-edges", lambda: DiffusionConvolution(4), {}, adjacency=EDGES),
    graph_layer("DiffusionConvolution-changing", lambda: DiffusionConvolution(4, 1), {}, 2, adjacency=CHANGING_EDGES),
    Case("AdaptiveAdjacency", lambda: AdaptiveAdjacency(3), {"inputs": normal(BATCH, TIME, 3)}, batched=False),
    temporal_conv("plain", 4),
    temporal_conv("dilated", 3, dilation_rate=2, dropout=0.2),
    temporal_conv("weight_norm", 3, kernel_size=2, weight_norm=True, activation="tanh"),
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
        "SmoothingCombination",
        lambda: SmoothingCombination(3, seasons=(2,)),
        {"inputs": 5 + normal(BATCH, TIME, 2), "mask": KEYS},
        {"inputs": "mask"},
        {"return_weights": True},
        ("float32", "float32"),
    ),
    Case(
        "PretrainedForecast",
        lambda: PretrainedForecast(3, seasons=(2,), window=18),
        {"inputs": 0.001 * normal(BATCH, 20, 2), "mask": LONG},
        {"inputs": "mask"},
        half=("float32",),
    ),
    Case(
        "ZeroShotForecast",
        lambda: ZeroShotForecast(3, seasons=(2,), window=18),
        {"inputs": 0.001 * normal(BATCH, 20, 2), "mask": LONG},
        {"inputs": "mask"},
        {"return_weights": True},
        ("float32", "float32"),
    ),
    Case(
        "ForecastCombination",
        ForecastCombination,
        {"inputs": [normal(BATCH, TIME, 2, 3), 1 + normal(BATCH, TIME, 2, 3)]},
        half=("float32",),
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
