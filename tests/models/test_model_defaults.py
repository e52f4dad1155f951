"""Default options by rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import keras
import pytest
from small_models import SPEC, make_graph

from tsattn.errors import ConfigError
from tsattn.layers import TemporalConvBlock, receptive_field, register_score
from tsattn.layers.alignments import ALIGNMENTS
from tsattn.layers.attention_scores import SCORES
from tsattn.models import resolve_options
from tsattn.models.defaults import DataSummary, default_context, default_patch_length, fill_options, tcn_depth
from tsattn.models.options import Alignment, Score, Seq2SeqOptions, TCNOptions


@pytest.mark.parametrize("season", [1, 2, 3, 4, 5, 7, 11, 12, 24, 48, 52, 53, 96, 168, 288, 365, 1440])
def test_segments_are_of_a_sensible_length(season: int) -> None:
    patch = default_patch_length(season)
    assert 4 <= patch <= 48
    whole = patch % season == 0 if season <= 48 else abs(-(-season // patch) * patch - season) < season // patch + 1
    assert whole, "a season is a whole number of segments, but for rounding up"


@pytest.mark.parametrize(("season", "patch"), [(24, 24), (7, 7), (12, 12), (96, 48), (52, 26), (1, 4), (2, 4)])
def test_known_seasons(season: int, patch: int) -> None:
    assert default_patch_length(season) == patch


def test_look_back_is_whole_segments_and_leaves_windows_to_learn_from() -> None:
    assert default_context(24, 96, 17_420) == 720
    assert default_context(24, 48, 960) == 480
    for length in range(30, 2000, 37):
        context = default_context(12, 6, length)
        assert context % 12 == 0 and 12 <= context <= max(0.6 * length, 12)


def known(values: int = 60_000, horizons: float = 100.0, horizon: int = 720, context: int = 720) -> DataSummary:
    return DataSummary(values, horizons, horizon, context)


def test_the_width_follows_the_data_unless_it_is_given() -> None:
    options = resolve_options({"name": "seq2seq"})[1]
    given = resolve_options({"name": "seq2seq", "units": 20})[1]
    widths = [fill_options(options, 24, known(values)).units or 0 for values in (100, 60_000, 350_000, 10**8)]
    assert widths == sorted(widths) and widths[1] < widths[2]
    assert fill_options(given, 24, known(100)).units == fill_options(given, 24, known(10**8)).units == 20


def test_the_copy_only_rate_is_high_if_the_data_hold_few_long_horizons() -> None:
    rates = [resolved(known=known(horizons=count)).copy_only_rate or 0.0 for count in (3, 12, 60, 400, 10**5)]
    assert rates == sorted(rates, reverse=True) and 0 < rates[0] < 1 and rates[-1] == 0
    near, far = (resolved(known=known(horizons=3, horizon=steps)).copy_only_rate or 0.0 for steps in (24, 720))
    assert 0 <= near < 0.1 < far, "a season ahead needs the network, however few data there are"
    assert resolved(known=known(horizons=3), copy_only_rate=0.2).copy_only_rate == 0.2
    assert resolved(known=known(horizons=3), copy_heads=0).copy_only_rate == 0


def test_a_short_context_is_read_once() -> None:
    assert [resolved(known=known(context=steps)).context_scales for steps in (24, 72, 96, 720)] == [1, 1, 2, 2]
    assert resolved(known=known(context=24), context_scales=3).context_scales == 3


@pytest.mark.parametrize("name", ["seq2seq", "attention_pooling", "tcn", "graph_attention", "transformer"])
@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_nothing_is_left_open_where_the_data_are_known(name: str, decoder: str) -> None:
    options = resolve_options({"name": name} | ({"decoder": decoder} if name == "seq2seq" else {}))[1]
    found = fill_options(options, 24, known()).model_dump()
    # Whether the zero-shot forecast is added depends on the configuration, not on the data.
    assert {key for key, value in found.items() if value is None} == {"zero_shot", "second_season", "fine_tuning"}


@pytest.mark.parametrize("kernel_size", [2, 3, 7])
@pytest.mark.parametrize("segments", [1, 2, 3, 5, 6, 21, 30, 720])
def test_convolutions_are_as_deep_as_it_takes_to_see_the_whole_context(segments: int, kernel_size: int) -> None:
    depth = tcn_depth(TCNOptions(kernel_size=kernel_size), segments)
    blocks = [TemporalConvBlock(1, kernel_size, 2**i) for i in range(depth)]
    assert receptive_field(blocks) >= segments
    assert depth == 1 or receptive_field(blocks[:-1]) < segments


def test_the_depth_follows_the_segments_of_the_context_unless_it_is_given() -> None:
    options = resolve_options({"name": "tcn", "patch_length": 1})[1]
    steps, days = (fill_options(options.model_copy(update={"patch_length": n}), 24, known()) for n in (1, 24))
    assert (steps.depth, days.depth) == (8, 4)
    given = resolve_options({"name": "tcn", "depth": 3})[1]
    assert fill_options(given, 24, known()).depth == 3


def test_convolutions_that_see_little_of_what_they_are_given_are_refused() -> None:
    short = resolve_options({"name": "tcn", "depth": 1})[1]
    with pytest.raises(
        ConfigError, match=r"depth=1 and model\.kernel_size=3, which see 5 of 30 patches.*4 blocks see all"
    ):
        fill_options(short, 24, known())
    pooled = short.model_copy(update={"pooling": "attention"})
    assert fill_options(pooled, 24, known()).depth == 1, "attention pooling reads all of them"
    with pytest.raises(ConfigError, match="which see 5 of 12 patches"):
        make_graph({"name": "tcn", "depth": 1, "patch_length": 1}, replace(SPEC, context=12))


def resolved(known: DataSummary | None = None, **options: Any) -> Seq2SeqOptions:
    made = resolve_options({"name": "seq2seq", **options})[1]
    assert isinstance(made, Seq2SeqOptions)
    return fill_options(made, 24, known)


@pytest.mark.parametrize(
    ("options", "attention", "copy_heads"),
    [
        ({}, "scaled_dot", 4),
        ({"copy_heads": 0}, "scaled_dot", 0),
        ({"copy_heads": 2, "attention": "dot"}, "dot", 2),
        ({"attention": "none"}, "none", 0),
        ({"alignment": "monotonic"}, "scaled_dot", 0),
        ({"decoder": "autoregressive"}, "additive", 0),
        ({"decoder": "autoregressive", "copy_heads": 0, "attention": "general"}, "general", 0),
    ],
)
def test_an_attention_that_is_left_open_follows_the_decoder(
    options: dict[str, Any], attention: str, copy_heads: int
) -> None:
    found = resolved(**options)
    assert (found.attention, found.copy_heads, found.patch_length) == (attention, copy_heads, 24)
    assert fill_options(found, 24) == found, "what a run has written makes the same run again"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"attention": "none"}, "attention='none'"),
        ({"decoder": "autoregressive"}, "decoder='autoregressive'"),
        ({"alignment": "local"}, "alignment='local'"),
    ],
)
def test_copying_that_cannot_be_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=rf"copy_heads=2 needs an attention of softmax alignment.*{why}"):
        resolved(copy_heads=2, **options)


def test_a_custom_score_is_an_option_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"'attention' = 'minus_distance' is not allowed: expected additive"):
        resolve_options({"name": "seq2seq", "attention": "minus_distance"})

    @register_score("minus_distance")
    def minus_distance(query: Any, key: Any) -> Any:
        return -keras.ops.sum((query[:, :, None] - key[:, None]) ** 2, -1)

    try:
        assert resolve_options({"name": "seq2seq", "attention": "minus_distance"})[1].attention == "minus_distance"
    finally:
        del SCORES["minus_distance"]


def test_teacher_forcing_falls_by_a_schedule_where_steps_are_given() -> None:
    options = {"name": "seq2seq", "decoder": "autoregressive", "teacher_forcing": 0.8, "teacher_forcing_steps": 10}
    rate = make_graph(options).inference().get_layer("decoder").teacher_forcing
    assert [round(float(rate(step)), 3) for step in (0, 5, 10, 20)] == [0.8, 0.4, 0, 0]


def test_the_scores_of_the_options_are_those_of_the_layers() -> None:
    assert set(get_args(Score)) == {*SCORES, "none"}
    assert set(get_args(Alignment)) == set(ALIGNMENTS)
