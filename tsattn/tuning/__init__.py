"""The search for options of a model and its training that forecast the validation part better."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tsattn.config import Choice, Range, Times

if TYPE_CHECKING:
    from tsattn.tuning.result import Standing, Tuning
    from tsattn.tuning.tuner import tune

__all__ = ["Choice", "Range", "Standing", "Times", "Tuning", "tune"]

_HOMES = {"Standing": "result", "Tuning": "result", "tune": "tuner"}


def __getattr__(name: str) -> Any:
    # These import Keras and Optuna, which a module that declares a space does without.
    if name in _HOMES:
        return getattr(importlib.import_module(f"tsattn.tuning.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tsattn.tuning' has no attribute '{name}'")
