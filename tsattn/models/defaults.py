"""Default options of an architecture by rule, from season, horizon, context and the size of the data.

The experiments that the rules and constants rest on are in ``docs/design/default-model.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tsattn.errors import ConfigError
from tsattn.models.options import DEFAULT_UNITS, CopyingOptions, GraphAttentionOptions, NetworkOptions, TCNOptions
from tsattn.timeseries.windows import WindowSpec

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel


T = TypeVar("T", bound=NetworkOptions)

MAX_PATCHES = 30
"""Maximum number of patches of a context."""

MIN_PATCH_LENGTH = 4
MAX_PATCH_LENGTH = 48
"""Minimum and maximum length of a patch, in steps."""

SMALL_DATA_VALUES = 200_000
"""Data with fewer observed values are small: the network is narrower, copies less and takes smaller training steps."""

SMALL_DATA_UNITS = 64
SMALL_DATA_COPY_DROPOUT = 0.5

MAX_COPY_ONLY_RATE = 0.5
COPY_ONLY_HORIZONS = 14
COPY_ONLY_PATCHES = 28
"""The copy-only rate is at most `MAX_COPY_ONLY_RATE`, at most `COPY_ONLY_HORIZONS` divided by the number of horizons in
the data, and at most the number of patches of the horizon divided by `COPY_ONLY_PATCHES`."""

MIN_PATCHES_FOR_SCALES = 4
"""Contexts with fewer patches than this are read at their full length only."""

SHORT_CONTEXT_PATCHES = 12
"""A context of fewer patches than this is short: mean reversion and linear residual are added, and training runs over
more rows, as each costs less."""

MIN_CONTEXTS_FOR_LINEAR = 20
"""Minimum number of contexts that the data of a channel must hold for the linear residual."""

COPY_HEADS = 4
"""Heads of the copy attention."""


@dataclass(frozen=True)
class DataSummary:
    """Sizes of the data and the window that the rules use.

    Args:
        values: Number of observed values.
        horizons: Number of horizons in the data: all series together, averaged over the channels.
        horizon: Steps to forecast.
        context: Context length in steps.
        graph: Whether the graph between the targets is given.
        series: Number of series, each with all targets.
    """

    values: int
    horizons: float
    horizon: int
    context: int
    graph: bool = False
    series: int = 1

    @classmethod
    def of(cls, panel: Panel, spec: WindowSpec, *, graph: bool = False) -> DataSummary:
        """Return the sizes of a panel and a window."""
        horizons = panel.num_observed / (len(spec.targets) * spec.horizon)
        return cls(panel.num_observed, horizons, spec.horizon, spec.context, graph, len(panel))


def default_patch_length(season: int, context: int | None = None) -> int:
    """Return the steps per segment: a season, an equal part of a long season, or several short seasons.

    A context that is shorter than this is read step by step, or in at most `MAX_PATCHES` patches.
    """
    if season < MIN_PATCH_LENGTH:
        patch = season * -(-MIN_PATCH_LENGTH // season)
    else:
        patch = -(-season // -(-season // MAX_PATCH_LENGTH))
    return -(-context // MAX_PATCHES) if context is not None and context < patch else patch


def default_context(season: int, horizon: int, length: int) -> int:
    """Return the context length in steps: whole patches, at most 30 and at most about half of a series.

    The other half leaves room to sample several windows per series.

    Args:
        season: Season length in steps.
        horizon: Steps to forecast.
        length: Steps of a typical (the median) training series.
    """
    patch = default_patch_length(season)
    patches = int((length - horizon) * 0.55) // patch
    return patch * min(max(patches, 1), MAX_PATCHES)


def default_units(values: int) -> int:
    """Return the width of a network for data with this many observed values."""
    return SMALL_DATA_UNITS if values < SMALL_DATA_VALUES else DEFAULT_UNITS


def default_copy_dropout(values: int) -> float:
    """Return the dropout rate of the copy attention: it regularizes small data, large data need exact copies."""
    return SMALL_DATA_COPY_DROPOUT if values < SMALL_DATA_VALUES else 0.0


def default_context_scales(context: int, season: int) -> int:
    """Return the number of context lengths: the whole context and its last half, unless the context is short."""
    return 2 if context >= MIN_PATCHES_FOR_SCALES * default_patch_length(season) else 1


def covering_blocks(kernel_size: int, patches: int) -> int:
    """Return the number of blocks of dilation 1, 2, 4, ... whose receptive field covers the patches."""
    reach = 2 * (kernel_size - 1)
    # The receptive field is 1 + reach * (2 ** blocks - 1).
    return max(-(-(patches - 1) // reach), 1).bit_length()


def tcn_depth(options: TCNOptions, patches: int) -> int:
    """Return the number of blocks of dilated convolutions: as configured, or enough to cover the whole context.

    Raises:
        ConfigError: The receptive field of the last patch, the only one read, is less than half of the context.
    """
    least = covering_blocks(options.kernel_size, patches)
    seen = 1 + 2 * (options.kernel_size - 1) * (2 ** (options.depth or least) - 1)
    if options.pooling == "last" and 2 * seen < patches:
        raise ConfigError(
            "expected a receptive field of at least half of the context if its last segment alone is read. Received: "
            f"model.depth={options.depth} and model.kernel_size={options.kernel_size}, which see {seen} of {patches} "
            "patches",
            f"leave model.depth out ({least} blocks see all)",
            "shorten the context with {context}",
            "set model.pooling=attention",
        )
    return options.depth or least


def default_copy_only_rate(horizons: float, patches: int) -> float:
    """Return the fraction of the series of a training batch that are forecast by the copy attention alone.

    This regularizes the rest of the network for a long horizon that the data contain only a few times. A horizon of one
    season needs the network, however small the data.

    Args:
        horizons: Number of horizons in the training data.
        patches: Patches of the horizon.
    """
    return round(min(MAX_COPY_ONLY_RATE, COPY_ONLY_HORIZONS / max(horizons, 1.0), patches / COPY_ONLY_PATCHES), 2)


def _is_short_context(data: DataSummary, patch: int) -> bool:
    """Return whether the context is a short one of a single series, too short to show changes of its level."""
    return data.series == 1 and data.context < SHORT_CONTEXT_PATCHES * patch


def uses_mean_reversion(options: NetworkOptions, data: DataSummary, patch: int) -> bool:
    """Return whether mean reversion is added: for a short context of one series.

    A long context shows the level itself, and mean reversion misleads where the level drifts away from the training
    data. With several series the graph does not know which level is whose, and `scaling="training"` shows the network
    the level already.
    """
    return _is_short_context(data, patch) and options.scaling != "training"


def uses_linear_residual(data: DataSummary, patch: int) -> bool:
    """Return whether a linear regression is added: for a short context of one series that holds many contexts.

    It is off for several series: on noise it overfits and makes the intervals too narrow.
    """
    return _is_short_context(data, patch) and data.horizons * data.horizon >= MIN_CONTEXTS_FOR_LINEAR * data.context


def fill_options(options: T, season: int, data: DataSummary | None = None) -> T:
    """Return the options with defaults for those that are None.

    Args:
        options: Options of an architecture.
        season: Season length in steps.
        data: Sizes of the data; None leaves out the options that depend on them, such as width and dropout rates.

    Raises:
        ConfigError: The options contradict each other.
    """
    patch = options.patch_length or default_patch_length(season, data.context if data else None)
    filled: dict[str, Any] = {"patch_length": patch}
    if data is not None:
        filled["units"] = options.units or default_units(data.values)
        filled["context_scales"] = options.context_scales or default_context_scales(data.context, season)
        if options.mean_reversion is None:
            filled["mean_reversion"] = uses_mean_reversion(options, data, patch)
        if options.linear_residual is None:
            filled["linear_residual"] = uses_linear_residual(data, patch)
    if isinstance(options, TCNOptions) and data is not None:
        filled["depth"] = tcn_depth(options, -(-data.context // patch))
    if isinstance(options, GraphAttentionOptions) and data is not None:
        filled["adjacency"] = options.adjacency or ("both" if data.graph else "learned")
    if isinstance(options, CopyingOptions):
        filled.update(_fill_attention(options))
        if data is not None:
            rates = {
                "copy_dropout": default_copy_dropout(data.values),
                "copy_only_rate": default_copy_only_rate(data.horizons, -(-data.horizon // patch)),
            }
            copies = bool(filled["copy_heads"])
            filled.update({x: rate * copies for x, rate in rates.items() if getattr(options, x) is None})
    return options.model_copy(update=filled)


def _fill_attention(options: CopyingOptions) -> dict[str, Any]:
    """Return the number of copy heads, and the attention score of the recurrent architecture."""
    given = {name: getattr(options, name) for name in ("attention", "alignment", "decoder") if hasattr(options, name)}
    autoregressive = given.get("decoder") == "autoregressive"
    if "attention" in given:
        given["attention"] = given["attention"] or ("additive" if autoregressive else "scaled_dot")
    cannot_copy = autoregressive or given.get("attention") == "none" or given.get("alignment", "softmax") != "softmax"
    if options.copy_heads and cannot_copy:
        needs = (
            "an attention of softmax alignment and a parallel decoder" if "attention" in given else "a parallel decoder"
        )
        received = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ConfigError(f"model.copy_heads={options.copy_heads} needs {needs}. Received: {received}")
    heads = (0 if cannot_copy else COPY_HEADS) if options.copy_heads is None else options.copy_heads
    return {"copy_heads": heads, **({"attention": given["attention"]} if "attention" in given else {})}
