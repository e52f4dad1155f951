"""What is searched, and what is not."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import optuna
import pandas as pd
import pytest
from pydantic import Field
from tuning.small import QUICK, days

from tsattn.config import Choice, Range, RunConfig, Times, declared
from tsattn.data.loader import load
from tsattn.errors import ConfigError
from tsattn.models import MODELS, NetworkOptions, get_model, register, resolve_options
from tsattn.models.defaults import COPY_HEADS, Known, resolve
from tsattn.models.options import CANNOT_COPY
from tsattn.models.registry import check_graph
from tsattn.tuning.search_space import Space

TRAINED = [name for name, entry in MODELS.items() if entry.trained and entry.module is None]


def space_of(model: dict[str, Any], frame: Any = None, **groups: Any) -> Space:
    """Return the space of a configuration on some days, or other data."""
    config = RunConfig.from_dict({"model": model, **groups})
    panel, schema = load(days() if frame is None else frame, config.data)
    return Space.of(config, [model.get("name", "seq2seq")], panel, schema, "data")


def values_of(space: Space) -> dict[str, tuple[Any, ...]]:
    """Return the values of what is a choice, by option."""
    (several,) = space.dimensions.values()
    return {x.option: x.space.values for x in several if isinstance(x.space, Choice)}


def nodes() -> pd.DataFrame:
    """Four columns of days."""
    frame = days(150).rename(columns={"y": "a"})
    return frame.assign(b=frame["a"].shift(1).bfill(), c=frame["a"] * 2, d=frame["a"].iloc[::-1].to_numpy())


def sampled(space: Space, number: int) -> list[tuple[str, dict[str, Any]]]:
    """Return what random trials propose."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [space.suggest(study.ask()) for _ in range(number)]


def test_the_default_is_what_the_rules_make_of_the_data_and_part_of_the_space() -> None:
    space = space_of({"name": "seq2seq"})
    default = space.default("seq2seq")
    assert default["model.units"] == 64 and default["model.patch_length"] == 7 and default["model.copy_heads"] == 4
    assert default["model.dropout"] == 0.5 and default["training.learning_rate"] == 3e-4
    values = values_of(space)
    assert values["model.units"] == (32, 64, 128, 256)
    assert values["model.patch_length"] == (4, 7, 14), "half of it, itself, twice: whole steps"
    assert default["data.context"] in values["data.context"]
    assert max(values["data.context"]) <= 120, "no longer than the data"
    assert space.configured("seq2seq", default) == RunConfig.from_dict({"model": {"name": "seq2seq"}})


def test_what_a_user_has_set_is_not_searched() -> None:
    space = space_of(
        {"name": "tcn", "units": 48, "pooling": "attention"},
        training={"learning_rate": 0.002, "batch_size": 16},
    )
    searched = set(space.default("tcn"))
    assert not searched & {"model.units", "model.pooling", "training.learning_rate", "training.batch_size"}
    assert {"model.dropout", "model.kernel_size", "data.context"} <= searched
    for _, values in sampled(space, 20):
        config = space.configured("tcn", values)
        assert config.model["units"] == 48 and config.training.learning_rate == 0.002
    assert "data.context" not in space_of({"name": "tcn"}, data={"context": 30}).default("tcn")


@pytest.mark.parametrize("name", TRAINED)
def test_nothing_is_proposed_that_the_rules_refuse(name: str) -> None:
    space = space_of({"name": name}, nodes())
    assert declared(get_model(name).options)
    known = Known(values=480, horizons=20, horizon=7, context=50)
    for _, values in sampled(space, 60):
        config = space.configured(name, values)
        RunConfig.from_dict(config.model_dump())
        entry, options = resolve_options(config.model)
        check_graph(entry, options, None)
        assert isinstance(options, NetworkOptions)
        resolve(options, 7, known)


@pytest.mark.parametrize(
    ("option", "value"), [(key, value) for key, several in CANNOT_COPY.items() for value in several]
)
def test_copying_is_not_searched_where_there_is_none(option: str, value: str) -> None:
    space = space_of({"name": "seq2seq", option: value})
    assert not {"model.copy_heads", "model.copy_dropout"} & set(space.default("seq2seq"))
    assert ("model.attend" in space.default("seq2seq")) == (value == "autoregressive")


def test_an_option_that_depends_on_a_searched_one_comes_and_goes_with_it() -> None:
    proposed = [values for _, values in sampled(space_of({"name": "seq2seq"}), 40)]
    assert {values["model.copy_heads"] for values in proposed} == {0, COPY_HEADS}
    for values in proposed:
        assert ("model.copy_dropout" in values) == (values["model.copy_heads"] > 0)


def test_several_models_each_have_their_own_options() -> None:
    config = RunConfig.from_dict({"training": QUICK})
    panel, schema = load(days(), config.data)
    space = Space.of(config, ["tcn", "attention_pooling"], panel, schema, "data")
    proposed = sampled(space, 30)
    assert {model for model, _ in proposed} == {"tcn", "attention_pooling"}
    for model, values in proposed:
        assert ("model.kernel_size" in values) == (model == "tcn")
        assert space.configured(model, values).model["name"] == model


def test_a_model_of_ones_own_declares_its_space() -> None:
    class Own(NetworkOptions):
        depth: Annotated[int, Range(1, 3)] = Field(5)
        width_: Annotated[int | None, Times(1, 2)] = Field(10)
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


def test_what_cannot_be_searched_is_told() -> None:
    with pytest.raises(ConfigError, match="naive has nothing to tune: give one of seq2seq"):
        space_of({"name": "naive"})
    with pytest.raises(ConfigError, match="leave init out"):
        space_of({"name": "seq2seq"}, init="runs/x")
    fixed = {"name": "small", "gain": 1.0, "bias": 0.0, "odd": False}
    with pytest.raises(ConfigError, match="nothing is left to search"):
        space_of(fixed, training=QUICK, data={"context": 14})
    with pytest.raises(ConfigError, match="unitz"):
        space_of({"name": "seq2seq", "unitz": 3})

    class Wrong(NetworkOptions):
        mode: Annotated[str, Range(0, 1)] = Field("c")

    register("wrong", "", Wrong)(lambda *_: None)
    with pytest.raises(ConfigError, match="mode: its space is a range of numbers"):
        space_of({"name": "wrong"})
