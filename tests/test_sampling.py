"""Sample paths in Python, on the command line and in the SavedModel."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from keras_help import eager_training
from scipy.signal import lfilter

from tsattn import Forecaster
from tsattn.cli import main
from tsattn.config import RunConfig
from tsattn.errors import ConfigError
from tsattn.export.exporter import export
from tsattn.timeseries.windows import WindowSpec

HORIZON = 6
QUICK = {"epochs": 1, "steps_per_epoch": 2, "refit": False}


def data(seed: int = 0) -> pd.DataFrame:
    """Counts of two shops, wide."""
    rng = np.random.default_rng(seed)
    rate = 5 + 3 * np.sin(np.arange(200) * 2 * np.pi / 7)
    days = pd.date_range("2024-01-01", periods=200)
    return pd.DataFrame({"ds": days, "north": rng.poisson(rate), "south": rng.poisson(2 * rate)})


@cache
def fitted(head: str, support: str = "real", **more: Any) -> Forecaster:
    options = {"units": 4, "head": head}
    with eager_training():
        return Forecaster(
            "seq2seq", HORIZON, season=7, validation=60, support=support, options=options, training=QUICK, **more
        ).fit(data())


@pytest.fixture(scope="module")
def normal() -> Forecaster:
    return fitted("normal", "positive")


def test_paths_have_the_quantiles_of_the_forecast(normal: Forecaster) -> None:
    paths, forecast = normal.sample(samples=2000, seed=1), normal.predict()
    assert list(paths) == ["unique_id", "sample", "ds", "y"]
    assert len(paths) == 2 * 2000 * HORIZON
    first = paths.iloc[:HORIZON]
    assert (first["unique_id"] == "north").all() and (first["sample"] == 0).all()
    assert list(first["ds"]) == list(forecast["ds"][:HORIZON])
    assert sorted(paths["sample"].unique()) == list(range(2000))
    found = paths.groupby(["unique_id", "ds"], as_index=False)["y"].agg(
        lo=lambda y: y.quantile(0.1), mid="median", hi=lambda y: y.quantile(0.9)
    )
    both = forecast.merge(found, on=["unique_id", "ds"])
    width = (both["y-hi-80"] - both["y-lo-80"]).to_numpy()
    for known, made in (("y-lo-80", "lo"), ("y", "mid"), ("y-hi-80", "hi")):
        assert (np.abs(both[known] - both[made]) < 0.08 * width).all()
    assert paths["y"].min() >= 0


def test_the_same_seed_gives_the_same_paths(normal: Forecaster, tmp_path: Path) -> None:
    paths = normal.sample(samples=5, seed=3)
    pd.testing.assert_frame_equal(paths, normal.sample(samples=5, seed=3))
    assert not np.allclose(paths["y"], normal.sample(samples=5, seed=4)["y"])


def test_shorter_paths_and_other_data(normal: Forecaster) -> None:
    known = normal.sample(data(), samples=3)
    short = normal.sample(data(), samples=3, horizon=2)
    pd.testing.assert_frame_equal(short, known.groupby(["unique_id", "sample"]).head(2).reset_index(drop=True))
    assert normal.sample(data(), samples=2, cutoff="2024-05-01")["ds"].min() == pd.Timestamp("2024-05-02")
    with pytest.raises(ConfigError, match="1 to the 6 steps that the model was fitted for"):
        normal.sample(horizon=7)
    with pytest.raises(ConfigError, match="samples must be an integer, 1 or more"):
        normal.sample(samples=0)


def test_contradicting_options() -> None:
    with pytest.raises(ConfigError, match=r"negative_binomial is a distribution of counts.*support=real"):
        fitted("negative_binomial")
    with pytest.raises(ConfigError, match=r"likelihood.*training.loss=squared"):
        Forecaster(horizon=6, options={"head": "normal"}, training={"loss": "squared"}).fit(data())
    with pytest.raises(ConfigError, match=r"naive forecasts quantiles here.*model.head"):
        Forecaster("naive", HORIZON, season=7).fit(data()).sample()


@pytest.mark.parametrize("format", ["onnx", "openvino", "litert"])
def test_formats_without_the_operations_for_counts_are_rejected(format: Any, tmp_path: Path) -> None:
    config = RunConfig(model={"name": "seq2seq", "head": "negative_binomial"})
    forecaster: Any = SimpleNamespace(config=config, spec=WindowSpec(8, HORIZON, ("y",)))
    shape = {"batch": 1, "time": 20} if format == "litert" else {}
    with pytest.raises(ConfigError, match=f"{format} lacks operations"):
        export(forecaster, tmp_path / "out", format, name="counts", **shape)
    assert not (tmp_path / "out").exists()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


OTHERS = [
    pytest.param("student_t", marks=[pytest.mark.slow, pytest.mark.release]),
    pytest.param("negative_binomial", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=["normal", *OTHERS])
def saved(
    request: pytest.FixtureRequest, normal: Forecaster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Forecaster, Path]:
    """A forecaster and its run directory with a verified SavedModel."""
    support = "count" if request.param == "negative_binomial" else "real"
    forecaster = normal if request.param == "normal" else fitted(request.param, support)
    path = tmp_path_factory.mktemp("runs") / "run"
    forecaster.save(path)
    return forecaster, path


def test_a_saved_run_draws_the_same_paths(saved: tuple[Forecaster, Path]) -> None:
    forecaster, path = saved
    known = forecaster.sample(samples=4, seed=2)
    again = Forecaster.load(path)
    pd.testing.assert_frame_equal(again.sample(samples=4, seed=2), known)
    pd.testing.assert_frame_equal(again.predict(), forecaster.predict())
    result = run("predict", str(path), "--samples", "4", "--seed", "2")
    assert result.exit_code == 0
    printed = pd.read_csv(io.StringIO(result.stdout), parse_dates=["ds"])
    assert list(printed) == ["unique_id", "sample", "ds", "y"]
    np.testing.assert_allclose(printed["y"], known["y"], rtol=1e-5)
    assert run("predict", str(path), "--samples", "4", "--recursive").exit_code == 2


def test_the_saved_model_draws_paths(saved: tuple[Forecaster, Path]) -> None:
    import tensorflow as tf

    forecaster, path = saved
    version = path / "saved_model" / "1"
    metadata = json.loads((version / "assets.extra" / "tsattn.json").read_text())
    assert metadata["outputs"]["sample"]["samples"]["shape"] == ["batch", "num_samples", HORIZON, 2]
    assert set(metadata["drawn"]) == {"num_samples", "seed"}
    assert metadata["agreement"]["largest_difference"] <= 1e-5
    assert "`num_samples`" in (version / "MODEL_CARD.md").read_text()
    loaded = tf.saved_model.load(str(version))
    past = forecaster.panel_.values[None].astype("float32")
    inputs = {"past": tf.constant(past), "length": tf.constant([past.shape[1]], tf.int32)}

    def draw(samples: int, seed: int) -> np.ndarray[Any, Any]:
        made = loaded.signatures["sample"](**inputs, num_samples=tf.constant(samples), seed=tf.constant(seed))
        return np.asarray(made["samples"])

    known = forecaster.sample(samples=7, seed=5)["y"].to_numpy().reshape(1, 2, 7, HORIZON)
    made = draw(7, 5)
    np.testing.assert_allclose(np.moveaxis(made, 3, 1), known, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(draw(7, 5), made)
    assert not np.allclose(draw(7, 6), made)
    quantiles = np.asarray(loaded.signatures["serving_default"](**inputs)["quantiles"])
    many = draw(4000, 0)
    if forecaster.spec_.support == "count":
        np.testing.assert_array_equal(many, np.round(many))
    for index, level in enumerate((0.1, 0.5, 0.9)):
        found = quantiles[:, None, ..., index]
        assert ((many < found).mean(axis=1) <= level + 0.03).all()
        assert ((many <= found).mean(axis=1) >= level - 0.03).all()


@pytest.mark.slow
def test_other_formats_have_the_quantiles(tmp_path: Path) -> None:
    # Student's t distribution needs the most operations, and positive values one more.
    forecaster = fitted("student_t", "positive")
    formats: tuple[Any, ...] = ("onnx", "openvino", "litert", "keras")
    for format in formats:
        shape = {"batch": 1, "time": 20} if format == "litert" else {}
        # The export compares it with the model in Python.
        version = forecaster.export(tmp_path / format, format, **shape)
        assert "sample" not in json.loads((version / "tsattn.json").read_text())["outputs"]


TRUTH = {
    "normal": ("real", lambda rng, n: rng.normal(50, 4, n), [44.87, 55.13]),
    "student_t": ("real", lambda rng, n: 50 + 4 * rng.standard_t(3, n), [43.45, 56.55]),
    "negative_binomial": ("count", lambda rng, n: rng.negative_binomial(2, 2 / (2 + 8), n), [1, 17]),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", [pytest.param(head, marks=() if head == "negative_binomial" else pytest.mark.release) for head in TRUTH]
)
def test_quantiles_of_known_distributions(head: str) -> None:
    support, drawn, (low, high) = TRUTH[head]
    rng = np.random.default_rng(0)
    frame = pd.concat(
        pd.DataFrame({"id": f"s{i}", "ds": pd.date_range("2024-01-01", periods=400), "y": drawn(rng, 400)})
        for i in range(32)  # of 8 series, some initial weights learn intervals that are too narrow
    )
    forecaster = Forecaster(
        "seq2seq",
        4,
        season=1,
        context=32,
        support=support,
        options={"units": 16, "head": head, "patch_length": 4, "scaling": "standard", "dropout": 0.1},
        training={"epochs": 8, "steps_per_epoch": 60},
    ).fit(frame)
    # Without calibration.
    layer = forecaster.model_.get_layer("calibrated_quantiles")
    layer.fit(np.ones(layer.factors.shape))
    made = forecaster.predict().mean(numeric_only=True)
    apart = high - low
    assert made["y-lo-80"] == pytest.approx(low, abs=0.12 * apart)
    assert made["y-hi-80"] == pytest.approx(high, abs=0.12 * apart)


@pytest.mark.slow
def test_coverage_of_sums_of_an_autoregression() -> None:
    # A stationary one: the scale of a window, and the width of a step, grow with the distance of a walk from 0.
    rng = np.random.default_rng(0)
    walks = {f"w{i}": lfilter([1.0], [1.0, -0.9], rng.normal(size=700)) for i in range(12)}
    days = pd.date_range("2024-01-01", periods=700)
    frame = pd.concat(pd.DataFrame({"unique_id": name, "ds": days, "y": walk}) for name, walk in walks.items())
    known = frame[frame["ds"] < days[400]]
    forecaster = Forecaster(
        "seq2seq",
        12,
        season=1,
        context=24,
        validation=96,
        options={"units": 16, "head": "normal", "patch_length": 4},
        training={"epochs": 6, "steps_per_epoch": 60},
    ).fit(known)
    coverage = {}
    layer = forecaster.model_.get_layer("distribution")
    found = np.array(layer.persistence)
    for name, persistence in (("paths", found), ("independent", np.zeros_like(found))):
        layer.fit(persistence)
        inside = []
        for origin in range(400, 688, 12):
            paths = forecaster.sample(frame, cutoff=str(days[origin - 1]), samples=400, seed=origin)
            totals = paths.groupby(["unique_id", "sample"])["y"].sum().groupby("unique_id").quantile([0.1, 0.9])
            for series, walk in walks.items():
                total = walk[origin : origin + 12].sum()
                inside.append(totals[series, 0.1] <= total <= totals[series, 0.9])
        coverage[name] = float(np.mean(inside))
    assert 0.72 < coverage["paths"] < 0.88
    assert coverage["independent"] < 0.6
