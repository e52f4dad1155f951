"""A fitted run that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tsattn.cli import main

DATASETS = Path(__file__).parents[2] / "datasets"

TINY = ("--set", "training.epochs=2", "--set", "training.steps_per_epoch=5", "--set", "training.refit=false")
"""A training of a moment, for tests that are not about accuracy; without an option of the model, which names it."""

FAST = (*TINY, "--set", "model.units=8")
"""A training of a moment of a small network."""


def tsattn(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a quick fit on the airline passengers."""
    folder = tmp_path_factory.mktemp("runs") / "airline"
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", folder, "--seed", 3, *FAST)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with white noise around a mean, which no network forecasts better than that mean."""
    path = tmp_path_factory.mktemp("data") / "noise.csv"
    values = np.random.default_rng(8).normal(50, 2, 120)
    pd.DataFrame({"ds": pd.date_range("2024-03-01", periods=120), "y": values}).to_csv(path, index=False)
    return path
