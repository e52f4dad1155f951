"""What an architecture leaves open, by rule: segment and look-back from season, horizon and length of the series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tsattn.errors import ConfigError
from tsattn.models.options import WIDTH, CopyingOptions, GraphAttentionOptions, NetworkOptions, TCNOptions
from tsattn.timeseries.window_spec import WindowSpec

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel


T = TypeVar("T", bound=NetworkOptions)

SEGMENTS = 30
"""Most segments of a look-back."""

LONGEST_PATCH = 48
"""Longest segment, in steps."""

FEW_VALUES = 200_000
"""Below so many observed values data are few: a network is narrower, copies less and is trained in smaller steps."""

NARROW = 64
"""Units of a network for few data."""

COPY_DROPOUT = 0.5
"""Dropout of copying where data are few."""

MOST_PATH_DROPOUT = 0.5
"""Most share of the series of a training step that are forecast by copying alone."""

PATH_HORIZONS = 14
"""That share is at most this, divided by the number of horizons in the data ..."""

PATH_SEGMENTS = 28
"""... and at most the segments of the horizon, divided by this."""

SHORT_CONTEXT = 4
"""Below so many segments a context is not read by halves as well."""

SHORT_HISTORY = 12
"""Segments of a context below which a row is so much cheaper that there may be as many more of them in a training, and
a linear regression and a way back to the typical level stand beside the network. With a look-back of 96 steps, four
segments, ETTh1 is at its best after 15 epochs, and 7 are all that the rows of one of 720 leave."""

LINEAR_CONTEXTS = 20
"""How often the context must fit into the data of a channel for that regression."""

COPY_HEADS = 4
"""Heads of the attention that copies segments."""

SHORTEST_PATCH = 4
"""Shortest segment, in steps."""


@dataclass(frozen=True)
class Known:
    """What is known of the data and the window.

    Args:
        values: number of observed values.
        horizons: how often the horizon fits into them, all series together and the channels beside each other.
        horizon: steps to forecast.
        context: look-back in steps.
        graph: whether the file of a graph between the targets is given.
        series: how many there are, each with all targets.
    """

    values: int
    horizons: float
    horizon: int
    context: int
    graph: bool = False
    series: int = 1

    @classmethod
    def of(cls, panel: Panel, spec: WindowSpec, *, graph: bool = False) -> Known:
        """Return what is known of a panel and a window."""
        horizons = panel.observed / (len(spec.targets) * spec.horizon)
        return cls(panel.observed, horizons, spec.horizon, spec.context, graph, len(panel))


def patch_length(season: int, context: int | None = None) -> int:
    """Return the steps of a segment: a season; an equal part of one that is long; a few of those that are short.

    A look-back that is shorter than such a segment has no season to be cut by, and is read step by step, or in as many
    segments as a longer one has at most.

    Args:
        season: season length in steps.
        context: look-back in steps, where it is known.
    """
    if season < SHORTEST_PATCH:
        patch = season * -(-SHORTEST_PATCH // season)
    else:
        patch = -(-season // -(-season // LONGEST_PATCH))
    return -(-context // SEGMENTS) if context is not None and context < patch else patch


def context(season: int, horizon: int, length: int) -> int:
    """Return the look-back in steps: whole segments, at most 30 and at most about half of a series.

    The other half is left to sample windows from, so that a network sees more than one window a series.

    Args:
        season: season length in steps.
        horizon: steps to forecast.
        length: steps of a typical (the median) training series.
    """
    patch = patch_length(season)
    segments = int((length - horizon) * 0.55) // patch
    return patch * min(max(segments, 1), SEGMENTS)


def units(values: int) -> int:
    """Return the width of a network for data with so many observed values."""
    return NARROW if values < FEW_VALUES else WIDTH


def copy_dropout(values: int) -> float:
    """Return the dropout of copying for data with so many observed values.

    Few data are learned by heart else: the validation MSE of ETTh1 at horizon 96 is .649 without it, .640 with .3 and
    .633 with .6. Many want it exact: M4 Hourly has an OWA of .418 without it and .531 with .3.
    """
    return COPY_DROPOUT if values < FEW_VALUES else 0.0


def lookbacks(context: int, season: int) -> int:
    """Return how many histories are read: the whole context and its last half, unless that is too short.

    What lies further back tells more in some months and misleads in others. Over three validation parts of ETTh1 both
    have a lower MAE than the whole alone: by .2 to 1.1 % at horizon 96, 0 to 1.7 % at 336 and 720.
    """
    return 2 if context >= SHORT_CONTEXT * patch_length(season) else 1


def covering_blocks(kernel_size: int, segments: int) -> int:
    """Return how many blocks of dilation 1, 2, 4, ... see so many segments."""
    reach = 2 * (kernel_size - 1)
    # They see 1 + reach * (2 ** blocks - 1).
    return max(-(-(segments - 1) // reach), 1).bit_length()


def depth(options: TCNOptions, segments: int) -> int:
    """Return the number of blocks of dilated convolutions: what was asked for, or as many as see the whole context.

    Args:
        options: those of the network.
        segments: segments of the context.

    Raises:
        ConfigError: the blocks see less than half of the context, and their last output is all that is read.
    """
    least = covering_blocks(options.kernel_size, segments)
    seen = 1 + 2 * (options.kernel_size - 1) * (2 ** (options.depth or least) - 1)
    if options.pooling == "last" and 2 * seen < segments:
        raise ConfigError(
            f"expected blocks that see at least half of the context where its last segment is all that is read. "
            f"Received: model.depth={options.depth} and model.kernel_size={options.kernel_size}, which see {seen} of "
            f"{segments} segments: leave model.depth out ({least} blocks see all), shorten the context, or set "
            "model.pooling=attention"
        )
    return options.depth or least


def path_dropout(horizons: float, segments: int) -> float:
    """Return the share of the series of a training step that are forecast by copying alone.

    What a network may learn beside the copying is held down for a far horizon that it has seen only a few times: of 8
    to 12 months, hours, ETTh1 has 60 to 90 horizons of 96 steps, where .2 brings nothing, and 8 to 12 of 720, where .5
    lowers the validation MAE by .6 to 4 % (three different validation parts). A season ahead needs the network, however
    few data there are: .5 raises the validation MASE of Airline from .63 to .78.

    Args:
        horizons: how often the horizon fits into the training data.
        segments: segments of the horizon.
    """
    return round(min(MOST_PATH_DROPOUT, PATH_HORIZONS / max(horizons, 1.0), segments / PATH_SEGMENTS), 2)


def _short(known: Known, patch: int) -> bool:
    """Tell whether the context is a short one of a single series, which shows little of what its level does."""
    return known.series == 1 and known.context < SHORT_HISTORY * patch


def reversion(options: NetworkOptions, known: Known, patch: int) -> bool:
    """Tell whether a forecast returns to the typical level of the training data: where a short context hides it.

    With a look-back of 96 steps the way back takes 2 to 9 % off the MSE of three validation parts of ETTh1 at horizon
    96 and 336. One of 30 days shows by itself what the level does, and where that drifts away from the training data
    for good, as in the test parts of ETTh1, the way back misleads. Of several series the level of none is known to the
    graph, and `scaling="training"` shows the network the level as it is.

    Args:
        options: those of the network.
        known: the data.
        patch: steps of a segment.
    """
    return _short(known, patch) and options.scaling != "training"


def linear(known: Known, patch: int) -> bool:
    """Tell whether a linear regression stands beside the network: of a short context of one series, seen many times.

    With a look-back of 96 steps it takes 1 to 4 % off the MAE of three validation parts of ETTh1 at horizon 96; with
    one of 720 it adds 3 to 5 % in two of them. It was not measured on several series; on eight of noise it takes some
    of the noise for structure, and intervals are too narrow.

    Args:
        known: the data.
        patch: steps of a segment.
    """
    return _short(known, patch) and known.horizons * known.horizon >= LINEAR_CONTEXTS * known.context


def resolve(options: T, season: int, known: Known | None = None) -> T:
    """Return the options with what is left open filled in.

    Args:
        options: those of an architecture.
        season: season length in steps.
        known: the data; None leaves open what follows from them, such as width and dropouts.

    Raises:
        ConfigError: the options contradict each other.
    """
    patch = options.patch_length or patch_length(season, known.context if known else None)
    open_options: dict[str, Any] = {"patch_length": patch}
    if known is not None:
        open_options["units"] = options.units or units(known.values)
        back = reversion(options, known, patch)
        open_options["reversion"] = back if options.reversion is None else options.reversion
        open_options["linear"] = linear(known, patch) if options.linear is None else options.linear
        open_options["lookbacks"] = options.lookbacks or lookbacks(known.context, season)
    if isinstance(options, TCNOptions) and known is not None:
        open_options["depth"] = depth(options, -(-known.context // patch))
    if isinstance(options, GraphAttentionOptions) and known is not None:
        open_options["adjacency"] = options.adjacency or ("both" if known.graph else "learned")
    if isinstance(options, CopyingOptions):
        open_options.update(_attention(options))
        if known is not None:
            rates = {
                "copy_dropout": copy_dropout(known.values),
                "path_dropout": path_dropout(known.horizons, -(-known.horizon // patch)),
            }
            copies = bool(open_options["copy_heads"])
            open_options.update({x: rate * copies for x, rate in rates.items() if getattr(options, x) is None})
    return options.model_copy(update=open_options)


def _attention(options: CopyingOptions) -> dict[str, Any]:
    """Return how many heads copy, and the score of the recurrent architecture's attention."""
    given = {name: getattr(options, name) for name in ("attention", "alignment", "decoder") if hasattr(options, name)}
    autoregressive = given.get("decoder") == "autoregressive"
    if "attention" in given:
        given["attention"] = given["attention"] or ("additive" if autoregressive else "scaled_dot")
    cannot = autoregressive or given.get("attention") == "none" or given.get("alignment", "softmax") != "softmax"
    if options.copy_heads and cannot:
        needs = (
            "an attention of softmax alignment and a parallel decoder" if "attention" in given else "a parallel decoder"
        )
        received = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ConfigError(f"model.copy_heads={options.copy_heads} needs {needs}. Received: {received}")
    heads = (0 if cannot else COPY_HEADS) if options.copy_heads is None else options.copy_heads
    return {"copy_heads": heads, **({"attention": given["attention"]} if "attention" in given else {})}
