"""The options of every architecture. Nothing here imports Keras, so that the command line can list them at once."""

from __future__ import annotations

import sys
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from tsattn.config import Choice, Options, Range, Times

Scaling = Literal["last", "standard", "mean_abs", "training"]
Score = Literal[
    "additive",
    "normalized_additive",
    "dot",
    "scaled_dot",
    "general",
    "scaled_general",
    "concat",
    "cosine",
    "none",
]
Alignment = Literal["softmax", "local", "monotonic", "coverage", "hardmax"]
Head = Literal["quantiles", "normal", "student_t", "negative_binomial"]


class BaselineOptions(Options):
    """A baseline has no options: it follows from season and horizon."""


WIDTH = 128
"""Units of a network, where no rule makes them fewer."""


class NetworkOptions(Options):
    """Options that every trained architecture has."""

    units: Annotated[int | None, Choice(32, 64, 128, 256)] = Field(
        None, ge=1, description="width of the network; by rule from the number of observed values if left out"
    )
    head: Head = Field(
        "quantiles",
        description="what is forecast: each quantile by itself, or the parameters of a distribution, from which paths "
        "can be drawn; negative_binomial is for counts",
    )
    dropout: Annotated[float, Range(0.0, 0.7)] = Field(
        0.5, ge=0, lt=1, description="share of features dropped before the head in training"
    )
    scaling: Annotated[Scaling, Choice("last", "standard", "mean_abs")] = Field(
        "last", description="how a window is scaled, see tsattn.layers.InstanceScaling"
    )
    channels: Literal["independent", "joint"] = Field(
        "independent", description="forecast each target by itself with shared weights, or all together"
    )
    patch_length: Annotated[int | None, Times(0.5, 1, 2)] = Field(
        None, ge=1, description="steps in a segment; 1 reads step by step; by rule from the season if left out"
    )
    reversion: bool | None = Field(
        None,
        description="return to the level of the history and to the typical one of the training data, by learned shares "
        "of each step; by rule if left out: of a short look-back on one series",
    )
    linear: bool | None = Field(
        None,
        description="add a linear regression of each target on its own history; by rule if left out: where the context "
        "is short and the data are one series, many times as long",
    )
    members: int = Field(
        1, ge=1, description="networks trained side by side in one graph, from different starts; their mean forecasts"
    )
    lookbacks: int | None = Field(
        None,
        ge=1,
        le=4,
        description="histories that are read: the whole context, its last half, its last quarter ...; one of them a "
        "window in training, the mean of all forecasts; by rule if left out",
    )

    @property
    def width(self) -> int:
        """The units, where a rule or the user has set them."""
        return self.units or WIDTH


CANNOT_COPY = {
    "attention": ("none",),
    "alignment": tuple(name for name in get_args(Alignment) if name != "softmax"),
    "decoder": ("autoregressive",),
}
"""What other options are where a network copies nothing, see `tsattn.models.defaults`."""


class CopyingOptions(NetworkOptions):
    """Options of the architectures that copy segments of the history into the forecast."""

    copy_heads: Annotated[int | None, Choice(0, 4, unless=CANNOT_COPY)] = Field(
        None,
        ge=0,
        description="heads of an attention that copies past segments into the forecast; 0 copies nothing; if left out "
        "4, and 0 where there is no attention, its alignment is no softmax, or the decoder is autoregressive",
    )
    copy_dropout: Annotated[float | None, Range(0.0, 0.8, unless={**CANNOT_COPY, "copy_heads": (0,)})] = Field(
        None, ge=0, lt=1, description="share of what is copied that is left out in training; by rule if left out"
    )
    path_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of the series of a training step that are forecast by copying alone; by rule if left out",
    )


class Seq2SeqOptions(CopyingOptions):
    """Encoder-decoder with attention."""

    rnn: Annotated[Literal["gru", "lstm"], Choice("gru", "lstm")] = Field("gru", description="kind of recurrent cell")
    attention: Annotated[Score | str | None, Choice("scaled_dot", "additive")] = Field(
        None,
        description="attention score; none is the fixed-context baseline; if left out scaled_dot, and additive where "
        "the decoder is autoregressive",
    )
    alignment: Alignment = Field("softmax", description="what makes attention weights of the scores")
    local_window: float = Field(10.0, ge=1, description="segments on either side that a local alignment sees")
    bidirectional: bool = Field(False, description="read the history in both directions")
    decoder: Literal["parallel", "autoregressive"] = Field(
        "parallel", description="all segments at once, or one after the other, fed with its own median"
    )
    attend: Annotated[Literal["before", "after"], Choice("before", "after", unless={"decoder": ("parallel",)})] = Field(
        "before",
        description="where an autoregressive decoder attends: before its cell (Bahdanau), or after it and with input "
        "feeding (Luong)",
    )
    teacher_forcing: Annotated[float, Range(0.0, 1.0, unless={"decoder": ("parallel",)})] = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the steps of an autoregressive decoder that are fed the truth in training; 0 trains it "
        "on its own forecasts, as it will run",
    )
    teacher_forcing_steps: int = Field(
        0, ge=0, description="training steps in which that share falls to 0; 0 leaves it as it is"
    )

    @field_validator("attention")
    @classmethod
    def _known_score(cls, score: str | None) -> str | None:
        # Scores of one's own are registered with the layers, which are loaded by then, and never for this.
        registered = getattr(sys.modules.get("tsattn.layers.attention_scores"), "SCORES", {})
        if score is None or score in get_args(Score) or score in registered:
            return score
        raise ValueError(f"expected {', '.join(get_args(Score))}, or the name of a registered score")


