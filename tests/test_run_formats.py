"""Runs of every format that was ever written, one folder each in tests/runs, are read by this version.

A change of the format gets a new number, `tsattn.forecasting.run_metadata.FORMAT`, and a new folder; the others stay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster
from tsattn.forecasting.run_metadata import FORMAT, RunMetadata

RUNS = sorted((Path(__file__).parent / "runs").iterdir())


def test_the_newest_format_has_an_example() -> None:
    assert RUNS[-1].name == f"format-{FORMAT}"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_files_are_whole_and_the_metadata_are_read(run: Path) -> None:
    metadata = RunMetadata.read(run)
    assert metadata.schema.id == ("shop",) and metadata.schema.future_covariates == ("promo",)
    assert metadata.config.model["name"] == "seq2seq" and metadata.manifest["training_data"]["series"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_forecast_is_the_stored_one(run: Path) -> None:
    expected = pd.read_csv(run / "forecast.csv", parse_dates=["date"])
    forecast = Forecaster.load(run).predict()
    pd.testing.assert_frame_equal(forecast[["shop", "date"]], expected[["shop", "date"]], check_dtype=False)
    np.testing.assert_allclose(forecast.iloc[:, 2:], expected.iloc[:, 2:], rtol=1e-4)
