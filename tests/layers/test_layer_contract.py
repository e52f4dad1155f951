"""Every public layer through the checks of `layer_checks`, and its outputs on JAX."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backend_outputs import compute, compute_all, count_quantiles, dropout_losses, initial_lag_biases
from case_builders import Case
from layer_cases import CASES, FAST_GRAPH_MODE, SIMILAR_TO_OTHERS
from layer_checks import check_graph_mode, check_layer
from on_jax import Arrays, run_on_jax

import tsattn.layers

__all__ = ["compute_all"]  # called by name in the JAX process


@pytest.fixture(scope="module", autouse=True)
def on_jax() -> Iterator[Future[Arrays]]:
    """All outputs on JAX, computed while the first tests of the module run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run_on_jax, __file__, "compute_all", {})


@pytest.fixture
def jax_outputs(on_jax: Future[Arrays]) -> Arrays:
    return on_jax.result()


def cases(slow: set[str]) -> list[Any]:
    return [pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (case.name in slow)) for case in CASES]


@pytest.mark.parametrize("case", cases(slow=SIMILAR_TO_OTHERS))
def test_layer_contract(case: Case, tmp_path: Path) -> None:
    check_layer(case, tmp_path)


@pytest.mark.parametrize("case", cases(slow={case.name for case in CASES} - FAST_GRAPH_MODE))
def test_training_and_export_in_graph_mode(case: Case, tmp_path: Path) -> None:
    check_graph_mode(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_jax_gives_the_same_outputs(case: Case, jax_outputs: Arrays) -> None:
    for position, part in enumerate(compute(case)):
        np.testing.assert_allclose(jax_outputs[f"{case.name}/{position}"], part, rtol=1e-5, atol=1e-5)


def test_training_with_dropout_in_cells_and_attention(jax_outputs: Arrays) -> None:
    # Dropout masks that are sampled in the loop of the decoder, or cached from the previous batch, raise on a backend.
    assert np.isfinite(dropout_losses(4, 2)).all()
    assert np.isfinite(jax_outputs["dropout_loss"]).all()


def test_initial_lag_biases_prefer_keys_in_phase_on_every_backend(jax_outputs: Arrays) -> None:
    biases = initial_lag_biases()
    np.testing.assert_array_equal(jax_outputs["initial_lag_biases"], biases)
    for lag, head, query in np.ndindex(*biases.shape):
        # The first query follows the key of lag 0.
        in_phase = (lag + 1 + query) in (3, 6, 9, 12)
        assert biases[lag, head, query] == (0 if in_phase else -3)


def test_count_quantiles_are_the_same_on_every_backend(jax_outputs: Arrays) -> None:
    np.testing.assert_allclose(jax_outputs["count_quantiles"], count_quantiles(), rtol=1e-4)


def test_every_public_layer_has_a_case() -> None:
    names = {case.name for case in CASES}
    assert names >= SIMILAR_TO_OTHERS | FAST_GRAPH_MODE
    classes = {name: x for name in tsattn.layers.__all__ if isinstance(x := getattr(tsattn.layers, name), type)}
    # An alignment is part of an attention, and checked as such.
    layers = {name for name, x in classes.items() if not issubclass(x, tsattn.layers.Alignment)}
    assert {name.split("-")[0] for name in names} == layers
