"""Checks of arguments, and copies of initializers."""

from __future__ import annotations

from typing import Any

from tsattn.errors import ConfigError


def check_sequence(name: str, shape: Any, hint: str = "") -> None:
    """Raise a `ConfigError` unless a shape is `(batch, time, features)`."""
    if len(shape) != 3:
        end = f": {hint}" if hint else ""
        raise ConfigError(f"{name} must have the shape (batch, time, features){end}. Received: shape {tuple(shape)}")


def check_dtype(layer: Any, name: str, part: Any) -> None:
    """Raise a `ConfigError` unless a sublayer has the compute dtype of its layer."""
    if part.compute_dtype != layer.compute_dtype:
        raise ConfigError(
            f"{name} must have the compute dtype of its layer: create both with the same dtype or under the same "
            f"policy. Received: {part.compute_dtype} in a layer of {layer.compute_dtype}"
        )


def clone_initializer(initializer: Any) -> Any:
    """Return a copy of an initializer for one more weight; a plain function is returned as it is.

    A Keras initializer without a seed gives the same numbers at every call.
    """
    return initializer.clone() if hasattr(initializer, "clone") else initializer
