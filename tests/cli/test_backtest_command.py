"""`tsattn backtest`, as a person meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, FAST, TINY, tsattn

from tsattn import Forecaster

AIRLINE = DATASETS / "Airline.csv"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written by default goes into the working folder."""
    monkeypatch.chdir(tmp_path)


def test_a_network_beside_the_baselines(tmp_path: Path) -> None:
    result = tsattn("backtest", AIRLINE, "--folds", 2, "--seed", 3, *FAST)
    assert result.exit_code == 0, result.output
    assert "1 series of 144 steps" in result.stderr and "usual for 'MS' steps" in result.stderr
    assert "2 folds, 12 steps apart: histories end from 1958-12-01 to 1959-12-01; the forecast" in result.stderr
    assert "Trained once, on the 120 steps before the first fold." in result.stderr
    assert "  seq2seq: 2 folds, " in result.stderr and "  drift: 2 folds, " in result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["drift", "naive", "seasonal_mean", "seasonal_naive", "seq2seq"]
    assert result.stdout.splitlines()[-1].startswith(("seq2seq is ", "The naive baseline "))
    assert "over 2 folds" in result.stdout.splitlines()[-1]

    folder = tmp_path / "backtests" / "Airline"
    assert "Written: backtests/Airline/ with leaderboard.csv" in result.stderr
    forecasts = pd.read_csv(folder / "forecasts.csv", parse_dates=["cutoff", "ds"])
    assert len(forecasts) == 24 and list(forecasts.columns[:5]) == ["unique_id", "cutoff", "ds", "y", "seq2seq"]
    truth = pd.read_csv(AIRLINE)["Passengers"].to_numpy()
    np.testing.assert_array_equal(forecasts["y"], truth[-24:])
    np.testing.assert_array_equal(forecasts["naive"], np.repeat(truth[[-25, -13]], 12))


def test_the_command_and_python_agree(tmp_path: Path) -> None:
    result = tsattn("backtest", DATASETS / "nile.csv", "--model", "drift", "--step", 3, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    known = Forecaster("drift").backtest(DATASETS / "nile.csv", step=3)
    found = pd.read_csv(tmp_path / "out" / "forecasts.csv", parse_dates=["cutoff", "ds"])
    np.testing.assert_array_equal(found["drift"].astype("float32"), known.forecasts["drift"])
    figure = known.scores.set_index("model").loc["drift", "mase"]
    assert f"{figure:.3f}" in result.stdout and "The forecasts overlap." in result.stderr
    assert "Trained once, on the 78 steps before the first fold." in result.stderr


def test_a_leaderboard_of_several_models() -> None:
    arguments = ("backtest", AIRLINE, "--folds", 2, "--model", "drift, autotheta,naive")
    result = tsattn(*arguments)
    assert result.exit_code == 0, result.output
    assert "Best of drift, autotheta, naive: autotheta." in result.stdout
    assert result.stdout.splitlines()[-1].startswith("autotheta is ")
    again = tsattn(*arguments)
    assert again.stdout == result.stdout and again.stderr.count("2 of them there already") == 5
    assert "Written: backtests/Airline/" in again.stderr
    other = tsattn(*arguments, "--horizon", 6)
    assert "Written: backtests/Airline-2/" in other.stderr, "of another backtest nothing is lost"
    result = tsattn(*arguments[:-1], "drift,arima")
    assert result.exit_code == 2 and "there is no model 'arima'" in result.stderr


def test_a_classical_model_alone_and_options_of_another_than_the_default(tmp_path: Path) -> None:
    result = tsattn("backtest", AIRLINE, "--folds", 1, "--model", "autotheta")
    assert result.exit_code == 0 and "autotheta is " in result.stdout, result.output
    # What tcn has and seq2seq has not.
    options = ("--folds", 1, "--set", "model.kernel_size=2", *TINY, "--out", tmp_path / "out")
    result = tsattn("backtest", AIRLINE, "--model", "autotheta,tcn", *options)
    assert result.exit_code == 0 and "Best of autotheta, tcn: " in result.stdout, result.output
    found = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert {"autotheta", "tcn"} <= set(found["model"])


def test_what_cannot_be_compared_is_refused_before_anything_is_trained_or_written(tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"ds": stamps, "a": np.arange(60) % 7, "b": np.arange(60) % 5})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    (tmp_path / "graph.csv").write_text("a,b\n0,1\n1,0\n")
    result = tsattn("backtest", "wide.csv", "--model", "graph_attention,tcn", "--graph", "graph.csv", *TINY)
    assert result.exit_code == 2 and "needs a model that takes a graph, which tcn does not" in result.stderr
    result = tsattn("backtest", "wide.csv", "--model", "tcn,naive", "--set", "model.units=4", *TINY)
    assert result.exit_code == 2 and "model naive: unknown option 'units'" in result.stderr
    assert not (tmp_path / "backtests").exists()


