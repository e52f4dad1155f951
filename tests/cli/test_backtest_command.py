"""`tsattn backtest`: output, files, errors, resuming."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, FAST, TINY, in_new_process, tsattn

from tsattn import Forecaster

pytestmark = pytest.mark.usefixtures("eager_training")

AIRLINE = DATASETS / "Airline.csv"


@pytest.fixture(autouse=True)
def in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written to the working directory by default."""
    monkeypatch.chdir(tmp_path)


def test_network_is_compared_with_baselines(tmp_path: Path) -> None:
    result = tsattn("backtest", AIRLINE, "--folds", 2, "--seed", 3, *FAST)
    assert result.exit_code == 0, result.output
    assert "1 series of 144 steps" in result.stderr and "usual for 'MS' steps" in result.stderr
    assert "2 folds, 12 steps apart: histories end from 1958-12-01 to 1959-12-01; each forecast" in result.stderr
    assert "Trained once, on the 120 steps before the first fold." in result.stderr
    assert "  seq2seq: 2 folds, " in result.stderr and "  drift: 2 folds, " in result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["drift", "naive", "seasonal_mean", "seasonal_naive", "seq2seq"]
    assert result.stdout.splitlines()[-1].startswith(("seq2seq is ", "The naive baseline "))
    assert "over 2 folds" in result.stdout.splitlines()[-1]

    folder = tmp_path / "backtests" / "Airline"
    assert "Written: backtests/Airline/ with leaderboard.csv" in result.stderr
    forecasts = pd.read_csv(folder / "forecasts.csv", parse_dates=["cutoff", "Date"])
    names = ["unique_id", "cutoff", "Date", "Passengers", "seq2seq"]
    assert len(forecasts) == 24 and list(forecasts.columns[:5]) == names
    truth = pd.read_csv(AIRLINE)["Passengers"].to_numpy()
    np.testing.assert_array_equal(forecasts["Passengers"], truth[-24:])
    np.testing.assert_array_equal(forecasts["naive"], np.repeat(truth[[-25, -13]], 12))


def test_the_command_and_python_agree(tmp_path: Path) -> None:
    result = tsattn("backtest", DATASETS / "nile.csv", "--model", "drift", "--step", 3, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    known = Forecaster("drift").backtest(DATASETS / "nile.csv", step=3)
    found = pd.read_csv(tmp_path / "out" / "forecasts.csv")
    np.testing.assert_array_equal(found["drift"].astype("float32"), known.forecasts["drift"])
    figure = known.scores.set_index("model").loc["drift", "mase"]
    assert f"{figure:.3f}" in result.stdout and "The forecasts overlap." in result.stderr
    assert "Trained once, on the 78 steps before the first fold." in result.stderr


def test_leaderboard_of_several_models() -> None:
    arguments = ("backtest", AIRLINE, "--folds", 2, "--model", "drift, autotheta,naive")
    result = tsattn(*arguments)
    assert result.exit_code == 0, result.output
    assert "Best of drift, autotheta, naive: autotheta." in result.stdout
    assert result.stdout.splitlines()[-1].startswith("autotheta is ")
    again = tsattn(*arguments)
    assert again.stdout == result.stdout and again.stderr.count("2 of them already done") == 5
    assert "Written: backtests/Airline/" in again.stderr
    other = tsattn(*arguments, "--horizon", 6)
    assert "Written: backtests/Airline-2/" in other.stderr, "another backtest is not replaced"
    result = tsattn(*arguments[:-1], "drift,arima")
    assert result.exit_code == 2 and "there is no model 'arima'" in result.stderr


def test_classical_model_and_options_of_one_of_several_models(tmp_path: Path) -> None:
    result = tsattn("backtest", AIRLINE, "--folds", 1, "--model", "autotheta")
    assert result.exit_code == 0 and "autotheta is " in result.stdout, result.output
    # tcn has this option, the default seq2seq does not.
    options = ("--folds", 1, "--set", "model.kernel_size=2", *TINY, "--out", tmp_path / "out")
    result = tsattn("backtest", AIRLINE, "--model", "autotheta,tcn", *options)
    assert result.exit_code == 0 and "Best of autotheta, tcn: " in result.stdout, result.output
    found = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert {"autotheta", "tcn"} <= set(found["model"])


def test_invalid_comparison_is_refused_before_training(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"ds": times, "a": np.arange(60) % 7, "b": np.arange(60) % 5})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    (tmp_path / "graph.csv").write_text("a,b\n0,1\n1,0\n")
    result = tsattn("backtest", "wide.csv", "--model", "graph_attention,tcn", "--graph", "graph.csv", *TINY)
    assert result.exit_code == 2 and "needs a model that takes a graph, which tcn does not" in result.stderr
    result = tsattn("backtest", "wide.csv", "--model", "tcn,naive", "--set", "model.units=4", *TINY)
    assert result.exit_code == 2 and "model naive: unknown option 'units'" in result.stderr
    assert not (tmp_path / "backtests").exists()


