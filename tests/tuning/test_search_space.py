"""The search space: declared options, fixed options, defaults."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import optuna
import pandas as pd
import pytest
from pydantic import Field
from tuning.small import QUICK, days

from tsattn.config import Choice, Multiples, Range, RunConfig, option_spaces
from tsattn.data.loader import load
from tsattn.errors import ConfigError
from tsattn.models import MODELS, NetworkOptions, get_model, register, resolve_options
from tsattn.models.defaults import COPY_HEADS, DataSummary, fill_options
from tsattn.models.options import WITHOUT_COPYING
from tsattn.models.registry import check_graph
from tsattn.tuning.search_space import SearchSpace

TRAINED = [name for name, entry in MODELS.items() if entry.trained and entry.module is None]


def space_of(model: dict[str, Any], frame: Any = None, **groups: Any) -> SearchSpace:
    """Return the search space of a configuration for daily or other data."""
    config = RunConfig.from_dict({"model": model, **groups})
    panel, schema = load(days() if frame is None else frame, config.data)
    return SearchSpace.from_config(config, [model.get("name", "seq2seq")], panel, schema, "data")


def values_of(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """Return the values of each `Choice`, by option."""
    (several,) = space.dimensions.values()
    return {x.option: x.space.values for x in several if isinstance(x.space, Choice)}


def nodes() -> pd.DataFrame:
    """Return four daily series."""
    frame = days(150).rename(columns={"y": "a"})
    return frame.assign(b=frame["a"].shift(1).bfill(), c=frame["a"] * 2, d=frame["a"].iloc[::-1].to_numpy())


def sampled(space: SearchSpace, number: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the models and option values of random trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [space.suggest(study.ask()) for _ in range(number)]


def test_default_follows_the_rules_and_is_in_the_space() -> None:
    space = space_of({"name": "seq2seq"})
    default = space.default_values("seq2seq")
    assert default["model.units"] == 64 and default["model.patch_length"] == 7 and default["model.copy_heads"] == 4
    assert default["model.dropout"] == 0.5 and default["training.learning_rate"] == 3e-4
    values = values_of(space)
    assert values["model.units"] == (32, 64, 128, 256)
    assert values["model.patch_length"] == (4, 7, 14), "half of it, itself, twice: whole steps"
    assert default["data.context"] in values["data.context"]
    assert max(values["data.context"]) <= 120, "no longer than the data"
    assert space.with_values("seq2seq", default) == RunConfig.from_dict({"model": {"name": "seq2seq"}})


def test_given_options_are_not_searched() -> None:
    space = space_of(
        {"name": "tcn", "units": 48, "pooling": "attention"},
        training={"learning_rate": 0.002, "batch_size": 16},
    )
    searched = set(space.default_values("tcn"))
    assert not searched & {"model.units", "model.pooling", "training.learning_rate", "training.batch_size"}
    assert {"model.dropout", "model.kernel_size", "data.context"} <= searched
    for _, values in sampled(space, 20):
        config = space.with_values("tcn", values)
        assert config.model["units"] == 48 and config.training.learning_rate == 0.002
    assert "data.context" not in space_of({"name": "tcn"}, data={"context": 30}).default_values("tcn")


@pytest.mark.parametrize("name", TRAINED)
def test_all_proposals_are_valid(name: str) -> None:
    space = space_of({"name": name}, nodes())
    assert option_spaces(get_model(name).options)
    known = DataSummary(values=480, horizons=20, horizon=7, context=50)
    for _, values in sampled(space, 60):
        config = space.with_values(name, values)
        RunConfig.from_dict(config.model_dump())
        entry, options = resolve_options(config.model)
        check_graph(entry, options, None)
        assert isinstance(options, NetworkOptions)
        fill_options(options, 7, known)


@pytest.mark.parametrize(
    ("option", "value"), [(key, value) for key, several in WITHOUT_COPYING.items() for value in several]
)
def test_copy_options_are_not_searched_without_copy_attention(option: str, value: str) -> None:
    space = space_of({"name": "seq2seq", option: value})
    assert not {"model.copy_heads", "model.copy_dropout"} & set(space.default_values("seq2seq"))
    assert ("model.attend" in space.default_values("seq2seq")) == (value == "autoregressive")


def test_dependent_option_is_searched_only_if_it_has_an_effect() -> None:
    proposed = [values for _, values in sampled(space_of({"name": "seq2seq"}), 40)]
    assert {values["model.copy_heads"] for values in proposed} == {0, COPY_HEADS}
    for values in proposed:
        assert ("model.copy_dropout" in values) == (values["model.copy_heads"] > 0)


def test_each_model_has_its_own_options() -> None:
    config = RunConfig.from_dict({"training": QUICK})
    panel, schema = load(days(), config.data)
    space = SearchSpace.from_config(config, ["tcn", "attention_pooling"], panel, schema, "data")
    proposed = sampled(space, 30)
    assert {model for model, _ in proposed} == {"tcn", "attention_pooling"}
    for model, values in proposed:
        assert ("model.kernel_size" in values) == (model == "tcn")
        assert space.with_values(model, values).model["name"] == model


def test_custom_model_declares_its_space() -> None:
    class Own(NetworkOptions):
        depth: Annotated[int, Range(1, 3)] = Field(5)
        width_: Annotated[int | None, Multiples(1, 2)] = Field(10)
        mode: Annotated[str, Choice("a", "b")] = Field("c")
        rate: Annotated[float, Range(1e-3, 1e-1, log=True)] = Field(0.5)
        fixed: int = Field(3)

    register("own", "", Own)(lambda *_: None)
    space = space_of({"name": "own"})
    proposed = [values for _, values in sampled(space, 200)]
    seen = {key: {values[f"model.{key}"] for values in proposed} for key in ("depth", "width_", "mode")}
    assert seen == {"depth": {1, 2, 3, 4, 5}, "width_": {10, 20}, "mode": {"a", "b", "c"}}, "the default among them"
    rates = np.array([values["model.rate"] for values in proposed])
    assert rates.min() >= 1e-3 and rates.max() <= 0.5 and 0.01 < np.median(rates) < 0.05, "by orders of magnitude"
    assert "model.fixed" not in proposed[0]


def test_errors_for_spaces_that_cannot_be_searched() -> None:
    with pytest.raises(ConfigError, match="expected a model with options to tune, such as seq2seq, "):
        space_of({"name": "naive"})
    with pytest.raises(ConfigError, match="leave out init_from="):
        space_of({"name": "seq2seq"}, init_from="runs/x")
    fixed = {"name": "small", "gain": 1.0, "bias": 0.0, "odd": False}
    with pytest.raises(ConfigError, match="no option is left to search"):
        space_of(fixed, training=QUICK, data={"context": 14})
    with pytest.raises(ConfigError, match="unitz"):
        space_of({"name": "seq2seq", "unitz": 3})

    class Wrong(NetworkOptions):
        mode: Annotated[str, Range(0, 1)] = Field("c")

    register("wrong", "", Wrong)(lambda *_: None)
    with pytest.raises(ConfigError, match="mode: its search space needs a default that is a number, got 'c'"):
        space_of({"name": "wrong"})
