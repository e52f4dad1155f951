"""The wheel, built and installed without the checkout, has all it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*arguments: str | Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    return next(folder.glob("tsattn-*.whl"))


def test_contents(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    expected = {
        "pretrained/weights.npz",
        "datasets/Airline.csv",
        "py.typed",
        "report/report.html.j2",
        "serving/page/index.html",
    }
    assert {f"tsattn/{name}" for name in expected} <= names
    assert {name.split("/")[0] for name in names} == {"tsattn", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert wheel.stat().st_size < 10_000_000


def test_a_forecast_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel)
    python = {"PYTHONPATH": str(tmp_path / "site")}
    found = run("-c", "import tsattn; print(tsattn.__file__)", **python)
    assert Path(found.strip()).is_relative_to(tmp_path)
    table = run("-m", "tsattn", "forecast", tmp_path / "site/tsattn/datasets/Airline.csv", "-o", "-", **python)
    assert len(table.splitlines()) == 1 + 12
