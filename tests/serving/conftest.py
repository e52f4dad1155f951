"""Exported models and their servers."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving.live_server import COVERED, Served, running, write_version

import tsattn.serving.engine as serving_engine


@pytest.fixture(autouse=True, scope="module")
def frozen_objects() -> Iterator[None]:
    """Leave the objects of earlier tests frozen, which each server would unfreeze and collect at its start."""
    with pytest.MonkeyPatch.context() as patch:
        collector = SimpleNamespace(unfreeze=lambda: None, collect=gc.collect, freeze=lambda: None)
        patch.setattr(serving_engine, "gc", collector)
        yield


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions with one of a model without covariates."""
    folder = tmp_path_factory.mktemp("plain")
    write_version(folder / "1")
    return folder


@pytest.fixture(scope="session")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a model with covariates of every kind and two targets."""
    folder = tmp_path_factory.mktemp("covered")
    write_version(folder / "1", COVERED)
    return folder


@pytest.fixture(scope="module")
def served(plain: Path) -> Iterator[Served]:
    """A server of the model without covariates."""
    with running(plain, labels={"stable": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def served_covered(covered: Path) -> Iterator[Served]:
    """A server of the model with covariates."""
    with running(covered) as server:
        yield server
