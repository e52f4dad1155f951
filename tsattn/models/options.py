"""Options of every architecture. Nothing here imports Keras, so that the command line can list them quickly."""

from __future__ import annotations

import sys
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from tsattn.config import BaseConfig, Choice, Multiples, Range

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


class BaselineOptions(BaseConfig):
    """A baseline has no options: season and horizon determine it."""


class ZeroShotOptions(BaseConfig):
    """Seasons of the zero-shot forecast."""

    second_season: int | None = Field(
        None,
        ge=0,
        description="second, longer season length in steps of the zero-shot forecast, 0 for none; by rule the week of "
        "hours",
    )

    def seasons(self, season: int) -> tuple[int, ...]:
        """Return the season lengths above 1: the first one and the second."""
        return tuple(length for length in (season, self.second_season or 1) if length > 1)


class CombinationOptions(ZeroShotOptions):
    """Options of the combination of the pretrained network and exponential smoothings."""


DEFAULT_UNITS = 128
"""Width of a network, unless a rule makes it narrower."""


class NetworkOptions(ZeroShotOptions):
    """Options that every trained architecture has."""

    zero_shot: bool | None = Field(
        None,
        description="combine the forecast with the zero-shot one of the model combination, weighted by their errors on "
        "the validation part; by rule only if no model is named",
    )
    fine_tuning: bool | None = Field(
        None,
        description="train the pretrained network of the zero-shot forecast on the data, and use it where it is better "
        "on the validation part; by rule from 2,000 observed values on",
    )

    units: Annotated[int | None, Choice(32, 64, 128, 256)] = Field(
        None, ge=1, description="width of the network; by rule from the number of observed values if left out"
    )
    head: Head = Field(
        "quantiles",
        description="output: independent quantiles, or the parameters of a distribution, which allow sample paths; "
        "negative_binomial is for counts",
    )
    dropout: Annotated[float, Range(0.0, 0.7)] = Field(
        0.5, ge=0, lt=1, description="dropout rate of the features before the head"
    )
    scaling: Annotated[Scaling, Choice("last", "standard", "mean_abs")] = Field(
        "last", description="how windows are scaled, see tsattn.layers.InstanceScaling"
    )
    channels: Literal["independent", "joint"] = Field(
        "independent", description="forecast each target separately with common weights, or all targets jointly"
    )
    patch_length: Annotated[int | None, Multiples(0.5, 1, 2)] = Field(
        None, ge=1, description="number of steps per patch; 1 reads step by step; by rule from the season if left out"
    )
    mean_reversion: bool | None = Field(
        None,
        description="add mean reversion: towards the mean of the history and the median of the training data, with "
        "learned weights per step; by rule on if the context is short and there is one series",
    )
    linear_residual: bool | None = Field(
        None,
        description="add a linear regression of each target on its own history; by rule on if the context is short and "
        "there is one series that is many times longer",
    )
    ensemble_size: int = Field(
        1, ge=1, description="number of networks trained together from different initial weights and averaged"
    )
    context_scales: int | None = Field(
        None,
        ge=1,
        le=4,
        description="number of context lengths that are read: the whole context, its last half, its last quarter, ...; "
        "training draws one per window, forecasts are averaged over all; by rule if left out",
    )

    @property
    def width(self) -> int:
        """Units, after a rule or the user has set them."""
        return self.units or DEFAULT_UNITS


WITHOUT_COPYING = {
    "attention": ("none",),
    "alignment": tuple(name for name in get_args(Alignment) if name != "softmax"),
    "decoder": ("autoregressive",),
}
"""Values of other options with which a network cannot copy, see `tsattn.models.defaults`."""


class CopyingOptions(NetworkOptions):
    """Options of the architectures that copy patches of the history into the forecast by attention."""

    copy_heads: Annotated[int | None, Choice(0, 4, unless=WITHOUT_COPYING)] = Field(
        None,
        ge=0,
        description="heads of the copy attention, which copies past patches into the forecast; 0 disables it; by "
        "default 4, or 0 without attention, with an alignment other than softmax or an autoregressive decoder",
    )
    copy_dropout: Annotated[float | None, Range(0.0, 0.8, unless={**WITHOUT_COPYING, "copy_heads": (0,)})] = Field(
        None, ge=0, lt=1, description="dropout rate of the copy attention; by rule if left out"
    )
    copy_only_rate: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="fraction of the series of a training batch that are forecast by the copy attention alone; by rule "
        "if left out",
    )


