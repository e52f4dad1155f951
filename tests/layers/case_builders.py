"""Cases for `check_layer`: a layer and the arguments of a call, with one builder per kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras_help import built

from tsattn.layers import (
    Attention,
    AttentionDecoder,
    CopyAttention,
    CoverageAlignment,
    HardmaxAlignment,
    InstanceScaling,
    LocalAlignment,
    MonotonicAlignment,
    MultiHeadAttention,
    ParallelDecoder,
    TemporalConvBlock,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)


@dataclass(frozen=True)
class Case:
    """A layer and the arguments of a call.

    Args:
        name: Name of the test case.
        make: Creates the layer.
        inputs: Arrays by call argument, the main one first; a list of arrays for a state.
        masks: Mask argument by the call argument that it masks, both in `inputs`.
        options: Further call arguments.
        half: Dtypes of the outputs under mixed_float16.
        empty_gives_zero: Positions of the outputs that are 0 for a row that is all padding.
        batched: Whether the first axis of the outputs is the batch axis; otherwise the layer is not trained.
    """

    name: str
    make: Callable[[], keras.layers.Layer]
    inputs: dict[str, Any]
    masks: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    half: tuple[str, ...] = ("float16",)
    empty_gives_zero: tuple[int, ...] = ()
    batched: bool = True

    @property
    def layer(self) -> str:
        """Name of the class of the layer."""
        return self.name.split("-")[0]

    def build(self) -> keras.layers.Layer:
        """Return a new layer, built by a symbolic call."""
        return built(self.make(), self.inputs, self.options)


BATCH, TIME = 3, 5


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def mask(lengths: list[int], steps: int = TIME) -> np.ndarray[Any, Any]:
    return np.arange(steps) < np.array(lengths)[:, None]


KEYS = mask([3, 5, 1])
LONG = mask([14, 20, 9], 20)
MASK_WITH_GAP = KEYS & (np.arange(BATCH * TIME).reshape(BATCH, TIME) != TIME + 2)
SCORES = {"return_attention_scores": True}
EDGES, CHANGING_EDGES = (np.maximum(normal(BATCH, *shape, TIME, TIME), 0) for shape in ((), (2,)))


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


def decoder(
    name: str,
    cell: Callable[[], Any],
    state: list[Any],
    attention: Any = "additive",
    dropout: float = 0.0,
    **options: Any,
) -> Case:
    return Case(
        f"AttentionDecoder-{name}",
        lambda: AttentionDecoder(cell(), 4, 3, attention and Attention(attention, 5, dropout=dropout), **options),
        {"memory": normal(BATCH, TIME, 6), "initial_state": state, "memory_mask": KEYS},
        {"memory": "memory_mask"},
        SCORES,
        ("float16", "float16"),
        (1,),
    )


def parallel_decoder(
    name: str, cell: Callable[[], Any], state: list[Any], attention: Any = "additive", **options: Any
) -> Case:
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


def copy_attention(score: str, lags: int, period: int = 1) -> Case:
    """Two heads over patches with gaps. With fewer lags than keys, the oldest keys have the same lag."""
    observed = np.random.default_rng(0).random((BATCH, TIME, 3)) < 0.7
    return Case(
        f"CopyAttention-{score}-{lags}",
        lambda: CopyAttention(lags, num_heads=2, score=score, units=4, period=period, dropout=0.2),
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
        lambda: TransformerEncoderBlock(4, num_heads=2, intermediate_dim=6, **options),
        {"inputs": normal(BATCH, TIME, 4), "mask": KEYS},
        {"inputs": "mask"},
        {**SCORES, **(call or {})},
        ("float16", "float16"),
        (0, 1),
    )


def decoder_block(name: str, call: dict[str, Any] | None = None, **options: Any) -> Case:
    return Case(
        f"TransformerDecoderBlock-{name}",
        lambda: TransformerDecoderBlock(4, num_heads=2, **options),
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


def temporal_conv(name: str, features: int, **options: Any) -> Case:
    return Case(
        f"TemporalConvBlock-{name}",
        lambda: TemporalConvBlock(4, **options),
        {"inputs": normal(BATCH, TIME, features), "mask": MASK_WITH_GAP},
        {"inputs": "mask"},
        empty_gives_zero=(0,),
    )


def graph_layer(name: str, make: Callable[[], Any], scores: dict[str, Any], *before: int, **inputs: Any) -> Case:
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


def stacked_with_dropout() -> Any:
    return keras.layers.StackedRNNCells(
        [keras.layers.GRUCell(5, dropout=0.3), keras.layers.LSTMCell(4, recurrent_dropout=0.3)]
    )
