"""What tests of Keras layers and models share, on any backend."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np

T = TypeVar("T", bound=keras.layers.Layer)


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
