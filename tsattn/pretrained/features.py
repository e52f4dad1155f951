"""Inputs of the pretrained network: a description of each series at an origin, independent of its units.

The history is pooled to 12 or more steps per season and cut into patches of `PATCH` pooled steps, so that one network
serves every season length. All statistics at a patch use only values up to its end, so that one pass over the
history serves many forecast origins. Every function takes the array namespace as its first argument, NumPy or
`keras.ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = Any
Array = npt.NDArray[Any]

PATCH = 6
"""Pooled steps in a patch."""
STEPS_PER_SEASON = 12
"""Pooled steps per season, at least; shorter seasons are not pooled."""
SEASONS_BACK = 4
"""Seasons whose values at the phase of the target are candidates."""
LAST_VALUES = 6
"""Number of last values that the query holds."""
CANDIDATES = (
    *(f"same phase, {lag} season{'s' * (lag > 1)} before" for lag in range(1, SEASONS_BACK + 1)),
    "mean of the last seasons",
    "mean of the last seasons at the present level",
    "last season and the last change",
    "last season and its drift",
    "last season and its mean change",
    "last value",
    "drift",
    "mean of the last season",
    "same phase of the second season",
    "same phase, 2 second seasons before",
    "second season and its mean change",
)
"""Candidate forecasts, the values over which the network attends."""
SIMPLE_FORECASTS = (
    "same phase, 1 season before, in the last season",
    "last value",
    "last season and the change of the season before",
    "last season and its mean change",
    "last season and the last change",
    "mean of the last season",
    "mean of the last seasons",
    "same phase of the second season",
    "second season and its mean change",
)
"""Forecasts of one season, or one step, whose in-sample errors the query holds."""
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Quantile levels of the outputs."""
MEDIAN = LEVELS.index(0.5)
PATCH_FEATURES = 5 * PATCH + 8
QUERY_FEATURES = LAST_VALUES + 11 + len(SIMPLE_FORECASTS) + 2 * len(CANDIDATES)
MAX_CANDIDATE = 60.0
"""Largest distance of a candidate from the centre, in units of the scale."""
MIN_SCALE = 1e-7
"""Scale, relative to the largest distance from the mean, of a history without changes."""
TINY = 1e-12
MIN_ERROR, MAX_LOG_ERROR = 0.02, 4.0
"""Bounds of in-sample errors, relative to the scale."""


