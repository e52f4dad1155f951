"""Fixtures of the tests of the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tsattn.cli import main

DATASETS = Path(__file__).parents[2] / "datasets"

TINY = ("--set", "training.epochs=2", "--set", "training.steps_per_epoch=2", "--set", "training.refit=false")
"""A short training. It sets no option of the model, which would count as naming the model."""

FAST = (*TINY, "--set", "model.units=8")
"""A short training of a small network."""


EAGER = "from keras_help import eager_training\nfrom tsattn.cli import main\nwith eager_training(): main()"


def in_new_process(*arguments: object) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` for the command line, which trains without a graph."""
    path = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", EAGER, *map(str, arguments)]
    return {"args": command, "env": {**os.environ, "PYTHONPATH": path}}


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
    """A file of white noise, which no network forecasts better than its mean."""
    path = tmp_path_factory.mktemp("data") / "noise.csv"
    values = np.random.default_rng(8).normal(50, 2, 120)
    pd.DataFrame({"ds": pd.date_range("2024-03-01", periods=120), "y": values}).to_csv(path, index=False)
    return path
