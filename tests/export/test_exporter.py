"""Exports: versions, verification, and the files of a version."""

from __future__ import annotations

import importlib.metadata
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tsattn import Forecaster
from tsattn.atomic_io import add_version, list_versions
from tsattn.errors import ConfigError, RunError
from tsattn.export import exporter
from tsattn.export.isolated_process import IsolatedRuntime, launcher
from tsattn.export.isolated_runtime import check_portable
from tsattn.export.signatures import ServingPreprocessor
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.models import get_model
from tsattn.models.forecast_model import build_untrained

HORIZON = 3


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    times = pd.date_range("2024-01-01", periods=60)
    values = 100 + 10 * np.sin(np.arange(60) / 2)
    return Forecaster("seasonal_naive", horizon=HORIZON, context=20, season=7).fit(
        pd.DataFrame({"ds": times, "y": values})
    )


@pytest.fixture(scope="module")
def shop(forecaster: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one version."""
    folder = tmp_path_factory.mktemp("models") / "my shop"
    forecaster.export(folder)
    return folder


def read_metadata(version: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((version / "assets.extra" / "tsattn.json").read_text())
    return result


@pytest.mark.parametrize(
    ("format", "package", "module", "shape"),
    [
        ("onnx", "tf2onnx", "tf2onnx", {}),
        ("openvino", "openvino", "openvino", {}),
        ("litert", "ai-edge-litert", "ai_edge_litert", {"batch": 1, "time": 20}),
    ],
)
def test_a_format_whose_packages_are_missing_names_the_extra(
    forecaster: Forecaster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: Any,
    package: str,
    module: str,
    shape: dict[str, int],
) -> None:
    def found(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("tsattn.export.exporter.version", found)
    with pytest.raises(RunError, match=rf"pip install 'tsattn\[{format}\]'"):
        forecaster.export(tmp_path / "out", format, **shape)
    assert not (tmp_path / "out").exists()


def test_a_version_has_metadata_and_a_model_card(shop: Path, forecaster: Forecaster) -> None:
    metadata = read_metadata(shop / "1")
    assert (metadata["name"], metadata["model"], metadata["horizon"], metadata["frequency"]) == (
        "my-shop",
        "seasonal_naive",
        3,
        "D",
    )
    assert metadata["inputs"]["past"]["shape"] == ["batch", "time", 1]
    assert metadata["outputs"]["serving_default"]["quantiles"]["shape"] == ["batch", HORIZON, 1, 3]
    assert metadata["schema"]["targets"] == ["y"]
    assert metadata["training_data"] == forecaster.training_data_
    assert metadata["training_data"]["steps"] == 60 and metadata["training_data"]["last"] == "2024-02-29"
    assert metadata["validation"][0]["mase"] == pytest.approx(forecaster.scores_["mase"].iloc[0])
    assert metadata["agreement"]["largest_difference"] <= 1e-5 and metadata["agreement"]["rows"] > 6
    card = (shop / "1" / "MODEL_CARD.md").read_text()
    assert "# my-shop" in card and metadata["training_data"]["fingerprint"] in card and "`quantiles`" in card


def test_the_graph_contains_the_metadata(shop: Path) -> None:
    from google.protobuf import json_format, struct_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((shop / "1" / "saved_model.pb").read_bytes())
    metadata = struct_pb2.Struct()
    assert saved.meta_graphs[0].meta_info_def.any_info.Unpack(metadata)
    inside = json_format.MessageToDict(metadata)
    assert inside["inputs"]["past"]["meaning"] == read_metadata(shop / "1")["inputs"]["past"]["meaning"]


def test_warm_up_requests_are_what_tensorflow_serving_reads(shop: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    signatures = tf.saved_model.load(str(shop / "1")).signatures
    data = (shop / "1" / "assets.extra" / "tf_serving_warmup_requests").read_bytes()
    rows = []
    while data:
        # A TFRecord: length, its checksum, the record, its checksum.
        (size,) = struct.unpack("<Q", data[:8])
        log = prediction_log_pb2.PredictionLog.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        request = log.predict_log.request
        assert request.model_spec.name == "my-shop"
        inputs = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        rows.append(int(answer["forecast"].shape[0]))
    assert len(rows) == 3 and 1 in rows


def test_the_kit_holds_configurations_that_tensorflow_serving_reads(shop: Path) -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    kit = shop / "kit"
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((kit / "models.config").read_text(), config)
    assert [(one.name, one.base_path) for one in config.model_config_list.config] == [("my-shop", "/models/my-shop")]
    assert all(path.read_text().count("@") == text.count("@") for path, text in _templates(kit))
    request = json.loads((kit / "request.json").read_text())
    assert {*request["instances"][0]} == {"past", "length"} and len(request["instances"]) == 2
    assert len((kit / "client.c").read_text().splitlines()) < 100


def _templates(kit: Path) -> list[tuple[Path, str]]:
    """Files of a kit, and their occurrences of @, the delimiter of placeholders."""
    return [(kit / "client.sh", "@"), (kit / "client.c", ""), (kit / "client.py", ""), (kit / "README.md", "")]


def test_versions_count_up_and_leave_nothing_else(shop: Path, forecaster: Forecaster) -> None:
    (shop / "7").mkdir()
    (shop / "latest").mkdir()
    assert forecaster.export(shop) == shop / "8"
    assert list_versions(shop) == [1, 7, 8]
    assert {path.name for path in shop.iterdir()} == {"1", "7", "8", "latest", "kit"}
    assert "../8" in (shop / "kit" / "client.c").read_text()


def test_a_portable_model_with_other_outputs_is_not_exported(
    forecaster: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Forecaster("naive", horizon=HORIZON, context=20, season=7).fit(
        pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0) % 11})
    )
    portable = forecaster.fitted_.portable_model()
    monkeypatch.setattr(FittedForecaster, "portable_model", lambda _: portable)
    with pytest.raises(
        RunError, match=r"portable model that differ .* at most 1e-05 .* got a difference of .* nothing was exported"
    ):
        other.export(tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


def test_a_graph_with_other_outputs_is_not_exported(
    forecaster: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporter.write_saved_model

    def write_another(model: keras.Model, preprocessor: ServingPreprocessor, path: Path) -> None:
        spec = replace(preprocessor.spec, season=preprocessor.spec.season + 1)
        write(build_untrained(get_model("seasonal_naive"), spec), preprocessor, path)

    monkeypatch.setattr(exporter, "write_saved_model", write_another)
    with pytest.raises(
        RunError, match=r"expected outputs that differ .* at most 1e-05 .* got a difference of .* nothing was exported"
    ):
        forecaster.export(tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


def test_a_graph_that_calls_back_into_python_is_not_portable(tmp_path: Path) -> None:
    import tensorflow as tf

    class Calling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: Any) -> Any:
            return tf.py_function(lambda values: values + 1, [x], tf.float32)

    tf.saved_model.save(Calling(), str(tmp_path / "model"))
    with pytest.raises(ValueError, match=r"EagerPyFunc.* does not run on every machine"):
        check_portable(str(tmp_path / "model"))


def test_a_graph_that_is_bound_to_a_gpu_is_not_portable(shop: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((shop / "1" / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].graph_def.library.function[0].node_def[0].device = "/device:GPU:0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(ValueError, match="GPU:0, which does not run on every machine"):
        check_portable(str(tmp_path))


def test_shapes_belong_to_litert_alone(forecaster: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one fixed shape.* set batch= and time=, such as 1 and 20"):
        forecaster.export(tmp_path, "litert", batch=1)
    with pytest.raises(ConfigError, match="saved_model models take any number"):
        forecaster.export(tmp_path, time=20)


def test_onnx_names_its_free_axes(forecaster: Forecaster, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(forecaster.export(tmp_path / "shop", "onnx") / "model.onnx")
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {
        "past": ["batch", "time", 1],
        "length": ["batch"],
        "forecast": ["batch", HORIZON, 1],
        "quantiles": ["batch", HORIZON, 1, 3],
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["tsattn"])["horizon"] == HORIZON


@pytest.mark.slow
def test_a_keras_model_loads_with_keras(forecaster: Forecaster, tmp_path: Path) -> None:
    # As users do, with a new process that verifies the export.
    token = launcher.set(IsolatedRuntime)
    version = forecaster.export(tmp_path / "a\tb", "keras")
    launcher.reset(token)
    assert version == tmp_path / "a\tb" / "1", "a tab is part of the path"
    model = keras.models.load_model(version / "model.keras")
    metadata = json.loads((version / "tsattn.json").read_text())
    window = {
        name: np.zeros([2, *(size for size in part["shape"] if isinstance(size, int))], part["dtype"])
        for name, part in metadata["inputs"].items()
    }
    assert model(window)["quantiles"].shape == (2, HORIZON, 1, 3)


def test_two_exports_at_once_become_two_versions(tmp_path: Path) -> None:
    folder = tmp_path / "shop"

    def write(temporary: Path) -> None:
        # While this one is written, another one is put in place.
        (temporary / "first").touch()
        add_version(folder, lambda other: (other / "second").touch())

    assert add_version(folder, write) == folder / "2"
    assert (folder / "1" / "second").exists() and (folder / "2" / "first").exists()


def test_files_with_numbers_as_names_are_not_versions(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    (tmp_path / "007").mkdir()
    (tmp_path / ("9" * 20)).mkdir()
    assert add_version(tmp_path, lambda folder: None) == tmp_path / "8"


def test_the_fingerprint_is_that_of_the_data(forecaster: Forecaster) -> None:
    frame = pd.DataFrame({"unique_id": ["a"] * 30 + ["b"] * 30, "ds": [*pd.date_range("2024-01-01", periods=30)] * 2})
    frame["y"] = np.arange(60.0)

    def of(data: pd.DataFrame) -> str:
        fitted = Forecaster("naive", horizon=2, freq="D").fit(data)
        return str(fitted.training_data_["fingerprint"])

    changed = frame.assign(y=frame["y"].where(frame.index != 40, 41.0))
    renamed = frame.replace({"unique_id": {"b": "c"}})
    assert of(frame) == of(frame.copy())
    assert len({of(frame), of(changed), of(renamed)}) == 3


@pytest.fixture(scope="module")
def hourly() -> Forecaster:
    """A network with a short context on one long series, with the residual branches of its defaults."""
    steps = np.arange(2500)
    level = 100 + 20 * np.sin(steps / 300)
    frame = pd.DataFrame({"ds": pd.date_range("2016-07-01", periods=2500, freq="h"), "y": level, "z": 3 * level - 7})
    frame["y"] += 5 * np.sin(steps * 2 * np.pi / 24)
    training = {"epochs": 1, "steps_per_epoch": 20, "refit": False}
    made = Forecaster("seq2seq", horizon=12, context=48, season=24, options={"units": 8}, training=training).fit(frame)
    options = made.config_.model
    assert options["mean_reversion"] and options["linear_residual"] and made.schema_.calendar == ("hour_of_day",)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "onnx", "openvino", "litert"])
def test_residual_branches_reach_every_program(hourly: Forecaster, tmp_path: Path, format: Any) -> None:
    # As many steps as the network sees: no history with junk before it fits.
    shape = {"batch": 2, "time": 48} if format == "litert" else {}
    version = hourly.export(tmp_path, format, **shape)
    agreement = json.loads(next(version.rglob("tsattn.json")).read_text())["agreement"]
    assert agreement["largest_difference"] <= 1e-5 and agreement["rows"] >= 2


def test_a_history_without_an_observed_value_has_no_forecast_in_the_exported_model(tmp_path: Path) -> None:
    # The first values are missing, so that the shortest histories of the verification have none.
    values = np.where(np.arange(30) < 4, np.nan, np.arange(30.0))
    days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=30), "y": values})
    version = Forecaster("naive", horizon=2).fit(days).export(tmp_path / "model")
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    past = np.full((2, 5, 1), np.nan, "float32")
    past[1, 2] = 7
    forecast = served(past=tf.constant(past), length=tf.constant([5, 5], tf.int32))["forecast"].numpy()
    assert np.isnan(forecast[0]).all() and (forecast[1] == 7).all()
