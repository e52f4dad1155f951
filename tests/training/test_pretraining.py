"""Training on synthetic series: batches by step, and an interrupted training that continues."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tsattn.pretrained.features import CANDIDATES, LEVELS, PATCH_FEATURES, QUERY_FEATURES
from tsattn.training import pretraining


@pytest.fixture
def small(monkeypatch):
    """Few series, so that a batch takes milliseconds."""
    monkeypatch.setattr(pretraining, "GROUPS", 2)
    monkeypatch.setattr(pretraining, "GROUP", 8)
    monkeypatch.setattr(pretraining, "LENGTHS", (8, 8))


def test_a_batch_depends_on_seed_and_number_alone(small):
    first, again, other = (pretraining.draw_batches(0, number) for number in (3, 3, 4))
    assert len(first) == pretraining.BATCHES
    for (inputs, targets), (same, same_targets) in zip(first, again, strict=True):
        assert all(np.array_equal(inputs[name], same[name]) for name in inputs)
        np.testing.assert_array_equal(targets, same_targets)
    assert not np.array_equal(first[0][1], other[0][1])


def test_shapes_of_a_batch(small):
    inputs, targets = pretraining.draw_batches(0, 0)[0]
    rows, origins, steps = 4, pretraining.ORIGINS, pretraining.STEPS
    assert targets.shape == (rows, origins, steps, 2)
    assert inputs["patches"].shape[::2] == (rows, PATCH_FEATURES)
    assert inputs["queries"].shape == (rows, origins, steps, QUERY_FEATURES)
    assert inputs["candidates"].shape == inputs["available"].shape == (rows, origins, steps, len(CANDIDATES))
    assert all(np.isfinite(part).all() for part in (*inputs.values(), targets))


def test_pinball_loss_by_its_definition():
    rng = np.random.default_rng(0)
    quantiles = np.sort(rng.normal(size=(3, 2, 4, len(LEVELS))), axis=-1).astype("float32")
    targets = np.stack([rng.normal(size=(3, 2, 4)), rng.random((3, 2, 4))], axis=-1).astype("float32")
    deviation = targets[..., :1] - quantiles
    losses = np.where(deviation > 0, np.asarray(LEVELS) * deviation, (np.asarray(LEVELS) - 1) * deviation).mean(axis=-1)
    expected = (losses * targets[..., 1]).sum() / targets[..., 1].sum()
    assert float(pretraining.weighted_pinball(targets, quantiles)) == pytest.approx(expected, rel=1e-5)


def test_learning_rate_rises_stays_and_falls():
    rates = [pretraining.learning_rate(step, 1e-3, 2000, 500) for step in (0, 299, 1000, 1500, 1750, 1999)]
    np.testing.assert_allclose(rates, [1e-3 / 300, 1e-3, 1e-3, 1e-3, 5e-4, 2e-6])


@pytest.mark.slow  # three networks are compiled
def test_an_interrupted_training_continues(small, tmp_path):
    def run(folder, steps):
        result = CliRunner().invoke(
            pretraining.main, [str(tmp_path / folder), "--steps", steps, "--decay", "0", "--width", "8"]
        )
        assert result.exit_code == 0, result.output
        return result.output

    run("whole", "6")
    run("parts", "3")
    assert "from step 3" in run("parts", "6")
    with np.load(tmp_path / "whole/weights.npz") as whole, np.load(tmp_path / "parts/weights.npz") as parts:
        assert set(whole.files) == set(parts.files)
        for name in whole.files:
            np.testing.assert_allclose(whole[name], parts[name], atol=1e-3, err_msg=name)
    curve = [json.loads(line)["step"] for line in (tmp_path / "parts/loss.jsonl").read_text().splitlines()]
    assert curve == [3, 6]
