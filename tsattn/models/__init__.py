"""Forecasting architectures by name, and what those of one's own are made of."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tsattn.models.options import NetworkOptions
from tsattn.models.registry import BASELINES, MODELS, ModelEntry, all_models, get_model, register, resolve_options

if TYPE_CHECKING:
    from tsattn.models.architecture import Core, Decoded, Series, Weights
    from tsattn.models.heads import DirectHead
    from tsattn.models.recurrent import Segments

__all__ = [
    "BASELINES",
    "MODELS",
    "Core",
    "Decoded",
    "DirectHead",
    "ModelEntry",
    "NetworkOptions",
    "Segments",
    "Series",
    "Weights",
    "all_models",
    "get_model",
    "register",
    "resolve_options",
]

_HOMES = {
    "Core": "architecture",
    "Decoded": "architecture",
    "DirectHead": "heads",
    "Segments": "recurrent",
    "Series": "architecture",
    "Weights": "architecture",
}


def __getattr__(name: str) -> Any:
    # These import Keras, which the command line does without where it only lists models.
    if name in _HOMES:
        return getattr(importlib.import_module(f"tsattn.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tsattn.models' has no attribute '{name}'")
