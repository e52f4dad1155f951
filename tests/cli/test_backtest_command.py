"""`tsattn backtest`, as a person meets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, FAST, TINY, tsattn

from tsattn import Forecaster

AIRLINE = DATASETS / "Airline.csv"


def test_a_network_beside_the_baselines(tmp_path: Path) -> None:
    out = tmp_path / "forecasts.csv"
    result = tsattn("backtest", AIRLINE, "--origins", 2, "--out", out, "--seed", 3, *FAST)
    assert result.exit_code == 0, result.output
    assert "1 series of 144 steps" in result.stderr and "usual for 'MS' steps" in result.stderr
    assert "2 origins, 12 steps apart: histories end from 1958-12-01 to 1959-12-01; the forecast" in result.stderr
    assert "Trained once, on the 120 steps before the first origin." in result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["drift", "naive", "seasonal_mean", "seasonal_naive", "seq2seq"]
    assert result.stdout.splitlines()[-1].startswith(("seq2seq is ", "The naive baseline "))
    assert "over 2 origins" in result.stdout.splitlines()[-1]

    forecasts = pd.read_csv(out, parse_dates=["cutoff", "ds"])
    assert [path.name for path in tmp_path.iterdir()] == ["forecasts.csv"]
    assert len(forecasts) == 24 and list(forecasts.columns[:5]) == ["unique_id", "cutoff", "ds", "y", "seq2seq"]
    truth = pd.read_csv(AIRLINE)["Passengers"].to_numpy()
    np.testing.assert_array_equal(forecasts["y"], truth[-24:])
    np.testing.assert_array_equal(forecasts["naive"], np.repeat(truth[[-25, -13]], 12))


def test_the_command_and_python_agree(tmp_path: Path) -> None:
    result = tsattn("backtest", DATASETS / "nile.csv", "--model", "drift", "--step", 3, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 0, result.output
    known = Forecaster("drift").backtest(DATASETS / "nile.csv", step=3)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), known.forecasts)
    figure = known.scores.set_index("model").loc["drift", "mase"]
    assert f"{figure:.3f}" in result.stdout and "The forecasts overlap." in result.stderr
    assert "Trained once, on the 78 steps before the first origin." in result.stderr


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
        "5 origins, 4 steps apart" in result.stderr
        and "too short for 8 steps between them: the forecasts overlap." in result.stderr
    )
    assert "Trained anew before every origin, on 26 to 66 steps before the first." in result.stderr
    assert "Left out, being too short: 1 of 3 series at the first origin, 0 at the last." in result.stderr
    result = tsattn("backtest", tmp_path / "data.csv", *options, "--origins", 80)
    assert result.exit_code == 1
    assert "Error: " in result.stderr and "data.csv: a backtest of 80 origins" in result.stderr
    assert "give at most 66 origins or a horizon of at most 3" in result.stderr


def test_a_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "forecasts.csv"
    out.write_text("mine")
    arguments = ("backtest", DATASETS / "nile.csv", "--model", "naive", "--origins", 1, "--out", out)
    result = tsattn(*arguments)
    assert result.exit_code == 1 and "--overwrite" in result.stderr and out.read_text() == "mine"
    assert "1 series" not in result.stderr, "said before any work"
    assert tsattn(*arguments, "--overwrite").exit_code == 0
    assert len(pd.read_csv(out)) == 10 and [path.name for path in tmp_path.iterdir()] == ["forecasts.csv"]
    result = tsattn(*arguments[:-1], tmp_path / "nowhere" / "forecasts.csv")
    assert result.exit_code == 1 and "nowhere" in result.stderr


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "forecasts.csv"
    out.write_text("mine")
    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    result = tsattn("backtest", DATASETS / "nile.csv", "--model", "naive", "--origins", 1, "--out", out, "--overwrite")
    assert result.exit_code == 1 and "No space left" in result.stderr
    assert out.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["forecasts.csv"]


SHORT = ("--season", 1, "--horizon", 5, "--origins", 2, *TINY)


def test_the_default_says_what_it_kept(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = tsattn("backtest", noise, *SHORT, "--out", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    rows = [line.split("  ")[1] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:]) == ["default (seasonal_mean)", "drift", "naive", "seasonal_mean", "seasonal_naive"]
    assert "Kept: seasonal_mean, the best naive baseline over the history. seq2seq is " in result.stdout
    assert result.stdout.count("--model seq2seq") == 1
    assert result.stdout.splitlines()[-1].startswith(("default (seasonal_mean) is as good as", "The naive baseline "))
    forecasts = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_array_equal(forecasts["default"], forecasts["seasonal_mean"])


@pytest.mark.parametrize("given", [("--model", "seq2seq"), ("--set", "model.units=8"), ("--config", "named.toml")])
def test_a_network_that_was_asked_for_is_kept(given: tuple[str, str], noise: Path, tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text('[model]\nname = "seq2seq"\n')
    value = str(tmp_path / given[1]) if given[0] == "--config" else given[1]
    result = tsattn("backtest", noise, *SHORT, given[0], value)
    assert result.exit_code == 0, result.output
    assert "Kept:" not in result.output and "default" not in result.stdout and "  seq2seq" in result.stdout
