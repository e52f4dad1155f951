"""Initializers, regularizers, constraints, seeds and names of every layer that has the thing."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from case_builders import Case
from keras_help import built, outputs
from layer_cases import CASES, FAST

import tsattn.layers
from tsattn.layers import AttentionDecoder, CoverageAlignment, LocalAlignment, MonotonicAlignment

KINDS = {"kernel": ("initializer", "regularizer", "constraint"), "bias": ("initializer", "regularizer", "constraint")}


def arguments(cls: Any) -> set[str]:
    """Return the names of the constructor arguments of a class and of its base classes."""
    bases = [base for base in cls.__mro__ if "__init__" in vars(base) and base is not keras.layers.Layer]
    return {name for base in bases for name in inspect.signature(base.__init__).parameters}


def cases_with(*names: str) -> list[Any]:
    """Return one case for each layer of this package with one of the arguments."""
    cases = [case for case in CASES if case.name in FAST and case.layer != "MultiHeadAttention"]
    return [pytest.param(case, id=case.layer) for case in cases if arguments(type(case.make())) & set(names)]


def remade(case: Case, **options: Any) -> keras.layers.Layer:
    """Return the layer of a case, built, with other options."""
    layer = case.make()
    return built(type(layer).from_config({**layer.get_config(), **options}), case.inputs, case.options)


def test_layers_with_dense_parts_take_the_options_of_dense_layers() -> None:
    classes = [x for x in vars(tsattn.layers).values() if isinstance(x, type)]
    for cls in classes:
        names = arguments(cls)
        assert not names & {"heads", "norm", "feedforward_units"}, cls.__name__
        for kind, parts in KINDS.items():
            found = {part for part in parts if f"{kind}_{part}" in names}
            assert found in (set(), set(parts)), (cls.__name__, kind, found)
        assert "dropout" not in names or "seed" in names, cls.__name__
    without = {cls.__name__ for cls in classes if "kernel_initializer" not in arguments(cls)}
    assert without == {
        *("Alignment", "HardmaxAlignment", "MonotonicAlignment"),  # no matrices
        *("AdaptiveAdjacency", "PositionalEncoding"),  # embeddings
        *("CalibratedQuantiles", "ForecastCombination", "ForecastDistribution", "InstanceScaling"),  # statistics
        *("DistributionHead", "HistoryWindow", "Patching", "SmoothingCombination", "SortedQuantiles"),  # no weights
        *("PretrainedForecast", "ZeroShotForecast"),  # the weights of the package
    }


@pytest.mark.parametrize("case", cases_with("kernel_regularizer", "embeddings_regularizer"))
def test_options_reach_the_weights(case: Case) -> None:
    layer = case.build()
    names = arguments(type(layer))
    kinds = [kind for kind in ("kernel", "bias", "embeddings") if f"{kind}_regularizer" in names]
    for number, kind in enumerate(kinds):
        value = 2.0 + number
        options = {
            f"{kind}_initializer": keras.initializers.Constant(value),
            f"{kind}_regularizer": keras.regularizers.L1(0.5),
            f"{kind}_constraint": keras.constraints.NonNeg(),
        }
        changed = remade(case, **options)
        own = [w for w in changed.trainable_weights if isinstance(w.constraint, keras.constraints.NonNeg)]
        assert own
        for weight in own:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)
        added = sum(map(float, changed.losses)) - sum(map(float, layer.losses))
        np.testing.assert_allclose(added, 0.5 * value * sum(int(np.prod(w.shape)) for w in own), rtol=1e-2)


@pytest.mark.parametrize("case", cases_with("seed"))
def test_a_seed_makes_a_layer_repeatable(case: Case) -> None:
    given: dict[str, Any] = {"seed": 3}
    inputs = dict(case.inputs)
    if isinstance(case.make(), AttentionDecoder):
        given["teacher_forcing"] = 0.5
        given["cell"] = keras.saving.serialize_keras_object(keras.layers.GRUCell(4))
        given["attention"] = None
        given["bridge"] = False
        inputs = {"memory": inputs["memory"], "targets": np.ones((len(inputs["memory"]), 4, 3), "float32")}
    elif "dropout" in arguments(type(case.make())):
        given["dropout"] = 0.5
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(len(results))
        layer = case.make()
        layer = built(type(layer).from_config({**layer.get_config(), **given}), inputs, case.options)
        layer.set_weights([np.full(w.shape, 0.1) for w in layer.weights])
        results.append(outputs(layer(**inputs, **case.options, training=True))[0])
    np.testing.assert_array_equal(*results)


def test_alignments_take_the_options_of_their_weights() -> None:
    local = LocalAlignment(kernel_initializer="ones", kernel_regularizer="l2")
    local.build((2, 3, 4), (2, 5, 4))
    coverage = CoverageAlignment(kernel_initializer="ones", kernel_regularizer="l2")
    coverage.build((2, 3, 4), (2, 5, 4))
    for layer in (local, coverage):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.weights[0]), 1)
        assert len(layer.losses) == 1
    one, other = (MonotonicAlignment(noise_stddev=1.0, seed=4).sample_noise((2, 3)) for _ in range(2))
    np.testing.assert_array_equal(*outputs([one, other]))


def test_sublayers_are_named() -> None:
    """Weights have the same paths in every layer of a class, but for cells and attentions that users create."""
    for param in cases_with("kernel_initializer", "embeddings_initializer"):
        one, other = (
            [
                path
                for weight in param.values[0].build().weights
                if not any(part in (path := weight.path.split("/", 1)[1]) for part in ("_cell", "attention_", "_align"))
            ]
            for _ in range(2)
        )
        assert one == other
