"""The models by name. Builders are imported only when a model is built.

Models of one's own are added by `register`. A module that does so is imported by whoever uses them: by ``import`` in
Python and by ``--import`` in the command line; or, where it belongs to an installed package, by an entry point of the
group `ENTRY_POINTS`, which needs neither. A run directory names the module and never imports it: what is read as data
should not decide what is executed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from tsattn.config import AUTO, Options, validated
from tsattn.errors import ConfigError
from tsattn.models.options import (
    AttentionPoolingOptions,
    BaselineOptions,
    GraphAttentionOptions,
    NetworkOptions,
    Seq2SeqOptions,
    TCNOptions,
    TransformerOptions,
)

B = TypeVar("B", bound=Callable[..., Any])

ENTRY_POINTS = "tsattn.models"
"""Group of the entry points of packages, whose modules register models when they are imported."""


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Args:
        name: what the user calls it.
        summary: one line for `tsattn models`.
        options: the class of its options.
        builder: a function, or `module:function`: of options, window spec and whether it must be portable; of name and
            window spec for a baseline, of options and window spec for one that was registered.
        trained: whether it has weights to train; a baseline has none.
        graph: whether its targets are the nodes of a graph.
        module: the module that registered it; None for those that are here from the start.
    """

    name: str
    summary: str
    options: type[Options]
    builder: str | Callable[..., Any]
    trained: bool = True
    graph: bool = False
    module: str | None = None

    def build(self) -> Callable[..., Any]:
        """Return the builder, imported where it is a name."""
        if not isinstance(self.builder, str):
            return self.builder
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


def register(
    name: str, summary: str, options: type[Options] = NetworkOptions, *, graph: bool = False
) -> Callable[[B], B]:
    """Make an architecture usable by name: in `tsattn.Forecaster`, configurations, commands, runs and exports.

    What is decorated builds it. A network, whose options are `tsattn.models.NetworkOptions` or a subclass, is called
    with ``(options, spec, portable)``, the options filled in, the `WindowSpec`, and whether the
    graph must hold nothing that is bound to a device, such as cuDNN. It gives a `tsattn.models.Core`: called with a
    `tsattn.models.Series` in scaled space, and in training with the target, it gives a `tsattn.models.Decoded`.
    With any other `tsattn.config.Options` nothing is trained: the builder is called with ``(options, spec)`` and gives
    what makes of ``past``, ``observed`` and ``length`` the quantiles `(batch, horizon, targets, levels)`.

    Keras layers of its own have to be registered with Keras in the same module, as `keras.saving` says.

    Args:
        name: what the user calls it.
        summary: one line for ``tsattn models``.
        options: the class of its options, each of which has a default and, for people, a description.
        graph: whether its targets are the nodes of a graph.

    Raises:
        ConfigError: the name is taken or cannot be one, or the options are none.

    Example:
        >>> @register("pooled", "attention pooling of embedded segments")
        ... class Pooled:
        ...     def __init__(self, options, spec, portable):
        ...         self.segments = Segments(spec.context, options.patch_length, options.width)
        ...         self.pooling = AttentionPooling(options.width)
        ...         self.head = DirectHead(options, spec)
        ...
        ...     def __call__(self, series, target=None):
        ...         cut = self.segments(series)
        ...         return Decoded(self.head(self.pooling(cut.tokens, mask=cut.mask), series.static))
        >>> Forecaster("pooled").fit(frame)
    """
    if not re.fullmatch(r"[^\W\d][\w-]*", name):
        raise ConfigError(f"expected a name of letters, digits, _ and -, such as my_model. Received: name={name!r}")
    if name == AUTO:
        raise ConfigError(f"model {AUTO} is the best of several: register yours under another name")
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise ConfigError(f"model {name}: expected options that are a subclass of NetworkOptions, got {options!r}")
    for key, field in options.model_fields.items():
        if field.is_required() or key == "name":
            mend = "another name, for model.name is that of the model" if key == "name" else "a default"
            raise ConfigError(f"model {name}: option '{key}' needs {mend}")

    def add(builder: B) -> B:
        module = builder.__module__
        # A cell of a notebook, or a module that is reloaded, registers its model again.
        if name in MODELS and MODELS[name].module != module:
            whose = f"of {MODELS[name].module}" if MODELS[name].module else "of tsattn"
            raise ConfigError(f"there is a model '{name}' already, {whose}: register yours under another name")
        MODELS[name] = ModelEntry(name, summary, options, builder, issubclass(options, NetworkOptions), graph, module)
        return builder

    return add


@cache
def _import_packages() -> None:
    """Import what the entry points of installed packages name, once."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except ImportError as error:
            raise ConfigError(
                f"the entry point {ENTRY_POINTS}: {point.name} = {point.value} cannot be imported: {error}: mend or "
                "remove the package that has it"
            ) from None


def all_models() -> dict[str, ModelEntry]:
    """Return the models by name, with those of installed packages.

    Raises:
        ConfigError: such a package cannot be imported.
    """
    _import_packages()
    return MODELS


def get_model(name: str) -> ModelEntry:
    """Return the model called ``name``.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODELS and name not in all_models():
        raise ConfigError(
            f"there is no model '{name}'; the models are {', '.join(MODELS)}: one of your own needs its module, by "
            "--import MODULE, or imported"
        )
    return MODELS[name]


def register_layers() -> None:
    """Import every model, and what stands around them, which makes their layers known to Keras.

    A process that loads a saved model needs them.
    """
    importlib.import_module(f"{_NETWORK}.forecast_model")
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
