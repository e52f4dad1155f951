"""`tsattn evaluate`: output, files, errors, classical baselines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, tsattn
from run_files import without_export

from tsattn import Forecaster

AIRLINE = DATASETS / "Airline.csv"
MODELS = ["drift", "naive", "seasonal_mean", "seasonal_naive"]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the airline passengers without the last 30 months."""
    folder = tmp_path_factory.mktemp("runs") / "old"
    with without_export():
        Forecaster("drift", horizon=6).fit(pd.read_csv(AIRLINE)[:-30]).save(folder)
    return folder


def test_run_is_scored_on_newer_data(old: Path, tmp_path: Path) -> None:
    out, scores = tmp_path / "forecasts.csv", tmp_path / "scores.json"
    result = tsattn("evaluate", old, AIRLINE, "--by", "step", "-o", out, "--scores", scores)
    assert result.exit_code == 0, result.output
    assert "5 forecasts of 1 series, 6 steps each: histories end from 1958-06-01 to 1960-06-01." in result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert sorted(rows[1:5]) == MODELS and rows[6:] == ["1", "2", "3", "4", "5", "6"]
    assert "The naive baseline seasonal_naive is better: drift has MASE" in result.stdout.splitlines()[-1]
    assert "training data" not in result.output

    forecasts = pd.read_csv(out)
    truth = pd.read_csv(AIRLINE)["Passengers"].to_numpy()
    np.testing.assert_array_equal(forecasts["Passengers"], truth[-30:])
    np.testing.assert_array_equal(forecasts["naive"], np.repeat(truth[-31:-6:6], 6))
    records = json.loads(scores.read_text())
    assert len(records) == 6 * 4 and {"step", "model", "mase", "skill", "wql", "coverage-80"} < set(records[0])
    naive = [row["mae"] for row in records if row["model"] == "naive"]
    np.testing.assert_allclose(
        naive, np.abs(forecasts["Passengers"] - forecasts["naive"]).to_numpy().reshape(5, 6).mean(0)
    )


def test_training_data_need_last_steps(old: Path, tmp_path: Path) -> None:
    pd.read_csv(AIRLINE)[:-30].to_csv(tmp_path / "seen.csv", index=False)
    result = tsattn("evaluate", old, tmp_path / "seen.csv")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "seen.csv: expected at least 6 rows after the training data" in result.stderr
    result = tsattn("evaluate", old, tmp_path / "seen.csv", "--last-steps", 12)
    assert result.exit_code == 0, result.output
    assert "2 of 2 forecasts do not start after the training data, which end at 1958-06-01" in result.stdout


def test_classical_baseline_is_added(old: Path) -> None:
    pytest.importorskip("statsforecast", reason="statsforecast, from the extra baselines, is not installed")
    result = tsattn("evaluate", old, AIRLINE, "--origins", 1, "--baseline", "autotheta", "--by", "series")
    assert result.exit_code == 0, result.output
    assert "  autotheta " in result.stdout and "drift by series" in result.stdout


@pytest.mark.parametrize("command", ["evaluate", "backtest"])
def test_missing_package_is_reported(old: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    result = tsattn(command, *([old] if command == "evaluate" else []), AIRLINE, "--baseline", "autoets")
    assert result.exit_code == 1 and "pip install 'tsattn[baselines]'" in result.stderr
    assert "Trained" not in result.output
    assert tsattn(command, old, AIRLINE, "--baseline", "ets").exit_code == 2


def test_classical_baselines_of_a_backtest_use_the_data_before_each_origin(tmp_path: Path) -> None:
    models = pytest.importorskip(
        "statsforecast.models", reason="statsforecast, from the extra baselines, is not installed"
    )
    options = ("--model", "drift", "--horizon", 6, "--folds", 2, "--baseline", "autotheta", "--baseline", "autoets")
    result = tsattn("backtest", AIRLINE, *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "  autoets " in result.stdout and "baseline auto" in result.stdout.splitlines()[-1]
    forecasts = pd.read_csv(tmp_path / "out" / "forecasts.csv")
    truth = pd.read_csv(AIRLINE)["Passengers"].to_numpy("float64")
    for name, kind in (("autotheta", models.AutoTheta), ("autoets", models.AutoETS)):
        for number, origin in enumerate((132, 138)):
            known = kind(season_length=12).forecast(y=truth[:origin], h=6, level=[80])
            part = forecasts[6 * number : 6 * number + 6]
            for column, ours in (("mean", name), ("lo-80", f"{name}-lo-80"), ("hi-80", f"{name}-hi-80")):
                np.testing.assert_allclose(part[ours], known[column], rtol=1e-6)
