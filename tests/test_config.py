"""The configuration in its three forms."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tsattn.config import RunConfig, override
from tsattn.errors import ConfigError


def test_toml_round_trip(tmp_path: Path) -> None:
    config = RunConfig.from_dict(
        {
            "model": {"name": "seq2seq", "units": 32},
            "data": {"target": "a,b", "horizon": 5, "freq": "h"},
            "training": {"epochs": 4},
            "levels": [0.05, 0.5, 0.95],
            "seed": 9,
        }
    )
    assert config.data.target == ("a", "b")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert RunConfig.read(path) == config
    assert "context" not in tomllib.loads(path.read_text())["data"], "options left to inference are left out"


def test_settings_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("seed = 1\n[model]\nname = 'seq2seq'\nunits = 32\n")
    config = RunConfig.read(path, ["model.units=64", "model.rnn=lstm", "data.target=y", "training.refit=false"])
    assert config.model == {"name": "seq2seq", "units": 64, "rnn": "lstm"}
    assert config.data.target == ("y",) and config.training.refit is False and config.seed == 1


def test_a_model_that_is_left_out_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(RunConfig(seed=2).to_toml())
    assert RunConfig.read(path) == RunConfig(seed=2) and RunConfig.read(path).model == {}
    assert RunConfig.read(path, ["model.units=8"]).model == {"units": 8}


def test_override_leaves_its_argument_alone() -> None:
    values: dict[str, Any] = {"model": {"units": 1}}
    assert override(values, ["model.units=2"]) == {"model": {"units": 2}}
    assert values == {"model": {"units": 1}}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"colour": "red"}, ["colour", "seed"]),
        ({"training": {"epoch": 3}}, ["training.epoch"]),
        ({"training": {"learning_rate": 0}}, ["training.learning_rate", "greater than 0"]),
        ({"levels": [0.9, 0.5]}, ["levels", "ascending"]),
        ({"levels": [0.5, 1.0]}, ["levels", "between 0 and 1"]),
        ({"data": {"season": 0}}, ["data.season"]),
    ],
)
def test_invalid_options_are_named(values: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict(values, source="run.toml")
    message = str(caught.value)
    assert message.startswith("run.toml: ") and "\n" not in message
    assert all(part in message for part in named), message


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("seed: 1")
    with pytest.raises(ConfigError, match=r"config\.toml: expected a TOML file"):
        RunConfig.read(path)
    with pytest.raises(ConfigError, match="holds a value"):
        override({"seed": 1}, ["seed.deep=2"])