class AttentionPoolingOptions(NetworkOptions):
    """Bidirectional LSTM, attention pooling with a learned context vector, direct multi-horizon head."""

    rnn: Annotated[Literal["gru", "lstm"], Choice("gru", "lstm")] = Field("lstm", description="kind of recurrent cell")
    bidirectional: bool = Field(True, description="read the history in both directions")
    heads: Annotated[int, Choice(1, 2, 4)] = Field(1, ge=1, description="learned context vectors that pool the history")


class TCNOptions(CopyingOptions):
    """Dilated causal convolutions over segments of time, direct multi-horizon head."""

    kernel_size: Annotated[int, Choice(2, 3, 5)] = Field(3, ge=2, description="segments that a convolution reads")
    depth: int | None = Field(
        None,
        ge=1,
        le=12,
        description="blocks, each of which sees twice as far as the one before it; by rule if left out: as many as "
        "see the whole context",
    )
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="share of the channels that each convolution loses in training"
    )
    weight_norm: bool = Field(False, description="train length and direction of each filter apart")
    pooling: Annotated[Literal["last", "attention"], Choice("last", "attention")] = Field(
        "last", description="what is read of the history: its last segment, or all by attention pooling"
    )


class GraphAttentionOptions(NetworkOptions):
    """Histories of nodes read in time, then mixed over a graph."""

    scaling: Scaling = Field(
        "training",
        description="how a window is scaled; training keeps what the level of a node tells, see "
        "tsattn.layers.InstanceScaling",
    )
    channels: Literal["independent"] = Field(
        "independent", description="each target is a node, which has weights in common with the others"
    )
    temporal: Annotated[Literal["gru", "tcn"], Choice("gru", "tcn")] = Field(
        "gru", description="what reads the history of a node: a recurrent layer, or dilated causal convolutions"
    )
    mixing: Annotated[Literal["attention", "diffusion"], Choice("attention", "diffusion")] = Field(
        "attention",
        description="what carries states between nodes: attention to the nodes whose edges lead here, or walks along "
        "edges and against them",
    )
    adjacency: Literal["given", "learned", "both", "none"] | None = Field(
        None,
        description="the graph: that of data.graph, a learned one, both, or none, which is the same network without "
        "mixing; if left out both, and learned where no graph is given",
    )
    layers: Annotated[int, Choice(1, 2, 3)] = Field(
        2, ge=1, le=8, description="layers that mix nodes; each reaches a neighbour further"
    )
    heads: int = Field(4, ge=1, description="heads of the attention between nodes")
    kernel_size: int = Field(3, ge=2, description="segments that a convolution reads, where temporal is tcn")
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="share dropped in training of what convolutions and mixing add"
    )

    @property
    def graphs(self) -> tuple[str, ...]:
        """The graphs that nodes are mixed over: given, learned, both or none."""
        names = {"both": ("given", "learned"), "none": ()}
        chosen = self.adjacency or "learned"
        return names.get(chosen, (chosen,))


class TransformerOptions(CopyingOptions):
    """Transformer encoder-decoder over segments of time."""

    heads: Annotated[int, Choice(2, 4, 8)] = Field(
        4, ge=1, description="attention heads of each layer, of units / heads each"
    )
    layers: Annotated[int, Choice(1, 2, 3)] = Field(
        2, ge=1, description="blocks of the encoder, and as many of the decoder"
    )
    feedforward: int = Field(2, ge=1, description="hidden units of a feed-forward network, as a multiple of units")
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="share dropped inside the blocks in training"
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="where the blocks normalise: before their sublayers, or after them"
    )
    positions: Literal["sinusoidal", "learned"] = Field(
        "sinusoidal", description="how a segment's distance to the forecast origin is told"
    )
    decoder: Literal["parallel", "autoregressive"] = Field(
        "parallel",
        description="all segments at once, or one after the other, fed with its own median and in training with the "
        "truth",
    )
