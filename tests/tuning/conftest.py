"""Register the small network for these tests only."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from tsattn.models import MODELS


@pytest.fixture(autouse=True)
def small_model() -> Iterator[None]:
    module = importlib.import_module("tuning.small")
    known = dict(MODELS)
    if "small" not in MODELS:
        importlib.reload(module)
    yield
    MODELS.clear()
    MODELS.update({name: entry for name, entry in known.items() if name != "small"})