def test_data_that_are_short(tmp_path: Path) -> None:
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
        and "too short for 8 steps between them: the forecasts overlap." in result.stderr
    )
    assert "Trained anew before every fold, on 26 to 66 steps before the first." in result.stderr
    assert "Left out, being too short: 1 of 3 series at the first fold, 0 at the last." in result.stderr
    result = tsattn("backtest", tmp_path / "data.csv", *options, "--folds", 80)
    assert result.exit_code == 1
    assert "Error: " in result.stderr and "data.csv: a backtest of 80 folds" in result.stderr
    assert "give at most 66 folds or a horizon of at most 3" in result.stderr


def test_a_folder_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    arguments = ("backtest", DATASETS / "nile.csv", "--model", "naive", "--folds", 1, "--out", out)
    for more in ((), ("--overwrite",)):
        result = tsattn(*arguments, *more)
        assert result.exit_code == 1 and "is there already and is no backtest" in result.stderr
        assert [path.name for path in out.iterdir()] == ["mine.txt"]
    arguments = (*arguments[:-1], tmp_path / "out")
    assert tsattn(*arguments).exit_code == 0
    result = tsattn(*arguments, "--horizon", 3)
    assert result.exit_code == 1 and "another horizon (10, now 3): give another --out, or --overwrite" in result.stderr
    assert tsattn(*arguments, "--horizon", 3, "--overwrite").exit_code == 0
    assert len(pd.read_csv(tmp_path / "out" / "forecasts.csv")) == 3
    # What the backtest has not written is not its own to remove.
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert tsattn(*arguments, "--overwrite").exit_code == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert len(pd.read_csv(tmp_path / "out" / "forecasts.csv")) == 10
    (tmp_path / "file").write_text("")
    result = tsattn(*arguments[:-1], tmp_path / "file" / "out")
    assert result.exit_code == 1 and "cannot be written" in result.stderr


def test_a_failed_write_leaves_nothing_that_looks_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    arguments = ("backtest", DATASETS / "nile.csv", "--model", "naive", "--folds", 1, "--out", tmp_path / "out")
    result = tsattn(*arguments)
    assert result.exit_code == 1 and "No space left" in result.stderr
    assert not list((tmp_path / "out").rglob("*.parquet")) and not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.slow
def test_a_backtest_that_was_killed_gives_the_same_table(tmp_path: Path) -> None:
    """By SIGKILL, in a process of its own, once a few of its folds are there."""
    base = ("backtest", str(AIRLINE), "--folds", "3", "--refit", "every", "--model", "attention_pooling", *FAST)
    command = [sys.executable, "-c", "from tsattn.cli import main; main()", *(str(part) for part in base)]
    subprocess.run([*command, "--out", "whole"], check=True, capture_output=True)
    with subprocess.Popen([*command, "--out", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while len(list((tmp_path / "killed").rglob("*.parquet"))) < 2:
            with pytest.raises(subprocess.TimeoutExpired):  # else it ended before it could be killed
                run.wait(0.01)
        run.kill()
    assert not (tmp_path / "killed" / "leaderboard.csv").exists()
    subprocess.run([*command, "--out", "killed"], check=True, capture_output=True)
    for name in ("leaderboard.csv", "scores.csv", "forecasts.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


SHORT = ("--season", 1, "--horizon", 5, "--folds", 2, *TINY)


def test_the_default_says_what_it_kept(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = tsattn("backtest", noise, *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = [line.split("  ")[1] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["default (seasonal_mean)", "drift", "naive", "seasonal_mean", "seasonal_naive"]
    assert "Kept: seasonal_mean, the best naive baseline over the history. seq2seq is " in result.stdout
    assert result.stdout.count("--model seq2seq") == 1
    assert result.stdout.splitlines()[-1].startswith(("default (seasonal_mean) is as good as", "The naive baseline "))
    forecasts = pd.read_csv(tmp_path / "out" / "forecasts.csv")
    np.testing.assert_array_equal(forecasts["default"], forecasts["seasonal_mean"])


@pytest.mark.parametrize("given", [("--model", "seq2seq"), ("--set", "model.units=8"), ("--config", "named.toml")])
def test_a_network_that_was_asked_for_is_kept(given: tuple[str, str], noise: Path, tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text('[model]\nname = "seq2seq"\n')
    value = str(tmp_path / given[1]) if given[0] == "--config" else given[1]
    result = tsattn("backtest", noise, *SHORT, given[0], value)
    assert result.exit_code == 0, result.output
    assert "Kept:" not in result.output and "default" not in result.stdout and "  seq2seq" in result.stdout
