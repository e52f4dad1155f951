"""Every public layer through `check_layer`, and the same figures on JAX."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from case import Case
from cases import CASES, MUCH_LIKE_OTHERS
from check_layer import check_layer
from figures import compute, compute_all, dropout_losses, quantiles_of_counts, start_of_copying
from on_jax import Arrays, run_on_jax

import tsattn.layers

__all__ = ["compute_all"]  # called by name in the JAX process


@pytest.fixture(scope="module", autouse=True)
def on_jax() -> Iterator[Future[Arrays]]:
    """All figures on JAX, made beside the first tests of the module."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run_on_jax, __file__, "compute_all", {})


@pytest.fixture
def jax_figures(on_jax: Future[Arrays]) -> Arrays:
    return on_jax.result()


# Of those much like others, the slow tests will do.
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (case.name in MUCH_LIKE_OTHERS)) for case in CASES],
)
def test_a_layer_keeps_the_contract(case: Case, tmp_path: Path) -> None:
    check_layer(
        case.make,
        case.inputs,
        tmp_path,
        mask_argument=case.mask_argument,
        options=case.options,
        half=case.half,
        empty_gives_zero=case.empty_gives_zero,
        batched=case.batched,
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_jax_gives_the_same_figures(case: Case, jax_figures: Arrays) -> None:
    for position, part in enumerate(compute(case)):
        np.testing.assert_allclose(jax_figures[f"{case.name}/{position}"], part, rtol=1e-5, atol=1e-5)


def test_dropout_in_cells_and_attention_trains(jax_figures: Arrays) -> None:
    # Masks drawn inside the decoder's loop, or kept from the batch before, raise in one backend or the other.
    assert np.isfinite(dropout_losses(4, 2)).all()
    assert np.isfinite(jax_figures["dropout_loss"]).all()


def test_copying_starts_in_phase_on_every_backend(jax_figures: Arrays) -> None:
    biases = start_of_copying()
    np.testing.assert_array_equal(jax_figures["start_of_copying"], biases)
    for lag, head, query in np.ndindex(*biases.shape):
        # The first query follows the key of lag 0, so that a season lies between them where lag and query make it up.
        in_phase = (lag + 1 + query) in (3, 6, 9, 12)
        assert biases[lag, head, query] == (0 if in_phase else -3)


def test_quantiles_of_counts_are_the_same_on_every_backend(jax_figures: Arrays) -> None:
    np.testing.assert_allclose(jax_figures["counts"], quantiles_of_counts(), rtol=1e-4)


def test_every_public_layer_is_checked() -> None:
    assert {case.name for case in CASES} >= MUCH_LIKE_OTHERS
    classes = {name: x for name in tsattn.layers.__all__ if isinstance(x := getattr(tsattn.layers, name), type)}
    # An alignment is a part of an attention, and checked as such.
    layers = {name for name, x in classes.items() if not issubclass(x, tsattn.layers.Alignment)}
    assert {case.name.split("-")[0] for case in CASES} == layers
