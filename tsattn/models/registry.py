"""Models by name. Builders are imported when a model is built.

Custom models are added by `register`. The module that registers a model has to be imported first: by ``import`` in
Python, by an option of the command line, or by an entry point of an installed package (`ENTRY_POINT_GROUP`). A run
directory names the module but does not import it, because reading data must not execute code.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from tsattn._text import did_you_mean
from tsattn.config import AUTO, BaseConfig, validate
from tsattn.errors import ConfigError
from tsattn.models.options import (
    AttentionPoolingOptions,
    BaselineOptions,
    CombinationOptions,
    GraphAttentionOptions,
    NetworkOptions,
    Seq2SeqOptions,
    TCNOptions,
    TransformerOptions,
)

B = TypeVar("B", bound=Callable[..., Any])

ENTRY_POINT_GROUP = "tsattn.models"
"""Entry points of installed packages. Their modules register models when they are imported."""


@dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    Args:
        name: Name of the model.
        summary: One line for `tsattn models`.
        options: Class of the options.
        builder: A function, or `module:function`. Its arguments are options, window spec and portability; for a model
            without training options and window spec.
        trained: Whether the model has trainable weights.
        graph: Whether the targets are the nodes of a graph.
        module: Module that registered the model; None for the models of this package.
    """

    name: str
    summary: str
    options: type[BaseConfig]
    builder: str | Callable[..., Any]
    trained: bool = True
    graph: bool = False
    module: str | None = None

    def load_builder(self) -> Callable[..., Any]:
        """Return the builder; import it first if it is given by name."""
        if not isinstance(self.builder, str):
            return self.builder
        module, function = self.builder.split(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder


_NETWORK = "tsattn.models"
_BASELINE = "tsattn.models.baselines"

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "seq2seq",
            "recurrent encoder-decoder with attention over patches of time (the default)",
            Seq2SeqOptions,
            f"{_NETWORK}.networks:seq2seq",
        ),
        ModelEntry(
            "attention_pooling",
            "bidirectional LSTM, attention pooling, direct multi-horizon head",
            AttentionPoolingOptions,
            f"{_NETWORK}.networks:attention_pooling",
        ),
        ModelEntry(
            "tcn",
            "dilated causal convolutions, read at the last step or pooled by attention",
            TCNOptions,
            f"{_NETWORK}.networks:tcn",
        ),
        ModelEntry(
            "transformer",
            "Transformer encoder-decoder over patches of time",
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
        ModelEntry(
            "combination",
            "a pretrained network and exponential smoothings, combined by their past errors, without training",
            CombinationOptions,
            f"{_NETWORK}.combination:combination",
            False,
        ),
        ModelEntry("naive", "the last observed value", BaselineOptions, f"{_BASELINE}:naive", False),
        ModelEntry("seasonal_naive", "the last observed season", BaselineOptions, f"{_BASELINE}:seasonal_naive", False),
        ModelEntry("drift", "the line from the first to the last value", BaselineOptions, f"{_BASELINE}:drift", False),
        ModelEntry(
            "seasonal_mean",
            "the mean of the history at the same point of the season",
            BaselineOptions,
            f"{_BASELINE}:seasonal_mean",
            False,
        ),
    )
}

COMBINATION = "combination"
"""The model of the zero-shot forecast alone."""

BASELINES = tuple(name for name, entry in MODELS.items() if entry.options is BaselineOptions)
"""The naive baselines, with which every model is compared."""


OTHER_NAMES = {
    "lstm": "seq2seq with model.rnn=lstm",
    "gru": "seq2seq with model.rnn=gru",
    "rnn": "seq2seq",
    "bahdanau": "seq2seq with model.attention=additive",
    "attention": "attention_pooling",
    "gat": "graph_attention",
    "gnn": "graph_attention",
    "ets": "combination",
    "theta": "combination",
    "snaive": "seasonal_naive",
    "mean": "seasonal_mean",
}
"""Names that users may expect, and the models that they mean."""