def test_short_data(tmp_path: Path) -> None:
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-01", periods=steps), "y": np.arange(steps) % 5})
        for name, steps in (("a", 90), ("b", 50), ("c", 10))
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    options = ("--model", "naive", "--horizon", 8, "--refit", "every")
    result = tsattn("backtest", tmp_path / "data.csv", *options)
    assert result.exit_code == 0, result.output
    assert (
        "5 folds, 4 steps apart" in result.stderr
        and "too short for 8 steps between origins: the forecasts overlap." in result.stderr
    )
    assert "Trained again before every fold, on 26 to 66 steps before the first." in result.stderr
    assert "Left out because they are too short: 1 of 3 series at the first fold, 0 at the last." in result.stderr
    result = tsattn("backtest", tmp_path / "data.csv", *options, "--folds", 80)
    assert result.exit_code == 1
    assert "Error: " in result.stderr and "data.csv: a backtest of 80 folds" in result.stderr
    assert "set --folds to at most 66 or set --horizon to at most 3" in result.stderr


def test_folder_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    arguments = ("backtest", DATASETS / "nile.csv", "--model", "naive", "--folds", 1, "--out", out)
    for more in ((), ("--overwrite",)):
        result = tsattn(*arguments, *more)
        assert result.exit_code == 1 and "already exists and is not a backtest" in result.stderr
        assert [path.name for path in out.iterdir()] == ["mine.txt"]
    arguments = (*arguments[:-1], tmp_path / "out")
    assert tsattn(*arguments).exit_code == 0
    result = tsattn(*arguments, "--horizon", 3)
    assert result.exit_code == 1 and "horizon=10 instead of 3: choose another --out or set --overwrite" in result.stderr
    assert tsattn(*arguments, "--horizon", 3, "--overwrite").exit_code == 0
    assert len(pd.read_csv(tmp_path / "out" / "forecasts.csv")) == 3
    # Files of others are not removed.
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert tsattn(*arguments, "--overwrite").exit_code == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert len(pd.read_csv(tmp_path / "out" / "forecasts.csv")) == 10
    (tmp_path / "file").write_text("")
    result = tsattn(*arguments[:-1], tmp_path / "file" / "out")
    assert result.exit_code == 1 and "cannot be written" in result.stderr


def test_failed_write_leaves_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    arguments = ("backtest", DATASETS / "nile.csv", "--model", "naive", "--folds", 1, "--out", tmp_path / "out")
    result = tsattn(*arguments)
    assert result.exit_code == 1 and "No space left" in result.stderr
    assert not list((tmp_path / "out").rglob("*.parquet")) and not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.slow
def test_killed_backtest_resumes_with_the_same_result(tmp_path: Path) -> None:
    """The process is killed after some of its folds are written."""
    base = ("backtest", AIRLINE, "--folds", 3, "--refit", "every", "--model", "attention_pooling", *FAST, "--out")
    subprocess.run(**in_new_process(*base, "whole"), check=True, capture_output=True)
    killed = in_new_process(*base, "killed")
    with subprocess.Popen(**killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while len(list((tmp_path / "killed").rglob("*.parquet"))) < 2:
            with pytest.raises(subprocess.TimeoutExpired):  # otherwise it ended before it was killed
                run.wait(0.01)
        run.kill()
    assert not (tmp_path / "killed" / "leaderboard.csv").exists()
    subprocess.run(**killed, check=True, capture_output=True)
    for name in ("leaderboard.csv", "scores.csv", "forecasts.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


SHORT = ("--season", 1, "--horizon", 5, "--folds", 2, *TINY)


def test_default_reports_the_selected_model(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = tsattn("backtest", noise, *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = [line.split("  ")[1] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["default (combination)", "drift", "naive", "seasonal_mean", "seasonal_naive"]
    assert result.stdout.count("networks are trained from 200 observed values on") == 1
    again = tsattn("backtest", noise, *SHORT, "--out", tmp_path / "out")
    assert again.stdout == result.stdout, "the choice is stored with the folds"


@pytest.mark.slow
def test_network_that_a_file_names_is_used(noise: Path, tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text('[model]\nname = "seq2seq"\n')
    result = tsattn("backtest", noise, *SHORT, "--config", tmp_path / "named.toml")
    assert result.exit_code == 0, result.output
    assert "Selected:" not in result.output and "default" not in result.stdout and "  seq2seq" in result.stdout
