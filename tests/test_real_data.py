"""`tsattn fit` with default options on real files, and the accuracy of the default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy.configuration import make_run_config, resolve
from benchmarks.accuracy.protocols import Outcome, run
from benchmarks.accuracy.tasks import TEST, get_task

pytestmark = pytest.mark.slow


def fit(data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run `tsattn fit` in a subprocess."""
    command = [sys.executable, "-c", "from tsattn.cli import main; main()", "fit", str(data), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# co2 and Airline are fitted by the tests of the README.
@pytest.mark.parametrize(
    ("name", "season", "horizon", "first"),
    [
        pytest.param("sunspots", 11, 22, "2009", marks=pytest.mark.release),
        ("nile", 1, 10, "1971"),
        ("solar", 48, 48, "2021-05-07 00:30:00+00:00"),
    ],
)
def test_classic_series(name: str, season: int, horizon: int, first: str, data_dir: Path, tmp_path: Path) -> None:
    result = fit(data_dir / "classic" / f"{name}.csv", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert "arning" not in result.stderr, result.stderr
    forecast = pd.read_csv(tmp_path / "run" / "forecast.csv")
    _, time, target, *bounds = forecast.columns
    assert len(forecast) == horizon and str(forecast[time].iloc[0]) == first
    assert bounds == [f"{target}-lo-80", f"{target}-hi-80"]
    assert np.isfinite(forecast[[target, *bounds]]).to_numpy().all()
    config = (tmp_path / "run" / "config.toml").read_text()
    assert f"season = {season}\n" in config


def benchmark(name: str, data_dir: Path) -> Outcome:
    """Run the default on a task of the accuracy benchmark, with seed 0."""
    return run(get_task(name), make_run_config(resolve(get_task(name)), seed=0), TEST, data_dir)


@pytest.mark.accuracy
def test_etth1_by_the_protocol(data_dir: Path) -> None:
    figures = benchmark("etth1-96", data_dir).figures[TEST]
    assert figures["windows"] == 2880 - 96 + 1
    assert figures["mse"] <= 0.36


@pytest.mark.accuracy
def test_m4_hourly_by_the_protocol(data_dir: Path) -> None:
    assert benchmark("m4-hourly", data_dir).figures[TEST]["owa"] <= 0.44  # the winner of the competition