class Seq2SeqOptions(CopyingOptions):
    """Options of the encoder-decoder with attention."""

    rnn: Annotated[Literal["gru", "lstm"], Choice("gru", "lstm")] = Field("gru", description="kind of recurrent cell")
    attention: Annotated[Score | str | None, Choice("scaled_dot", "additive")] = Field(
        None,
        description="attention score; none is the fixed-context baseline; by default scaled_dot, or additive with an "
        "autoregressive decoder",
    )
    alignment: Alignment = Field("softmax", description="how attention scores become weights")
    local_window: float = Field(10.0, ge=1, description="patches on either side of the centre of a local alignment")
    bidirectional: bool = Field(False, description="read the history in both directions")
    decoder: Literal["parallel", "autoregressive"] = Field(
        "parallel", description="decode all patches at once, or one after the other from the previous median"
    )
    attend: Annotated[Literal["before", "after"], Choice("before", "after", unless={"decoder": ("parallel",)})] = Field(
        "before",
        description="where an autoregressive decoder attends: before its cell (Bahdanau), or after it with input "
        "feeding (Luong)",
    )
    teacher_forcing: Annotated[float, Range(0.0, 1.0, unless={"decoder": ("parallel",)})] = Field(
        0.0,
        ge=0,
        le=1,
        description="teacher forcing rate of an autoregressive decoder: fraction of training steps that are fed true "
        "values; 0 trains it on its own forecasts",
    )
    teacher_forcing_steps: int = Field(
        0, ge=0, description="training steps over which the teacher forcing rate decays to 0; 0 for no decay"
    )

    @field_validator("attention")
    @classmethod
    def _check_score(cls, score: str | None) -> str | None:
        # Custom scores are registered with the layers, which are loaded by then and must not be loaded for this check.
        registered = getattr(sys.modules.get("tsattn.layers.attention_scores"), "SCORES", {})
        if score is None or score in get_args(Score) or score in registered:
            return score
        raise ValueError(f"expected {', '.join(get_args(Score))}, or the name of a registered score")


class AttentionPoolingOptions(NetworkOptions):
    """Options of the recurrent encoder with attention pooling and a direct multi-horizon head."""

    rnn: Annotated[Literal["gru", "lstm"], Choice("gru", "lstm")] = Field("lstm", description="kind of recurrent cell")
    bidirectional: bool = Field(True, description="read the history in both directions")
    heads: Annotated[int, Choice(1, 2, 4)] = Field(
        1, ge=1, description="number of learned context vectors that pool the history"
    )


class TCNOptions(CopyingOptions):
    """Options of the dilated causal convolutions with a direct multi-horizon head."""

    kernel_size: Annotated[int, Choice(2, 3, 5)] = Field(3, ge=2, description="kernel size in patches")
    depth: int | None = Field(
        None,
        ge=1,
        le=12,
        description="number of residual blocks, each with twice the dilation of the one before; by rule enough for a "
        "receptive field of the whole context",
    )
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="dropout rate of the channels after each convolution"
    )
    weight_norm: bool = Field(False, description="use weight normalization: separate norm and direction of each filter")
    pooling: Annotated[Literal["last", "attention"], Choice("last", "attention")] = Field(
        "last", description="how the history is summarized: by its last patch, or by attention pooling"
    )


class GraphAttentionOptions(NetworkOptions):
    """Options of the network that encodes the history of each node and mixes nodes over a graph."""

    scaling: Scaling = Field(
        "training",
        description="how windows are scaled; training keeps the level of each node, see tsattn.layers.InstanceScaling",
    )
    channels: Literal["independent"] = Field(
        "independent", description="each target is a node; all nodes have common weights"
    )
    temporal: Annotated[Literal["gru", "tcn"], Choice("gru", "tcn")] = Field(
        "gru", description="encoder of the history of a node: recurrent, or dilated causal convolutions"
    )
    mixing: Annotated[Literal["attention", "diffusion"], Choice("attention", "diffusion")] = Field(
        "attention",
        description="how nodes are mixed: attention to the nodes with an edge to this one, or diffusion along the "
        "edges in both directions",
    )
    adjacency: Literal["given", "learned", "both", "none"] | None = Field(
        None,
        description="the graph: that of data.graph, a learned one, both, or none, which trains the same network "
        "without mixing; by default both, or learned if no graph is given",
    )
    layers: Annotated[int, Choice(1, 2, 3)] = Field(
        2, ge=1, le=8, description="number of mixing layers; each reaches neighbours one edge further away"
    )
    heads: int = Field(4, ge=1, description="heads of the attention between nodes")
    kernel_size: int = Field(3, ge=2, description="kernel size in patches, with temporal=tcn")
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="dropout rate of the outputs of convolutions and mixing layers"
    )

    @property
    def graphs(self) -> tuple[str, ...]:
        """Graphs that nodes are mixed over: given, learned, both or none."""
        names = {"both": ("given", "learned"), "none": ()}
        chosen = self.adjacency or "learned"
        return names.get(chosen, (chosen,))


class TransformerOptions(CopyingOptions):
    """Options of the Transformer encoder-decoder over patches of time."""

    heads: Annotated[int, Choice(2, 4, 8)] = Field(
        4, ge=1, description="attention heads per layer, with units / heads units each"
    )
    layers: Annotated[int, Choice(1, 2, 3)] = Field(
        2, ge=1, description="number of encoder blocks, and of decoder blocks"
    )
    feedforward: int = Field(
        2, ge=1, description="hidden units of the feed-forward networks, as a multiple of the units"
    )
    block_dropout: Annotated[float, Range(0.0, 0.5)] = Field(
        0.1, ge=0, lt=1, description="dropout rate inside the blocks"
    )
    norm: Literal["pre", "post"] = Field("pre", description="layer normalization before or after the sublayers")
    positions: Literal["sinusoidal", "learned"] = Field(
        "sinusoidal", description="positional encoding of the distance between a patch and the forecast origin"
    )
    decoder: Literal["parallel", "autoregressive"] = Field(
        "parallel",
        description="decode all patches at once, or one after the other from the previous median, with teacher "
        "forcing in training",
    )
