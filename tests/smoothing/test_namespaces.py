import subprocess
import sys

import numpy as np
import pytest

from tsattn.smoothing import SmoothingSpec, combine, quantiles, smoothing_kernels
from tsattn.smoothing.forecasts import right_aligned

LEVELS = [0.05, 0.5, 0.95]


def test_nothing_imports_keras_or_tensorflow():
    code = "import sys, tsattn.smoothing; print({'keras', 'tensorflow', 'scipy', 'pandas'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(("seasons", "horizon"), [((), 6), ((12,), 12)])
def test_keras_operations_give_the_same_forecasts_in_float32(seasons, horizon):
    from keras import ops

    rng = np.random.default_rng(0)
    time = np.arange(60)
    series = [
        100 + time + 10 * np.sin(2 * np.pi * time / 12) + rng.normal(size=60),
        np.where(rng.random(60) < 0.3, 3.0, 0.0),
        np.where(rng.random(60) < 0.2, np.nan, 10 + rng.normal(size=60)),
        rng.normal(size=20).cumsum(),
        np.full(20, 5.0),
        np.array([4.0, 6.0]),
    ]
    spec = SmoothingSpec(horizon, seasons, 72)
    kernels = smoothing_kernels(spec)
    values, observed = right_aligned(series, 72)
    result = combine(np, values, observed, kernels)
    single = kernels.astype("float32")
    other = combine(ops, ops.convert_to_tensor(values, "float32"), ops.convert_to_tensor(observed), single)
    scale = np.abs(values).max(axis=1)[:, None]
    assert np.abs((ops.convert_to_numpy(other.forecast) - result.forecast) / scale).max() < 1e-5
    expected = quantiles(np, result, kernels, LEVELS)
    bands = ops.convert_to_numpy(quantiles(ops, other, single, LEVELS))
    assert bands.dtype == np.float32
    assert np.abs((bands - expected) / scale[:, :, None]).max() < 1e-4
    np.testing.assert_allclose(ops.convert_to_numpy(other.weights), result.weights, atol=1e-3)
