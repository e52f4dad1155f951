"""The models by name. Builders are imported only when a model is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tsattn.config import Options, validated
from tsattn.errors import ConfigError
from tsattn.models.options import (
    AttentionPoolingOptions,
    BaselineOptions,
    GraphAttentionOptions,
    Seq2SeqOptions,
    TCNOptions,
    TransformerOptions,
)


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Args:
        name: what the user calls it.
        summary: one line for `tsattn models`.
        options: the class of its options.
        builder: `module:function`: of options, window spec and whether it must be portable; of name and window spec
            for a baseline.
        trained: whether it has weights to train; a baseline has none.
        graph: whether its targets are the nodes of a graph.
    """

    name: str
    summary: str
    options: type[Options]
    builder: str
    trained: bool = True
    graph: bool = False

    def build(self) -> Callable[..., Any]:
        """Import and return the builder."""
        module, function = self.builder.split(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder


_NETWORK = "tsattn.models"
_BASELINE = "tsattn.models.baselines:baseline"

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "seq2seq",
            "recurrent encoder-decoder with attention over segments of time (the default)",
            Seq2SeqOptions,
            f"{_NETWORK}.seq2seq:seq2seq",
        ),
        ModelEntry(
            "attention_pooling",
            "bidirectional LSTM, attention pooling, direct multi-horizon head",
            AttentionPoolingOptions,
            f"{_NETWORK}.attention_pooling:attention_pooling",
        ),
        ModelEntry(
            "tcn",
            "dilated causal convolutions, read at the last step or pooled by attention",
            TCNOptions,
            f"{_NETWORK}.tcn:tcn",
        ),
        ModelEntry(
            "transformer",
            "Transformer encoder-decoder over segments of time",
            TransformerOptions,
            f"{_NETWORK}.transformer:transformer",
        ),
        ModelEntry(
            "graph_attention",
            "GRU or convolutions in time, attention or diffusion between targets over a graph",
            GraphAttentionOptions,
            f"{_NETWORK}.graph_attention:graph_attention",
            graph=True,
        ),
        ModelEntry("naive", "the last observed value", BaselineOptions, _BASELINE, False),
        ModelEntry("seasonal_naive", "the last observed season", BaselineOptions, _BASELINE, False),
        ModelEntry("drift", "the line from the first to the last value", BaselineOptions, _BASELINE, False),
        ModelEntry(
            "seasonal_mean",
            "the mean of the history at the same point of the season",
            BaselineOptions,
            _BASELINE,
            False,
        ),
    )
}

BASELINES = tuple(name for name, entry in MODELS.items() if not entry.trained)


def get_model(name: str) -> ModelEntry:
    """Return the model called ``name``.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model '{name}'; the models are {', '.join(MODELS)}")
    return MODELS[name]


def register_layers() -> None:
    """Import every model, which makes its layers known to Keras: a process that loads a saved one needs them."""
    for entry in MODELS.values():
        entry.build()


def check_graph(entry: ModelEntry, options: Options, graph: str | None, *, source: str = "the configuration") -> None:
    """Raise a ConfigError where a graph is given to a model that takes none, or is missing where it is asked for."""
    if graph is not None and not entry.graph:
        takers = ", ".join(name for name, other in MODELS.items() if other.graph)
        raise ConfigError(
            f"{source}: graph={graph!r} needs a model that takes a graph, which {entry.name} does not: "
            f"leave it out, or give one of the models {takers}"
        )
    if graph is None and isinstance(options, GraphAttentionOptions) and "given" in options.graphs:
        raise ConfigError(
            f"{source}: model.adjacency={options.adjacency} needs the file of a graph: give it as graph, or set "
            "model.adjacency=learned"
        )


def resolve_options(model: dict[str, Any], *, source: str = "the configuration") -> tuple[ModelEntry, Options]:
    """Split ``{"name": ..., option: value}`` into the model and its validated options."""
    entry = get_model(str(model.get("name", "seq2seq")))
    options = {key: value for key, value in model.items() if key != "name"}
    return entry, validated(entry.options, options, f"{source}: model {entry.name}")
