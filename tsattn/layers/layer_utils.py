"""Checks of arguments, copies of initializers, and configs."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

import keras

from tsattn.errors import ConfigError


def check_sequence(name: str, shape: Any, hint: str = "") -> None:
    """Raise a `ConfigError` unless a shape is `(batch, time, features)`."""
    if len(shape) != 3:
        end = f": {hint}" if hint else ""
        raise ConfigError(f"{name} must have the shape (batch, time, features){end}. Received: shape {tuple(shape)}")


def check_positive(**sizes: Any) -> None:
    """Raise a `ConfigError` unless every size is an integer of 1 or more; None is left to the layer."""
    for name, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, Integral)):
            raise ConfigError(f"{name} must be an integer. Received: {name}={size!r}")
        if size is not None and int(size) < 1:
            raise ConfigError(f"{name} must be 1 or more. Received: {name}={size}")


def check_rate(**rates: Any) -> None:
    """Raise a `ConfigError` unless every rate is at least 0 and below 1."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ConfigError(f"{name} must be at least 0 and below 1. Received: {name}={rate}")


def check_same(axis: str, **sizes: int | None) -> None:
    """Raise a `ConfigError` if two known sizes of an axis differ."""
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        received = ", ".join(f"{size} in {name}" for name, size in known.items())
        raise ConfigError(f"{' and '.join(known)} must have the same number of {axis}. Received: {received}")


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


_GETTERS = {
    "initializer": keras.initializers.get,
    "regularizer": keras.regularizers.get,
    "constraint": keras.constraints.get,
}


def set_weight_options(layer: Any, **options: Any) -> None:
    """Store initializers, regularizers and constraints as attributes of a layer, such as `kernel_initializer`."""
    for name, value in options.items():
        setattr(layer, name, _GETTERS[name.rsplit("_", 1)[1]](value))


def weight_options(layer: Any, kind: str) -> dict[str, Any]:
    """Return the arguments of `add_weight` for one more weight of a kind, such as `"kernel"`."""
    options = {name: getattr(layer, f"{kind}_{name}", None) for name in _GETTERS}
    return {**options, "initializer": clone_initializer(options["initializer"])}


def dense_options(layer: Any) -> dict[str, Any]:
    """Return the arguments of a dense or convolution layer with the options and the dtype policy of a layer."""
    options = {f"{kind}_{name}": x for kind in ("kernel", "bias") for name, x in weight_options(layer, kind).items()}
    return {"dtype": layer.dtype_policy, **{name: x for name, x in options.items() if x is not None}}


def derived_seed(seed: int | None, number: int) -> int | None:
    """Return the seed of one of several random sublayers: equal seeds would give equal dropout masks."""
    return None if seed is None else seed + number


def constructor_config(layer: keras.layers.Layer, cls: Any) -> dict[str, Any]:
    """Return the serialized constructor arguments of a class, read from the attributes of the same name.

    Activations have a serialization of their own in Keras.
    """
    _, *names, _ = inspect.signature(cls.__init__).parameters  # without self and kwargs
    values = {name: getattr(layer, name) for name in names}
    plain = (str, int, float, list, tuple, type(None))
    return {name: x if isinstance(x, plain) else keras.saving.serialize_keras_object(x) for name, x in values.items()}
