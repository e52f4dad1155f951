"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of benchmark data, which the project does not ship."""
    folder = os.environ.get("TSATTN_DATA_DIR")
    if not folder:
        pytest.skip("needs the benchmark data: set TSATTN_DATA_DIR to their folder")
    return Path(folder)
