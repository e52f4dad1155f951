"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from serving.chromium import Page

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes that each take all cores get into each other's way.
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


LONGEST = (
    *("test_notebooks.py", "test_consumers.py", "test_docs.py", "test_sampling.py", "test_wheel.py"),
    *("test_covariates.py", "test_devices.py", "test_examples.py", "test_fine_tuning.py", "test_openapi.py"),
    *("test_pretrained_tuning.py", "test_pretraining.py", "test_real_data.py", "test_side_by_side.py"),
    "test_tune_command.py",
)
"""Files with few but long tests."""


@pytest.hookimpl(trylast=True)  # the count is that of the selected tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for another one at the end."""
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONGEST, -counts[item.path], item.path))


def pytest_collection_finish() -> None:
    """Leave what was imported out of the garbage collection, which took a sixth of the time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def frozen_garbage() -> Iterator[None]:
    """Collect the garbage of each module at its end, so that a later collection does not go through all graphs."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of benchmark data, which the project does not ship."""
    folder = os.environ.get("TSATTN_DATA_DIR")
    if not folder:
        pytest.skip("needs the benchmark data: set TSATTN_DATA_DIR to their folder")
    return Path(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """A headless Chromium."""
    from serving import chromium

    program = chromium.find()
    if program is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(chromium.NAMES)} is installed")
    with chromium.Page(program) as page:
        yield page


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each training is given from now on, in order."""
    from tsattn.training.callbacks import Deadline

    found: list[float] = []

    class RecordedDeadline(Deadline):
        def __init__(self, seconds: float) -> None:
            super().__init__(seconds)
            found.append(seconds)

    monkeypatch.setattr("tsattn.forecasting.network_trainer.Deadline", RecordedDeadline)
    return found


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train every network for two steps."""
    import keras
    from keras_help import short_fit

    monkeypatch.setattr(keras.Model, "fit", short_fit(keras.Model.fit))


@pytest.fixture(name="eager_training")
def eager_training_fixture() -> Iterator[None]:
    """Train networks without a graph during a test."""
    from keras_help import eager_training

    with eager_training():
        yield


@pytest.fixture(name="without_export")
def without_export_fixture() -> Iterator[None]:
    """Save runs without an exported model and pictures, which take most of the time, during a test."""
    from run_files import without_export

    with without_export():
        yield


@pytest.fixture(autouse=True, scope="module")
def shared_runtime() -> Iterator[None]:
    """Verify exports in one process per session instead of one per export."""
    if "keras" not in sys.modules:
        yield
        return
    import tensorflow as tf
    from shared_runtime import launch

    from tsattn.export.isolated_process import launcher

    # Optimizing a graph takes longer than running it once.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    token = launcher.set(launch)
    yield
    launcher.reset(token)
