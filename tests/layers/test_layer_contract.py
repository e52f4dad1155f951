"""Every public layer through the checks of `layer_checks`, and its outputs on JAX."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from backend_outputs import compute, compute_all, count_quantiles, initial_lag_biases
from case_builders import Case
from keras_help import on_tensorflow, outputs
from layer_cases import CASES, FAST, FAST_GRAPH_MODE
from layer_checks import check_graph_mode, check_layer
from on_jax import run_on_jax

import tsattn.layers

__all__ = ["compute_all"]  # called by name in the JAX process

LAYERS = list(dict.fromkeys(case.layer for case in CASES))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (case.name not in FAST)) for case in CASES]
)
def test_layer_contract(case: Case, tmp_path: Path) -> None:
    check_layer(case, tmp_path)


@on_tensorflow
def test_training_and_export_in_graph_mode(tmp_path: Path) -> None:
    check_graph_mode([case for case in CASES if case.name == FAST_GRAPH_MODE], tmp_path)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "names", [FAST, pytest.param({case.name for case in CASES}, marks=pytest.mark.release)], ids=["one", "all"]
)
def test_training_and_export_of_every_layer_in_graph_mode(layer: str, names: set[str], tmp_path: Path) -> None:
    check_graph_mode([case for case in CASES if case.layer == layer and case.name in names], tmp_path)


@pytest.mark.slow
def test_jax_gives_the_same_outputs() -> None:
    on_jax = run_on_jax(__file__, "compute_all", {})
    for case in CASES:
        for position, part in enumerate(compute(case)):
            name = f"{case.name}/{position}"
            np.testing.assert_allclose(on_jax[name], part, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(on_jax["count_quantiles"], count_quantiles(), rtol=1e-4)


def test_dropout_masks_of_cells_and_attention_are_those_of_the_batch() -> None:
    # Masks that are cached from the previous batch raise.
    (case,) = (case for case in CASES if case.name == "AttentionDecoder-bridge")
    layer = case.build()
    for given in (case.inputs, keras.tree.map_structure(lambda x: x[:2], case.inputs)):
        one, other = (outputs(layer(**given, training=True)) for _ in range(2))
        assert np.isfinite(one[0]).all() and not np.array_equal(one[0], other[0])


def test_initial_lag_biases_prefer_keys_in_phase() -> None:
    biases = initial_lag_biases()
    for lag, head, query in np.ndindex(*biases.shape):
        # The first query follows the key of lag 0.
        in_phase = (lag + 1 + query) in (3, 6, 9, 12)
        assert biases[lag, head, query] == (0 if in_phase else -3)


def test_every_public_layer_has_a_case() -> None:
    names = {case.name for case in CASES}
    assert names >= FAST | {FAST_GRAPH_MODE}
    classes = {name: x for name in tsattn.layers.__all__ if isinstance(x := getattr(tsattn.layers, name), type)}
    # An alignment is part of an attention, and checked as such.
    layers = {name for name, x in classes.items() if not issubclass(x, tsattn.layers.Alignment)}
    assert set(LAYERS) == layers
    assert sorted(name.split("-")[0] for name in FAST) == sorted(layers)
