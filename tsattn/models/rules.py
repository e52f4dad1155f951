"""What an architecture leaves open, by rule: segment and look-back from season, horizon and length of the series."""

from __future__ import annotations

from typing import TypeVar

from tsattn.models.options import NetworkOptions

T = TypeVar("T", bound=NetworkOptions)

SEGMENTS = 30
"""Most segments of a look-back."""

LONGEST_PATCH = 48
"""Longest segment, in steps."""

SHORTEST_PATCH = 4
"""Shortest segment, in steps."""


def patch_length(season: int) -> int:
    """Return the steps of a segment: a season; an equal part of one that is long; a few of those that are short."""
    if season < SHORTEST_PATCH:
        return season * -(-SHORTEST_PATCH // season)
    parts = -(-season // LONGEST_PATCH)
    return -(-season // parts)


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


def resolve(options: T, season: int) -> T:
    """Return the options with what depends on the data filled in."""
    if getattr(options, "patch_length", 1) is None:
        return options.model_copy(update={"patch_length": patch_length(season)})
    return options
