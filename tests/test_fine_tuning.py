"""Fine-tuning: training that starts from the weights of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn
from keras_help import eager_training
from run_files import without_export

from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError, RunError

SMALL: dict[str, Any] = {"options": {"units": 8, "context_scales": 1}, "context": 16, "season": 1}
HISTORY, HORIZON = 33, 7


def shops(count: int, steps: int, seed: int = 0) -> pd.DataFrame:
    """Days of shops on different scales, with a wave of nine days, which is not the season."""
    rng, times = np.random.default_rng(seed), pd.date_range("2024-01-01", periods=steps)
    parts = []
    for number in range(count):
        heat = rng.normal(20, 5, steps)
        wave = 5 * np.sin(np.arange(steps) * 2 * np.pi / 9 + rng.uniform(0, 6))
        sales = 10 ** rng.uniform(0, 3) * (20 + wave + rng.normal(0, 0.3, steps))
        kind = ("mall", "office")[number % 2]
        columns = {"shop": f"{seed}-{number}", "day": times, "sales": sales, "heat": heat, "kind": kind}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


ROLES: dict[str, Any] = {"target": "sales", "past_covariates": "heat", "static_covariates": "kind"}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a network after one step."""
    path = tmp_path_factory.mktemp("runs") / "untrained"
    training = {"epochs": 1, "steps_per_epoch": 1, "refit": False}
    with eager_training(), without_export():
        Forecaster("seq2seq", HORIZON, **ROLES, **SMALL, training=training).fit(shops(2, 120)).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a network that was trained on eight shops."""
    path = tmp_path_factory.mktemp("runs") / "shops"
    training = {"epochs": 6, "steps_per_epoch": 50, "learning_rate": 1e-2, "refit": False}
    fitted = Forecaster("seq2seq", HORIZON, **ROLES, **SMALL, training=training).fit(shops(8, 120))
    with without_export():
        fitted.save(path)
    return path


TRAINING = {"epochs": 1, "steps_per_epoch": 10}

quickly = pytest.mark.usefixtures("eager_training", "without_export")
"""Training of a few steps, and runs without an exported model."""


@pytest.mark.slow
@quickly
def test_fine_tuning_on_few_rows_is_better_than_training(run: Path) -> None:
    before = contents(run)
    new = shops(1, HISTORY + HORIZON, seed=5)
    history, truth = new.iloc[:HISTORY], new["sales"].iloc[HISTORY:].to_numpy()
    tuned = Forecaster(init_from=run, training=TRAINING).fit(history)
    fresh = Forecaster("seq2seq", HORIZON, **ROLES, **SMALL, training=TRAINING).fit(history)
    errors = [np.abs(model.predict()["sales"].to_numpy() - truth).mean() for model in (tuned, fresh)]
    assert errors[0] < 0.7 * errors[1]
    assert tuned.spec_ == Forecaster.load(run).spec_ and tuned.config_.model["units"] == 8
    assert contents(run) == before, "the initial run is not changed"


@pytest.mark.slow
@quickly
def test_options_and_statistics_are_inherited(run: Path, tmp_path: Path) -> None:
    new = shops(1, HISTORY, seed=5).assign(kind="kiosk")
    new["heat"] += 100
    tuned = Forecaster(init_from=run, training=TRAINING).fit(new)
    loaded = Forecaster.load(run)
    assert tuned.schema_.categories == {"kind": ("mall", "office")}, "new categories are unknown"
    inherited = {"covariate_scaling": True, "scaling": False}
    for name, same in inherited.items():
        pairs = zip(*(model.model_.get_layer(name).get_weights() for model in (tuned, loaded)), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs) is same, name
    tuned.save(tmp_path / "tuned")
    again = Forecaster.load(tmp_path / "tuned")
    pd.testing.assert_frame_equal(again.predict(), tuned.predict())
    assert again.history_ == tuned.history_ and again.init_from == str(run)


@pytest.mark.slow
@quickly
def test_weights_stay_if_no_epoch_improves_them(run: Path, tmp_path: Path) -> None:
    ruinous = {"epochs": 1, "steps_per_epoch": 5, "learning_rate": 0.5}
    new = shops(1, HISTORY, seed=5)
    tuned = Forecaster(init_from=run, training=ruinous).fit(new)
    assert tuned.history_ is not None and tuned.history_.best_epoch == 0
    np.testing.assert_allclose(tuned.predict()["sales"], Forecaster.load(run).predict(new)["sales"], rtol=0.05)
    tuned.save(tmp_path / "tuned")
    assert Forecaster.load(tmp_path / "tuned").history_ == tuned.history_


CONTRADICTIONS = [
    ({"horizon": 5}, "horizon=5 contradicts .* which has 7: leave it out or train from the beginning"),
    ({"model": "tcn"}, "model.name=tcn contradicts .* seq2seq"),
    ({"options": {"units": 16}}, "model.units=16 contradicts .* 8"),
    ({"context": 20}, "context=20 contradicts .* 16"),
    ({"season": 30}, "season=30"),
    ({"levels": (0.2, 0.5, 0.8)}, "levels="),
    ({"past_covariates": ()}, "past_covariates=none contradicts .* heat"),
    ({"target": "heat"}, "target=heat contradicts .* sales"),
]


@pytest.mark.parametrize(("given", "message"), CONTRADICTIONS, ids=str)
def test_contradicting_options(untrained: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Forecaster(init_from=untrained, **given).fit(shops(1, HISTORY))


@quickly
def test_contradicting_data(untrained: Path, tmp_path: Path) -> None:
    tuned, data = Forecaster(init_from=untrained, target="sales", horizon=HORIZON, freq="D"), shops(1, 60)
    with pytest.raises(DataError, match="expected a column 'heat'"):
        tuned.fit(data.drop(columns="heat"))
    with pytest.raises(DataError, match=r"expected steps of 'D' .* got 'h'"):
        tuned.fit(data.assign(day=pd.date_range("2024-01-01", periods=60, freq="h")))
    with pytest.raises(DataError, match="at least 15 rows"):
        tuned.fit(data.iloc[:10])
    with pytest.raises(RunError, match="expected a run directory"):
        Forecaster(init_from=tmp_path).fit(data)
    Forecaster("naive", HORIZON).fit(data[["day", "sales"]]).save(tmp_path / "naive")
    with pytest.raises(ConfigError, match="naive has no weights to start from"):
        Forecaster(init_from=tmp_path / "naive").fit(data)


@pytest.mark.slow
@quickly
def test_the_command_line(run: Path, tmp_path: Path) -> None:
    shops(1, HISTORY, seed=5).to_csv(tmp_path / "new.csv", index=False)
    quick = ("--set", "training.epochs=1", "--set", "training.steps_per_epoch=2", "--no-refit")
    out = tmp_path / "tuned"
    result = tsattn("fit", tmp_path / "new.csv", "--init-from", run, "--out", out, *quick)
    assert result.exit_code == 0, result.output
    # The table folds long paths.
    assert (
        f"asin{run}" in re.sub(r"\s", "", result.stderr) and f'init_from = "{run}"' in (out / "config.toml").read_text()
    )
    assert len((out / "forecast.csv").read_text().splitlines()) == HORIZON + 1
    result = tsattn("fit", tmp_path / "new.csv", "--init-from", run, "--horizon", 3)
    assert result.exit_code == 2 and "horizon=3" in result.stderr and "Traceback" not in result.output


@pytest.mark.slow
@quickly
def test_a_backtest_notes_overlap_with_the_initial_run(run: Path) -> None:
    """The run was trained on 120 days; the first fold of 130 begins before their end, that of 140 does not."""
    tuned = Forecaster(init_from=run, training={**TRAINING, "refit": False})
    note = tuned.backtest(shops(1, 130), 2).notes[0]
    assert note.startswith(
        "The run that the training starts from was trained on data up to 2024-04-29, and the first fold"
    )
    assert not [note for note in tuned.backtest(shops(1, 140), 2).notes if "was trained on data up to" in note]
