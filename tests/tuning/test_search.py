"""The search as a whole, on a small network."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tuning.small import QUICK, days

from tsattn import Forecaster
from tsattn.config import RunConfig
from tsattn.errors import ConfigError, DataError, RunError
from tsattn.tuning import Standing, Tuning, tune


def small(options: dict[str, Any] | None = None, **training: Any) -> Forecaster:
    """Return a forecaster of which two options are searched, or those that are not given."""
    return Forecaster(
        "small", horizon=7, context=28, options={"odd": False, **(options or {})}, training=QUICK | training
    )


def error_of(config: RunConfig, metric: str = "mase") -> float:
    """Return the error of a fresh fit on the validation part."""
    scores = Forecaster.from_config(config).fit(days()).scores_.set_index("model")
    return float(scores.loc["small", metric])


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuning") / "journal"


@pytest.fixture
def tuning(journal: Path) -> Tuning:
    """Four trials, done once and then read from the journal."""
    return tune(small(refit=False), days(), trials=4, journal=journal)


def test_a_fit_with_what_was_found_has_the_error_that_was_told(tuning: Tuning) -> None:
    assert tuning.metric == "mase" and tuning.error <= tuning.default
    assert error_of(tuning.config) == pytest.approx(tuning.error, rel=1e-6)
    assert error_of(small(refit=False).to_config()) == pytest.approx(tuning.default, rel=1e-6)
    config = tuning.config
    assert (config.data.validation, config.data.horizon, config.data.context) == (18, 7, 28)
    assert config.training == small(refit=False).to_config().training, "what was set stays"
    again = RunConfig.from_dict(config.model_dump(mode="json", exclude_none=True))
    assert again == config


def test_the_trials_are_told_best_first(tuning: Tuning) -> None:
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
    assert f"default {tuning.default:.4g}" in tuning.sentence()
    assert set(tuning.baselines) == {"naive", "seasonal_naive", "drift", "seasonal_mean"}


def test_what_is_done_is_not_done_again(tuning: Tuning, journal: Path) -> None:
    told: list[Standing] = []
    again = tune(small(refit=False), days(), trials=4, journal=journal, watch=told.append)
    assert [standing.done for standing in told] == [4], "nothing was trained"
    pd.testing.assert_frame_equal(again.trials, tuning.trials)
    more = tune(small(refit=False), days(), trials=5, journal=journal, watch=told.append)
    assert len(more.trials) == 5 and told[-1].done == 5 and told[-1].best == more.error
    merged = more.trials.merge(tuning.trials, on=["number", "error", "seconds"])
    assert len(merged) == 4, "and those that were there are as they were"
    with pytest.raises(RunError, match="of another search, of other data"):
        tune(small(refit=False), days(121), trials=9, journal=journal)


@pytest.mark.slow
def test_a_ruined_training_is_pruned_from_its_learning_curve() -> None:
    tuning = tune(small(epochs=4, patience=4), days(), trials=14)
    pruned = tuning.trials[tuning.trials["state"] == "pruned"]
    assert len(pruned) and set(pruned["model.gain"]) == {1000.0}
    assert set(pruned["reason"]) == {"weaker than the others at the same epoch"}
    assert (pruned["epochs"] < 4).all() and (tuning.trials["epochs"] == 4).any()


def test_a_space_that_is_at_its_end_ends_the_search() -> None:
    tuning = tune(small({"bias": 0.0}), days(), trials=50)
    assert len(tuning.trials) == 2 and set(tuning.trials["model.gain"]) == {1.0, 1000.0}


def test_options_that_are_refused_do_not_end_the_search() -> None:
    forecaster = Forecaster("small", horizon=7, context=28, options={"bias": 0.0, "gain": 1.0}, training=QUICK)
    tuning = tune(forecaster, days(), trials=4)
    reasons = tuning.trials.set_index("model.odd")["reason"]
    assert reasons[True] == "odd options are refused" and tuning.config.model["odd"] is False
    assert tuning.changed[tuning.best["number"]] == {} and "the default is kept" in tuning.sentence()


def test_where_nothing_can_be_trained_the_reason_is_told() -> None:
    with pytest.raises(RunError, match="no trial could be trained: odd options are refused"):
        tune(small({"odd": True}), days(), trials=2)
    with pytest.raises(DataError, match="horizon"):
        tune(Forecaster("small", horizon=70), days())
    with pytest.raises(ConfigError, match="trials=0"):
        tune(small(), days(), trials=0)
    with pytest.raises(ConfigError, match="leave init out"):
        tune(Forecaster(init="runs/x"), days())


def test_hardly_any_time_is_enough_for_the_default(tmp_path: Path) -> None:
    forecaster = small(epochs=30, steps_per_epoch=200, patience=30)
    journal = tmp_path / "journal"
    tuning = tune(forecaster, days(), time=1e-3, journal=journal)
    assert len(tuning.trials) == 1 and tuning.best["default"] and tuning.best["cut"] and tuning.best["epochs"] == 1
    assert math.isfinite(tuning.error) and tuning.config.model["name"] == "small"
    assert len(tune(forecaster, days(), trials=1, journal=journal, time=1e-3).trials) == 1


def test_a_training_that_was_cut_short_is_done_whole_when_there_is_time(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    cut = tune(small(), days(), time=1e-3, journal=journal)
    tuning = tune(small(), days(), trials=1, journal=journal)
    assert cut.best["cut"] and not tuning.best["cut"] and tuning.best["epochs"] == 2
    assert len(tuning.trials) == 1 and tuning.best["default"], "and counts once"


@pytest.mark.slow
def test_a_squared_loss_is_judged_by_squared_errors() -> None:
    tuning = tune(small(loss="squared"), days(), trials=2)
    config = tuning.config.model_copy(update={"training": tuning.config.training.model_copy(update={"refit": False})})
    assert tuning.metric == "rmsse" and error_of(config, "rmsse") == pytest.approx(tuning.error, rel=1e-6)


@pytest.mark.slow
def test_data_without_a_scale_are_judged_in_their_units() -> None:
    frame = days().assign(y=np.tile([1.0, 5.0, 2.0, 8.0, 3.0, 3.0, 9.0], 18)[:120])
    assert tune(small(), frame, trials=1).metric == "mae"


def test_only_what_was_known_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained on ends before the validation part."""
    from tsattn.forecasting.fit import Fitting

    lengths = []
    train = Fitting.train

    def watched(self: Fitting, panel: Any, *args: Any, **kwargs: Any) -> Any:
        lengths.append((int(panel.lengths.max()), kwargs["validate"][1]))
        return train(self, panel, *args, **kwargs)

    monkeypatch.setattr(Fitting, "train", watched)
    tune(small(), days(), trials=1)
    assert lengths == [(102, 18)], "once, and not on to the end"


def test_optuna_and_tensorflow_are_imported_late() -> None:
    script = (
        "import sys, tsattn, tsattn.tuning\nfrom tsattn.models import NetworkOptions\n"
        "assert not {'tensorflow', 'keras', 'optuna'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.slow
def test_processes_share_the_trials(tmp_path: Path) -> None:
    told: list[Standing] = []
    journal = tmp_path / "journal"
    tuning = tune(small(), days(), trials=9, jobs=2, journal=journal, watch=told.append)
    trials = tuning.trials
    assert len(trials) == 9 and set(trials["state"]) <= {"complete", "pruned"} and told[-1].done == 9
    assert len(trials[["model.gain", "model.bias"]].drop_duplicates()) == 9
    assert error_of(tuning.config.model_copy(update={"training": small(refit=False).to_config().training})) == (
        pytest.approx(tuning.error, rel=1e-6)
    )
    with pytest.raises(RunError, match="odd options are refused"):
        tune(small({"odd": True}), days(), trials=2, jobs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
