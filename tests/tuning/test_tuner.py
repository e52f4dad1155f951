"""A whole search, with a small network."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tuning.small import QUICK, days

from tsattn import Forecaster
from tsattn.config import RunConfig
from tsattn.errors import ConfigError, DataError, RunError
from tsattn.models.registry import MODELS
from tsattn.tuning import SearchProgress, TuningResult, tune

pytestmark = pytest.mark.usefixtures("eager_training")


def small(options: dict[str, Any] | None = None, **training: Any) -> Forecaster:
    """Return a forecaster with two searched options, of which the given ones are fixed."""
    return Forecaster(
        "small", horizon=7, context=28, options={"odd": False, **(options or {})}, training=QUICK | training
    )


def error_of(config: RunConfig, metric: str = "mase") -> float:
    """Return the error of a new fit on the validation part."""
    scores = Forecaster.from_config(config).fit(days()).scores_.set_index("model")
    return float(scores.loc["small", metric])


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuning") / "journal"


@pytest.fixture
def tuning(journal: Path) -> TuningResult:
    """Four trials, run once and then read from the journal."""
    return tune(small(refit=False), days(), trials=4, journal=journal)


def test_fit_with_the_result_has_the_reported_error(tuning: TuningResult) -> None:
    assert tuning.metric == "mase" and tuning.error <= tuning.default
    assert error_of(tuning.config) == pytest.approx(tuning.error, rel=1e-6)
    assert error_of(small(refit=False).to_config()) == pytest.approx(tuning.default, rel=1e-6)
    config = tuning.config
    assert (config.data.validation, config.data.horizon, config.data.context) == (18, 7, 28)
    assert config.training == small(refit=False).to_config().training, "fixed options stay"
    again = RunConfig.from_dict(config.model_dump(mode="json", exclude_none=True))
    assert again == config


def test_trials_are_sorted_by_error(tuning: TuningResult) -> None:
    trials = tuning.trials
    assert len(trials) == 4 and sorted(trials["number"]) == list(range(4))
    errors = trials["error"].dropna()
    assert errors.is_monotonic_increasing and errors.iloc[0] == tuning.error == tuning.best["error"]
    assert trials["default"].sum() == 1 and trials.set_index("number")["default"][0]
    best = tuning.changed[tuning.best["number"]]
    assert all(tuning.best[option] == value for option, value in best.items())
    assert {key: tuning.config.model[key] for key in ("gain", "bias")} == {
        "gain": tuning.best["model.gain"],
        "bias": tuning.best["model.bias"],
    }
    assert f"default {tuning.default:.4g}" in tuning.summary()
    assert set(tuning.baselines) == {"naive", "seasonal_naive", "drift", "seasonal_mean"}


def test_finished_trials_are_not_repeated(tuning: TuningResult, journal: Path) -> None:
    reported: list[SearchProgress] = []
    again = tune(small(refit=False), days(), trials=4, journal=journal, on_progress=reported.append)
    assert [progress.done for progress in reported] == [4], "nothing was trained"
    pd.testing.assert_frame_equal(again.trials, tuning.trials)
    more = tune(small(refit=False), days(), trials=5, journal=journal, on_progress=reported.append)
    assert len(more.trials) == 5 and reported[-1].done == 5 and reported[-1].best == more.error
    merged = more.trials.merge(tuning.trials, on=["number", "error", "seconds"])
    assert len(merged) == 4, "and the existing ones are unchanged"
    with pytest.raises(RunError, match="of another search, of other data"):
        tune(small(refit=False), days(121), trials=9, journal=journal)


@pytest.mark.slow
def test_bad_training_is_pruned_by_its_learning_curve() -> None:
    tuning = tune(small(epochs=4, patience=4), days(), trials=14)
    pruned = tuning.trials[tuning.trials["state"] == "pruned"]
    assert len(pruned) and set(pruned["model.gain"]) == {1000.0}
    assert set(pruned["reason"]) == {"validation loss above the median of the other trials"}
    assert (pruned["epochs"] < 4).all() and (tuning.trials["epochs"] == 4).any()


def test_exhausted_search_space_ends_the_search() -> None:
    tuning = tune(small({"bias": 0.0}), days(), trials=50)
    assert len(tuning.trials) == 2 and set(tuning.trials["model.gain"]) == {1.0, 1000.0}


def test_refused_options_do_not_end_the_search() -> None:
    forecaster = Forecaster("small", horizon=7, context=28, options={"bias": 0.0, "gain": 1.0}, training=QUICK)
    tuning = tune(forecaster, days(), trials=4)
    reasons = tuning.trials.set_index("model.odd")["reason"]
    assert reasons[True] == "odd options are refused" and tuning.config.model["odd"] is False
    assert tuning.changed[tuning.best["number"]] == {} and "the default is used" in tuning.summary()


def test_reason_is_reported_if_no_trial_can_be_trained() -> None:
    with pytest.raises(RunError, match="no trial could be trained: odd options are refused"):
        tune(small({"odd": True}), days(), trials=2)
    with pytest.raises(DataError, match="horizon"):
        tune(Forecaster("small", horizon=70), days())
    with pytest.raises(ConfigError, match="trials=0"):
        tune(small(), days(), trials=0)
    with pytest.raises(ConfigError, match="leave out init_from="):
        tune(Forecaster(init_from="runs/x"), days())


def test_default_is_trained_even_without_time(tmp_path: Path) -> None:
    forecaster = small(epochs=30, steps_per_epoch=200, patience=30)
    journal = tmp_path / "journal"
    tuning = tune(forecaster, days(), max_seconds=1e-3, journal=journal)
    assert (
        len(tuning.trials) == 1 and tuning.best["default"] and tuning.best["out_of_time"] and tuning.best["epochs"] == 1
    )
    assert math.isfinite(tuning.error) and tuning.config.model["name"] == "small"
    assert len(tune(forecaster, days(), trials=1, journal=journal, max_seconds=1e-3).trials) == 1


def test_training_ended_by_the_time_limit_is_repeated(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    cut = tune(small(), days(), max_seconds=1e-3, journal=journal)
    tuning = tune(small(), days(), trials=1, journal=journal)
    assert cut.best["out_of_time"] and not tuning.best["out_of_time"] and tuning.best["epochs"] == 2
    assert len(tuning.trials) == 1 and tuning.best["default"], "and counts once"


@pytest.mark.slow
def test_squared_loss_is_compared_by_rmsse() -> None:
    tuning = tune(small(loss="squared"), days(), trials=2)
    config = tuning.config.model_copy(update={"training": tuning.config.training.model_copy(update={"refit": False})})
    assert tuning.metric == "rmsse" and error_of(config, "rmsse") == pytest.approx(tuning.error, rel=1e-6)


@pytest.mark.slow
def test_data_without_a_scale_are_compared_by_mae() -> None:
    frame = days().assign(y=np.tile([1.0, 5.0, 2.0, 8.0, 3.0, 3.0, 9.0], 18)[:120])
    assert tune(small(), frame, trials=1).metric == "mae"


def test_training_data_end_before_the_validation_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsattn.forecasting.network_trainer import NetworkTrainer

    lengths = []
    train = NetworkTrainer.train

    def watched(self: NetworkTrainer, panel: Any, *args: Any, **kwargs: Any) -> Any:
        lengths.append((int(panel.lengths.max()), kwargs["validate"][1]))
        return train(self, panel, *args, **kwargs)

    monkeypatch.setattr(NetworkTrainer, "train", watched)
    tune(small(), days(), trials=1)
    assert lengths == [(102, 18)], "once, without the final training"


def test_a_model_of_a_script_is_searched_in_its_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "small", replace(MODELS["small"], module="__main__"))
    assert len(tune(small(), days(), trials=1).trials) == 1
    with pytest.raises(ConfigError, match="registered in a module that other processes can import"):
        tune(small(), days(), trials=1, jobs=2)


def test_optuna_and_tensorflow_are_imported_late() -> None:
    script = (
        "import sys, tsattn, tsattn.tuning\nfrom tsattn.models import NetworkOptions\n"
        "assert not {'tensorflow', 'keras', 'optuna'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.slow
def test_several_processes_divide_the_trials(tmp_path: Path) -> None:
    reported: list[SearchProgress] = []
    journal = tmp_path / "journal"
    tuning = tune(small(), days(), trials=9, jobs=2, journal=journal, on_progress=reported.append)
    trials = tuning.trials
    assert len(trials) == 9 and set(trials["state"]) <= {"complete", "pruned"} and reported[-1].done == 9
    assert len(trials[["model.gain", "model.bias"]].drop_duplicates()) == 9
    assert error_of(tuning.config.model_copy(update={"training": small(refit=False).to_config().training})) == (
        pytest.approx(tuning.error, rel=1e-6)
    )
    with pytest.raises(RunError, match="odd options are refused"):
        tune(small({"odd": True}), days(), trials=2, jobs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
