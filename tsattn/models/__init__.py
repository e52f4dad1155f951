"""Forecasting architectures by name."""

from tsattn.models.registry import BASELINES, MODELS, ModelEntry, get_model, resolve_options

__all__ = ["BASELINES", "MODELS", "ModelEntry", "get_model", "resolve_options"]
