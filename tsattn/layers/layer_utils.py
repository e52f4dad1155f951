"""Checks of arguments, copies of initializers, and configs."""

from __future__ import annotations

import inspect
from typing import Any

import keras

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


def constructor_config(layer: keras.layers.Layer, cls: Any) -> dict[str, Any]:
    """Return the serialized constructor arguments of a class, read from the attributes of the same name.

    Activations have a serialization of their own in Keras.
    """
    _, *names, _ = inspect.signature(cls.__init__).parameters  # without self and kwargs
    values = {name: getattr(layer, name) for name in names}
    plain = (str, int, float, list, tuple, type(None))
    return {name: x if isinstance(x, plain) else keras.saving.serialize_keras_object(x) for name, x in values.items()}
