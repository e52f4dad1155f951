"""Weights of a network and the zero-shot forecast, from errors made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tsattn.scoring.forecast_weights import GRID, ForecastWeights, mean_weights, weighted_errors


def errors_of(network: float, zero_shot: float, horizon: int = 8, correlation: float = 0.0) -> np.ndarray:
    """Root mean squared errors of the weighted forecast of two forecasters whose errors are correlated."""
    rest = 1 - GRID
    variance = (GRID * network) ** 2 + (rest * zero_shot) ** 2 + 2 * correlation * GRID * rest * network * zero_shot
    return np.repeat(np.sqrt(variance)[:, None], horizon, axis=1)


def test_errors_of_each_weight() -> None:
    rng = np.random.default_rng(0)
    network, zero_shot, actual = rng.normal(size=(3, 5, 4, 2))
    scale = rng.uniform(1, 2, (5, 2))
    actual[0, 1, 0] = np.nan
    found = weighted_errors(network, zero_shot, actual, scale)
    for weight, row in zip(GRID, found, strict=True):
        forecast = weight * network + (1 - weight) * zero_shot
        np.testing.assert_allclose(row, np.nanmean(np.abs(forecast - actual) / scale[:, None], axis=(0, 2)))


def test_a_better_forecaster_gets_the_weight() -> None:
    assert (mean_weights(errors_of(1.0, 3.0, correlation=0.9), 100) == 1).all()
    assert (mean_weights(errors_of(3.0, 1.0, correlation=0.9), 100) == 0).all()


def test_forecasters_with_independent_errors_are_averaged() -> None:
    weights = mean_weights(errors_of(1.0, 1.0), 1000)
    np.testing.assert_allclose(weights, 0.5, atol=0.02)


def test_without_evidence_the_network_has_a_third_of_the_weight() -> None:
    none, few, many = (mean_weights(errors_of(0.9, 1.0, correlation=0.9), count).mean() for count in (0, 1, 100))
    assert none == pytest.approx(1 / 3, abs=0.02) and none < few < 0.5 < 0.8 < many


def test_weights_by_step() -> None:
    # The network is better at the first steps, the other forecast at the last ones.
    errors = np.concatenate([errors_of(0.5, 1.0, 8, 0.8), errors_of(1.0, 0.5, 8, 0.8)], axis=1)
    weights = mean_weights(errors, 100)
    assert weights[0] > 0.9 and weights[-1] < 0.1 and (np.diff(weights) <= 1e-9).all()


def test_exact_forecasts() -> None:
    assert (mean_weights(errors_of(0.0, 1.0), 10) == 1).all()
    np.testing.assert_allclose(mean_weights(np.zeros((len(GRID), 3)), 10), 1 / 3, atol=0.02)


@pytest.mark.parametrize(
    ("weights", "selected", "text"),
    [
        ((0.0, 0.0), "combination", "and exponential smoothings: on the validation part seq2seq does not"),
        ((1.0, 1.0), "seq2seq", "The forecast is that of seq2seq: on the validation part the forecast of the pre"),
        ((0.5, 0.6), "seq2seq + combination", "combines seq2seq, weight 55%, with the pretrained network and"),
        ((0.2, 0.6), "seq2seq + combination", "weight 40% (20% at the first step, 60% at the last), with"),
    ],
)
def test_record(weights: tuple[float, ...], selected: str, text: str) -> None:
    choice = ForecastWeights("seq2seq", weights, 0.8, 0.9, 0.75)
    assert choice.selected == selected and text in choice.summary()
    assert "0.8 for seq2seq, 0.9 for the others" in choice.summary()
    tuned = replace(choice, initial_error=1.0)
    assert "fine-tuned pretrained network" in tuned.summary() and "(1 before fine-tuning)" in tuned.summary()
    assert ForecastWeights.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice


def test_record_of_an_untrained_network() -> None:
    choice = ForecastWeights("seq2seq", (0.0,), reason="the data have 10 values")
    read = ForecastWeights.from_dict(json.loads(json.dumps(choice.to_dict())))
    assert read.selected == "combination" and np.isnan(read.network_error)
    assert (
        read.summary()
        == "The forecast combines the pretrained network and exponential smoothings: the data have 10 values."
    )
