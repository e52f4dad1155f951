"""Segment and look-back by rule."""

from __future__ import annotations

import pytest

from tsattn.models import rules


@pytest.mark.parametrize("season", [1, 2, 3, 4, 5, 7, 11, 12, 24, 48, 52, 53, 96, 168, 288, 365, 1440])
def test_segments_are_of_a_sensible_length(season: int) -> None:
    patch = rules.patch_length(season)
    assert 4 <= patch <= 48
    whole = patch % season == 0 if season <= 48 else abs(-(-season // patch) * patch - season) < season // patch + 1
    assert whole, "a season is a whole number of segments, but for rounding up"


@pytest.mark.parametrize(("season", "patch"), [(24, 24), (7, 7), (12, 12), (96, 48), (52, 26), (1, 4), (2, 4)])
def test_known_seasons(season: int, patch: int) -> None:
    assert rules.patch_length(season) == patch


def test_look_back_is_whole_segments_and_leaves_windows_to_learn_from() -> None:
    assert rules.context(24, 96, 17_420) == 720
    assert rules.context(24, 48, 960) == 480
    for length in range(30, 2000, 37):
        context = rules.context(12, 6, length)
        assert context % 12 == 0 and 12 <= context <= max(0.6 * length, 12)
