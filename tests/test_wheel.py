"""The source distribution, and the wheel that is built from it, have all they need without the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

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
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run("-m", "pip", "install", "--quiet", "--target", folder / "backend", *PYPROJECT["build-system"]["requires"])
    script = "import os, sys, hatchling.build; os.chdir(sys.argv[1]); hatchling.build.build_sdist(sys.argv[2])"
    run("-c", script, ROOT, folder, PYTHONPATH=str(folder / "backend"))
    return next(folder.glob("tsattn-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", sdist.parent, sdist)
    return next(sdist.parent.glob("tsattn-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed without its dependencies."""
    folder = tmp_path_factory.mktemp("site")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", folder, wheel)
    return folder


def test_the_sdist_has_the_files_of_the_checkout_only(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", "tests/conftest.py", "docs/install.md"} <= names
    assert {"tsattn/pretrained/weights.npz", "tsattn/py.typed", "datasets/Airline.csv"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs/", "build/")) or "__pycache__" in name]
    assert sdist.stat().st_size < 10_000_000


def test_the_wheel_has_the_files_of_the_package_only(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    expected = {
        "pretrained/weights.npz",
        "datasets/Airline.csv",
        "py.typed",
        "report/report.html.j2",
        "serving/page/index.html",
    }
    assert {f"tsattn/{name}" for name in expected} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"tsattn", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert wheel.stat().st_size < 10_000_000


def test_a_forecast_from_the_wheel_alone(site: Path) -> None:
    python = {"PYTHONPATH": str(site)}
    found = run("-c", "import tsattn; print(tsattn.__file__)", **python)
    assert Path(found.strip()).is_relative_to(site)
    table = run("-m", "tsattn", "forecast", site / "tsattn/datasets/Airline.csv", "-o", "-", **python)
    assert len(table.splitlines()) == 1 + 12


LAYERS_ONLY = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import keras
import numpy as np
from tsattn import layers

assert keras.backend.backend() == "jax"
x = np.ones((4, 5, 3), "float32")
inputs = keras.Input((None, 3))
model = keras.Model(inputs, keras.layers.Dense(1)(layers.AttentionPooling(3)(layers.Attention("dot")(inputs, inputs))))
model.compile("sgd", "mse")
model.fit(x, np.ones(4), verbose=0)
print(len(layers.bucket_batches(list(x))))
"""


def test_the_layers_need_only_the_packages_that_the_page_names(site: Path) -> None:
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"pip install (keras .*)", page)
    packages = {re.split(r"[\[><;=]", name)[0].strip() for name in PYPROJECT["project"]["dependencies"]}
    modules = {"scikit-learn": "sklearn", "tensorflow-serving-api": "tensorflow_serving"}
    blocked = {modules.get(name, name.replace("-", "_")) for name in packages - {*named.split(), "numpy"}}
    assert {"tensorflow", "tensorflow_serving", "pyarrow", "pandas"} <= blocked
    script = LAYERS_ONLY.replace("{blocked}", repr((blocked | {"optuna"}) - {"rich"}))  # Keras needs rich
    found = run("-c", script, PYTHONPATH=str(site), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    assert found.split() == ["1"]