def register(
    name: str, summary: str, options: type[BaseConfig] = NetworkOptions, *, graph: bool = False
) -> Callable[[B], B]:
    """Register a model by name, for `tsattn.Forecaster`, configurations, commands, runs and exports.

    The decorated class or function builds the model. If the options are `tsattn.models.NetworkOptions` or a subclass,
    it is called with ``(options, spec, portable)``: the options without None, the `WindowSpec`, and whether to avoid
    device-specific kernels such as cuDNN. It returns a `tsattn.models.Architecture`, which is called with a
    `tsattn.models.ArchitectureInputs` in scaled space, and in training with the target, and returns a
    `tsattn.models.ArchitectureOutputs`.

    With any other `tsattn.config.BaseConfig` nothing is trained. The builder is called with ``(options, spec)`` and
    returns a function from ``past``, ``observed`` and ``length`` to quantiles `(batch, horizon, targets, levels)`.

    Custom Keras layers must be registered with Keras in the same module, see `keras.saving`.

    Args:
        name: Name of the model.
        summary: One line for ``tsattn models``.
        options: Class of the options. Every field needs a default, and a description for the help.
        graph: Whether the targets are the nodes of a graph.

    Raises:
        ConfigError: The name is taken or invalid, or the options are not a class of options.

    Example:
        >>> @register("pooled", "attention pooling of embedded segments")
        ... class Pooled:
        ...     def __init__(self, options, spec, portable):
        ...         self.segments = Segments(spec.context, options.patch_length, options.width)
        ...         self.pooling = AttentionPooling(options.width)
        ...         self.head = DirectHead(options, spec)
        ...
        ...     def __call__(self, inputs, target=None):
        ...         window = self.segments(inputs)
        ...         pooled = self.pooling(window.tokens, mask=window.mask)
        ...         return ArchitectureOutputs(self.head(pooled, inputs.static))
        >>> Forecaster("pooled").fit(frame)
    """
    if not re.fullmatch(r"[^\W\d][\w-]*", name):
        raise ConfigError(f"expected a name of letters, digits, _ and -, such as my_model. Received: name={name!r}")
    if name == AUTO:
        raise ConfigError(f"model {AUTO} is reserved for the best of several models", "use another name")
    if not (isinstance(options, type) and issubclass(options, BaseConfig)):
        raise ConfigError(f"model {name}: expected options that are a subclass of NetworkOptions, got {options!r}")
    for key, field in options.model_fields.items():
        if key == "name":
            raise ConfigError(f"model {name}: option 'name' needs another name, because model.name is the model itself")
        if field.is_required():
            raise ConfigError(f"model {name}: option '{key}' needs a default")

    def add(builder: B) -> B:
        module = builder.__module__
        # A notebook cell, or a reloaded module, registers its model again.
        if name in MODELS and MODELS[name].module != module:
            owner = MODELS[name].module or "tsattn"
            raise ConfigError(f"model '{name}' is already registered by {owner}", "use another name")
        MODELS[name] = ModelEntry(name, summary, options, builder, issubclass(options, NetworkOptions), graph, module)
        return builder

    return add


@cache
def _import_entry_points() -> None:
    """Import the entry points of installed packages, once."""
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except ImportError as error:
            raise ConfigError(
                f"entry point {ENTRY_POINT_GROUP}: {point.name} = {point.value} cannot be imported: {error}",
                "fix or uninstall its package",
            ) from None


def all_models() -> dict[str, ModelEntry]:
    """Return the models by name, including those of installed packages.

    Raises:
        ConfigError: An entry point cannot be imported.
    """
    _import_entry_points()
    return MODELS


def get_model(name: str) -> ModelEntry:
    """Return the model called ``name``.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in MODELS and name not in all_models():
        other = OTHER_NAMES.get(name.casefold())
        suggestion = f" (did you mean {other}?)" if other else did_you_mean(name, MODELS)
        raise ConfigError(
            f"there is no model '{name}'{suggestion}; the models are {', '.join(MODELS)}",
            "import the module that registers it, if it is a custom model",
        )
    return MODELS[name]


def registering_modules(names: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that have registered models, which other processes have to import; other names are ignored.

    Raises:
        ConfigError: A model is registered in a script, which other processes cannot import.
    """
    found = dict.fromkeys(MODELS[name].module for name in names if name in MODELS)
    if "__main__" in found:
        raise ConfigError("several jobs need models that are registered in a module that other processes can import")
    return tuple(module for module in found if module is not None)


def import_modules(names: Iterable[str]) -> None:
    """Import modules that register models, in another process."""
    for name in names:
        importlib.import_module(name)


def register_layers() -> None:
    """Import every model, which registers all layers with Keras. Required before a saved model is loaded."""
    importlib.import_module(f"{_NETWORK}.forecast_model")
    for entry in MODELS.values():
        entry.load_builder()


def check_graph(
    entry: ModelEntry, options: BaseConfig, graph: str | None, *, source: str = "the configuration"
) -> None:
    """Raise a ConfigError if a graph is given to a model that takes none, or is missing although required."""
    if graph is not None and not entry.graph:
        graph_models = ", ".join(name for name, other in MODELS.items() if other.graph)
        raise ConfigError(
            f"{source}: graph={graph!r} needs a model that takes a graph, which {entry.name} does not",
            "leave {graph} out",
            f"use one of the models {graph_models}",
        )
    if graph is None and isinstance(options, GraphAttentionOptions) and "given" in options.graphs:
        raise ConfigError(
            f"{source}: model.adjacency={options.adjacency} needs a graph",
            "give its file with {graph}",
            "set model.adjacency=learned",
        )


def resolve_options(model: dict[str, Any], *, source: str = "the configuration") -> tuple[ModelEntry, BaseConfig]:
    """Return the entry and the validated options of a model ``{"name": ..., option: value}``."""
    entry = get_model(str(model.get("name", "seq2seq")))
    options = {key: value for key, value in model.items() if key != "name"}
    return entry, validate(entry.options, options, f"{source}: model {entry.name}")