@dataclass(frozen=True)
class Layout:
    """Constant indices and phases of a window. ``T`` is its length, ``O`` the number of origins, ``J`` that of steps.

    Args:
        season: Season length, 1 without one.
        second: Second, longer season; 0 without one.
        patches: Length of the window in patches.
        origins: Index of the patch at whose end each origin lies, `(O,)`.
        steps: Steps ahead, from 1 on, `(O, J)`.
        phase: Phase of the first step of the window.
    """

    season: int
    second: int
    patches: int
    origins: tuple[int, ...]
    steps: Array
    phase: int = 0

    @property
    def pool(self) -> int:
        """Steps of the series in one pooled step."""
        return max(self.season // STEPS_PER_SEASON, 1)

    @property
    def patch(self) -> int:
        """Steps of the series in one patch."""
        return PATCH * self.pool

    @property
    def length(self) -> int:
        """Length of the window, ``T``."""
        return self.patches * self.patch

    @cached_property
    def ends(self) -> Array:
        """Index of the last step of each patch."""
        return (np.arange(self.patches) + 1) * self.patch - 1

    @cached_property
    def origin_ends(self) -> Array:
        """Index of the last step that each origin knows, `(O,)`."""
        return np.asarray(self.ends[list(self.origins)])

    @cached_property
    def targets(self) -> Array:
        """Index of each target, `(O, J)`."""
        return np.asarray(self.origin_ends[:, None] + self.steps)

    def angles(self, steps: Array) -> Array:
        """Return sine and cosine of the phase in both seasons, `(..., 4)`; zeros without a season."""
        parts: list[Array] = []
        for season in (self.season, self.second):
            angle = 2 * np.pi * ((steps + self.phase) % max(season, 1)) / max(season, 1)
            parts += [np.sin(angle), np.cos(angle)] if season > 1 else [np.zeros(steps.shape)] * 2
        return np.stack(parts, axis=-1).astype("float32")

    @cached_property
    def attends(self) -> Array:
        """Which patches each origin knows, `(O, S)`, 0 or 1."""
        return np.asarray(np.arange(self.patches)[None] <= np.asarray(self.origins)[:, None], dtype="float32")

    @cached_property
    def last_patch(self) -> Array:
        """The patch of each origin, one-hot `(O, S)`."""
        return np.asarray(np.arange(self.patches)[None] == np.asarray(self.origins)[:, None], dtype="float32")


@dataclass(frozen=True)
class Features:
    """Inputs of the network and the units of its outputs. ``N`` series, ``S`` patches, ``K`` candidates.

    Args:
        patches: `(N, S, features)`.
        started: `(N, S)` whether a value was observed before the end of the patch.
        queries: `(N, O, J, features)`.
        candidates: `(N, O, J, K)`, relative to `centre` and `scale`; 0 where not available.
        available: `(N, O, J, K)`, 0 or 1.
        centre: `(N, O)`.
        scale: `(N, O)`; 0 for a constant history.
    """

    patches: Tensor
    started: Tensor
    queries: Tensor
    candidates: Tensor
    available: Tensor
    centre: Tensor
    scale: Tensor


@dataclass(frozen=True)
class History:
    """A window with its statistics at each step, which use values up to it only; each `(N, T)` unless stated.

    Args:
        patches: `(N, S, features)`, inputs of the encoder.
        filled: Values, the last one where missing, minus `shift`, divided by `unit`.
        started: Whether a value was observed.
        number: Number of observed values.
        centre: Level of the last season.
        scale: Mean absolute seasonal change of the last seasons.
        mean_change: Mean seasonal change of the last season.
        errors: Sums and numbers of the in-sample errors of `SIMPLE_FORECASTS`; see `_in_sample_errors`.
        shift: `(N, 1)`.
        unit: `(N, 1)`.
    """

    patches: Tensor
    filled: Tensor
    started: Tensor
    number: Tensor
    centre: Tensor
    scale: Tensor
    mean_change: Tensor
    errors: tuple[Tensor, Tensor]
    shift: Tensor
    unit: Tensor


def forward_fill(xp: Any, values: Tensor, observed: Tensor) -> Tensor:
    """Return the last observed value at each step, 0 before the first."""
    length = values.shape[1]
    position = xp.where(observed, xp.arange(1, length + 1)[None], 0)
    shift = 1
    while shift < length:  # the cumulative maximum, which not every backend and format has
        position = xp.maximum(position, lagged(xp, position, shift))
        shift *= 2
    filled = xp.take_along_axis(values, xp.maximum(position - 1, 0), axis=1)
    return xp.where(position > 0, filled, 0.0)


def lagged(xp: Any, values: Tensor, lag: int) -> Tensor:
    """Return the values ``lag`` steps before, along the last axis; 0 where there are none."""
    length = values.shape[-1]
    if lag >= length:
        return xp.zeros_like(values)
    return xp.pad(values[..., : length - lag], ((0, 0),) * (len(values.shape) - 1) + ((lag, 0),))


def arcsinh(xp: Any, values: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine from operations that LiteRT has too."""
    size = xp.minimum(xp.abs(values), 1e18)
    result = xp.log(size + xp.sqrt(size * size + 1.0))
    return xp.where(values < 0, -result, result)


def window_sums(xp: Any, parts: Sequence[Tensor], width: int) -> list[Tensor]:
    """Return the sum of the last ``width`` values of each part at each step, of shape `(N, T)` each."""
    # One array of all of them, because the graph of an export has a third of the operations with it.
    total = xp.cumsum(xp.stack(parts, axis=1), axis=2)
    return list(xp.unstack(total - lagged(xp, total, width), axis=1))


def compute_features(xp: Any, values: Tensor, observed: Tensor, layout: Layout) -> Features:
    """Return the inputs of the network.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`; values that are not observed are ignored.
        observed: `(N, T)` bool.
        layout: Season lengths, origins and steps.
    """
    return features_at(xp, describe(xp, values, observed, layout), layout)


def describe(xp: Any, values: Tensor, observed: Tensor, layout: Layout) -> History:
    """Return the description of a window, which serves the origins and steps of any layout of its seasons and length.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`; values that are not observed are ignored.
        observed: `(N, T)` bool.
        layout: Season lengths and length of the window.
    """
    season = layout.season
    weight = xp.where(observed, 1.0, 0.0)
    values = xp.where(observed, values, 0.0)
    # Sums of large values lose digits, so the whole window is shifted and scaled; the result does not depend on it.
    count = xp.sum(weight, axis=1, keepdims=True)
    shift = xp.sum(values, axis=1, keepdims=True) / xp.maximum(count, 1.0)
    unit = xp.max(xp.abs(values - shift) * weight, axis=1, keepdims=True)
    magnitude = xp.abs(shift)
    unit = xp.where(unit > TINY * magnitude, unit, xp.where(magnitude > 0, magnitude, 1.0))
    values = (values - shift) / unit * weight
    filled = forward_fill(xp, values, observed)
    number = xp.cumsum(weight, axis=1)
    started = number > 0.5

    width = max(season, 4)
    both = weight * lagged(xp, weight, season)
    change = (values - lagged(xp, values, season)) * both
    recent, total, changes, pairs = window_sums(xp, (weight, values, change, both), width)
    centre = xp.where(recent > 0.5, total / xp.maximum(recent, 1.0), filled)
    scale = _scale(xp, values, weight, change, both, layout, number, xp.abs(filled + shift / unit))
    mean_change = changes / xp.maximum(pairs, 1.0)

    return History(
        patches=_patches(xp, values, weight, change, both, centre, scale, number, layout),
        filled=filled,
        started=started,
        number=number,
        centre=centre,
        scale=scale,
        mean_change=mean_change,
        errors=_in_sample_errors(xp, values, weight, change, both, centre, mean_change, layout),
        shift=shift,
        unit=unit,
    )


def features_at(xp: Any, history: History, layout: Layout) -> Features:
    """Return the inputs of the network at the origins and steps of a layout.

    Args:
        xp: NumPy or `keras.ops`.
        history: The window, described for the same seasons and length.
        layout: Origins and steps.
    """
    ends = layout.origin_ends
    centre, scale, number = (xp.take(part, ends, axis=1) for part in (history.centre, history.scale, history.number))
    total, count = (xp.take(part, ends, axis=2) for part in history.errors)
    errors = _log_errors(xp, total, count, scale)
    at = {"centre": centre, "scale": scale, "n": number, "errors": errors}
    filled, started = history.filled, history.started
    candidates, available = _candidates(
        xp, filled, started, history.mean_change, history.number, history.centre, layout
    )
    available = xp.where(available, 1.0, 0.0)
    candidates = (candidates - centre[:, :, None, None]) / scale[:, :, None, None] * available
    candidates = xp.minimum(xp.maximum(candidates, -MAX_CANDIDATE), MAX_CANDIDATE)
    return Features(
        patches=history.patches,
        started=xp.take(started, layout.ends, axis=1),
        queries=_queries(xp, filled, started, candidates, available, at, layout),
        candidates=candidates,
        available=available,
        centre=centre * history.unit + history.shift,
        # A constant history has a constant forecast.
        scale=xp.where(scale > 2 * MIN_SCALE, scale * history.unit, 0.0),
    )


def _scale(
    xp: Any,
    values: Tensor,
    weight: Tensor,
    change: Tensor,
    both: Tensor,
    layout: Layout,
    number: Tensor,
    magnitude: Tensor,
) -> Tensor:
    """Return the scale at each step: the mean absolute seasonal change of the last seasons."""
    width = max(6 * layout.season, 36)
    near = weight * lagged(xp, weight, 1)
    step = xp.abs(values - lagged(xp, values, 1)) * near
    parts = (both, xp.abs(change), near, step, weight, values, values * values)
    pairs, changes, steps, step, seen, total, squares = window_sums(xp, parts, width)
    seasonal, step = changes / xp.maximum(pairs, 1.0), step / xp.maximum(steps, 1.0)
    seen = xp.maximum(seen, 1.0)
    mean = total / seen
    spread = xp.sqrt(xp.maximum(squares / seen - mean * mean, 1e-20))
    scale = xp.maximum(xp.where(pairs > 0.5, seasonal, step), 0.1 * spread)
    single = xp.where(magnitude > 0, 0.1 * magnitude, 1.0)
    return xp.maximum(xp.where(number > 1.5, scale, single), MIN_SCALE)


def _in_sample_errors(
    xp: Any,
    values: Tensor,
    weight: Tensor,
    change: Tensor,
    both: Tensor,
    centre: Tensor,
    mean_change: Tensor,
    layout: Layout,
) -> tuple[Tensor, Tensor]:
    """Return the sums of the absolute errors of `SIMPLE_FORECASTS` up to each step, and their numbers, `(N, E, T)`.

    Errors are of the last six seasons or two second seasons. Without a second season, its forecasts are left out.
    """
    season, second = layout.season, layout.second

    def before(part: Tensor, lag: int = season) -> Tensor:
        return lagged(xp, part, lag)

    total, number = before(values), before(weight)
    for lag in range(2, SEASONS_BACK + 1):
        total, number = total + before(values, lag * season), number + before(weight, lag * season)
    several = weight * xp.where(number > 1.5, 1.0, 0.0)
    began = before(xp.where(xp.cumsum(weight, axis=1) > 1.5, 1.0, 0.0))
    pairs_before = both * before(both)
    errors = [
        (change, both),
        (values - before(values, 1), weight * before(weight, 1)),
        (change - before(change), pairs_before),
        (change - before(mean_change), pairs_before),
        (change - before(change, 1), both * before(both, 1)),
        (values - before(centre), weight * began),
        (values - total / xp.maximum(number, 1.0), several),
    ]
    if second:
        pairs = weight * before(weight, second)
        longer = (values - before(values, second)) * pairs
        changes, count = window_sums(xp, (longer, pairs), max(season, 4))
        level = changes / xp.maximum(count, 1.0)
        errors += [(longer, pairs), (longer - before(level), pairs * before(pairs))]

    def recent_sum(parts: list[Tensor]) -> Tensor:
        sums = xp.cumsum(xp.stack(parts, axis=1), axis=2)
        first = lagged(xp, sums[:, :1], max(season, 6))
        return sums - xp.concatenate([first, lagged(xp, sums[:, 1:], max(6 * season, 2 * second, 36))], axis=1)

    return recent_sum([xp.abs(part) * known for part, known in errors]), recent_sum([known for _, known in errors])


def _log_errors(xp: Any, total: Tensor, number: Tensor, scale: Tensor) -> Tensor:
    """Return the logarithms of mean absolute errors, relative to the scale, `(N, O, E)`; 0 without errors.

    Args:
        xp: NumPy or `keras.ops`.
        total: Sum of the errors up to each origin, `(N, E, O)`.
        number: Number of the errors, `(N, E, O)`.
        scale: Scale at each origin, `(N, O)`.
    """
    logs = xp.minimum(xp.log(total / xp.maximum(number, 1.0) / scale[:, None] + MIN_ERROR), MAX_LOG_ERROR)
    errors = xp.transpose(xp.where(number > 0.5, logs, 0.0), (0, 2, 1))
    missing = len(SIMPLE_FORECASTS) - errors.shape[2]  # those of a second season
    return xp.pad(errors, ((0, 0), (0, 0), (0, missing)))


def _patches(
    xp: Any,
    values: Tensor,
    weight: Tensor,
    change: Tensor,
    both: Tensor,
    centre: Tensor,
    scale: Tensor,
    number: Tensor,
    layout: Layout,
) -> Tensor:
    """Return the inputs of the encoder, `(N, S, features)`."""
    shape = (-1, layout.patches, PATCH, layout.pool)
    centre, scale, number = (xp.take(part, layout.ends, axis=1)[:, :, None] for part in (centre, scale, number))
    total, seen = (xp.sum(xp.reshape(part, shape), axis=3) for part in (values * weight, weight))
    level = xp.where(seen > 0, total / xp.maximum(seen, 1.0) - centre, 0.0) / scale
    changes, pairs = (xp.sum(xp.reshape(part, shape), axis=3) for part in (change, both))
    changes = changes / xp.maximum(pairs, 1.0) / scale
    before = xp.concatenate([centre[:, :1], centre[:, :-1]], axis=1)
    scale_before = xp.concatenate([scale[:, :1], scale[:, :-1]], axis=1)
    middles = np.arange(layout.patches * PATCH) * layout.pool + (layout.pool - 1) / 2
    angles = layout.angles(middles)[:, :2].reshape(layout.patches, 2 * PATCH)
    second = layout.angles(middles)[:, 2:].reshape(layout.patches, PATCH, 2)[:, PATCH // 2]
    constant = np.concatenate(
        [angles, second, np.broadcast_to(_season_features(layout), (layout.patches, 2))], axis=1
    ).astype("float32")
    # Before the first value there is no level, and the scale of a single value is unknown.
    known = xp.concatenate([number[:, :1] * 0.0, number[:, :-1]], axis=1) > 1.5
    growth = xp.where(known, xp.minimum(xp.maximum(xp.log(scale / scale_before), -3.0), 3.0), 0.0)
    one = xp.ones_like(number)
    return xp.concatenate(
        [
            arcsinh(xp, level),
            seen * (1 / layout.pool),
            arcsinh(xp, changes),
            xp.where(known, arcsinh(xp, (centre - before) / scale), 0.0),
            growth,
            xp.log(xp.maximum(number, 1.0)),
            xp.log(xp.maximum(number, 1.0) / layout.season),
            one * xp.array(constant)[None],
        ],
        axis=2,
    )


def _season_features(layout: Layout) -> Array:
    return np.array([np.log(layout.season), 1.0 if layout.second else 0.0])


def _candidates(
    xp: Any, filled: Tensor, started: Tensor, mean_change: Tensor, number: Tensor, centre: Tensor, layout: Layout
) -> tuple[Tensor, Tensor]:
    """Return candidate forecasts and which are available, both `(N, O, J, K)`."""
    ends, targets, steps = layout.origin_ends, layout.targets, layout.steps
    season, second = layout.season, layout.second

    def value(index: Array) -> tuple[Tensor, Tensor]:
        inside = np.clip(index, 0, layout.length - 1).astype("int32")
        shape = (-1, *index.shape)
        taken, seen = (xp.reshape(xp.take(part, inside.reshape(-1), axis=1), shape) for part in (filled, started))
        return taken, xp.logical_and(seen, xp.array(index >= 0)[None])

    def phase_before(length: int, lag: int) -> Array:
        return np.asarray(targets - (-(-steps // length) + lag - 1) * length)

    at_end = [xp.take(part, ends, axis=1)[:, :, None] for part in (filled, centre, number, mean_change)]
    last, mean, count, drift = at_end
    none = xp.zeros_like(last) + np.zeros(steps.shape, "float32")[None]
    always = none + count > 0.5
    lags = [value(phase_before(season, lag)) for lag in range(1, SEASONS_BACK + 1)]
    weights = [xp.where(seen, 1.0, 0.0) for _, seen in lags]
    average = _weighted_mean(xp, [part for part, _ in lags], weights)
    # The level of the season in which each of them lies, as far as it is known.
    levels = [xp.take(centre, np.maximum(ends - lag * season, 0), axis=1)[:, :, None] for lag in range(SEASONS_BACK)]
    level = _weighted_mean(xp, levels, weights)
    lag, has_lag = lags[0]
    seasons_ahead = xp.array((-(-steps // season)).astype("float32"))[None]
    before, has_before = value(ends[:, None] - season)
    has_change = xp.logical_and(has_lag, has_before)
    first_index = xp.sum(xp.where(started, 0, 1), axis=1, keepdims=True)
    first = xp.take_along_axis(filled, xp.minimum(first_index, layout.length - 1), axis=1)[:, :, None]
    span = xp.maximum(np.asarray(ends, "float32")[None, :, None] - first_index[:, :, None], 1.0)
    slope = (last - first) / span
    result = [
        *lags,
        (average, has_lag),
        (average - level + mean, has_lag),
        (lag + (last - before), has_change),
        (lag + drift * seasons_ahead, has_change),
        (lag + drift, has_change),
        (last + none, always),
        (last + slope * np.asarray(steps, "float32")[None], none + count > 1.5),
        (mean + none, always),
    ]
    if second:
        long, has_long = value(phase_before(second, 1))
        longer, has_longer = value(phase_before(second, 2))
        days = max(season, 4)
        changes = filled - lagged(xp, filled, second)
        level = xp.take(window_sums(xp, (changes,), days)[0] / days, ends, axis=1)[:, :, None]
        _, has_level = value(ends[:, None] - second - days + 1)
        result += [(long, has_long), (longer, has_longer), (long + level, xp.logical_and(has_long, has_level))]
    else:
        result += [(none, none > 0.5)] * 3
    return xp.stack([part for part, _ in result], axis=-1), xp.stack([seen for _, seen in result], axis=-1)


def _weighted_mean(xp: Any, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors by weights of 0 or 1; 0 where all are 0."""
    total = sum((part * weight for part, weight in zip(parts[1:], weights[1:], strict=True)), parts[0] * weights[0])
    return total / xp.maximum(sum(weights[1:], weights[0]), 1.0)


def _queries(
    xp: Any,
    filled: Tensor,
    started: Tensor,
    candidates: Tensor,
    available: Tensor,
    at: dict[str, Tensor],
    layout: Layout,
) -> Tensor:
    """Return the features of each step at each origin, `(N, O, J, features)`."""
    steps = layout.steps
    constant = np.concatenate(
        [
            layout.angles(layout.targets),
            np.stack([np.log(steps), np.log(steps / layout.season), np.sqrt(steps) / 5], axis=-1),
            np.broadcast_to(_season_features(layout), (*steps.shape, 2)),
        ],
        axis=-1,
    ).astype("float32")
    index = np.maximum(layout.origin_ends[:, None] - np.arange(LAST_VALUES)[None], 0).reshape(-1).astype("int32")
    shape = (-1, len(layout.origins), LAST_VALUES)
    last, seen = (xp.reshape(xp.take(part, index, axis=1), shape) for part in (filled, started))
    last = (last - at["centre"][:, :, None]) / at["scale"][:, :, None]
    count = xp.maximum(at["n"], 1.0)[:, :, None]
    series = xp.concatenate(
        [arcsinh(xp, xp.where(seen, last, 0.0)), xp.log(count), xp.log(count / layout.season), at["errors"]], axis=2
    )
    zeros = xp.zeros_like(candidates[..., :1])
    return xp.concatenate(
        [
            zeros + xp.array(constant)[None],
            zeros + series[:, :, None],
            arcsinh(xp, candidates),
            available,
        ],
        axis=3,
    )
