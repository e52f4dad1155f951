"""Helpers for tests of Keras layers and models, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import keras
import numpy as np
import pytest

T = TypeVar("T", bound=keras.layers.Layer)

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export and the gradient tape are TensorFlow's"
)


def short_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `keras.Model.fit` of two steps, for tests of the code around a training."""

    def shortened(model: keras.Model, *args: Any, **options: Any) -> Any:
        return fit(model, *args, **{**options, "epochs": 1, "steps_per_epoch": 2})

    return shortened


@contextmanager
def eager_training() -> Iterator[None]:
    """Train networks step by step without a graph, whose tracing takes longer than a few steps."""
    compile_model = keras.Model.compile

    def compile_eagerly(model: keras.Model, *args: Any, **options: Any) -> None:
        compile_model(model, *args, **{**options, "run_eagerly": True})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "compile", compile_eagerly)
        yield


def with_random_weights(layer: T) -> T:
    """Set all weights of a built layer or model to random numbers; non-trainable ones, statistics, are above 0."""
    rng = np.random.default_rng(0)
    trained = {id(weight) for weight in layer.trainable_variables}
    for weight in layer.weights:
        # `layer.weights` does not contain the states of seed generators, so all weights are floats.
        drawn = rng.normal(size=weight.shape) / 2
        weight.assign(drawn if id(weight) in trained else np.abs(drawn) + 0.1)
    return layer


def outputs(result: Any) -> list[Any]:
    """Return the outputs of a layer or model as a list of arrays."""
    return [keras.ops.convert_to_numpy(part) for part in keras.tree.flatten(result)]


def shapes_of(inputs: Mapping[str, Any]) -> Any:
    """Return Keras tensors with the shapes and dtypes of arrays."""
    return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=str(x.dtype)), dict(inputs))


def built(layer: T, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> T:
    """Build a layer by a symbolic call and return it."""
    layer(**shapes_of(inputs), **options)
    return layer


def compiled(layer: keras.layers.Layer, options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return a built layer as a function of its inputs; jitted on JAX, which otherwise compiles each operation."""

    def call(inputs: Mapping[str, Any]) -> Any:
        return layer(**inputs, **options)

    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(call)
    return lambda inputs: outputs(call(dict(inputs)))
