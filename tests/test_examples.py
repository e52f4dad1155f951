"""The scripts of examples/ run as they are and do what they are for."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster
from tsattn.models import MODELS

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

Output = Callable[..., str]

pytestmark = pytest.mark.slow


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    """Runs a script with arguments and returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_script_is_listed_and_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert set(re.findall(r"\((\w+\.py)\)", (EXAMPLES / "README.md").read_text())) == scripts
    run = set(re.findall(r'(?:output\(|EXAMPLES / )"(\w+\.py)"', Path(__file__).read_text()))
    assert run | {"serving_client.py"} == scripts, "test_docs.py runs the client"


def test_own_keras_model(output: Output) -> None:
    text = output("own_keras_model.py")
    accuracy, found = map(float, re.findall(r"(?:training|pulse): ([\d.]+)", text))
    assert accuracy > 0.9 and found > 80 and text.endswith("padding: 0\n")


@pytest.mark.usefixtures("short_training", "eager_training")
def test_custom_architecture(output: Output) -> None:
    known = dict(MODELS)
    try:
        text = output("custom_architecture.py")
    finally:
        MODELS.clear()
        MODELS.update(known)
    assert "pooled_convolutions" in text and text.count("2024-10-") >= 5


def test_scikit_learn_pipeline(output: Output) -> None:
    text = output("scikit_learn_pipeline.py")
    assert "'forecaster__model': 'seasonal_mean'" in text and text.count("2024-05-") == 7


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    """Sales of two stores in two files; the folder above has a run that was fitted on them."""
    folder = tmp_path / "histories"
    folder.mkdir()
    days = pd.date_range("2024-01-01", periods=70).astype("datetime64[us]")
    for part, store in enumerate(("north", "south")):
        values = np.tile(np.arange(7.0), 10) + part
        pd.DataFrame({"store": store, "date": days, "sales": values}).to_parquet(folder / f"{store}.parquet")
    Forecaster("seasonal_naive", horizon=7).fit(folder).save(tmp_path / "run")
    return folder


def test_batch_scoring(output: Output, histories: Path, tmp_path: Path) -> None:
    forecasts = tmp_path / "forecasts"
    text = output("batch_scoring.py", tmp_path / "run", histories, forecasts)
    assert text == "north.parquet: 7 rows\nsouth.parquet: 7 rows\n"
    north, south = (pd.read_parquet(forecasts / f"{store}.parquet") for store in ("north", "south"))
    np.testing.assert_allclose(south["sales"], north["sales"] + 1)
    assert output("batch_scoring.py", tmp_path / "run", histories, forecasts) == ""


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_score_in_spark(histories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="needs pip install 'tsattn[spark]'")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    # In a separate process, since Spark leaves its connections open.
    arguments = (EXAMPLES / "score_in_spark.py", tmp_path / "run", histories, tmp_path / "forecasts")
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    found = pd.read_parquet(tmp_path / "forecasts").sort_values(["store", "date"], ignore_index=True)
    known = Forecaster.load(tmp_path / "run").predict(histories)
    pd.testing.assert_frame_equal(found, known, check_dtype=False, rtol=1e-6)
