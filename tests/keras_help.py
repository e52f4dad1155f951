"""What tests of Keras layers and models share, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np
import pytest

T = TypeVar("T", bound=keras.layers.Layer)

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export and the gradient tape are TensorFlow's"
)


def with_random_weights(layer: T) -> T:
    """Draw all weights of a built layer or model, biases too; what is not trained is a statistic above 0."""
    rng = np.random.default_rng(0)
    trained = {id(weight) for weight in layer.trainable_variables}
    for weight in layer.weights:
        # SeedGenerator states are no weights of `layer.weights`, so all of these are floats.
        drawn = rng.normal(size=weight.shape) / 2
        weight.assign(drawn if id(weight) in trained else np.abs(drawn) + 0.1)
    return layer


def outputs(result: Any) -> list[Any]:
    """The outputs of a layer or model as a list of arrays."""
    return [keras.ops.convert_to_numpy(part) for part in keras.tree.flatten(result)]


def shapes_of(inputs: Mapping[str, Any]) -> Any:
    """Keras tensors that stand for arrays."""
    return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=str(x.dtype)), dict(inputs))


def built(layer: T, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> T:
    """The layer, called on shapes alone."""
    layer(**shapes_of(inputs), **options)
    return layer


def compiled(layer: keras.layers.Layer, options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """The outputs of a built layer as a function of its inputs; jitted on JAX, which compiles each operation else."""

    def call(inputs: Mapping[str, Any]) -> Any:
        return layer(**inputs, **options)

    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(call)
    return lambda inputs: outputs(call(dict(inputs)))
