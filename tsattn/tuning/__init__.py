"""Hyper-parameter search: options of a model and its training that forecast the validation part better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsattn.config import Choice, Multiples, Range
from tsattn.errors import import_extra

if TYPE_CHECKING:
    from tsattn.tuning.tuner import TuningResult, tune
    from tsattn.tuning.worker import SearchProgress

__all__ = ["Choice", "Multiples", "Range", "SearchProgress", "TuningResult", "tune"]

_MODULES = {"SearchProgress": "worker", "TuningResult": "tuner", "tune": "tuner"}


def __getattr__(name: str) -> Any:
    # These import Keras and Optuna, which a module that declares search spaces does not need.
    if name in _MODULES:
        return getattr(import_extra(f"tsattn.tuning.{_MODULES[name]}", "tune", "hyper-parameter search"), name)
    raise AttributeError(f"module 'tsattn.tuning' has no attribute '{name}'")
