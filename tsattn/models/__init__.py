"""Forecasting architectures by name, and the parts that custom architectures are built of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsattn.models.options import NetworkOptions
from tsattn.models.registry import (
    BASELINES,
    COMBINATION,
    MODELS,
    ModelEntry,
    all_models,
    get_model,
    register,
    resolve_options,
)

if TYPE_CHECKING:
    from tsattn.models.architecture import Architecture, ArchitectureInputs, ArchitectureOutputs, AttentionWeights
    from tsattn.models.components import DirectHead, Segments

__all__ = [
    "BASELINES",
    "COMBINATION",
    "MODELS",
    "Architecture",
    "ArchitectureInputs",
    "ArchitectureOutputs",
    "AttentionWeights",
    "DirectHead",
    "ModelEntry",
    "NetworkOptions",
    "Segments",
    "all_models",
    "get_model",
    "register",
    "resolve_options",
]


def __getattr__(name: str) -> Any:
    # These modules import Keras, which the command line does not need to list the models.
    if name in __all__:
        from tsattn.models import architecture, components

        return getattr(architecture if hasattr(architecture, name) else components, name)
    raise AttributeError(f"module 'tsattn.models' has no attribute '{name}'")
